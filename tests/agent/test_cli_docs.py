"""docs/cli.md says what the program does."""

from __future__ import annotations

import re

from agent import errors
from agent.cli.terminal.commands import COMMANDS
from agent.cli.wire import turn_event
from agent.events import TurnFinished
from agent.providers.types import Usage
from tests.agent.cli_reference import PAGE, page_with, reference


def test_the_list_of_commands_is_the_one_of_the_program() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with(reference()), "run: python -m tests.agent.cli_reference"


def test_every_command_of_the_chat_is_described() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `/(\w+)", page, re.MULTILINE)) == set(COMMANDS)


def test_the_exit_codes_are_those_of_the_errors() -> None:
    described = {int(code) for code in re.findall(r"^\| (\d) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)}
    raised = {one.exit_code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)}
    assert described == raised | {0}


def test_the_fields_of_the_last_line_are_described() -> None:
    page = PAGE.read_text(encoding="utf-8")
    last = turn_event(TurnFinished(1, 1, "answered", "", "local/fake-1", Usage(), 0.0, 0.1))
    assert last is not None
    for name in [*last, *last["usage"]]:
        assert f'"{name}"' in page, name
