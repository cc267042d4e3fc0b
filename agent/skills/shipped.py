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
        "70c1ed3c1209dc3836847cf0a8835ddf20b0be6f31316235753a28b64bd739c1",
        FrontMatter(
            name="github", description="Read public GitHub repositories, issues and CI; prepare changes.", license="MIT"
        ),
    ),
    "skill-creator": Shipped(
        "42789e9c020576a68fe0aa29eda9a50b57091ba92bc99a66c3d74746582dd1c2",
        FrontMatter(name="skill-creator", description="Write, improve or bring in a skill.", license="MIT"),
    ),
    "summarize": Shipped(
        "791b690b41de4f038fcc6ac2f338f4e350d954209b62d998cf3aeb57216104c8",
        FrontMatter(
            name="summarize", description="Summarise long pages, documents and folders completely.", license="MIT"
        ),
    ),
    "weather": Shipped(
        "56f7e7d4218d2c93d62ab154a427cbdeb3d617668a30429fb7bf737d2f1624f5",
        FrontMatter(
            name="weather", description="Weather and forecasts for any place, without an account.", license="MIT"
        ),
    ),
}
