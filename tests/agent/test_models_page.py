"""docs/models.md lists the providers of the catalogue. `python -m tests.agent.test_models_page` writes the list."""

from __future__ import annotations

import tomllib
from pathlib import Path

from agent.providers.catalog import SPECS
from agent.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- providers: begin -->\n", "<!-- providers: end -->\n"


def listed() -> str:
    hosted = [spec for spec in SPECS.values() if spec.needs_key]
    head = "| provider | name | key |\n|---|---|---|\n"
    return head + "".join(f"| {spec.label} | `{spec.name}` | <{spec.key_url}> |\n" for spec in hosted)


def written(page: str) -> str:
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + listed() + END + tail


def test_the_page_lists_every_provider() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run: python -m tests.agent.test_models_page"


def test_the_examples_of_the_page_are_settings() -> None:
    blocks = PAGE.read_text(encoding="utf-8").split("```toml\n")[1:]
    assert len(blocks) == 4
    for block in blocks:
        Settings.model_validate(tomllib.loads(block.partition("```")[0]))


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
