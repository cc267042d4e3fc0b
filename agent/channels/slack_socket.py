"""Slack's Socket Mode: events over a WebSocket that Slack replaces every few hours; see
https://docs.slack.dev/apis/events-api/using-socket-mode.

slack_sdk's own `SocketModeClient` is not used: ADR 012 says why. A connection is told dead when it answers no ping, at
once after the computer slept. When Slack asks for a new connection, that is opened before the old one is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from agent.errors import ChannelError

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

HELLO_SECONDS = 10.0
PING_SECONDS = 5.0
PONG_SECONDS = 5.0
AFTER_SLEEP_SECONDS = 1.5
"""How long an answer to a ping may take after the clock jumped."""
TICK_SECONDS = 1.0
JUMP_SECONDS = 5.0
"""A tick that took so much longer by the clock on the wall was a sleep."""
_OLD_SECONDS = 30.0
"""Slack closes the old connection before that; what it still brings is taken."""

Envelope = dict[str, Any]


class Acknowledge(Protocol):
    """Tells Slack that the event is taken care of; `answer` is shown to who sent a command. False when the connection
    is gone: then Slack sends it again."""

    def __call__(self, answer: dict[str, Any] | None = None) -> Awaitable[bool]: ...


Handle = Callable[[Envelope, Acknowledge], None]


class _Replace(Exception):
    """Slack asks for a new connection."""


class SlackSocket:
    """`open_socket` makes a connection; `handle` gets each envelope at once and must return at once; `ready` is called
    when events come."""

    def __init__(
        self,
        open_socket: Callable[[], Awaitable[aiohttp.ClientWebSocketResponse]],
        handle: Handle,
        ready: Callable[[], None],
    ) -> None:
        self._open_socket = open_socket
        self._handle = handle
        self._ready = ready
        self._old: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Receive until cancelled. Raises ChannelError when the connection is lost or Socket Mode was switched off."""
        try:
            connection = await self._connect()
            self._ready()
            while True:
                try:
                    await connection.read()
                except _Replace:
                    old = asyncio.create_task(_read_out(connection))
                    self._old.add(old)
                    old.add_done_callback(self._old.discard)
                    connection = await self._connect()
                except BaseException:
                    await connection.close()
                    raise
        finally:
            for task in self._old:
                task.cancel()
            await asyncio.gather(*self._old, return_exceptions=True)

    async def _connect(self) -> _Connection:
        connection = _Connection(await self._open_socket(), self._handle)
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                await connection.hello()
        except BaseException as error:
            await connection.close()
            if isinstance(error, TimeoutError):
                raise ChannelError("network", "Slack opened a connection and said nothing.") from None
            if isinstance(error, _Replace):
                raise ChannelError("network", "Slack closed a new connection at once.") from None
            raise
        return connection


class _Connection:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse, handle: Handle) -> None:
        self._socket = socket
        self._handle = handle
        self._heard = asyncio.Event()
        self._replaced = False

    async def hello(self) -> None:
        """Wait for Slack's greeting: before it no events come."""
        while (await self._frame()).get("type") != "hello":
            pass

    async def read(self) -> None:
        """Hand envelopes over. Raises `_Replace`, ChannelError; never returns."""
        watch = asyncio.create_task(self._watch())
        try:
            while True:
                frame = await self._frame()
                if "envelope_id" in frame:
                    self._handle(frame, partial(self._acknowledge, str(frame["envelope_id"])))
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def close(self) -> None:
        """Say farewell; takes a third of a second at most."""
        with contextlib.suppress(Exception):  # whatever state the socket is in, it is left
            await self._socket.close()

    async def _acknowledge(self, envelope_id: str, answer: dict[str, Any] | None = None) -> bool:
        document = {"envelope_id": envelope_id, "payload": answer} if answer else {"envelope_id": envelope_id}
        try:
            await self._socket.send_str(json.dumps(document))
        except (OSError, RuntimeError) as error:
            log.debug("an acknowledgement could not be sent: %s", type(error).__name__)
            return False
        return True

    async def _frame(self) -> Envelope:
        """The next frame with content. Raises `_Replace` (once), ChannelError."""
        from aiohttp import WSMsgType

        while True:
            message = await self._socket.receive()
            self._heard.set()
            match message.type:
                case WSMsgType.TEXT:
                    frame = _parsed(message.data)
                    if frame.get("type") != "disconnect":
                        return frame
                    if frame.get("reason") == "link_disabled":
                        raise ChannelError(
                            "forbidden",
                            "Socket Mode is switched off for this Slack app.",
                            hint="Switch it on at api.slack.com/apps > Socket Mode.",
                        )
                    if frame.get("reason") == "too_many_websockets":
                        raise ChannelError("network", "Too many programs are connected as this Slack app.")
                    if not self._replaced:
                        self._replaced = True
                        raise _Replace
                case WSMsgType.PING:
                    with contextlib.suppress(OSError):  # a broken connection is seen by the next receive
                        await self._socket.pong(message.data)
                case WSMsgType.CLOSE | WSMsgType.CLOSING | WSMsgType.CLOSED | WSMsgType.ERROR:
                    raise ChannelError("network", "The connection to Slack broke.")
                case _:
                    continue

    async def _watch(self) -> None:
        """Ends the connection when it answers no ping: `receive` returns then."""
        while True:
            slept = await _pause(PING_SECONDS)
            self._heard.clear()
            try:
                async with asyncio.timeout(AFTER_SLEEP_SECONDS if slept else PONG_SECONDS):
                    await self._socket.ping()
                    await self._heard.wait()
            except (TimeoutError, OSError):
                log.info("Slack answers no ping; connecting anew")
                await self.close()
                return


async def _read_out(connection: _Connection) -> None:
    """Take what an old connection still brings until Slack closes it."""
    try:
        async with asyncio.timeout(_OLD_SECONDS):
            await connection.read()
    except (ChannelError, _Replace, TimeoutError):
        pass  # what it did not bring comes over the new one
    finally:
        await connection.close()


async def _pause(seconds: float) -> bool:
    """Wait that long; True, at once, when the computer slept meanwhile. The clock of the loop stands still in a sleep,
    so the one on the wall is compared with it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        before = time.time() - time.monotonic()
        await asyncio.sleep(min(TICK_SECONDS, left))
        if time.time() - time.monotonic() - before > JUMP_SECONDS:
            return True
    return False


def _parsed(text: str) -> Envelope:
    try:
        frame = json.loads(text)
    except ValueError:
        frame = None
    return frame if isinstance(frame, dict) else {}
