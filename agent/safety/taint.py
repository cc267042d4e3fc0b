"""What a turn has read that nobody vouches for, and the addresses that stood in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urldefrag

MOST_ADDRESSES = 5_000
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\\]+", re.IGNORECASE)
_CLOSING = {")": "(", "]": "[", "}": "{"}


@dataclass(slots=True)
class Taint:
    """The sources of one turn, in the order they were read.

    `sources` taint the turn. `background` speaks through the model as well but comes from the person's own files or
    from earlier turns: it is named at every question, and is no reason for more of them.
    """

    sources: list[str] = field(default_factory=list)
    background: list[str] = field(default_factory=list)
    _addresses: set[str] = field(default_factory=set)

    def read(self, source: str, text: str) -> None:
        """An untrusted text was shown to the model."""
        if source not in self.sources:
            self.sources.append(source)
        self.saw(text)

    def mention(self, source: str) -> None:
        """Something of the person's own was shown to the model."""
        if source not in self.background and source not in self.sources:
            self.background.append(source)

    def branch(self) -> Taint:
        """For somebody who is told what this turn knows, and reads on alone."""
        return Taint(list(self.sources), list(self.background), set(self._addresses))

    def merge(self, other: Taint) -> None:
        """They report: what they have read speaks through them."""
        for source in other.sources:
            if source not in self.sources:
                self.sources.append(source)
        for source in other.background:
            self.mention(source)

    def saw(self, text: str) -> None:
        """Remember the addresses in a text: who asks for one of them word for word gives nothing away."""
        for found in _ADDRESS.findall(text):
            if len(self._addresses) >= MOST_ADDRESSES:
                return
            self._addresses.add(_plain(found))
            self._addresses.add(_plain(_trimmed(found)))

    def knows(self, addresses: Iterable[str]) -> bool:
        """Whether all of these were seen."""
        wanted = [_plain(address) for address in addresses]
        return bool(wanted) and all(address in self._addresses for address in wanted)


def _trimmed(address: str) -> str:
    """Without the punctuation of the sentence or the Markdown around it."""
    while address and (address[-1] in ".,;:!?*_|" or (address[-1] in _CLOSING and _unopened(address))):
        address = address[:-1]
    return address


def _unopened(address: str) -> bool:
    return address.count(address[-1]) > address.count(_CLOSING[address[-1]])


def _plain(address: str) -> str:
    return urldefrag(address)[0].rstrip("/")
