"""The tool that changes several files at once: all of them or none."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from agent.errors import EditError, ToolError
from agent.safety.effects import Effect, visible
from agent.tools import patching, textfile
from agent.tools.clip import clip
from agent.tools.concerned import contents_digest
from agent.tools.tool import Outcome, ToolContext, tool

SHOWN_CHARS = 6_000
MOST_FILES = 100


def _describe(context: ToolContext, patch: str) -> Effect:
    changes = patching.parse(patch)
    places = tuple(context.workspace.place(path) for change in changes for path in change.paths)
    if len(places) > MOST_FILES:
        raise ToolError(f"The patch touches {len(places)} files; {MOST_FILES} at once are enough.")
    if len({place.path for place in places}) < len(places):
        raise EditError("Two names in the patch lead to the same file.")
    names = ", ".join(place.shown for place in places)
    return Effect(
        "write",
        f"Change {names}",
        places,
        undoable=True,
        title=f"Change {len(places)} files?" if len(places) > 1 else "Change a file?",
        action="\n".join(visible(place.full) for place in places) + "\n\n" + clip(visible(patch), SHOWN_CHARS),
        digest=contents_digest(place.path for place in places),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """One file as it was and as it will be; None where there is none."""

    path: Path
    before: bytes | None
    after: bytes | None
    mode: int | None = None


@tool("write", _describe, also={"input": "patch", "diff": "patch"})
def apply_patch(context: ToolContext, patch: str) -> Outcome:
    """Change several text files at once, or none if anything does not fit.

    Args:
        patch: A unified diff, or "*** Begin Patch", then per file "*** Add|Update|Delete File: path" (after
            Update maybe "*** Move to: path") and lines with @@, space, - or + in front, then "*** End Patch".
    """
    if context.effect is None:
        raise LookupError("the call was not prepared")
    paths = iter([place.path for place in context.effect.places])
    steps: list[_Step] = []
    for change in patching.parse(patch):
        steps += _steps(change, next(paths), next(paths) if change.target else None)
    done: list[_Step] = []
    try:
        for step in steps:
            if _content(step.path) != step.before:
                raise ToolError(f"{step.path.name} changed meanwhile; nothing was changed.")
            done.append(step)
            _put(step.path, step.after, step.mode)
    except BaseException as error:
        failed = _roll_back(done)
        if failed:
            raise ToolError(f"{error}. These could not be put back: {', '.join(failed)}.") from error
        raise
    files = [
        {
            "path": str(step.path),
            "after_exists": step.after is not None,
            "after_size": len(step.after or b""),
            "after_sha256": hashlib.sha256(step.after).hexdigest() if step.after is not None else "",
        }
        for step in steps
    ]
    words = ", ".join(f"{_verb(step)} {step.path.name}" for step in steps)
    return Outcome(f"{words[0].upper()}{words[1:]}.", detail={"after": files})


def _steps(change: patching.Change, path: Path, target: Path | None) -> list[_Step]:
    before = _content(path)
    if change.kind == "add":
        if before is not None or os.path.lexists(path):
            raise EditError(f"{path.name} is there already; update it instead.")
        return [_Step(path, None, patching.added(change).encode("utf-8"))]
    if before is None:
        raise EditError(f"There is no file {path.name}.")
    if change.kind == "delete":
        return [_Step(path, before, None, textfile.mode_of(path))]
    if not change.hunks and target is None:
        raise EditError(f"The patch says nothing about what changes in {path.name}.")
    after = before
    if change.hunks:
        file = textfile.decode(before, path.name)
        after = file.encode(patching.apply(file.text, change.hunks, path.name))
    if target is None:
        if after == before:
            raise EditError(f"{path.name} has the changes already.")
        return [_Step(path, before, after)]
    if os.path.lexists(target):
        raise EditError(f"{target.name} is there already; nothing is moved over it.")
    mode = textfile.mode_of(path)
    return [_Step(target, None, after, mode), _Step(path, before, None, mode)]


def _content(path: Path) -> bytes | None:
    try:
        return textfile.read_bytes(path)
    except FileNotFoundError:
        return None


def _put(path: Path, data: bytes | None, mode: int | None) -> None:
    if data is None:
        textfile.remove(path)
    else:
        textfile.replace(path, data, mode)


def _roll_back(done: list[_Step]) -> list[str]:
    """Put the files back, the last first; the names of those that could not be."""
    failed = []
    for step in reversed(done):
        try:
            if _content(step.path) != step.before:
                _put(step.path, step.before, step.mode)
        except (OSError, ToolError):
            failed.append(step.path.name)
    return failed


def _verb(step: _Step) -> str:
    if step.after is None:
        return "deleted"
    return "wrote" if step.before is None else "changed"
