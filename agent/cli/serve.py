"""`trayclaw serve`: the resident agent without a window, for servers. Says when it is ready, ends on SIGTERM.

Start-up time counts here: typer is imported only by `register`, which the short way to this command does not call.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import TYPE_CHECKING

from agent.paths import Paths

if TYPE_CHECKING:
    import typer

    from agent.events import Event
    from agent.service import AgentService

STOP_SECONDS = 4.5
"""What is left to finish within; a supervisor that sent SIGTERM expects the end after 5 s."""


def register(app: typer.Typer) -> None:
    """Add `serve`."""
    import typer

    @app.command()
    def serve(as_json: bool = typer.Option(False, "--json", help="Print one JSON object a line.")) -> int:
        """Run without a window, for servers."""
        return run(as_json=as_json)


def run(*, as_json: bool) -> int:
    """Serve until told to stop; returns the exit code. Raises TrayClawError when it cannot start."""
    import asyncio

    from agent import logs

    paths = Paths.locate()
    logs.configure(paths)
    return asyncio.run(_serve(paths, as_json=as_json))


async def _serve(paths: Paths, *, as_json: bool) -> int:
    import asyncio

    from agent.cli.session import on_signals, stop_signals
    from agent.service import AgentService

    stop = asyncio.Event()
    with on_signals(stop.set, *stop_signals()):
        service = await AgentService.start(paths, resident=True)
        out = _Lines()
        service.events.subscribe(lambda event: out.put(_json(event) if as_json else _words(event)))
        out.put(_ready(service, as_json=as_json))
        await stop.wait()
        return await _stop(service, out)


async def _stop(service: AgentService, out: _Lines) -> int:
    # A thread that hangs in the keyring or on a dead disk must not keep the process alive.
    watchdog = threading.Timer(STOP_SECONDS, os._exit, [1])
    watchdog.daemon = True
    watchdog.start()
    await service.stop()
    out.close()
    watchdog.cancel()
    watchdog = threading.Timer(0.5, os._exit, [0])
    watchdog.daemon = True
    watchdog.start()
    return 0


def _ready(service: AgentService, *, as_json: bool) -> str:
    channels = [health.name for health in service.channels() if health.state != "stopped"]
    if as_json:
        from agent import version
        from agent.cli.wire import line

        return line({"event": "ready", "version": version(), "pid": os.getpid(), "channels": channels})
    connected = f"Channels: {', '.join(channels)}." if channels else "No channel is switched on."
    return f"TrayClaw is ready. {connected} Ctrl+C stops it."


def _json(event: Event) -> str:
    from agent.cli.wire import any_event, line

    document = any_event(event)
    return line(document) if document else ""


def _words(event: Event) -> str:
    from agent.cli.safe import visible

    return visible(_told(event), one_line=True)


def _told(event: Event) -> str:
    from agent.events import ChannelChanged, PairingAsked, PairingResolved, TurnFinished

    match event:
        case ChannelChanged():
            state = event.state.replace("_", " ")
            return f"{event.channel}: {state}{f' ({event.detail})' if event.detail else ''}"
        case PairingAsked():
            who = f"{event.name} ({event.channel} {event.user_id})"
            return f"{who} wants to talk to your agent. Allow it with: trayclaw pair approve {event.code}"
        case PairingResolved():
            return f"{event.channel} {event.user_id}: {'paired' if event.approved else 'not paired'}"
        case TurnFinished():
            if event.failure is not None:
                return f"Turn {event.turn_id} failed: {event.failure.title}. {event.failure.message}"
            return f"Turn {event.turn_id} {event.status} in {event.seconds:.1f} s"
        case _:
            return ""


class _Lines:
    """Writes lines to stdout from a thread of its own: a reader that is slow or gone must not hold up the agent."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="stdout", daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        """Write a line later; an empty one is dropped."""
        if text:
            self._queue.put(text)

    def close(self) -> None:
        """Write what is left, within a second."""
        self._queue.put(None)
        self._thread.join(1)

    def _write(self) -> None:
        while (text := self._queue.get()) is not None:
            try:
                sys.stdout.write(f"{text}\n")
                sys.stdout.flush()
            except (OSError, ValueError):
                return
