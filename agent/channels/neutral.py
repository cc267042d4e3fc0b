"""Takes out of what a model wrote what people do not see and programs obey: before it goes to a messenger."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_UNSEEN = re.compile(
    "(\U0001f3f4[\U000e0020-\U000e007f]+)"  # the flags of Scotland, Wales, ... are made of such characters
    "|[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f]"  # control characters, among them those that terminals obey
    "|[\u202a-\u202e\u2066-\u2069\u206a-\u206f]"  # marks that turn the order of text around
    "|[\u200b\u2060-\u2064\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"  # no width, tags, selectors ("ASCII smuggling")
)
_JOINERS = re.compile("(?:^|(?<=[\x00-\x7f]))[\u200c\u200d\ufe00-\ufe0e]+")
"""Where there is no script that needs them."""


def without_unseen(text: str) -> str:
    """The text without control characters, marks that reorder it and characters that only programs see."""
    return _JOINERS.sub("", _UNSEEN.sub(lambda found: found[1] or "", text))


def tells_another_place(label: str, address: str) -> bool:
    """Whether the words of a link are an address themselves, and of another host than the one that it leads to."""
    said = re.match(
        r"\s*(?:https?://|www\.)([^\s/?#:]+)|\s*((?:[\w-]+\.)+[a-z]{2,})(?:[/?#:]|\s*$)", label, re.IGNORECASE
    )
    if said is None:
        return False
    try:
        real = (urlsplit(address).hostname or "").lower()
    except ValueError:
        return True
    claimed = (said[1] or said[2]).lower()
    return real.removeprefix("www.") != claimed.removeprefix("www.")
