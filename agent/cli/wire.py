"""Events as the JSON objects that scripts read, one a line (the format is documented in docs/cli.md)."""

from __future__ import annotations

import json
from typing import Any

from agent.cli.failures import next_step
from agent.events import (
    ApprovalAsked,
    ApprovalResolved,
    ChannelChanged,
    DeliveryChanged,
    Event,
    MessageReceived,
    MessageSent,
    PairingAsked,
    PairingResolved,
    QuestionAsked,
    QuestionResolved,
    ToolCalled,
    ToolFinished,
    TurnFinished,
    TurnNotice,
    TurnReasoning,
    TurnStarted,
    TurnText,
)


def line(document: dict[str, Any]) -> str:
    """One line of JSON without its end; a lone surrogate or a foreign type in a tool's argument does no harm."""
    text = json.dumps(document, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()


def turn_event(event: Event) -> dict[str, Any] | None:
    """What `ask --json` prints for an event of its turn; None for events that scripts are not told."""
    match event:
        case TurnText():
            return {"event": "text", "delta": event.delta}
        case TurnReasoning():
            return {"event": "reasoning", "delta": event.delta}
        case ToolCalled():
            call = {"event": "tool_call", "id": event.call_id, "name": event.name, "arguments": dict(event.arguments)}
            return {**call, **_parent(event)}
        case ApprovalResolved():
            return {"event": "approval", "id": event.approval.call_id, "decision": event.choice}
        case QuestionAsked():
            asked = event.question
            return {"event": "question", "id": asked.call_id, "text": asked.text, "choices": list(asked.choices)}
        case QuestionResolved():
            return {"event": "answer", "id": event.question.call_id, "text": event.answer, "by": event.by}
        case MessageSent():
            files = [str(path) for path in event.files]
            return {"event": "sent", "id": event.call_id, "text": event.text, "files": files}
        case ToolFinished():
            result = {"event": "tool_result", "id": event.call_id, "ok": event.ok, "text": event.text}
            return {**result, **_parent(event)}
        case TurnFinished() if event.failure is not None:
            failure = event.failure
            hint = next_step(failure, event.model)
            return {"event": "error", "kind": failure.kind, "title": failure.title, "hint": hint}
        case TurnFinished():
            usage = event.usage
            return {
                "event": "turn",
                "turn_id": event.turn_id,
                "status": event.status,
                "text": event.text,
                "model": event.model,
                "usage": {
                    "input_tokens": usage.input_tokens,
                    "output_tokens": usage.output_tokens,
                    "cache_read_tokens": usage.cache_read_tokens,
                    "reasoning_tokens": usage.reasoning_tokens,
                    "cost_usd": event.cost_usd,
                },
                "effects": [dict(effect) for effect in event.effects],
            }
        case _:
            return None


def any_event(event: Event) -> dict[str, Any] | None:
    """What `serve --json` prints: the same, with its conversation and turn, and what happens around the turns."""
    match event:
        case MessageReceived():
            return {
                "event": "message",
                "conversation_id": event.conversation_id,
                "inbox_id": event.inbox_id,
                "sender": event.sender_name,
            }
        case TurnStarted():
            return {"event": "turn_started", "model": event.model, **_place(event.conversation_id, event.turn_id)}
        case TurnNotice():
            return {"event": "notice", "text": event.text, **_place(event.conversation_id, event.turn_id)}
        case ApprovalAsked():
            asked = event.approval
            return {
                "event": "approval_asked",
                "id": asked.call_id,
                "title": asked.title,
                "action": asked.action,
                **_place(asked.conversation_id, asked.turn_id),
            }
        case ApprovalResolved():
            asked = event.approval
            return {**(turn_event(event) or {}), **_place(asked.conversation_id, asked.turn_id)}
        case QuestionAsked() | QuestionResolved():
            place = _place(event.question.conversation_id, event.question.turn_id)
            return {**(turn_event(event) or {}), **place}
        case ChannelChanged():
            return {"event": "channel", "name": event.channel, "state": event.state, "detail": event.detail}
        case PairingAsked():
            return {
                "event": "pairing",
                "code": event.code,
                "channel": event.channel,
                "user_id": event.user_id,
                "name": event.name,
            }
        case PairingResolved():
            return {
                "event": "paired" if event.approved else "pairing_denied",
                "channel": event.channel,
                "user_id": event.user_id,
            }
        case DeliveryChanged():
            return {
                "event": "delivery",
                "conversation_id": event.conversation_id,
                "state": event.state,
                "detail": event.detail,
            }
        case TurnText() | TurnReasoning() | ToolCalled() | ToolFinished() | MessageSent() | TurnFinished():
            return {**(turn_event(event) or {}), **_place(event.conversation_id, event.turn_id)}
        case _:
            return None


def _parent(event: ToolCalled | ToolFinished) -> dict[str, str]:
    """The call whose subagent made this one."""
    return {"parent": event.parent} if event.parent else {}


def _place(conversation_id: int, turn_id: int) -> dict[str, int]:
    return {"conversation_id": conversation_id, "turn_id": turn_id}
