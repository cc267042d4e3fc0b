"""The skills that came along and their hashes, written by `python -m tests.agent.skills_table`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.skills.front_matter import FrontMatter


@dataclass(frozen=True, slots=True)
class Shipped:
    """What its folder says and holds."""

    digest: str
    head: FrontMatter


SHIPPED: Mapping[str, Shipped] = {
    "github": Shipped(
        "fd9897a3ded843796ab489d396bc57ec7474c044ee3c99cdfb5a67824d1595c0",
        FrontMatter(
            name="github",
            description="Read public GitHub repositories (issues, pull requests, CI, files); prepare changes.",
            license="MIT",
        ),
    ),
    "skill-creator": Shipped(
        "442ef5318d40522936a9ce199c2eb1b7cd297951477e2803788e43c77de90c7e",
        FrontMatter(
            name="skill-creator",
            description="Write, improve or bring in a skill, so that a kind of task is done the same way every time.",
            license="MIT",
        ),
    ),
    "summarize": Shipped(
        "88582045ef15d93d92e82e460f31e15e4a95ffdf18bd9890b5fdb92e5c346101",
        FrontMatter(
            name="summarize",
            description="Summarise long texts completely - web pages, PDF and Office documents, files, folders.",
            license="MIT",
        ),
    ),
    "weather": Shipped(
        "d5d95612d361ec9a36b7f39bfad5284046d9874d26185b0a5cfe328197a245b2",
        FrontMatter(
            name="weather",
            description="Current weather and forecasts for any place, without an account.",
            license="MIT",
        ),
    ),
}
