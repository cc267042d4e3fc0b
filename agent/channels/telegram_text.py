"""Cuts an answer into Telegram messages: each its HTML, and the plain text for when Telegram refuses the HTML."""

from __future__ import annotations

import html
from typing import NamedTuple

from agent.channels.markup import to_telegram_html, visible_text
from agent.channels.split import measure, split

MESSAGE_UNITS = 4096
"""UTF-16 units of visible text in one message; see https://core.telegram.org/bots/api#sendmessage."""

CAPTION_UNITS = 1024
"""The same for the text below a file."""
_MARKDOWN_UNITS = 3900
"""A margin: the mark-up of a piece may show more than its Markdown did (tables are padded)."""


class Piece(NamedTuple):
    """One message."""

    html: str
    plain: str


def message_pieces(markdown: str, limit: int = _MARKDOWN_UNITS) -> list[Piece]:
    """The messages that carry an answer, in order; none when there is nothing to see. Takes milliseconds of CPU."""
    if len(markdown) < 4 * MESSAGE_UNITS:  # mark-up and addresses may be long and what is seen of them short
        whole = _piece(markdown)
        if _fits(whole):
            return [whole] if whole.plain.strip() else []
    found: list[Piece] = []
    for part in split(markdown, limit, "utf16", repeat_table_header=True):
        piece = _piece(part)
        if not piece.plain.strip():
            continue
        if _fits(piece):
            found.append(piece)
        elif limit > 64:
            found.extend(message_pieces(part, limit // 2))
        else:
            found.extend(Piece("", text) for text in split(piece.plain, MESSAGE_UNITS, "utf16"))
    return found


def with_note(note: str, piece: Piece) -> Piece | None:
    """The piece with a remark above it; None when that makes it too long."""
    noted = Piece(f"<i>{html.escape(note)}</i>\n\n{piece.html}" if piece.html else "", f"{note}\n\n{piece.plain}")
    return noted if _fits(noted) else None


def fits_caption(piece: Piece) -> bool:
    """Whether it can stand below a file."""
    return measure(piece.plain, "utf16") <= CAPTION_UNITS


def preview(markdown: str) -> Piece:
    """What a growing answer shows: as much of it as fits into one message. Takes milliseconds of CPU."""
    pieces = message_pieces(markdown.replace("\0", ""))
    if not pieces:
        return Piece("", "")
    first = pieces[0]
    more = Piece(f"{first.html}\n\n…" if first.html else "", f"{first.plain}\n\n…")
    return more if len(pieces) > 1 and _fits(more) else first


def _piece(markdown: str) -> Piece:
    marked_up = to_telegram_html(markdown)
    return Piece(marked_up, visible_text(marked_up))


def _fits(piece: Piece) -> bool:
    return measure(piece.plain, "utf16") <= MESSAGE_UNITS
