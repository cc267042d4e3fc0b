"""One turn: think, act, answer. From a waiting message to a committed answer."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.core import context
from agent.core.budget import Budget
from agent.core.compaction import Compactor
from agent.core.context import Prompt
from agent.core.grants import Grants
from agent.core.lanes import Lanes
from agent.core.ledger import Ledger
from agent.core.record import Turn, TurnRecorder, describe
from agent.core.subagent import Subagents
from agent.core.thinking import listen, think_and_act
from agent.core.unbroken import unbroken
from agent.errors import TrayClawError, TurnLimitError
from agent.events import Event, Failure, TurnNotice, TurnReasoning, TurnStatus, TurnText
from agent.providers.router import Router
from agent.providers.types import (
    Completion,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
)
from agent.safety.approvals import ApprovalDesk
from agent.safety.host_gate import HostGate
from agent.safety.sandbox.choose import Fences
from agent.safety.workspace import Workspace
from agent.settings import Settings
from agent.skills.library import Skills
from agent.storage.inbox import Waiting
from agent.tools.finding import Finder
from agent.tools.live_output import LiveOutput
from agent.tools.mcp import McpServers
from agent.tools.sessions import SESSION_TOOL, Sessions
from agent.tools.toolbox import CallScope, Toolbox

log = logging.getLogger(__name__)


@dataclass(slots=True)
class TurnRunner:
    """Runs turns. One instance serves all conversations."""

    recorder: TurnRecorder
    router: Router
    toolbox: Toolbox
    finder: Finder
    outside: McpServers
    approvals: ApprovalDesk
    budget: Budget
    compactor: Compactor
    subagents: Subagents
    prompt: Prompt
    settings: Callable[[], Settings]
    workspace: Callable[[], Workspace]
    grants: Grants
    fences: Fences
    ledger: Ledger
    skills: Skills
    sessions: Sessions
    scrub: Callable[[str], str]
    publish: Callable[[Event], None]
    waiting: Lanes | None = None
    """Where more messages for a running turn come from."""

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
        reworded = status == "stopped" and self.waiting is not None and self.waiting.is_reworded(item)
        await unbroken(self.recorder.finish(turn, status, failure, reworded=reworded))

    async def _think_and_act(self, turn: Turn) -> None:
        live = LiveOutput(turn.item.conversation_id, turn.id, self.publish, self.scrub)
        scope = await self._scope(turn, live)

        async def ask() -> Completion:
            await self._join(turn)
            return await self._ask(turn)

        async def act(calls: Sequence[ToolCall]) -> list[ToolResult]:
            await self.recorder.save(turn)
            return await self.toolbox.run_all(calls, scope)

        try:
            await think_and_act(turn, ask, act)
        finally:
            live.close()

    async def _join(self, turn: Turn) -> None:
        """Before a step: take along what waits in the conversation and is to be answered by this turn."""
        begun, turn.begun = turn.begun, True
        items = self.waiting.join(turn.item, begun=begun) if self.waiting is not None else []
        if not items:
            return
        await self.recorder.join(turn, items)
        if not begun and items[0].queue != "collect":
            words = f"Many messages at once: your last {len(items) + 1} are answered together."
            self.publish(TurnNotice(turn.item.conversation_id, turn.id, words))
            turn.preface = words

    async def _ask(self, turn: Turn) -> Completion:
        """One call of the model; every piece is published as it comes."""
        target = self.router.resolve(turn.model)
        conversation = turn.item.conversation_id
        later = (SESSION_TOOL,) if self.sessions.of(conversation) else ()
        revealed = (*self.finder.revealed(conversation), *later)
        tools = self.toolbox.specs(revealed) if target.provider.supports_tools else ()
        prompt = self.prompt.message(self.workspace().root, tools=bool(tools))
        if tools:
            prompt = context.with_sections(prompt, turn.sections)
        history = await self.recorder.transcripts.get(turn.item.conversation_id, self.settings().model.history_messages)
        notes = self.recorder.transcripts.notes(turn.item.conversation_id)
        request = context.request(target.model, prompt, (*notes, *history, *turn.added), tools)
        account = self.budget.account("chat", turn.item.conversation_id, turn.item.channel, turn.calls.append)
        compact = functools.partial(self.compactor.shrink, turn)
        stream = self.router.stream(turn.model, request, account, compact=compact)
        completion = await listen(turn, stream, functools.partial(self._tell, turn))
        asked = (meter.target.reference for meter in reversed(turn.calls) if meter.purpose == "chat")
        turn.answered_by = next(asked, turn.model)
        return completion

    def _tell(self, turn: Turn, event: StreamEvent) -> None:
        conversation = turn.item.conversation_id
        if isinstance(event, TextDelta):
            self.publish(TurnText(conversation, turn.id, event.text))
        elif isinstance(event, ReasoningDelta):
            self.publish(TurnReasoning(conversation, turn.id, event.text))
        elif isinstance(event, Notice):
            self.publish(TurnNotice(conversation, turn.id, event.text))

    async def _scope(self, turn: Turn, live: LiveOutput) -> CallScope:
        """What the tools of a turn may use."""
        settings = self.settings()
        self.grants.forget()  # another process may have taken one back
        turn.sections = (await self.skills.prompt(turn.item.sender_role, turn.taint),)
        self.outside.wake()
        return CallScope(
            conversation_id=turn.item.conversation_id,
            turn_id=turn.id,
            sender_role=turn.item.sender_role,
            mode=turn.mode or settings.safety.mode,
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
            asker=f"{turn.item.channel}:{turn.item.sender_id}",
            here=f"{turn.item.channel}:{turn.item.chat_id}",
            delegate=functools.partial(self.subagents.run, turn),
        )
