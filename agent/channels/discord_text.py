"""Cuts an answer into Discord messages: each its text, ready for Discord, with nothing open at its end."""

from __future__ import annotations

from agent.channels.discord_markup import escaped
from agent.channels.markup import to_discord
from agent.channels.split import split

MESSAGE_CHARS = 2000
"""Code points in one message; see https://discord.com/developers/docs/resources/message#create-message."""

_MARKDOWN_CHARS = 1900
"""A margin: escapes and padded tables make a piece longer than its Markdown was."""


def message_pieces(markdown: str, limit: int = _MARKDOWN_CHARS) -> list[str]:
    """The messages that carry an answer, in order; none when there is nothing to see. Takes milliseconds of CPU."""
    if len(markdown) < 4 * MESSAGE_CHARS:
        whole = to_discord(markdown)
        if len(whole) <= MESSAGE_CHARS:
            return [whole] if whole.strip() else []
    found: list[str] = []
    for part in split(markdown, limit, "code_points", repeat_table_header=True):
        piece = to_discord(part)
        if not piece.strip():
            continue
        if len(piece) <= MESSAGE_CHARS:
            found.append(piece)
        elif limit > 64:
            found.extend(message_pieces(part, limit // 2))
        else:
            found.extend(split(piece, MESSAGE_CHARS, "code_points"))
    return found


def with_note(note: str, piece: str) -> str | None:
    """The piece with a remark above it; None when that makes it too long."""
    noted = f"{note_line(note)}\n{piece}"
    return noted if len(noted) <= MESSAGE_CHARS else None


def note_line(note: str) -> str:
    """A remark in small letters."""
    return f"-# {escaped(note)}"


def preview(markdown: str) -> str:
    """What a growing answer shows: as much of it as fits into one message. Takes milliseconds of CPU."""
    pieces = message_pieces(markdown)
    if len(pieces) < 2:
        return pieces[0] if pieces else ""
    more = f"{pieces[0]}\n\n…"
    return more if len(more) <= MESSAGE_CHARS else pieces[0]
