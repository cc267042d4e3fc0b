"""A real toolbox with the built-in tools on a real folder, and everything it published and recorded."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.core.ledger import Ledger
from agent.events import Approval, ApprovalAsked, Event, ToolCalled, ToolFinished
from agent.providers.types import ToolCall, ToolResult
from agent.safety.approvals import ApprovalDesk
from agent.safety.workspace import Workspace
from agent.settings import UndoSettings
from agent.tools.builtin import built_in_toolbox
from agent.tools.toolbox import CallScope, Toolbox


class ToolDesk:
    """`answers` decides what a person says to each question: "allow", "deny", or None to say nothing."""

    def __init__(self, root: Path, *, toolbox: Toolbox | None = None, **scope: Any) -> None:
        self.home = root / "home"
        self.folder = self.home / "TrayClaw"
        self.own = self.home / ".config" / "trayclaw"
        for folder in (self.folder, self.own):
            folder.mkdir(parents=True, exist_ok=True)
        self.toolbox = toolbox or built_in_toolbox()
        self.events: list[Event] = []
        self.effects: list[dict[str, Any]] = []
        self.answers: Callable[[Approval], str | None] = lambda approval: "allow"
        self.desk = ApprovalDesk(self.publish, lambda: self.seconds)
        self.seconds = 5.0
        self.printed: list[str] = []
        self._ids = itertools.count(1)
        options: dict[str, Any] = {"sender_role": "owner", "mode": "balanced"}
        self.ledger = Ledger(root / "undo", UndoSettings)
        self.scope = CallScope(
            conversation_id=7,
            turn_id=9,
            workspace=Workspace(self.folder, (self.own,), home=self.home),
            publish=self.publish,
            approvals=self.desk,
            record_begin=self.record_begin,
            record_end=self.record_end,
            ledger=self.ledger,
            output=lambda call_id, text: self.printed.append(text),
            **{**options, **scope},
        )

    def publish(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, ApprovalAsked):
            choice = self.answers(event.approval)
            if choice is not None:
                asyncio.get_running_loop().call_soon(self.desk.resolve, event.approval.id, choice, "desktop")

    async def record_begin(self, call_id: str, tool: str, kind: str, summary: str, detail: Any) -> int:
        row = {"call_id": call_id, "tool": tool, "kind": kind, "summary": summary, "state": "begun"}
        self.effects.append(row | {"detail": dict(detail)})
        return len(self.effects) - 1

    async def record_end(self, effect_id: int, state: str, seconds: float, detail: Any) -> None:
        self.effects[effect_id]["state"] = state
        self.effects[effect_id]["detail"].update(detail)

    def make(self, name: str, /, **arguments: Any) -> ToolCall:
        return ToolCall(f"call_{next(self._ids)}", name, arguments, json.dumps(arguments))

    async def call(self, name: str, /, **arguments: Any) -> ToolResult:
        return await self.toolbox.run(self.make(name, **arguments), self.scope)

    @property
    def questions(self) -> list[Approval]:
        return [event.approval for event in self.events if isinstance(event, ApprovalAsked)]

    @property
    def called(self) -> list[ToolCalled]:
        return [event for event in self.events if isinstance(event, ToolCalled)]

    @property
    def finished(self) -> list[ToolFinished]:
        return [event for event in self.events if isinstance(event, ToolFinished)]
