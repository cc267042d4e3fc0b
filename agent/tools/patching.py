"""The tool that applies a patch to several files: all of it or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent.errors import EditError, ToolArgumentsError, ToolError
from agent.safety.effects import Effect, visible
from agent.tools import textfile
from agent.tools.clip import clip
from agent.tools.editing import replace_text
from agent.tools.tool import Outcome, ToolContext, tool

SHOWN_CHARS = 6_000


@dataclass(slots=True)
class FilePatch:
    """What a patch does to one file. `hunks` are (old, new) passages in their order."""

    action: Literal["add", "update", "delete"]
    path: str
    target: str = ""
    hunks: list[tuple[str, str]] = field(default_factory=list)
    text: str = ""


def _describe(context: ToolContext, patch: str) -> Effect:
    files = parse(patch)
    names = [name for file in files for name in (file.path, file.target) if name]
    places = tuple(context.workspace.place(name) for name in dict.fromkeys(names))
    shown = ", ".join(place.shown for place in places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
    return Effect(
        "write",
        f"Patch {shown}",
        places,
        title="Change files?" if len(places) > 1 else "Change a file?",
        action="\n".join(place.full for place in places) + "\n\n" + clip(visible(patch), SHOWN_CHARS),
        undoable=True,
    )


@tool("write", _describe, also={"diff": "patch", "input": "patch"})
def apply_patch(context: ToolContext, patch: str) -> Outcome:
    """Change several files at once, all or nothing.

    Args:
        patch: A unified diff, or the form *** Begin Patch / *** Update File: a.py / @@ / -old / +new / *** End Patch.
    """
    effect = context.effect
    if effect is None:
        raise LookupError("the call was not prepared")
    files = parse(patch)
    names = dict.fromkeys(name for file in files for name in (file.path, file.target) if name)
    paths = dict(zip(names, (place.path for place in effect.places), strict=True))
    before = {path: textfile.read_bytes(path) if path.exists() else None for path in paths.values()}
    after: dict[Path, bytes | None] = {}
    for file in files:  # everything is worked out before the first file is touched
        _work_out(file, paths, before, after)
    written: list[Path] = []
    try:
        for path, data in after.items():
            written.append(path)
            if data is None:
                path.unlink()
            else:
                textfile.replace(path, data)
    except (OSError, ToolError) as error:
        for path in reversed(written):
            old = before.get(path)
            if old is not None:
                textfile.replace(path, old)
            else:
                path.unlink(missing_ok=True)
        raise ToolError(f"Nothing was changed: {error}") from error
    return Outcome(f"Patched {len(after)} {'file' if len(after) == 1 else 'files'}: {', '.join(names)}.")


def _work_out(
    file: FilePatch, paths: dict[str, Path], before: dict[Path, bytes | None], after: dict[Path, bytes | None]
) -> None:
    path = paths[file.path]
    data = after.get(path, before.get(path))
    if file.action == "add":
        if data is not None:
            raise ToolError(f"{file.path} is there already; nothing was changed.")
        after[path] = file.text.encode()
        return
    if data is None:
        raise ToolError(f"There is no file {file.path}; nothing was changed.")
    if file.action == "delete":
        after[path] = None
        return
    decoded = textfile.decode(data, path.name)
    text = decoded.text
    for number, (old, new) in enumerate(file.hunks, start=1):
        try:
            text = _replaced(text, old, new)
        except EditError as error:
            raise ToolError(f"{file.path}, change {number}: {error} Nothing was changed.") from error
    target = paths[file.target] if file.target else path
    if target != path:
        if after.get(target, before.get(target)) is not None:
            raise ToolError(f"{file.target} is there already; nothing was changed.")
        after[path] = None
    after[target] = decoded.encode(text)


def _replaced(text: str, old: str, new: str) -> str:
    if not old:  # only additions, and no context that says where
        return text + new if not text or text.endswith("\n") else f"{text}\n{new}"
    try:
        return replace_text(text, old, new)
    except EditError:
        if not old.endswith("\n"):
            raise
        return replace_text(text, old.removesuffix("\n"), new.removesuffix("\n"))  # the last line has no end


def parse(patch: str) -> list[FilePatch]:
    """Both forms. Raises `ToolArgumentsError`."""
    lines = patch.replace("\r\n", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    files = list(_marked(lines) if any(line.startswith("*** Begin Patch") for line in lines) else _unified(lines))
    if not files:
        raise ToolArgumentsError("The patch names no file. Begin with *** Begin Patch, or with --- and +++ lines.")
    for file in files:
        if file.action == "update" and not file.hunks and not file.target:
            raise ToolArgumentsError(f"The patch changes nothing in {file.path}.")
    return files


_HEADER = re.compile(r"\*\*\* (Add|Update|Delete) File: (.+)")


def _marked(lines: list[str]) -> Iterator[FilePatch]:
    file: FilePatch | None = None
    hunk: list[str] = []
    for line in [*lines, "*** End Patch"]:
        header = _HEADER.match(line)
        ends = bool(header) or line.startswith(("*** End", "*** Begin Patch", "@@", "*** Move to:"))
        if ends and file is not None and hunk:
            _add(file, hunk)
            hunk = []
        if header or line.startswith("*** End Patch"):
            if file is not None:
                yield file
            file = None
        if header:
            action: Literal["add", "update", "delete"] = (
                "add" if header[1] == "Add" else "delete" if header[1] == "Delete" else "update"
            )
            file = FilePatch(action, header[2].strip())
        elif line.startswith("*** Move to:") and file is not None:
            file.target = line.partition(":")[2].strip()
        elif file is not None and not line.startswith(("***", "@@")):
            hunk.append(line)


def _unified(lines: list[str]) -> Iterator[FilePatch]:
    file: FilePatch | None = None
    hunk: list[str] = []
    old_name, position = "", 0
    while position < len(lines):
        line = lines[position]
        following = lines[position + 1] if position + 1 < len(lines) else ""
        if line.startswith("--- ") and following.startswith("+++ "):
            if file is not None:
                _add(file, hunk)
                yield file
            hunk = []
            old_name, new_name = _name(line[4:]), _name(following[4:])
            if old_name == "/dev/null":
                file = FilePatch("add", new_name)
            elif new_name == "/dev/null":
                file = FilePatch("delete", old_name)
            else:
                file = FilePatch("update", old_name, new_name if new_name != old_name else "")
            position += 1
        elif line.startswith("@@") and file is not None:
            _add(file, hunk)
            hunk = []
        elif file is not None and (not line or line[0] in " +-\\"):
            hunk.append(line)
        position += 1
    if file is not None:
        _add(file, hunk)
        yield file


def _name(text: str) -> str:
    name = text.split("\t")[0].strip()
    return name[2:] if name.startswith(("a/", "b/")) else name


def _add(file: FilePatch, hunk: list[str]) -> None:
    """One hunk's lines, each marked by its first character; an empty one stands for an empty line of context."""
    if not hunk:
        return
    marks = [(line[:1] or " ", line[1:]) for line in hunk if not line.startswith("\\")]
    if any(mark not in " +-" for mark, _ in marks):
        raise ToolArgumentsError(f"In the patch of {file.path} a line begins with neither a space, + nor -.")
    if file.action == "add":
        file.text += "".join(f"{line}\n" for mark, line in marks if mark == "+")
        return
    old = "".join(f"{line}\n" for mark, line in marks if mark in " -")
    new = "".join(f"{line}\n" for mark, line in marks if mark in " +")
    if old != new:
        file.hunks.append((old, new))
