"""Takes back what turns did to files: all of it, or nothing when somebody has changed something since."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.core.tree import Change, Eye, State
from agent.storage.images import ImageStore
from agent.views import UndoReport, UndoStep


@dataclass(frozen=True, slots=True)
class Plan:
    """What undoing some turns means. `targets`: the oldest state of each path, and the one that must be there now."""

    turn_ids: tuple[int, ...]
    targets: tuple[Change, ...]
    gaps: tuple[UndoStep, ...]


def plan(turns: Sequence[tuple[int, Sequence[Mapping[str, Any]]]]) -> Plan:
    """From the receipts' rows of some turns, the newest turn first."""
    first: dict[Path, State] = {}
    last: dict[Path, State] = {}
    gaps: list[UndoStep] = []
    for _turn_id, rows in reversed(turns):
        for row in rows:
            if row["state"] == "denied":
                continue
            detail = row["detail"]
            for change in map(Change.from_json, detail.get("changes", ())):
                first.setdefault(change.path, change.before)
                last[change.path] = change.after
            gaps += _gaps(row, detail)
    targets = tuple(Change(path, first[path], last[path]) for path in sorted(first) if not first[path].same(last[path]))
    return Plan(tuple(turn_id for turn_id, _ in turns), targets, tuple(gaps))


def _gaps(row: Mapping[str, Any], detail: Mapping[str, Any]) -> list[UndoStep]:
    found = []
    if detail.get("gap"):
        found.append(UndoStep(row["summary"], "not covered", detail["gap"]))
    if row["kind"] == "send":
        found.append(UndoStep(row["summary"], "cannot be taken back", "it was sent"))
    if row["kind"] == "use":
        found.append(UndoStep(row["summary"], "cannot be taken back", "nobody knows what an outside tool did"))
    if row["kind"] == "execute" and detail.get("network"):
        found.append(UndoStep(row["summary"], "cannot be taken back", "the program could reach beyond the workspace"))
    return found


def carry_out(plan: Plan, eye: Eye, store: ImageStore, *, dry_run: bool = False) -> UndoReport:
    """Check everything, then do it; what has begun and fails is put back. Blocks."""
    folders = {change.path for change in plan.targets if change.before.type == "folder"}
    known = {change.path for change in plan.targets}
    obstacles = [step for change in plan.targets if (step := _obstacle(change, folders, eye, store)) is not None]
    obstacles += [step for change in plan.targets if (step := _put_into(change, known)) is not None]
    conflicts = [step for step in obstacles if step.outcome == "conflict"]
    if conflicts:
        return UndoReport(plan.turn_ids, False, (*conflicts, *plan.gaps))
    obstacles += _only_copies(plan.targets, {step.what for step in obstacles})
    out_of_reach = {step.what for step in obstacles}
    work = [change for change in plan.targets if str(change.path) not in out_of_reach]
    steps = [_step(change) for change in work] + obstacles
    if not dry_run and work:
        failure = _apply(work, eye, store)
        if failure is not None:
            return UndoReport(plan.turn_ids, False, (failure, *plan.gaps))
    if not plan.targets and not plan.gaps:
        steps.append(UndoStep("", "nothing to do", "nothing was changed"))
    return UndoReport(plan.turn_ids, True, (*steps, *plan.gaps))


def _obstacle(change: Change, folders: set[Path], eye: Eye, store: ImageStore) -> UndoStep | None:
    """Why a path cannot be brought back: it was changed since, or its content is not kept. `folders` come back too."""
    name = str(change.path)
    link = _link_above(change.path)
    now = State() if link else eye.look(change.path, keep=False)  # what a link leads to is not this path
    if now.same(change.before):
        return None  # as it should be already, for instance after an undo that was cut off
    if not now.same(change.after):
        return UndoStep(name, "conflict", _what_now(now, change.after))
    if link is not None and link not in folders:
        return UndoStep(name, "conflict", "its folder was replaced by a link")
    before = change.before
    if before.type == "file" and (not before.covered or not store.has(before.hash)):
        return UndoStep(name, "not covered", "its content is not kept: too large or too old")
    if before.type == "other":
        return UndoStep(name, "not covered", "it was no ordinary file")
    return None


def _put_into(change: Change, known: set[Path]) -> UndoStep | None:
    """A folder that would go, with something in it that no turn made."""
    if change.after.type != "folder" or change.before.type == "folder" or _link_above(change.path) is not None:
        return None
    try:
        there = () if change.path.is_symlink() else tuple(change.path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return None
    strange = [path for path in there if path not in known]
    return UndoStep(str(change.path), "conflict", f"{strange[0].name} was put into it since") if strange else None


def _only_copies(targets: Sequence[Change], lost: set[str]) -> list[UndoStep]:
    """Files that must stay because what they hold is kept nowhere else: a large file that was moved, for instance."""
    missing = {change.before.hash for change in targets if str(change.path) in lost and change.before.hash}
    kept = {change.path for change in targets if change.after.type == "file" and change.after.hash in missing}
    above = {folder for path in kept for folder in path.parents}
    steps = []
    for change in targets:
        if str(change.path) in lost:
            continue
        if change.path in kept:
            steps.append(UndoStep(str(change.path), "not covered", "it is the only copy of a file too large to keep"))
        elif (change.path in above and change.before.type != "folder") or kept.intersection(change.path.parents):
            steps.append(UndoStep(str(change.path), "not covered", "the only copy of a large file is in its place"))
    return steps


def _link_above(path: Path) -> Path | None:
    """The outermost folder of a path that is a link."""
    return next((folder for folder in reversed(path.parents) if folder.is_symlink()), None)


def _what_now(now: State, expected: State) -> str:
    if now.type == "absent":
        return "it was removed since"
    if expected.type == "absent":
        return "something was put there since"
    return "it was changed since"


def _step(change: Change) -> UndoStep:
    removed = change.before.type == "absent"
    return UndoStep(str(change.path), "removed" if removed else "restored")


def _apply(work: Sequence[Change], eye: Eye, store: ImageStore) -> UndoStep | None:
    """Deepest first where something goes, outermost first where something comes back."""
    was: dict[Path, State] = {}
    for change in work:  # what is there now must be restorable as well
        now = State() if _link_above(change.path) else eye.look(change.path, keep=True)
        if not now.same(change.before):  # else it is as it should be already
            was[change.path] = now
    done: list[Path] = []
    try:
        for change in work:  # a folder that was closed opens for what is to be done in it
            if change.path in was and was[change.path].type == "folder" and not os.access(change.path, os.W_OK):
                done.append(change.path)
                change.path.chmod(was[change.path].mode | 0o700)
        for change in reversed(work):
            if change.path in was and was[change.path].type not in ("absent", change.before.type):
                done.append(change.path)
                _remove(change.path)
        for change in work:
            if change.before.type != "absent" and change.path in was:
                done.append(change.path)
                _put(change.path, change.before, store)
        for change in reversed(work):  # a folder's own mode last: it may forbid writing in it
            if change.before.type == "folder" and not change.path.is_symlink():
                change.path.chmod(change.before.mode)
    except OSError as error:
        for path in reversed(list(dict.fromkeys(done))):
            with contextlib.suppress(OSError):
                if was[path].type == "absent":
                    _remove(path)
                else:
                    _put(path, was[path], store)
                if was[path].type == "folder":
                    path.chmod(was[path].mode)
        return UndoStep(str(error.filename or done[-1]), "conflict", f"{error.strerror}; everything was left as it is")
    return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _put(path: Path, state: State, store: ImageStore) -> None:
    if state.type == "folder":
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
            path.mkdir()
        path.chmod(state.mode | 0o700)
        return
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".trayclaw")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            if state.type == "file":
                data = store.get(state.hash)
                if data is None:
                    raise FileNotFoundError(2, "Its content is not kept any more", str(path))
                file.write(data)
        if state.type == "link":
            temporary.unlink()
            temporary.symlink_to(state.hash)
        else:
            temporary.chmod(state.mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
