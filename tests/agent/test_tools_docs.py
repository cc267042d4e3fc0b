"""docs/tools.md says what the tools are."""

from __future__ import annotations

from tests.agent.tools_reference import PAGE, page


def test_the_page_is_the_one_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.agent.tools_reference"
