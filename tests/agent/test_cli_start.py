"""How the program starts: quickly, and with nothing that it does not need."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.agent.cli_kit import KEY, PROGRAM, environment, model, trayclaw

HEAVY = {"asyncio", "httpx", "keyring", "prompt_toolkit", "pydantic", "PySide6", "qasync", "rich", "telegram", "typer"}


def imported(*arguments: str) -> set[str]:
    """The top-level modules that a run of the program imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *PROGRAM[1:], *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=True,
    )
    names = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_is_that_of_the_distribution_and_imports_nothing_heavy(flag: str) -> None:
    assert trayclaw(flag).out == f"trayclaw {version('trayclaw')}\n"
    modules = imported(flag)
    assert "agent" in modules
    assert not modules & (HEAVY | {"importlib.metadata", "logging", "json"})


def test_help_lists_every_command_and_imports_typer_alone() -> None:
    shown = trayclaw("--help")
    assert shown.code == 0
    commands = ["ask", "chat", "serve", "toggle", "quit", "config", "keys", "models", "channels", "pair"]
    for command in [*commands, "conversations", "turns", "usage", "doctor"]:
        assert f"\n  {command} " in shown.out
    assert "smoke" not in shown.out
    assert imported("--help") & HEAVY == {"typer"}


def test_a_group_without_a_command_shows_its_help() -> None:
    for group in ("config", "keys", "channels", "pair", "conversations", "turns"):
        shown = trayclaw(group)
        assert "Commands:" in shown.out + shown.err


def test_an_unknown_command_is_a_usage_error() -> None:
    outcome = trayclaw("sing")
    assert outcome.code == 2
    assert "No such command 'sing'" in outcome.err


def test_mistakes_in_arguments_are_a_json_line_for_scripts() -> None:
    outcome = trayclaw("ask", "hello", "--json", "--quack")
    assert outcome.code == 2
    assert outcome.events == [
        {"event": "error", "kind": "usage", "title": "No such option: --quack", "hint": "See the command with --help."}
    ]


def test_without_a_display_it_says_so_and_chats_in_the_terminal() -> None:
    if sys.platform in ("win32", "darwin"):
        pytest.skip("there is always a display on this system")
    outcome = trayclaw(stdin="")
    assert outcome.code == 0
    assert outcome.err == "There is no display: this is the terminal chat.\n"


def test_autostart_without_a_display_ends_instead_of_chatting_with_nobody() -> None:
    if sys.platform in ("win32", "darwin"):
        pytest.skip("there is always a display on this system")
    outcome = trayclaw("--background")
    assert outcome.code == 2
    assert "Next: Without a window: trayclaw serve" in outcome.err


def test_the_log_goes_to_a_private_file_and_to_stderr_only_when_asked() -> None:
    log = Path(os.environ["TRAYCLAW_HOME"]) / "logs" / "trayclaw.log"
    code = "import logging, sys; from agent import logs; from agent.paths import Paths;"
    code += "logs.configure(Paths.locate(), verbose='-v' in sys.argv);"
    code += f"logging.getLogger('agent.x').info('the key is %s', {KEY!r})"
    for flags, told in (([], False), (["-v"], True)):
        command = [sys.executable, "-c", code, *flags]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=30, check=True)
        assert ("the key is [hidden]" in done.stderr) is told
        assert KEY not in done.stderr
    assert log.read_text().count("INFO agent.x: the key is [hidden]") == 2
    if sys.platform != "win32":
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_toggle_says_when_no_app_runs() -> None:
    outcome = trayclaw("toggle")
    assert outcome.code == 2
    assert "TrayClaw is not running" in outcome.err
    assert "Start it with `trayclaw`" in outcome.err


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [*PROGRAM, "config", "show"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    complaints = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 0
    assert complaints == b""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(closed: str) -> None:
    with model("fine") as peer:
        command = f"{shlex.join(PROGRAM)} ask hi {closed}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment(), timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(peer.peer.chats) == 1
    assert done.stdout == ("fine\n" if ">&-" not in closed.replace("2>&-", "") else "")
