"""Writes agent/skills/shipped.py from resources/skills: `python -m tests.agent.skills_table`."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import resources
from agent.skills import shipped
from agent.skills.front_matter import FrontMatter
from agent.skills.skill import Skill, read

PAGE = Path(shipped.__file__)
_EMPTY = FrontMatter("", "")


def found() -> list[Skill]:
    """The skills as they lie in the resources."""
    folders = sorted(resources.path("skills").iterdir())
    return [read(Skill(folder.name, folder, str(folder), shipped=True))[0] for folder in folders]


def page(skills: list[Skill]) -> str:
    """The module with this table."""
    before = PAGE.read_text(encoding="utf-8").partition("SHIPPED: ")[0]
    lines = [f"    {skill.name!r}: Shipped({skill.digest!r}, {_head(skill.head)})," for skill in skills]
    return before + "\n".join(["SHIPPED: Mapping[str, Shipped] = {", *lines, "}", ""])


def _head(head: FrontMatter | None) -> str:
    assert head is not None
    told = [one.name for one in fields(head) if getattr(head, one.name) != getattr(_EMPTY, one.name)]
    return f"FrontMatter({', '.join(f'{name}={getattr(head, name)!r}' for name in told)})"


if __name__ == "__main__":
    PAGE.write_text(page(found()), encoding="utf-8")
    sys.exit(subprocess.run(["ruff", "format", str(PAGE)], check=False).returncode)
