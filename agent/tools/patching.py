"""Patches as models write them: the "*** Begin Patch" form and unified diffs; read, and fitted to a text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from agent.errors import EditError

_HEADER = re.compile(r"\*\*\* (Add|Update|Delete) File: (.+)")
_RANGE = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@(.*)")
_FOLDS = str.maketrans("“”„‟‘’‚‛‐‑‒–—―−\u00a0\u2002\u2003\u2009\u202f\u3000", "\"\"\"\"''''-------      ")


@dataclass(slots=True)
class Hunk:
    """Lines to find and what they become. `anchors` are lines that stand before, `line` a hint from 1."""

    anchors: list[str] = field(default_factory=list)
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    line: int = 0
    at_end: bool = False
    bare_end: bool | None = None
    """Whether the new file's last line has no line end, where the patch says so."""


@dataclass(slots=True)
class Change:
    """What happens to one file."""

    kind: Literal["add", "update", "delete"]
    path: str
    target: str = ""
    hunks: list[Hunk] = field(default_factory=list)

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that it touches."""
        return (self.path, self.target) if self.target else (self.path,)


def parse(patch: str) -> list[Change]:
    """The changes in order. Raises `EditError` for what is no patch, or names a file twice."""
    lines = patch.replace("\r\n", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    begin = next((index for index, line in enumerate(lines) if line.strip() == "*** Begin Patch"), None)
    changes = _unified(lines) if begin is None else _marked(lines[begin + 1 :])
    if not changes:
        raise EditError("The patch changes nothing. Start it with *** Begin Patch, or give a unified diff.")
    named = [path for change in changes for path in change.paths]
    twice = next((path for path in named if named.count(path) > 1), None)
    if twice:
        raise EditError(f"The patch names {twice} twice; put all changes of a file under one header.")
    return changes


def _marked(lines: list[str]) -> list[Change]:
    changes: list[Change] = []
    ended = False
    for number, line in enumerate(lines, start=2):
        if line.strip() == "*** End Patch":
            ended = True
            break
        header = _HEADER.fullmatch(line.rstrip())
        if header:
            kind: Literal["add", "update", "delete"] = header[1].lower()  # type: ignore[assignment]
            changes.append(Change(kind, header[2].strip(), hunks=[Hunk()] if kind == "add" else []))
        elif not changes:
            raise EditError(f"Line {number} of the patch is not a file header like *** Update File: name.")
        elif line.startswith("*** Move to: ") and changes[-1].kind == "update" and not changes[-1].hunks:
            changes[-1].target = line[13:].strip()
        elif changes[-1].kind == "delete":
            if line.strip():
                raise EditError(f"Line {number} of the patch: a deleted file has no lines.")
        elif changes[-1].kind == "add":
            if not line.startswith("+"):
                raise EditError(f"Line {number} of the patch: every line of an added file begins with +.")
            changes[-1].hunks[0].new.append(line[1:])
        else:
            _hunk_line(changes[-1].hunks, line, number)
    if not ended:
        raise EditError("The patch has no *** End Patch; it may have been cut off.")
    return changes


def hunks_of(diff: str) -> list[Hunk]:
    """The hunks for one file."""
    hunks: list[Hunk] = []
    for number, line in enumerate(diff.split("\n"), start=1):
        _hunk_line(hunks, line, number)
    return hunks


def _hunk_line(hunks: list[Hunk], line: str, number: int) -> None:
    if line.startswith("@@"):
        ranged = _RANGE.match(line)
        if ranged:
            hunks.append(Hunk(line=int(ranged[1])))
            return
        anchor = line[2:].removeprefix(" ")
        if hunks and not hunks[-1].old and not hunks[-1].new and anchor.strip():
            hunks[-1].anchors.append(anchor)
        else:
            hunks.append(Hunk([anchor] if anchor.strip() else []))
        return
    if line.strip() == "*** End of File":
        if hunks:
            hunks[-1].at_end = True
        return
    if not hunks:
        if not line.strip():
            return
        hunks.append(Hunk())
    hunk = hunks[-1]
    if line.startswith("\\"):
        hunk.bare_end = True
    elif line.startswith("-"):
        hunk.old.append(line[1:])
    elif line.startswith("+"):
        hunk.new.append(line[1:])
        hunk.bare_end = None
    elif line.startswith(" ") or not line:
        hunk.old.append(line[1:])
        hunk.new.append(line[1:])
    else:
        raise EditError(f"Line {number} of the patch begins with none of: space, +, -, @@.")


def _unified(lines: list[str]) -> list[Change]:
    changes: list[Change] = []
    index = 0
    left_old = left_new = 0
    while index < len(lines):
        line = lines[index]
        if left_old <= 0 and left_new <= 0 and line.startswith("--- ") and lines[index + 1 : index + 2]:
            after = lines[index + 1]
            if not after.startswith("+++ "):
                raise EditError(f"Line {index + 2} of the patch: +++ and a file name are missing.")
            changes.append(_file(_name(line[4:]), _name(after[4:])))
            index += 2
            continue
        counts = re.match(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@", line)
        if changes and (counts or line.startswith("@@")):
            left_old, left_new = (int(counts[1] or 1), int(counts[2] or 1)) if counts else (0, 0)
            _hunk_line(changes[-1].hunks, line, index + 1)
        elif line.startswith(("rename from ", "GIT binary patch", "Binary files ", "copy from ")):
            raise EditError("Renames, copies and binary files of unified diffs are not understood.")
        elif changes and changes[-1].hunks and not line.startswith(("diff ", "index ", "new file", "deleted file")):
            _hunk_line(changes[-1].hunks, line, index + 1)
            left_old -= line[:1] in (" ", "-", "")
            left_new -= line[:1] in (" ", "+", "")
        index += 1
    return changes


def _file(old: str, new: str) -> Change:
    if old == "/dev/null":
        return Change("add", new)
    if new == "/dev/null":
        return Change("delete", old)
    return Change("update", new)


def _name(text: str) -> str:
    name = text.split("\t")[0].strip()
    return name[2:] if name.startswith(("a/", "b/")) else name


# --- fitting ------------------------------------------------------------------------------------------------------
def added(change: Change) -> str:
    """The text of a new file."""
    lines = [line for hunk in change.hunks for line in hunk.new]
    bare = any(hunk.bare_end for hunk in change.hunks)
    return "\n".join(lines) + ("" if bare or not lines else "\n")


def apply(before: str, hunks: list[Hunk], name: str = "The file") -> str:
    """The text with all hunks in it, or `EditError`. Line ends and the end of the file stay as they are."""
    ending = "\r\n" if before.count("\r\n") * 2 > before.count("\n") else "\n"
    lines = before.split("\n")
    closed = lines[-1] == ""
    if closed:
        lines.pop()
    bare = [line.removesuffix("\r") for line in lines]
    pieces: list[str] = []
    cursor = 0
    for number, hunk in enumerate(hunks, start=1):
        if not hunk.old and not hunk.new:
            raise EditError(f"Part {number} of the patch for {name} is empty.")
        start, length = _placed(bare, hunk, cursor, f"{name}, part {number}")
        pieces += lines[cursor:start]
        pieces += _merged(lines[start : start + length], hunk, ending)
        cursor = start + length
    at_end = cursor == len(lines)
    pieces += lines[cursor:]
    if not pieces:
        return ""
    ends = closed or not before
    if at_end and hunks and hunks[-1].bare_end is not None:
        ends = not hunks[-1].bare_end
    text = "\n".join(pieces)
    if ends:
        return text + "\n"
    return text.removesuffix("\r")


def _merged(theirs: list[str], hunk: Hunk, ending: str) -> list[str]:
    """The new lines; those that the hunk only quotes stay exactly as the file has them."""
    import difflib

    suffix = "\r" if ending == "\r\n" else ""
    merged: list[str] = []
    matcher = difflib.SequenceMatcher(None, hunk.old, hunk.new, autojunk=False)
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag == "equal":
            merged += theirs[old_from:old_to]
        else:
            merged += [line + suffix for line in hunk.new[new_from:new_to]]
    return merged


def _placed(lines: list[str], hunk: Hunk, cursor: int, name: str) -> tuple[int, int]:
    anchors = hunk.anchors
    if len(anchors) == 1 and hunk.old and not _lines_like(lines, anchors, cursor):
        anchors = []  # what stands behind @@ is often only a remark; the lines must be unique then
    for anchor in anchors:
        found = _lines_like(lines, [anchor], cursor)
        if not found:
            raise EditError(f"{name}: there is no line {anchor!r} after line {cursor}.")
        cursor = found[0] + 1
    if not hunk.old:
        if hunk.anchors:
            return cursor, 0
        if hunk.line:
            return max(min(hunk.line, len(lines)), cursor), 0
        return len(lines), 0
    places = _lines_like(lines, hunk.old, cursor)
    if hunk.at_end:
        places = [place for place in places if place + len(hunk.old) == len(lines)]
    if not places and hunk.old[-1] == "":  # an empty line between two parts of a patch
        trimmed = Hunk(hunk.anchors, hunk.old[:-1], hunk.new, hunk.line, hunk.at_end)
        if trimmed.old and hunk.new and hunk.new[-1] == "" and (at := _lines_like(lines, trimmed.old, cursor)):
            hunk.old.pop()
            hunk.new.pop()
            places = at
    if not places:
        raise EditError(f"{name}: the lines are not in the file{_nearest(lines, hunk.old)}")
    if len(places) > 1 and hunk.line:
        places.sort(key=lambda place: abs(place + 1 - hunk.line))
        if abs(places[0] + 1 - hunk.line) < abs(places[1] + 1 - hunk.line):
            places = places[:1]
    if len(places) > 1 and not anchors:
        shown = ", ".join(str(place + 1) for place in places[:8])
        raise EditError(f"{name}: the lines are there {len(places)} times (at {shown}). Quote more around them.")
    return places[0], len(hunk.old)


def _lines_like(lines: list[str], wanted: list[str], cursor: int) -> list[int]:
    """Where the lines stand from the cursor on: exactly, else but for blanks at their ends, else typography."""
    for form in (
        str,
        str.rstrip,
        lambda line: line.translate(_FOLDS).rstrip(),
        lambda line: line.translate(_FOLDS).strip(),
    ):
        have, want = [form(line) for line in lines], [form(line) for line in wanted]
        if not any(want) and form is not str:
            return []
        found = [at for at in range(cursor, len(have) - len(want) + 1) if have[at : at + len(want)] == want]
        if found:
            return found
    return []


def _nearest(lines: list[str], wanted: list[str]) -> str:
    first = next((line for line in wanted if line.strip()), "")
    for number, line in enumerate(lines, start=1):
        if first and line.strip() == first.strip():
            for offset, want in enumerate(wanted[wanted.index(first) :]):
                have = lines[number - 1 + offset] if number - 1 + offset < len(lines) else None
                if have is None or have.strip() != want.strip():
                    there = "the end of the file" if have is None else repr(have[:200])
                    return f"; line {number + offset} is {there}, not {want[:200]!r}."
    return ". Read it again and quote them exactly."
