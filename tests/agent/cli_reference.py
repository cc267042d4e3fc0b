"""Writes the list of commands in docs/cli.md from the code: `python -m tests.agent.cli_reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from agent.cli.app import build

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
BEGIN, END = "<!-- commands: written by tests/agent/cli_reference.py -->\n", "<!-- end of commands -->\n"


def reference() -> str:
    """Every visible command with its arguments and options."""
    return "\n".join(_sections(typer.main.get_command(build()), "trayclaw"))


def _sections(command: Any, name: str) -> Iterator[str]:
    for word, one in getattr(command, "commands", {}).items():
        if one.hidden:
            continue
        if hasattr(one, "commands"):
            yield from _sections(one, f"{name} {word}")
            continue
        arguments = [_argument(one_) for one_ in one.params if one_.param_type_name == "argument"]
        yield f"### `{' '.join([name, word, *arguments])}`\n\n{one.help}\n"
        options = [option for option in one.params if option.param_type_name == "option"]
        if options:
            yield "".join(f"- `{_option(option)}`: {option.help}\n" for option in options)


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    if option.is_flag:
        return names
    return f"{names} {option.metavar or option.name.upper()}"


def page_with(commands: str) -> str:
    """The page with this list in its place."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{commands}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page_with(reference()), encoding="utf-8")
    sys.exit(0)
