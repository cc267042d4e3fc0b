"""`trayclaw serve`: says when it is ready, is alone, ends quietly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.agent.cli_kit import PROGRAM, environment, trayclaw

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be sent to a process on Windows")


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [*PROGRAM, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    return process, process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_is_ready_then_ends_on_a_signal_with_nothing_on_stderr(number: signal.Signals) -> None:
    process, first = start("--json")
    ready = json.loads(first)
    assert (ready["event"], ready["pid"], ready["channels"]) == ("ready", process.pid, [])
    process.send_signal(number)
    asked = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - asked < 5
    assert (process.returncode, out, err) == (0, "", "")


def test_a_second_one_is_refused_and_the_record_stays_readable() -> None:
    process, first = start()
    try:
        assert first == "TrayClaw is ready. No channel is switched on. Ctrl+C stops it.\n"
        second = trayclaw("serve", "--json")
        assert second.code == 2
        assert second.events[-1]["title"] == "TrayClaw is already running"
        assert trayclaw("conversations", "list").code == 0
        changed = trayclaw("config", "set", "budget.daily_usd", "3")
        assert "TrayClaw is running: it takes effect there within seconds." in changed.out
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert trayclaw("quit").out == "TrayClaw is not running.\n"


def test_a_reader_that_goes_away_does_not_end_it() -> None:
    process, _ = start("--json")
    assert process.stdout is not None
    process.stdout.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
