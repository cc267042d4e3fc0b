"""Finding files by name and text in them: bounded in time and size, links not followed, credentials left out."""

from __future__ import annotations

import contextlib
import heapq
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agent.errors import ToolArgumentsError, ToolError
from agent.safety.effects import Effect, visible
from agent.safety.workspace import OWN_FOLDER
from agent.tools import beneath, textfile
from agent.tools.globs import Glob, State
from agent.tools.tool import Outcome, ToolContext, tool

MOST_FOUND = 200
MOST_MATCHES = 200
SECONDS = 20.0
LARGEST_SEARCHED = 5_000_000
"""Bytes of a file that is searched."""
LONGEST_LINE = 300
DEEPEST = 60
LEFT_OUT = frozenset((".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".cache", OWN_FOLDER))


@dataclass(frozen=True, slots=True)
class _Found:
    """A file, valid while the walk stands at it."""

    path: Path
    name: str
    parent: int | None
    status: Callable[[], os.stat_result]


def _looking(verb: str) -> Callable[..., Effect]:
    def describe(context: ToolContext, pattern: str, path: str = ".", **_: Any) -> Effect:
        place = context.workspace.place(path)
        return Effect(
            "read",
            f"{verb} {visible(pattern)} in {place.shown}",
            (place,),
            title="Search this folder?",
            action=f"{verb} {visible(pattern)} in {visible(place.full)} and everything below it",
        )

    return describe


@tool("read", _looking("Find"), also={"glob": "pattern", "folder": "path"})
def find_files(context: ToolContext, pattern: str, path: str = ".") -> str:
    """Find files by name, newest first. .git, node_modules and the like are left out.

    Args:
        pattern: Like *.py or src/**/test_*.{js,ts}; without a slash at any depth.
        path: Folder to look in.
    """
    walk = _Walk(context, Glob(pattern))
    newest: list[tuple[float, str]] = []
    count = 0
    for found in walk.files():
        count += 1
        with contextlib.suppress(OSError):
            entry = (found.status().st_mtime, found.name)
            (heapq.heappush if len(newest) < MOST_FOUND else heapq.heappushpop)(newest, entry)
    lines = [visible(name) for _, name in sorted(newest, key=lambda one: (-one[0], one[1]))]
    if count > len(lines):
        lines.append(f"({count:,} files; the newest {len(lines)} are shown)")
    return "\n".join([*lines, *walk.notes()]) or "(no file matches)"


@tool("read", _looking("Search for"), also={"regex": "pattern", "query": "pattern", "include": "glob"})
def search_text(
    context: ToolContext, pattern: str, path: str = ".", glob: str = "*", ignore_case: bool = False, around: int = 0
) -> str | Outcome:
    """Search the text of files with a regular expression. Answers with path:line: text.

    Args:
        pattern: Regular expression.
        path: Folder or file.
        glob: Only files like *.py.
        ignore_case: Whether case does not matter.
        around: Lines shown before and after each match, up to 10.
    """
    search = _Search(pattern, ignore_case, min(max(around, 0), 10))
    walk = _Walk(context, Glob(glob))
    notes: list[str] = []
    room = context.max_chars - 300
    lines: list[str] = []
    sent = False
    try:
        for found, line in ((file, line) for file in walk.files() for line in search.lines(file, walk.deadline)):
            sent = sent or context.workspace.was_sent(found.path)
            room -= len(line) + 1
            if room < 0 or search.matches > MOST_MATCHES:
                notes.append("(there are more matches; narrow the pattern, the path or the glob)")
                break
            lines.append(line)
    except TimeoutError:
        notes.append("(the expression takes too long on these files; the rest was not searched)")
    if search.too_large:
        notes.append(f"({search.too_large} files of more than {LARGEST_SEARCHED:,} bytes were not searched)")
    if not lines and not notes:
        lines.append("(no match)")
    text = "\n".join([*lines, *notes, *walk.notes()])
    return Outcome(text, source="files from messages") if sent else text


class _Search:
    """One expression, over one file after the other."""

    def __init__(self, pattern: str, ignore_case: bool, around: int) -> None:
        import regex  # unlike `re` it can be given a time limit, and lets other threads run meanwhile

        if not pattern or len(pattern) > 1_000:
            raise ToolArgumentsError("The expression is empty or too long.")
        try:
            self._pattern = regex.compile(pattern, regex.MULTILINE | (regex.IGNORECASE if ignore_case else 0))
        except (regex.error, RecursionError, OverflowError) as error:
            raise ToolArgumentsError(f"The expression is not valid: {error}.") from None
        self._around = around
        self.matches = 0
        self.too_large = 0

    def lines(self, found: _Found, deadline: float) -> Iterator[str]:
        text = self._text(found)
        if text is None:
            return
        numbers = self._numbers(text, deadline)
        if not numbers:
            return
        lines = text.split("\n")
        shown = 0
        for number in numbers:
            self.matches += 1
            first = max(number - self._around, shown + 1)
            if self._around and shown and first > shown + 1:
                yield "--"
            for one in range(first, min(number + self._around, len(lines)) + 1):
                mark = ":" if one in numbers else "-"
                line = lines[one - 1].rstrip("\r")
                cut = line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "..."
                yield f"{visible(found.name)}{mark}{one}{mark} {cut}"
                shown = one

    def _text(self, found: _Found) -> str | None:
        try:
            handle = beneath.open_in(found.parent, found.path)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                return None
            if status.st_size > LARGEST_SEARCHED:
                self.too_large += 1
                return None
            data = file.read(LARGEST_SEARCHED)
        try:
            return textfile.decode(data, found.name).text
        except ToolError:  # a binary file
            return None

    def _numbers(self, text: str, deadline: float) -> dict[int, None]:
        """The lines on which matches begin, in order."""
        numbers: dict[int, None] = {}
        line, position = 1, 0
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        for match in self._pattern.finditer(text, timeout=left, concurrent=True):
            start = match.start()
            if start == len(text) and start and text[-1] == "\n":  # behind the last line end there is no line
                break
            line += text.count("\n", position, start)
            position = start
            numbers[line] = None
            if len(numbers) > MOST_MATCHES:
                break
        return numbers


class _Walk:
    """The files below a folder, in order of their names; a file alone is its own walk."""

    def __init__(self, context: ToolContext, glob: Glob) -> None:
        self.deadline = time.monotonic() + SECONDS
        self._workspace, self._root, self._glob = context.workspace, context.path, glob
        self._kept_back = 0
        self._late = False

    def notes(self) -> list[str]:
        """What was not looked at."""
        notes = []
        if self._kept_back:
            notes.append(f"({self._kept_back} entries that hold credentials were left out)")
        if self._late:
            notes.append(f"(stopped after {SECONDS:.0f} seconds)")
        return notes

    def files(self) -> Iterator[_Found]:
        try:
            with beneath.folder(self._root) as handle:
                yield from self._below(handle, self._root, "", self._glob.start, 0)
        except NotADirectoryError:
            with beneath.folder(self._root.parent) as handle:
                name = self._root.name
                yield _Found(self._root, name, handle, lambda: os.stat(name, dir_fd=handle, follow_symlinks=False))

    def _below(self, handle: int | None, folder: Path, prefix: str, state: State, depth: int) -> Iterator[_Found]:
        kept_back = self._workspace.keeps_back(folder)
        listed = None if handle is None else beneath.listing(handle)
        try:
            with os.scandir(folder if listed is None else listed) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
            for entry in ordered:
                if time.monotonic() > self.deadline:
                    self._late = True
                    return
                after = self._glob.step(state, entry.name)
                if not after or entry.is_symlink():
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and (entry.name in LEFT_OUT or depth == DEEPEST):
                    continue
                if kept_back(entry.name):
                    self._kept_back += is_folder or self._glob.fits(after)
                    continue
                name, path = prefix + entry.name, folder / entry.name
                if is_folder:
                    with contextlib.suppress(OSError, ToolError):
                        yield from self._enter(listed, path, name, after, depth)
                elif entry.is_file(follow_symlinks=False) and self._glob.fits(after):
                    yield _Found(path, name, listed, partial(entry.stat, follow_symlinks=False))
        finally:
            if listed is not None:
                os.close(listed)

    def _enter(self, listed: int | None, path: Path, name: str, state: State, depth: int) -> Iterator[_Found]:
        if listed is None:
            with beneath.folder(path):
                yield from self._below(None, path, f"{name}/", state, depth + 1)
            return
        below = beneath.listing(listed, path.name)
        try:
            yield from self._below(below, path, f"{name}/", state, depth + 1)
        finally:
            os.close(below)
