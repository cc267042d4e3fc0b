"""The gateway of the fake Discord: sessions, heartbeats, resuming; every frame is compressed as one zlib stream.

See https://discord.com/developers/docs/events/gateway.
"""

import asyncio
import json
import secrets
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 0, 1, 2, 6, 7, 9, 10, 11
PRIVILEGED = 1 << 1 | 1 << 8 | 1 << 15
KNOWN_INTENTS = (1 << 22) - 1 | 1 << 24 | 1 << 25
MESSAGE_CONTENT = 1 << 15
LARGEST_PAYLOAD = 4096
EVENTS_A_MINUTE = 120


@dataclass
class Session:
    """What the service remembers of a client, connected or not."""

    intents: int
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    events: list[dict[str, Any]] = field(default_factory=list)
    """All that was dispatched; the number of an event is its place, from 1."""
    socket: "Socket | None" = None
    valid: bool = True


class Socket:
    """One connection."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        self.ws = ws
        self._request = request
        self._deflate = zlib.compressobj()
        self._received: list[float] = []

    async def send(self, op: int, data: Any = None, *, event: str | None = None, number: int | None = None) -> None:
        frame = json.dumps({"op": op, "d": data, "s": number, "t": event}).encode()
        packed = self._deflate.compress(frame) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        half = len(packed) // 2 if len(packed) > 2000 else 0  # a large event may come in several frames
        try:
            for part in (packed[:half], packed[half:]) if half else (packed,):
                await self.ws.send_bytes(part)
        except (ConnectionError, RuntimeError):
            pass  # the client is gone; the session keeps the event

    def too_fast(self) -> bool:
        now = time.monotonic()
        self._received = [*(at for at in self._received if now - at < 60), now]
        return len(self._received) > EVENTS_A_MINUTE

    def freeze(self) -> None:
        """Read nothing more, not even a farewell, as a computer does that is gone."""
        if self._request.transport is not None:
            self._request.transport.pause_reading()

    def cut(self) -> None:
        """End without a word, as a network does."""
        if self._request.transport is not None:
            self._request.transport.abort()


class Gateway:
    """`silent`: nothing is sent any more; `withholds_acks`: heartbeats are not confirmed."""

    def __init__(self, token: str, pulse: Callable[[], None]) -> None:
        self.token = token
        self._pulse = pulse
        self.allowed_intents = KNOWN_INTENTS
        self.heartbeat_ms = 40_000
        self.withholds_acks = False
        self.silent = False
        self.refuses = False
        """New connections are closed at once."""
        self.heartbeats = 0
        self.identified = 0
        self.resumed = 0
        self.sessions: list[Session] = []
        self.sockets: set[Socket] = set()

    def connected(self) -> Session | None:
        return next((one for one in self.sessions if one.socket is not None), None)

    async def dispatch(self, event: str, data: dict[str, Any], intent: int = 0) -> None:
        """To all sessions that asked for it; those without a connection get it when they resume."""
        for session in self.sessions:
            if session.valid and (not intent or session.intents & intent):
                await self._dispatch(session, event, data)

    async def _dispatch(self, session: Session, event: str, data: dict[str, Any]) -> None:
        session.events.append({"event": event, "data": data})
        if session.socket is not None and not self.silent:
            await session.socket.send(DISPATCH, data, event=event, number=len(session.events))

    def cut(self) -> None:
        """All connections break without a word."""
        for socket in self.sockets:
            socket.cut()

    def freeze(self) -> None:
        """The other side of all connections is gone, and nobody said so."""
        self.silent = True
        for socket in self.sockets:
            socket.freeze()

    async def close(self, code: int) -> None:
        """Close all connections with this code."""
        for socket in list(self.sockets):
            await socket.ws.close(code=code)

    async def ask_to_reconnect(self) -> None:
        for socket in list(self.sockets):
            await socket.send(RECONNECT)

    def forget_sessions(self) -> None:
        """None can be resumed any more."""
        for session in self.sessions:
            session.valid = False

    async def handle(self, request: web.Request, ready: Any) -> web.WebSocketResponse:
        """`ready(session)` gives the READY event's data and the events that follow it."""
        if dict(request.query) != {"v": "10", "encoding": "json", "compress": "zlib-stream"}:
            raise web.HTTPBadRequest(text=f"unexpected query: {request.query_string}")
        ws = web.WebSocketResponse(max_msg_size=1 << 20, autoping=True)
        await ws.prepare(request)
        socket = Socket(ws, request)
        if self.refuses:
            await ws.close(code=1011)
            return ws
        self.sockets.add(socket)
        session: Session | None = None
        try:
            await socket.send(HELLO, {"heartbeat_interval": self.heartbeat_ms})
            async for message in ws:
                self._pulse()
                if message.type is not WSMsgType.TEXT or len(message.data) > LARGEST_PAYLOAD:
                    await ws.close(code=4002)
                    break
                if socket.too_fast():
                    await ws.close(code=4008)
                    break
                frame = json.loads(message.data)
                op, data = frame.get("op"), frame.get("d")
                if op == HEARTBEAT:
                    self.heartbeats += 1
                    if not self.withholds_acks and not self.silent:
                        await socket.send(HEARTBEAT_ACK)
                elif op == IDENTIFY and session is None:
                    code = self._refusal(data)
                    if code:
                        await ws.close(code=code)
                        break
                    session = await self._identify(socket, data, ready)
                elif op == RESUME and session is None:
                    session = await self._resume(socket, data)
                else:
                    await ws.close(code=4005 if op == IDENTIFY else 4003 if session is None else 4001)
                    break
        finally:
            self.sockets.discard(socket)
            if session is not None and session.socket is socket:
                session.socket = None
        return ws

    def _refusal(self, data: Any) -> int:
        """The close code for an IDENTIFY that is refused, 0 for one that is right."""
        intents = data.get("intents") if isinstance(data, dict) else None
        if not isinstance(intents, int) or not isinstance(data.get("properties"), dict):
            return 4002
        if data.get("token") != self.token:
            return 4004
        if intents & ~KNOWN_INTENTS:
            return 4013
        return 4014 if intents & PRIVILEGED & ~self.allowed_intents else 0

    async def _identify(self, socket: Socket, data: dict[str, Any], ready: Any) -> Session:
        self.identified += 1
        session = Session(data["intents"], socket=socket)
        self.sessions.append(session)
        first, rest = ready(session)
        await self._dispatch(session, "READY", first)
        for event, payload in rest:
            await self._dispatch(session, event, payload)
        return session

    async def _resume(self, socket: Socket, data: dict[str, Any]) -> Session | None:
        session = next((one for one in self.sessions if one.id == data.get("session_id")), None)
        seen = data.get("seq")
        if data.get("token") != self.token:
            await socket.ws.close(code=4004)
            return None
        if session is None or not session.valid or not isinstance(seen, int) or seen > len(session.events):
            await asyncio.sleep(0)
            await socket.send(INVALID_SESSION, False)
            return None
        self.resumed += 1
        session.socket = socket
        for number, event in enumerate(session.events[seen:], start=seen + 1):
            await socket.send(DISPATCH, event["data"], event=event["event"], number=number)
        await self._dispatch(session, "RESUMED", {})
        return session
