"""A skill as it stands in its folder, and the shelf of all of them, each read once and again when it changes."""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.errors import SkillError, ToolError
from agent.safety.effects import one_line, visible
from agent.skills import folder as folders
from agent.skills import front_matter
from agent.skills.folder import SkillFile
from agent.skills.front_matter import FrontMatter
from agent.skills.shipped import SHIPPED
from agent.tools import beneath

PLACES = ("skills", ".agents/skills")
"""Where skills lie in the workspace; the first one of a name counts."""
MOST_SKILLS = 200
_MOST_ENTRIES = 5_000
LARGEST_TEXT = 100_000
"""Bytes of a SKILL.md: a person must be able to read all of it before they accept it."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Skill:
    """`shown` is its folder as tools name it, relative to the workspace, whole for those that came along (`shipped`).

    `problem` says why it cannot be used; then there is no `head`, or no sense in it.
    """

    name: str
    folder: Path
    shown: str
    shipped: bool = False
    head: FrontMatter | None = None
    digest: str = ""
    files: tuple[SkillFile, ...] = ()
    problem: str = ""

    @property
    def description(self) -> str:
        """What it says of itself, empty when it cannot be read."""
        return "" if self.head is None else self.head.description

    @property
    def pin_name(self) -> str:
        """What its acceptance is filed under. Ends with a slash: no other skill's begins with it."""
        return f"{self.shown}/"

    @property
    def genuine(self) -> bool:
        """Whether it came along and is as it came."""
        return self.shipped and self.name in SHIPPED and SHIPPED[self.name].digest == self.digest


@dataclass(slots=True)
class Shelf:
    """Methods block; they may be called from several threads."""

    _known: dict[Path, Skill] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def scan(self, root: Path) -> list[Skill]:
        """All skills for the workspace `root` by name, unusable ones included. What has not changed is not read."""
        found: dict[str, Skill] = {}
        for place in PLACES:
            for name, is_link in _names(root.joinpath(*place.split("/"))):
                key = name.casefold()
                skill = self._look(root, place, name, is_link=is_link)
                if key not in found:
                    found[key] = skill
                elif found[key].shown.startswith(place + "/"):
                    problem = f"its name differs from {found[key].name} in upper and lower case only"
                    found[f"{key}/{name}"] = Skill(name, skill.folder, skill.shown, problem=problem)
        for skill in shipped_skills():
            found.setdefault(skill.name, skill)
        return sorted(found.values(), key=lambda skill: (skill.name.casefold(), skill.name))

    def _look(self, root: Path, place: str, name: str, *, is_link: bool) -> Skill:
        path = root.joinpath(*place.split("/"), name)
        skill = Skill(visible(name), path, f"{place}/{visible(name)}")
        if is_link:
            return _unusable(skill, "its folder is a link; put a copy there instead")
        if not _NAME.fullmatch(name):
            return _unusable(skill, "its folder's name may hold the letters a to z, digits, - _ and . only")
        try:
            files = folders.look(path)
            with self._lock:
                known = self._known.get(path)
            if known is not None and known.files == files:
                return known
            skill = read(skill, files)[0]
        except SkillError as error:
            return _unusable(skill, str(error))
        except (ToolError, OSError) as error:
            return _unusable(skill, one_line(f"it cannot be read ({error})", 200))
        with self._lock:
            self._known[path] = skill
        return skill


def read(skill: Skill, files: tuple[SkillFile, ...] | None = None) -> tuple[Skill, dict[str, bytes]]:
    """A skill as it is now, with the contents of its files; blocks. What is wrong with its SKILL.md is its `problem`.
    Raises `SkillError` for the folder, `ToolError`, `OSError`."""
    files = folders.look(skill.folder) if files is None else files
    if skill.shipped:  # what may be run differs with how it was installed
        files = tuple(replace(file, runs=False) for file in files)
    contents = folders.read(skill.folder, files)
    head, problem = None, ""
    try:
        head = front_matter.parse(text_of(contents))
    except SkillError as error:
        problem = str(error)
    digest = folders.digest(files, contents)
    return Skill(skill.name, skill.folder, skill.shown, skill.shipped, head, digest, files, problem), contents


def text_of(contents: Mapping[str, bytes]) -> str:
    """Its SKILL.md. Raises `SkillError`."""
    data = contents.get("SKILL.md")
    if data is None:
        raise SkillError("its SKILL.md is a link")
    if len(data) > LARGEST_TEXT:
        raise SkillError(f"its SKILL.md has {len(data):,} bytes; more than {LARGEST_TEXT:,} are not read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SkillError("its SKILL.md is not UTF-8 text") from error


def shipped_skills() -> Iterator[Skill]:
    """Those that came along, as they were written down when this version was made: nothing is read for the list."""
    import resources

    for name, entry in SHIPPED.items():
        try:
            path = resources.path(f"skills/{name}")
        except FileNotFoundError:
            continue
        yield Skill(name, path, str(path), True, entry.head, entry.digest)


def _unusable(skill: Skill, problem: str) -> Skill:
    return Skill(skill.name, skill.folder, skill.shown, problem=problem)


def _names(place: Path) -> list[tuple[str, bool]]:
    """(name of a folder with a SKILL.md, whether it is a link), by name. The place itself may be no link."""
    found: list[tuple[str, bool]] = []
    try:
        with beneath.folder(place) as handle:
            opened = None if handle is None else beneath.listing(handle)
            try:
                with os.scandir(place if opened is None else opened) as entries:
                    for entry in itertools.islice(entries, _MOST_ENTRIES):
                        if entry.name.startswith(".") or not entry.is_dir() or len(found) >= MOST_SKILLS:
                            continue
                        if _has_text(place / entry.name, entry.name, opened):
                            found.append((entry.name, entry.is_symlink()))
            finally:
                if opened is not None:
                    os.close(opened)
    except (ToolError, OSError):
        return []
    return sorted(found)


def _has_text(path: Path, name: str, handle: int | None) -> bool:
    try:
        if handle is None:
            (path / "SKILL.md").lstat()
        else:
            os.stat(f"{name}/SKILL.md", dir_fd=handle, follow_symlinks=False)
    except OSError:
        return False
    return True
