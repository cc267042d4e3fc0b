"""Server-sent events from bytes: the data of each event, nothing else.

Written for the hot path: a model's answer is hundreds of tiny events, and a decoder that builds an object a line costs
more than the whole HTTP exchange. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

_BOM_DATA = b"\xef\xbb\xbfdata:"


class EventData:
    """Cuts a byte stream, in pieces of any size, into the data of its events."""

    __slots__ = ("_data", "_line")

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that `chunk` completes."""
        if b"\n" not in chunk and b"\r" not in chunk:
            self._line.append(chunk)
            # A lone CR at the end of the piece before was kept back, and is now known to end its line.
            if len(self._line) == 1 or not self._line[-2].endswith(b"\r"):
                return []
            chunk = b""
        if self._line:
            self._line.append(chunk)
            chunk = b"".join(self._line)
        held = b""
        if b"\r" in chunk:
            if chunk.endswith(b"\r"):  # perhaps half of a CRLF
                chunk, held = chunk[:-1], b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop() + held
        self._line = [rest] if rest else []
        return self._events(lines)

    def finish(self) -> list[bytes]:
        """The data of a last event that no blank line closed: many servers leave it out."""
        lines = b"".join(self._line).replace(b"\r", b"\n").split(b"\n")
        self._line = []
        return self._events([*lines, b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if line.startswith(_BOM_DATA):
                line = line[3:]
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data = self._data = []
        return events
