"""Opening what an answer links to: only the kinds of address that lead to a browser or a mail program."""

from __future__ import annotations

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices

SCHEMES = frozenset({"http", "https", "mailto"})


def open_link(url: QUrl) -> bool:
    """Hand the address to the system; False for one that is not opened."""
    return url.scheme().lower() in SCHEMES and QDesktopServices.openUrl(url)
