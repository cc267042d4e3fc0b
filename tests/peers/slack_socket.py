"""The WebSocket side of the fake Slack: greetings, envelopes, acknowledgements, and asking for a new connection."""

import asyncio
import contextlib
import itertools
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web


@dataclass
class Envelope:
    """An event on its way. `attempts` counts the times it was sent; `seconds` is how long the last one waited."""

    kind: str
    payload: dict[str, Any]
    takes_answer: bool = False
    attempts: int = 0
    ids: list[str] = field(default_factory=list)
    acknowledged: bool = False
    lost: bool = False
    answer: dict[str, Any] | None = None
    seconds: float = 0.0


class Link:
    """One connection."""

    numbers = itertools.count(1)

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self.request = request
        self.number = next(self.numbers)
        self.leaving = False
        """It was told to go: no new events."""
        self.frozen = False
        """Nothing is heard of it any more, as when a cable is pulled."""
        self.pings = 0

    async def send(self, frame: dict[str, Any]) -> None:
        if not self.frozen:
            with contextlib.suppress(ConnectionError):
                await self.socket.send_str(json.dumps(frame))


class Sockets:
    """All connections, and what waits to be acknowledged. `pulse` is called after each change."""

    def __init__(self, pulse: Callable[[], None], ack_seconds: float, retry_seconds: tuple[float, ...]) -> None:
        self.links: list[Link] = []
        self.opened = 0
        self.envelopes: list[Envelope] = []
        self.violations: list[str] = []
        self.enabled = True
        self.greets = True
        self._pulse = pulse
        self._ack_seconds = ack_seconds
        self._retry_seconds = retry_seconds
        self._tickets: set[str] = set()
        self._waiting: dict[str, tuple[Envelope, float, asyncio.Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ticket(self) -> str:
        """Good for one connection."""
        found = uuid.uuid4().hex
        self._tickets.add(found)
        return found

    def push(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)
        task = asyncio.create_task(self._deliver(envelope))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("ticket") not in self._tickets:
            return web.Response(status=403)
        self._tickets.discard(request.query["ticket"])
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        link = Link(socket, request)
        self.opened += 1
        if not self.enabled:
            await link.send({"type": "disconnect", "reason": "link_disabled", "debug_info": {"host": "peer"}})
            return socket
        if self.greets:
            info = {"host": "peer", "build_number": 1, "approximate_connection_time": 18060}
            hello = {"type": "hello", "num_connections": len(self.links) + 1, "debug_info": info}
            await link.send({**hello, "connection_info": {"app_id": "A0APP"}})
        self.links.append(link)
        self._pulse()
        try:
            await self._read(link)
        finally:
            self.links.remove(link)
            self._pulse()
        return socket

    async def ping(self) -> None:
        """Slack asks whether the app is there."""
        for link in self.links:
            await link.socket.ping(b"Ping from peer")

    async def ask_for_new(self, reason: str = "refresh_requested") -> None:
        """Slack wants every connection replaced."""
        for link in list(self.links):
            link.leaving = True
            await link.send({"type": "disconnect", "reason": reason, "debug_info": {"host": "peer"}})

    async def close_old(self) -> None:
        for link in [one for one in self.links if one.leaving]:
            await link.socket.close()

    async def switch_off(self) -> None:
        """Somebody switches Socket Mode off."""
        self.enabled = False
        for link in list(self.links):
            await link.send({"type": "disconnect", "reason": "link_disabled", "debug_info": {"host": "peer"}})

    def freeze(self) -> None:
        """The connections that there are go dead without a word."""
        for link in self.links:
            link.frozen = True

    def drop(self) -> None:
        """They break."""
        for link in self.links:
            link.frozen = True
            if link.request.transport is not None:
                link.request.transport.abort()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.drop()

    @property
    def alive(self) -> list[Link]:
        return [link for link in self.links if not link.leaving and not link.frozen]

    async def _read(self, link: Link) -> None:
        async for message in link.socket:
            if link.frozen:
                continue
            if message.type is WSMsgType.PING:
                link.pings += 1
                self._pulse()
                await link.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT and (trouble := self._heard(message.data)):
                self.violations.append(trouble)
                await link.socket.close(code=4000)

    def _heard(self, text: str) -> str:
        """Take an acknowledgement; what is wrong with it, if anything."""
        try:
            frame = json.loads(text)
        except ValueError:
            return f"not JSON: {text[:80]}"
        if not isinstance(frame, dict) or set(frame) - {"envelope_id", "payload"}:
            return f"no acknowledgement: {text[:80]}"
        if (known := self._waiting.get(str(frame.get("envelope_id")))) is None:
            return f"an unknown envelope: {text[:80]}"
        envelope, sent_at, event = known
        if "payload" in frame and not envelope.takes_answer:
            return "an answer that is not taken"
        envelope.acknowledged = True
        envelope.answer = frame.get("payload")
        envelope.seconds = time.monotonic() - sent_at
        event.set()
        self._pulse()
        return ""

    async def _deliver(self, envelope: Envelope) -> None:
        """Send it; again, on another connection where there is one, when nobody says within the time that it came."""
        last: Link | None = None
        for pause in (0.0, *self._retry_seconds):
            await asyncio.sleep(pause)
            while not self.alive:
                await asyncio.sleep(0.01)
            link = next((one for one in reversed(self.alive) if one is not last), self.alive[-1])
            last = link
            envelope_id, event = str(uuid.uuid4()), asyncio.Event()
            envelope.attempts += 1
            envelope.ids.append(envelope_id)
            self._waiting[envelope_id] = (envelope, time.monotonic(), event)
            frame: dict[str, Any] = {
                "envelope_id": envelope_id,
                "type": envelope.kind,
                "accepts_response_payload": envelope.takes_answer,
                "payload": envelope.payload,
            }
            if envelope.kind == "events_api":
                retry = envelope.attempts - 1
                frame |= {"retry_attempt": retry, "retry_reason": "timeout" if retry else ""}
            await link.send(frame)
            self._pulse()
            try:
                async with asyncio.timeout(self._ack_seconds):
                    await event.wait()
            except TimeoutError:
                if envelope.acknowledged:
                    return
                if envelope.kind != "events_api":
                    break  # the person sees that nothing happened
            else:
                return
        envelope.lost = True
        self._pulse()
