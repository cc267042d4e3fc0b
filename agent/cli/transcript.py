"""A conversation as a document: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from agent.cli.texts import when
from agent.views import Conversation, ReasoningItem, SentItem, TextItem, ToolItem, TurnItem, TurnView


def markdown(conversation: Conversation, turns: Sequence[TurnView]) -> str:
    """Headings for who speaks, tool calls as quoted lines; thinking is left out."""
    parts = [f"# {conversation.title or f'Conversation {conversation.id}'}"]
    for turn in turns:
        if not turn.unasked:
            parts.append(f"## {turn.sender_name or 'You'}, {when(turn.asked_at)}\n\n{turn.question}")
        said = [text for item in turn.items if (text := _item(item))]
        if said or turn.failure:
            parts.append("\n\n".join([f"## TrayClaw{f', {turn.model}' if turn.model else ''}", *said]))
        if turn.failure is not None:
            parts.append(f"*{turn.failure.title}: {turn.failure.message}*")
        elif turn.status != "answered":
            parts.append(f"*({turn.status})*")
    return "\n\n".join(parts)


def as_json(conversation: Conversation, turns: Sequence[TurnView]) -> str:
    """Everything that is known, in one object."""
    items = [{**asdict(turn), "items": [_typed(item) for item in turn.items]} for turn in turns]
    return json.dumps({"conversation": asdict(conversation), "turns": items}, ensure_ascii=False, indent=2, default=str)


def _item(item: TurnItem) -> str:
    match item:
        case TextItem():
            return item.text
        case ToolItem():
            outcome = {True: "done", False: "failed", None: "no result"}[item.ok]
            return f"> {item.summary or item.name} ({outcome})"
        case SentItem():
            return "\n".join([item.text, *(f"- {path}" for path in item.files)])
        case _:
            return ""


def _typed(item: TurnItem) -> dict[str, object]:
    kinds = {TextItem: "text", ReasoningItem: "reasoning", ToolItem: "tool_call", SentItem: "sent"}
    return {"type": kinds[type(item)], **asdict(item)}
