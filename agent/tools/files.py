"""Tools for single files and folders: read, write, edit, list; and the tuple of all tools for files."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.errors import EditError, ToolError
from agent.safety.effects import Effect, visible
from agent.tools import beneath, reading, textfile
from agent.tools.clip import clip
from agent.tools.concerned import contents_digest
from agent.tools.documents import document_text
from agent.tools.editing import replace_text
from agent.tools.patch_tool import apply_patch
from agent.tools.searching import LEFT_OUT, find_files, search_text
from agent.tools.tool import Outcome, ToolContext, tool

__all__ = ["FILE_TOOLS", "edit_file", "list_dir", "read_file", "replace_text", "write_file"]

MOST_ENTRIES = 500
SHOWN_CHARS = 6_000
"""What an approval shows of a text at most."""
_PATH_NAMES = {"file_path": "path", "filename": "path"}
_EDIT_NAMES = {"old_string": "old", "old_text": "old", "new_string": "new", "new_text": "new"}


def _reading(verb: str) -> Callable[..., Effect]:
    def describe(context: ToolContext, path: str = ".", **_: Any) -> Effect:
        place = context.workspace.place(path)
        return Effect(
            "read",
            f"{verb} {place.shown}",
            (place,),
            title="Read outside the workspace?" if not place.inside else "Read this file?",
            action=f"{verb} {visible(place.full)}",
        )

    return describe


def _describe_write(context: ToolContext, path: str, text: str) -> Effect:
    place = context.workspace.place(path)
    exists = os.path.lexists(place.path)
    verb = "Replace" if exists else "Create"
    return Effect(
        "write",
        f"{verb} {place.shown}",
        (place,),
        undoable=True,
        title=f"{verb} a file?",
        action=f"{verb} {visible(place.full)} with this text ({len(text):,} characters):\n\n"
        + clip(visible(text), SHOWN_CHARS),
        digest=contents_digest((place.path,)),
    )


def _describe_edit(context: ToolContext, path: str, old: str, new: str, replace_all: bool = False) -> Effect:
    place = context.workspace.place(path)
    removed = "".join(f"\n- {line}" for line in visible(old).splitlines())
    added = "".join(f"\n+ {line}" for line in visible(new).splitlines())
    everywhere = ", everywhere in it" if replace_all else ""
    return Effect(
        "write",
        f"Edit {place.shown}",
        (place,),
        undoable=True,
        title="Change a file?",
        action=f"Edit {visible(place.full)}{everywhere}:\n{clip(removed, SHOWN_CHARS)}{clip(added, SHOWN_CHARS)}",
        digest=contents_digest((place.path,)),
    )


@tool("read", _reading("Read"), also=_PATH_NAMES)
async def read_file(context: ToolContext, path: str, offset: int = 1, limit: int = 2000) -> str | Outcome:
    """Read text, a picture, PDF, Word, Excel or PowerPoint file. Lines come numbered; the numbers are not part of it.

    Args:
        path: Relative to the workspace, or absolute.
        offset: First line, from 1.
        limit: Number of lines.
    """
    first, limit = max(offset, 1), max(limit, 1)
    found = await asyncio.to_thread(reading.look, context.path, first, limit, context.max_chars - 200)
    if isinstance(found, reading.Document):
        text = await document_text(found.data, found.kind)
        shown = reading.numbered(text, first, limit, context.max_chars - 200)
        return Outcome(shown, source=f"the document {context.path.name}")  # mostly the work of others
    if context.workspace.was_sent(context.path):
        outcome = found if isinstance(found, Outcome) else Outcome(found)
        return replace(outcome, source=f"the file {context.path.name} from a message")
    return found


@tool("write", _describe_write, also=_PATH_NAMES | {"content": "text", "contents": "text"})
def write_file(context: ToolContext, path: str, text: str) -> Outcome:
    """Create a file or replace all of its content. To change a part, use edit_file.

    Args:
        path: Relative to the workspace, or absolute. Missing folders are made.
        text: The whole content.
    """
    return _written(context.path, text.encode("utf-8"), f"Wrote {len(text):,} characters to {context.path.name}.")


@tool("write", _describe_edit, also=_PATH_NAMES | _EDIT_NAMES)
def edit_file(context: ToolContext, path: str, old: str, new: str, replace_all: bool = False) -> Outcome:
    """Replace one passage of a text file. Read the file first.

    Args:
        path: Relative to the workspace, or absolute.
        old: The passage as it stands in the file, with enough around it to be unique. Empty to create a file.
        new: What it becomes.
        replace_all: Replace every occurrence.
    """
    try:
        file = textfile.read_text(context.path)
    except FileNotFoundError:
        if old:
            raise ToolError(f"There is no file {context.path.name}.") from None
        file = textfile.TextFile("")
    else:
        if not old and file.text == "" and file.mark:
            raise EditError("The file holds nothing but a byte order mark; use write_file.")
    after = replace_text(file.text, old, new, replace_all)
    first = next((n for n, (a, b) in enumerate(_pairs(file.text, after), start=1) if a != b), 1)
    return _written(context.path, file.encode(after), f"Edited {context.path.name}, from line {first}.")


def _pairs(before: str, after: str) -> Iterator[tuple[str, str]]:
    one, two = before.splitlines(), after.splitlines()
    yield from zip(one, two, strict=False)
    if len(one) != len(two):
        yield "", "\n"


def _written(path: Path, data: bytes, words: str) -> Outcome:
    textfile.replace(path, data)
    return Outcome(words, detail={"after_size": len(data), "after_sha256": hashlib.sha256(data).hexdigest()})


@tool("read", _reading("List"), also=_PATH_NAMES)
def list_dir(context: ToolContext, path: str = ".", recursive: bool = False) -> str:
    """List a folder: folders end with a slash, files come with their size.

    Args:
        path: Relative to the workspace, or absolute.
        recursive: With everything below it (.git, node_modules and the like left out).
    """
    root = context.path
    lines: list[str] = []
    try:
        for line, depth in _entries(root, recursive):
            if len(lines) == MOST_ENTRIES:
                lines.append(f"(more than {MOST_ENTRIES} entries; list a folder below)")
                break
            lines.append("  " * depth + line)
    except FileNotFoundError:
        raise ToolError(f"{root.name} is not there.") from None
    except NotADirectoryError:
        raise ToolError(f"{root.name} is a file; use read_file.") from None
    return "\n".join(lines) or "(the folder is empty)"


def _entries(folder: Path, recursive: bool, depth: int = 0) -> Iterator[tuple[str, int]]:
    with beneath.folder(folder) as handle:
        yield from _below(None if handle is None else beneath.listing(handle), folder, recursive, depth)


def _below(handle: int | None, folder: Path, recursive: bool, depth: int) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(folder if handle is None else handle) as found:
            entries = sorted(found, key=lambda entry: (not entry.is_dir(follow_symlinks=False), entry.name.casefold()))
        for entry in entries:
            yield _entry_line(entry, handle), depth
            if not (recursive and entry.is_dir(follow_symlinks=False)) or entry.name in LEFT_OUT or depth >= 20:
                continue
            try:
                below = None if handle is None else beneath.listing(handle, entry.name)
            except OSError:
                continue
            yield from _below(below, folder / entry.name, recursive, depth + 1)
    except PermissionError:
        if not depth:
            raise
    finally:
        if handle is not None:
            os.close(handle)


def _entry_line(entry: os.DirEntry[str], handle: int | None) -> str:
    name = visible(entry.name)
    try:
        if entry.is_symlink():
            return f"{name} -> {visible(os.readlink(entry.path, dir_fd=handle))}"
        if entry.is_dir(follow_symlinks=False):
            return f"{name}/"
        return f"{name}  {_size(entry.stat(follow_symlinks=False).st_size)}"
    except OSError:
        return name


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


FILE_TOOLS = (read_file, write_file, edit_file, apply_patch, list_dir, find_files, search_text)
