"""However it is asked to, the application ends with exit code 0, in time and without a word; later starts find it."""

from __future__ import annotations

import signal

from agent.cli import remote
from tests.e2e.session import Desk, wait_until


def running(desk: Desk, *arguments: str, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", desk.env["XDG_RUNTIME_DIR"])
    app = desk.start(*arguments)
    wait_until(lambda: app.process.poll() is not None or remote.send(desk.paths, "ping"), "the application's socket")
    assert app.process.poll() is None, app.stderr()
    return app


def test_sigterm(desk: Desk, monkeypatch) -> None:
    desk.configure()
    app = running(desk, "--background", monkeypatch=monkeypatch)
    app.process.send_signal(signal.SIGTERM)
    app.assert_quits()


def test_asked_by_the_command_line(desk: Desk, monkeypatch) -> None:
    desk.configure()
    app = running(desk, "--background", monkeypatch=monkeypatch)
    assert remote.send(desk.paths, "quit")
    app.assert_quits()
    assert not remote.send(desk.paths, "ping")


def test_asked_while_it_starts(desk: Desk, monkeypatch) -> None:
    desk.configure()
    app = running(desk, monkeypatch=monkeypatch)
    app.process.send_signal(signal.SIGINT)
    app.assert_quits()


def test_a_second_start_shows_the_first_ones_window(desk: Desk, monkeypatch) -> None:
    desk.configure()
    first = running(desk, "--background", monkeypatch=monkeypatch)
    assert desk.windows("^TrayClaw$") == []
    second = desk.start()
    second.assert_quits(10)
    desk.wait_window("^TrayClaw$")
    assert first.process.poll() is None


def test_after_kill_9_the_next_start_takes_the_socket_over(desk: Desk, monkeypatch) -> None:
    desk.configure()
    killed = running(desk, "--background", monkeypatch=monkeypatch)
    killed.process.kill()
    killed.process.wait()
    app = running(desk, "--background", monkeypatch=monkeypatch)
    reply = remote.request(desk.paths, "ping")
    assert reply is not None
    assert reply["pid"] == app.process.pid
    assert remote.send(desk.paths, "quit")
    app.assert_quits()
