"""Tools that look for files by name and for text in files."""

from __future__ import annotations

import fnmatch
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from agent.errors import ToolError
from agent.safety.effects import Effect, one_line, visible
from agent.tools import textfile
from agent.tools.tool import ToolContext, tool

MOST_FILES = 200
MOST_LINES = 200
LONGEST_LINE = 400
LARGEST_FILE = 5_000_000
MOST_SEEN = 200_000
SECONDS = 20.0
_SKIPPED = frozenset((".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".cache"))


def _describe_find(context: ToolContext, pattern: str, path: str = ".") -> Effect:
    place = context.workspace.place(path)
    what = f"Find {one_line(pattern, 40)} in {place.shown}"
    return Effect("read", what, (place,), title="Look outside the workspace?", action=f"{visible(what)}: {place.full}")


def _describe_search(context: ToolContext, pattern: str, path: str = ".", **_: Any) -> Effect:
    place = context.workspace.place(path)
    what = f"Search {place.shown} for {one_line(pattern, 40)}"
    return Effect(
        "read", what, (place,), title="Search outside the workspace?", action=f"{visible(what)}: {place.full}"
    )


@tool("read", _describe_find)
def find_files(context: ToolContext, pattern: str, path: str = ".") -> str:
    """Find files by name, the newest first.

    Args:
        pattern: Like *.py or src/**/test_*.py.
        path: Folder to look in.
    """
    root = _folder(context.path)
    wanted = pattern.strip().removeprefix("./")
    found: list[tuple[float, str]] = []
    for file in _files(root):
        name = file.relative_to(root).as_posix()
        if _matches(name, wanted):
            try:
                found.append((file.lstat().st_mtime, name))
            except OSError:
                continue
    found.sort(reverse=True)
    lines = [visible(name) for _, name in found[:MOST_FILES]]
    if len(found) > MOST_FILES:
        lines.append(f"({len(found):,} files match; these are the {MOST_FILES} newest)")
    return "\n".join(lines) or "No file matches."


@tool("read", _describe_search)
def search_text(
    context: ToolContext, pattern: str, path: str = ".", files: str = "", ignore_case: bool = False, around: int = 0
) -> str:
    """Search the text of files for a regular expression.

    Args:
        pattern: Regular expression.
        path: File or folder to search.
        files: Only files with such names, like *.md.
        ignore_case: Upper and lower case alike.
        around: Lines to show before and after each match.
    """
    import regex

    try:
        # This engine gives up after a time; with Python's own a bad pattern holds a thread for ever.
        expression = regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
    except regex.error as error:
        raise ToolError(f"This is no regular expression: {error}.") from error
    root = context.path
    deadline = time.monotonic() + SECONDS
    lines: list[str] = []
    for file in [root] if root.is_file() else _files(_folder(root)):
        name = file.name if file == root else file.relative_to(root).as_posix()
        if files and not _matches(name, files):
            continue
        hits = _hits(file, expression, deadline)
        if hits is None:
            lines.append(f"(ended after {SECONDS:.0f} seconds; search a smaller folder or with a simpler pattern)")
            break
        numbers, text = hits
        lines += _shown(visible(name), text, numbers, min(max(around, 0), 10))
        if len(lines) > MOST_LINES:
            del lines[MOST_LINES:]
            lines.append(f"(more than {MOST_LINES} lines; search a smaller folder or more exactly)")
            break
    return "\n".join(lines) or "Nothing matches."


def _hits(file: Path, expression: Any, deadline: float) -> tuple[list[int], list[str]] | None:
    """The matching lines of a file, by number from 0, and all its lines; None when the time is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        return None
    try:
        if file.lstat().st_size > LARGEST_FILE or file.is_symlink():
            return [], []
        text = textfile.read_text(file).text
    except (OSError, ToolError):  # unreadable or no text: what can be searched is searched
        return [], []
    lines = re.split(r"\r\n|\r|\n", text.removesuffix("\n"))
    try:
        return [number for number, line in enumerate(lines) if expression.search(line, timeout=left)], lines
    except TimeoutError:
        return None


def _shown(name: str, lines: list[str], numbers: list[int], around: int) -> list[str]:
    shown: list[str] = []
    last = -1
    for number in numbers:
        for near in range(max(number - around, last + 1), min(number + around + 1, len(lines))):
            mark = ":" if near == number or near in numbers else "-"
            line = lines[near]
            cut = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..."
            shown.append(f"{name}{mark}{near + 1}{mark} {cut}")
            last = near
    return shown


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ToolError(f"{path.name} is {'a file' if path.exists() else 'not there'}; give a folder.")
    return path


def _matches(name: str, pattern: str) -> bool:
    if "/" not in pattern:
        return fnmatch.fnmatchcase(PurePosixPath(name).name, pattern)
    return re.fullmatch(_expression(pattern), name) is not None


def _expression(pattern: str) -> str:
    """A glob with ** as a regular expression."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    translated = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(translated.get(part, re.escape(part)) for part in parts)


def _files(root: Path) -> Iterator[Path]:
    """All files below a folder, in order; links are not followed."""
    waiting, seen = [root], 0
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            seen += 1
            if seen > MOST_SEEN:
                return
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _SKIPPED:
                    waiting.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
