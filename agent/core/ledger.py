"""What effects do to files, noted so that it can be undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent.core.tree import Change, Eye, State, TooMuchError, changes
from agent.core.undo import Plan, carry_out
from agent.safety.effects import Effect
from agent.safety.workspace import OWN_FOLDER, Workspace
from agent.settings import UndoSettings
from agent.storage.images import ImageStore
from agent.views import UndoReport

_MOST_CHANGES = 2_000
"""Rows of one effect in a receipt; a program that changes more is not covered."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How things were before an effect, in `folders` without those in `but`. `gap` says why undo does not cover it."""

    states: Mapping[Path, State] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    but: tuple[Path, ...] = ()
    gap: str = ""

    def as_json(self) -> dict[str, Any]:
        """What is committed before the effect happens; of a program only that it was looked at."""
        if self.folders or not self.states:
            return {"gap": self.gap} if self.gap else {}
        return {"before": [{"path": str(path), **asdict(state)} for path, state in self.states.items()]}


class Ledger:
    """Keeps images of what is about to change. All methods block."""

    def __init__(self, folder: Path, settings: Callable[[], UndoSettings]) -> None:
        self._settings = settings
        self._store = ImageStore(folder)
        self._eye = Eye(self._store, lambda: int(settings().file_mb * 1e6))

    def before(self, effect: Effect, workspace: Workspace) -> Snapshot:
        """Right before an effect. Raises `OSError` when an image cannot be kept: then it must not happen."""
        match effect.kind:
            case "write":
                paths = {path for place in effect.places for path in _with_new_folders(place.path)}
                return Snapshot({path: self._eye.look(path, keep=True) for path in sorted(paths)})
            case "execute" | "use" if effect.kind == "execute" or effect.places:
                folders, but = workspace.fence().writable, (workspace.root / OWN_FOLDER,)
                try:
                    return Snapshot(self._eye.tree(folders, but, keep=True), folders, but)
                except TooMuchError as much:
                    return Snapshot(gap=f"what the program changed is not known: {much}")
        return Snapshot()

    def after(self, snapshot: Snapshot) -> dict[str, Any]:
        """Right after it: what changed, for the receipt."""
        if not snapshot.states and not snapshot.folders:
            return {"gap": snapshot.gap} if snapshot.gap else {}
        if snapshot.folders:
            try:
                now = self._eye.tree(snapshot.folders, snapshot.but, keep=False)
            except TooMuchError as much:
                return {"gap": f"what the program changed is not known: {much}"}
        else:
            now = {path: self._eye.look(path, keep=False) for path in snapshot.states}
        found = changes(snapshot.states, now)
        if len(found) > _MOST_CHANGES:
            return {"gap": f"the program changed {len(found):,} files, more than undo covers"}
        result: dict[str, Any] = {"changes": [change.as_json() for change in found]}
        uncovered = [change.path.name for change in found if not change.before.covered]
        if uncovered:
            result["gap"] = f"too large to keep: {', '.join(uncovered[:5])}"
        return result

    def undo(self, plan: Plan, *, dry_run: bool = False) -> UndoReport:
        """Take back what was planned."""
        return carry_out(plan, self._eye, self._store, dry_run=dry_run)

    def tidy(self) -> int:
        """Keep to the limits of the settings; how many images went."""
        settings = self._settings()
        return self._store.tidy(total=int(settings.total_mb * 1e6), days=settings.days)


def changes_of(detail: Mapping[str, Any]) -> list[Change]:
    """The changes in a row of a receipt."""
    return [Change.from_json(row) for row in detail.get("changes", ())]


def _with_new_folders(path: Path) -> list[Path]:
    """A file, and the folders that will be made for it."""
    missing = [path]
    for folder in path.parents:
        if folder.exists():
            break
        missing.append(folder)
    return missing
