"""What a skill needs and this computer lacks, in words."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping

from agent.safety.effects import one_line
from agent.skills.front_matter import FrontMatter

_SYSTEMS = {"darwin": ("darwin", "macos"), "win32": ("win32", "windows")}


def lacking(head: FrontMatter, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Empty when it can be used. `environment` is that of the programs that tools start."""
    return tuple(_lacking(head, environment))


def _lacking(head: FrontMatter, environment: Mapping[str, str]) -> Iterator[str]:
    own = _SYSTEMS.get(sys.platform, (sys.platform, "linux"))
    if head.systems and not any(name.lower() in own for name in head.systems):
        yield f"another system ({_listed(head.systems)})"
    if head.always:
        return
    path = environment.get("PATH")
    yield from (f"program {one_line(name, 40)}" for name in head.programs if shutil.which(name, path=path) is None)
    if head.any_program and not any(shutil.which(name, path=path) for name in head.any_program):
        yield f"one of the programs {_listed(head.any_program)}"
    yield from (f"variable {one_line(name, 40)}" for name in head.variables if not environment.get(name))
    yield from (f"setting {one_line(name, 40)}" for name in head.settings)


def _listed(names: tuple[str, ...]) -> str:
    return one_line(", ".join(names), 80)
