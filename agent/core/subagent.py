"""Subagents: one task each, with few tools and limits of their own, reported back into the turn that started them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from agent.core.budget import Budget, BudgetAccount, Purse
from agent.core.context import Prompt, request
from agent.core.record import Turn
from agent.core.thinking import listen, think_and_act
from agent.errors import TrayClawError
from agent.events import Event, TurnNotice
from agent.providers.router import Router
from agent.providers.types import Completion, Message, Notice, StreamEvent, user
from agent.safety.effects import one_line
from agent.safety.quoting import quote_untrusted
from agent.safety.taint import Taint
from agent.settings import Settings
from agent.tools.tool import Errand, Outcome
from agent.tools.toolbox import CallScope, Toolbox

TOOLS: Final = frozenset(
    ("read_file", "list_dir", "find_files", "search_text", "run_command", "web_search", "web_fetch")
)
"""What a subagent may call: it looks and works in the fence. It writes to nobody, asks nobody and starts nobody."""
PARTIAL_CHARS: Final = 2_000
"""What the record keeps of a report that was cut off."""


@dataclass(slots=True)
class _Subagent:
    """One at work; a `Thinker`."""

    task: str
    account: BudgetAccount
    scope: CallScope
    steps_left: int
    added: list[Message] = field(default_factory=list)
    answer: str = ""
    partial: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Subagents:
    """Runs them. What they cost is the turn's, what they do is in its receipt, what they read taints it."""

    router: Router
    toolbox: Toolbox
    budget: Budget
    prompt: Prompt
    settings: Callable[[], Settings]
    publish: Callable[[Event], None]

    async def run(self, turn: Turn, scope: CallScope, call_id: str, errand: Errand) -> Outcome:
        """Do one errand for a call of that turn. However it ends, there is a report; a stop comes as one as well, with
        what there was until then."""
        agent = self._start(turn, scope, call_id, errand)
        allowed = agent.steps_left
        ended = ""
        try:
            await think_and_act(
                agent,
                functools.partial(self._ask, turn, agent),
                functools.partial(self.toolbox.run_all, scope=agent.scope),
            )
        except asyncio.CancelledError:
            ended = "Stopped before it was done."
        except TrayClawError as error:
            ended = f"The subagent ended early: {error}"
        finally:
            scope.taint.merge(agent.scope.taint)
        return _report(agent, ended, allowed)

    def _start(self, turn: Turn, scope: CallScope, call_id: str, errand: Errand) -> _Subagent:
        limits = self.settings().turn
        usd = min(errand.usd or limits.subagent_usd, limits.subagent_usd)
        steps = min(errand.steps or limits.subagent_steps, limits.subagent_steps, max(turn.steps_left, 1))
        item = turn.item
        account = self.budget.account("subagent", item.conversation_id, item.channel, turn.calls.append, Purse(usd))
        own = replace(
            scope,
            names=TOOLS if scope.names is None else TOOLS & scope.names,
            taint=scope.taint.branch(),
            parent=call_id,
            agent=f"the subagent “{one_line(errand.task, 60)}”",
            delegate=None,
        )
        return _Subagent(errand.task, account, own, steps)

    async def _ask(self, turn: Turn, agent: _Subagent) -> Completion:
        target = self.router.resolve(turn.model)
        tools = self.toolbox.specs(names=agent.scope.names) if target.provider.supports_tools else ()
        prompt = self.prompt.errand(agent.scope.workspace.root)
        asked = request(target.model, prompt, (user(agent.task), *agent.added), tools)
        stream = self.router.stream(turn.model, asked, agent.account)
        return await listen(agent, stream, functools.partial(self._tell, turn))

    def _tell(self, turn: Turn, event: StreamEvent) -> None:
        """Its words are the report; only what is to be known while waiting is told."""
        if isinstance(event, Notice):
            self.publish(TurnNotice(turn.item.conversation_id, turn.id, event.text))


def _report(agent: _Subagent, ended: str, allowed: int) -> Outcome:
    said = "".join(agent.partial) or agent.answer
    text = "\n\n".join(part for part in (said, f"[{ended}]" if ended else "") if part)
    source = _source(agent.scope.taint)
    detail: dict[str, object] = {"steps": allowed - agent.steps_left}
    if agent.account.purse is not None:
        detail["usd"] = round(agent.account.purse.spent, 6)
    if ended:
        cut = text if len(text) <= PARTIAL_CHARS else f"{text[:PARTIAL_CHARS]}…"
        detail["text"] = quote_untrusted(cut, source) if source else cut
    return Outcome(text, ok=not ended, detail=detail, source=source)


def _source(taint: Taint) -> str:
    """What speaks through a report, whether the subagent read it or the turn that made the task."""
    if not taint.sources:
        return ""
    return taint.sources[0] if len(taint.sources) == 1 else "the report of a subagent"
