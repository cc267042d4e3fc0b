"""What was done and whether it can be taken back: receipts for people, undo and rewind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from agent.core.ledger import Ledger, changes_of
from agent.core.undo import plan
from agent.errors import UsageError
from agent.storage import effects, receipts, turns
from agent.storage.database import Database
from agent.views import CommandRun, FileChange, Receipt, TurnView, UndoReport


@dataclass(slots=True)
class History:
    """The past of all conversations. `busy` names those in which a turn runs."""

    database: Database
    ledger: Ledger
    workspace: Callable[[], Path]
    busy: Callable[[], Sequence[int]]
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def receipt(self, turn_id: int) -> Receipt:
        """Everything a turn did. Raises `UsageError` when there is no such turn."""

        def read(db: Connection) -> tuple[TurnView | None, list[Mapping[str, Any]], turns.Marks | None, str, bool]:
            return (
                turns.view(db, turn_id),
                effects.of_turn(db, turn_id),
                turns.marks(db, turn_id),
                *receipts.of_turn(db, turn_id),
            )

        view, rows, marks, sealed, intact = await self.database.read(read)
        if view is None or marks is None:
            raise UsageError(f"There is no turn {turn_id}.", hint="See `trayclaw turns list`.")
        return _receipt(turn_id, view, rows, marks, sealed, intact, self.workspace())

    async def undo(
        self,
        turn_id: int | None = None,
        *,
        conversation_id: int | None = None,
        rewind: bool = False,
        dry_run: bool = False,
    ) -> UndoReport:
        """Take back what a turn did to files, by default the last one that did something; `rewind`: and all turns of
        its conversation after it. Raises `UsageError` when there is nothing to undo or the conversation is at work."""
        async with self._one_at_a_time:
            found = await self.database.read(lambda db: turns.to_undo(db, turn_id, conversation_id, rewind=rewind))
            if not found:
                raise UsageError(_nothing(turn_id), title="Nothing to undo", hint="See `trayclaw turns list`.")
            if found[0][1] in self.busy():
                raise UsageError(
                    "This conversation is being worked on.", title="Not now", hint="Stop it first, then undo."
                )
            ids = [one for one, _ in found]
            rows = await self.database.read(lambda db: [(one, effects.of_turn(db, one)) for one in ids])
            report = await asyncio.to_thread(self.ledger.undo, plan(rows), dry_run=dry_run)
            if report.done and not dry_run:
                await self.database.write(lambda db: turns.mark_undone(db, ids))
            return report


def _nothing(turn_id: int | None) -> str:
    if turn_id is None:
        return "No turn has changed anything that is not undone already."
    return f"Turn {turn_id} is not there, changed nothing, or was undone already."


def _receipt(
    turn_id: int,
    view: TurnView,
    rows: Sequence[Mapping[str, Any]],
    marks: turns.Marks,
    sealed: str,
    intact: bool,
    workspace: Path,
) -> Receipt:
    done = [row for row in rows if row["state"] != "denied"]
    found = [change for row in done for change in changes_of(row["detail"])]
    files = tuple(
        FileChange(
            _shown(change.path, workspace),
            "created" if change.before.type == "absent" else "removed" if change.after.type == "absent" else "changed",
            None if change.before.type == "absent" else change.before.size,
            None if change.after.type == "absent" else change.after.size,
            change.before.covered,
        )
        for change in found
        if "folder" not in (change.before.type, change.after.type)
    )
    commands = tuple(
        CommandRun(
            row["summary"].removeprefix("Run "),
            row["detail"].get("exit_code"),
            row["seconds"] or 0.0,
            row["detail"].get("sandbox", ""),
            "session" in row["detail"] and "exit_code" not in row["detail"],
        )
        for row in done
        if row["kind"] == "execute"
    )
    return Receipt(
        turn_id=turn_id,
        conversation_id=marks.conversation_id,
        status=view.status,
        started_at=marks.started_at,
        model=view.model,
        files=files,
        commands=commands,
        hosts=tuple(dict.fromkeys(host for row in done for host in row["detail"].get("hosts", ()))),
        messages=tuple(row["summary"] for row in done if row["kind"] == "send"),
        sources=marks.sources,
        denied=tuple(row["summary"] for row in rows if row["state"] == "denied"),
        gaps=tuple(f"{row['summary']}: {row['detail']['gap']}" for row in done if row["detail"].get("gap")),
        usage=view.usage,
        cost_usd=view.cost_usd,
        undone=marks.undone,
        undoable=bool(found) and not marks.undone,
        hash=sealed,
        intact=intact,
        outside=tuple(row["summary"] for row in done if row["kind"] == "use"),
    )


def _shown(path: Path, workspace: Path) -> str:
    return path.relative_to(workspace).as_posix() if workspace in path.parents else str(path)
