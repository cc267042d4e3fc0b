"""One turn: think, act, answer. From a waiting message to a committed answer."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from agent.core import context
from agent.core.budget import Budget
from agent.core.compaction import Compactor
from agent.core.context import Prompt
from agent.core.grants import Grants
from agent.core.ledger import Ledger
from agent.core.record import Turn, TurnRecorder, describe
from agent.core.unbroken import unbroken
from agent.errors import ProviderError, TrayClawError, TurnLimitError
from agent.events import Event, Failure, TurnNotice, TurnReasoning, TurnStatus, TurnText
from agent.providers.router import Router
from agent.providers.types import Completion, Finished, Notice, ReasoningDelta, TextDelta, tool_result
from agent.safety.approvals import ApprovalDesk
from agent.safety.host_gate import HostGate
from agent.safety.sandbox.choose import Fences
from agent.safety.workspace import Workspace
from agent.settings import Settings
from agent.storage.inbox import Waiting
from agent.tools.live_output import LiveOutput
from agent.tools.sessions import SESSION_TOOL, Sessions
from agent.tools.toolbox import CallScope, Toolbox

log = logging.getLogger(__name__)


@dataclass(slots=True)
class TurnRunner:
    """Runs turns. One instance serves all conversations."""

    recorder: TurnRecorder
    router: Router
    toolbox: Toolbox
    approvals: ApprovalDesk
    budget: Budget
    compactor: Compactor
    prompt: Prompt
    settings: Callable[[], Settings]
    workspace: Callable[[], Workspace]
    grants: Grants
    fences: Fences
    ledger: Ledger
    sessions: Sessions
    scrub: Callable[[str], str]
    publish: Callable[[Event], None]

    async def run(self, item: Waiting) -> None:
        """Answer one message; how it ends is committed and published.

        Nothing is raised but the cancellation of a turn that had not begun: then nothing was committed.
        """
        try:
            turn, stopped = await self.recorder.begin(item)
        except Exception as problem:
            log.exception("the message %d cannot be worked on", item.id)
            if not self.recorder.closing:
                self.recorder.tell_unbegun(item, describe(problem))
            return
        if turn is None:
            self.recorder.tell_unbegun(item, None)
            return
        status: TurnStatus = "answered"
        failure: Failure | None = None
        try:
            if stopped:
                raise asyncio.CancelledError
            async with turn.clock.limit:
                await self._think_and_act(turn)
        except asyncio.CancelledError:
            status = "interrupted" if self.recorder.closing else "stopped"
        except TimeoutError:
            limit = self.settings().turn.max_seconds
            error = TurnLimitError(
                f"The turn was ended after {limit:.0f} seconds.",
                hint="Raise turn.max_seconds, or ask for less at once.",
            )
            status, failure = "failed", describe(error)
        except TrayClawError as error:
            status, failure = ("refused" if error.exit_code == 3 else "failed"), describe(error)
        except Exception as error:
            log.exception("turn %d failed", turn.id)
            status, failure = "failed", describe(error)
        await unbroken(self.recorder.finish(turn, status, failure))

    async def _think_and_act(self, turn: Turn) -> None:
        """Ask the model, run the tools it wants, show it the results, until it answers."""
        live = LiveOutput(turn.item.conversation_id, turn.id, self.publish, self.scrub)
        try:
            await self._until_answered(turn, await self._scope(turn, live))
        finally:
            live.close()

    async def _until_answered(self, turn: Turn, scope: CallScope) -> None:
        for _ in range(self.settings().turn.max_steps):
            completion = await self._ask(turn)
            turn.added.append(completion.message())
            turn.answer = completion.text or turn.answer
            turn.partial.clear()
            if not completion.tool_calls:
                if not completion.text:
                    raise _nothing_said(completion)
                return
            await self.recorder.save(turn)
            results = await self.toolbox.run_all(completion.tool_calls, scope)
            turn.added.extend(tool_result(result) for result in results)
        steps = self.settings().turn.max_steps
        raise TurnLimitError(
            f"The task was not done after {steps} steps.", hint='Write "go on", or raise turn.max_steps.'
        )

    async def _ask(self, turn: Turn) -> Completion:
        """One call of the model; every piece is published as it comes."""
        target = self.router.resolve(turn.model)
        later = (SESSION_TOOL,) if self.sessions.of(turn.item.conversation_id) else ()
        tools = self.toolbox.specs(later) if target.provider.supports_tools else ()
        prompt = self.prompt.message(self.workspace().root, tools=bool(tools))
        history = await self.recorder.transcripts.get(turn.item.conversation_id, self.settings().model.history_messages)
        notes = self.recorder.transcripts.notes(turn.item.conversation_id)
        request = context.request(target.model, prompt, (*notes, *history, *turn.added), tools)
        conversation = turn.item.conversation_id
        account = self.budget.account("chat", conversation, turn.item.channel, turn.calls.append)
        compact = functools.partial(self.compactor.shrink, turn)
        async with aclosing(self.router.stream(turn.model, request, account, compact=compact)) as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    turn.partial.append(event.text)
                    self.publish(TurnText(conversation, turn.id, event.text))
                elif isinstance(event, ReasoningDelta):
                    self.publish(TurnReasoning(conversation, turn.id, event.text))
                elif isinstance(event, Notice):
                    self.publish(TurnNotice(conversation, turn.id, event.text))
                elif isinstance(event, Finished):
                    asked = (meter.target.reference for meter in reversed(turn.calls) if meter.purpose == "chat")
                    turn.answered_by = next(asked, turn.model)
                    return event.completion
        raise ProviderError("bad_response", "The answer broke off.", retryable=True, hint="Ask again.")

    async def _scope(self, turn: Turn, live: LiveOutput) -> CallScope:
        """What the tools of a turn may use."""
        settings = self.settings()
        self.grants.forget()  # another process may have taken one back
        return CallScope(
            conversation_id=turn.item.conversation_id,
            turn_id=turn.id,
            sender_role=turn.item.sender_role,
            mode=settings.safety.mode,
            workspace=self.workspace(),
            publish=self.publish,
            approvals=self.approvals,
            record_begin=functools.partial(self.recorder.effect_begins, turn),
            record_end=functools.partial(self.recorder.effect_ended, turn),
            command_seconds=settings.tools.command_seconds,
            max_chars=settings.turn.tool_output_chars,
            pause=turn.clock.paused,
            scrub=self.scrub,
            output=live.add,
            sessions=self.sessions,
            gate=functools.partial(HostGate, proxy=settings.network.proxy),
            taint=turn.taint,
            grants=self.grants,
            ledger=self.ledger,
            sandbox=await self.fences.get(settings.safety.sandbox),
        )


def _nothing_said(completion: Completion) -> ProviderError:
    """Why an answer is empty, as well as the provider told."""
    if completion.finish_reason in ("refusal", "content_filter"):
        why = completion.note or "It gave no reason."
        return ProviderError(
            "content_filter",
            f"The model declined to answer. {why}",
            title="The model declined to answer",
            hint="Say it in other words, or choose another model.",
        )
    if completion.finish_reason == "length":
        return ProviderError(
            "bad_response",
            "The model used all the room for its answer without saying anything.",
            title="The answer was empty",
            hint="Ask for less at once, or choose another model.",
        )
    return ProviderError("bad_response", "The model gave an empty answer.", hint="Ask again.")
