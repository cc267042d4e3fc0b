"""What a person is shown before a skill may be followed: all of a new one, what has changed of one they know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.safety.effects import one_line, visible
from agent.skills.folder import SkillFile
from agent.skills.shipped import SHIPPED
from agent.skills.skill import Skill

SHOWN_CHARS = 60_000
"""What a question shows of a skill besides its SKILL.md, which is always shown whole; it names what it leaves out."""
_KEPT_FILE = 100_000
_KEPT = 512_000
"""Characters of text that are kept with an acceptance, of one file and of all: larger ones are compared by hash."""
_MOST_LINES = 5_000
_ACCEPTS = "To allow it is to accept it as it is now: it is followed without asking until one of its files changes."


def content(skill: Skill, contents: Mapping[str, bytes]) -> str:
    """What is kept with an acceptance: each file's hash, and its text where it is short enough."""
    kept: dict[str, Any] = {}
    room = _KEPT
    for file in _first_things_first(skill.files):
        if file.target:
            kept[file.path] = {"target": file.target}
            continue
        data = contents[file.path]
        entry: dict[str, Any] = {"hash": _hash(data), "size": file.size, "runs": file.runs}
        text = _text(data)
        if text is not None and len(text) <= min(_KEPT_FILE, room):
            room -= len(text)
            entry["text"] = text
        elif text is not None:
            entry["long"] = True
        kept[file.path] = entry
    return json.dumps(kept)


def whole(skill: Skill, contents: Mapping[str, bytes], *, asks: bool = True) -> str:
    """All of a skill for people, nothing in it hidden; `asks` for their acceptance, or only shows it."""
    introduction = "\n".join([*_facts(skill), *([_ACCEPTS] if asks else [])])
    files = _first_things_first(skill.files)
    return _fitted(introduction, ((file.path, file.size, _shown(file, contents)) for file in files))


def difference(skill: Skill, contents: Mapping[str, bytes], accepted: str) -> str:
    """A unified diff of every file from what was accepted to what is there now."""
    try:
        before: dict[str, Any] = json.loads(accepted)
    except ValueError:
        return whole(skill, contents)
    now: dict[str, Any] = json.loads(content(skill, contents))
    paths = sorted({*before, *now}, key=lambda path: (path != "SKILL.md", path))
    changed = [path for path in paths if _what(before.get(path)) != _what(now.get(path))]
    files = {file.path: file for file in skill.files}

    def parts() -> Iterator[tuple[str, int, str]]:
        for path in changed:
            file, old, new = files.get(path), before.get(path), now.get(path)
            text = _changed(visible(path), old, new)
            if text is None and file is not None:
                text = "Changed, and too long to compare, so all of it:\n" + _shown(file, contents)
            yield path, file.size if file else 0, text or f"── {visible(path)}: removed ──"

    return _fitted("\n".join([*_facts(skill), _ACCEPTS]), parts())


def _fitted(introduction: str, parts: Iterable[tuple[str, int, str]]) -> str:
    """SKILL.md always, other files while there is room; of the rest it says that it is not shown."""
    shown, room = [introduction], SHOWN_CHARS
    for path, size, text in parts:
        if path == "SKILL.md":
            shown.append(text)
        elif len(text) <= room:
            room -= len(text)
            shown.append(text)
        else:
            shown.append(f"── {visible(path)}: {size:,} bytes, not shown here; see the folder ──")
    return "\n\n".join(shown)


def _shown(file: SkillFile, contents: Mapping[str, bytes]) -> str:
    name = visible(file.path)
    if file.target:
        return f"── {name}: a link to {visible(file.target)}, which is not followed ──"
    text = _text(contents[file.path])
    how = ", can be run" if file.runs else ""
    if text is None:
        return f"── {name}: {file.size:,} bytes that are no text{how} ──"
    return f"── {name}{how} ──\n{visible(text.rstrip())}"


def _changed(path: str, before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str | None:
    """The difference of one file; None where there is a text that is too long for one."""
    import difflib

    old, new = _lines(before), _lines(now)
    runs = now is not None and now.get("runs") and not (before or {}).get("runs")
    notes = ["now it can be run"] if runs else []
    if "target" in (now or {}):
        notes.append(f"now a link to {visible((now or {})['target'])}, which is not followed")
    if old is None or new is None or len(old) + len(new) > _MOST_LINES:
        if (now or {}).get("long") or new:
            return None
        notes.append(f"{_size(before)} before, {_size(now)} now, no text")
        return f"── {path}: {'; '.join(notes)} ──"
    lines = list(difflib.unified_diff(old, new, f"{path} (accepted)", f"{path} (now)", lineterm="", n=2))
    if not lines and not notes:
        notes.append("only line ends or the like")
    return "\n".join([*(f"── {path}: {note} ──" for note in notes), *lines])


def _what(entry: Mapping[str, Any] | None) -> Any:
    """What makes it another file; whether its text was short enough to be kept does not."""
    return entry and (entry.get("hash"), entry.get("target"), entry.get("runs"))


def _lines(entry: Mapping[str, Any] | None) -> list[str] | None:
    """None for what was kept without its text; a file that is not there has no lines."""
    if entry is None or "target" in entry:
        return []
    return visible(entry["text"]).split("\n") if "text" in entry else None


def _size(entry: Mapping[str, Any] | None) -> str:
    return "nothing" if entry is None else f"{entry.get('size', 0):,} bytes"


def _facts(skill: Skill) -> Iterator[str]:
    place = "with TrayClaw" if skill.shipped else f"in {visible(skill.shown)}"
    count = len(skill.files)
    size = sum(file.size for file in skill.files)
    yield f"{skill.name}, {place}: {count} file{'s' if count != 1 else ''}, {size:,} bytes"
    if not skill.shipped and skill.name.lower() in SHIPPED:
        yield "It takes the place of the built-in skill of this name."
    if (head := skill.head) is not None:
        yield f"It says of itself: {one_line(head.description, 300)}"
        if head.name and head.name != skill.name:
            yield f"It calls itself {head.name!a}."
        if head.license:
            yield f"Licence: {one_line(head.license)}"
        if head.compatibility:
            yield f"Made for: {one_line(head.compatibility, 200)}"
        if head.allowed_tools:
            yield f"It would like to use: {one_line(', '.join(head.allowed_tools), 200)} (this permits nothing)"


def _first_things_first(files: tuple[SkillFile, ...]) -> list[SkillFile]:
    return sorted(files, key=lambda file: (file.path != "SKILL.md", file.path))


def _text(data: bytes) -> str | None:
    if b"\0" in data[:8192]:
        return None
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
