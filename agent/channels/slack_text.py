"""Cuts an answer into Slack messages: each some section blocks, and the text that notifications show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from agent.channels.channel import Button
from agent.channels.markup import to_slack_mrkdwn
from agent.channels.slack_markup import escape
from agent.channels.split import measure, split

SECTION_UNITS = 3000
"""Of one section block; see https://docs.slack.dev/reference/block-kit/blocks/section-block."""
MESSAGE_SECTIONS = 4
"""Slack takes 50 blocks, but refuses them when their text is longer than some 13,000 characters together."""
FALLBACK_UNITS = 3900
"""`chat.update` refuses a text of more than 4,000 characters, whatever the blocks are."""
VALUE_CHARS = 2000
_LABEL_CHARS = 75
_ROW_BUTTONS = 5
_MARKDOWN_UNITS = 2800
"""A margin: escapes and padded tables make the mark-up longer than its Markdown."""

Block = dict[str, Any]


class Piece(NamedTuple):
    """One message."""

    sections: tuple[str, ...]
    """mrkdwn, each short enough for a section."""
    note: str = ""
    """Shown above it, plain."""
    buttons: tuple[Button, ...] = ()

    @property
    def text(self) -> str:
        """What notifications and screen readers are given."""
        shown = "\n\n".join(part for part in (self.note, *self.sections) if part)
        return shown if measure(shown, "utf16") <= FALLBACK_UNITS else _cut(shown)

    @property
    def blocks(self) -> list[Block]:
        """What is seen."""
        found = [context(self.note)] if self.note else []
        found += [section(text) for text in self.sections]
        for start in range(0, len(self.buttons), _ROW_BUTTONS):
            row = self.buttons[start : start + _ROW_BUTTONS]
            elements = [_button(button, start + number) for number, button in enumerate(row)]
            found.append({"type": "actions", "block_id": f"choices-{start}", "elements": elements})
        return found


def message_pieces(markdown: str) -> list[Piece]:
    """The messages that carry an answer, in order; none when there is nothing to see. Takes milliseconds of CPU."""
    sections = _sections(markdown, _MARKDOWN_UNITS)
    return [
        Piece(tuple(sections[start : start + MESSAGE_SECTIONS])) for start in range(0, len(sections), MESSAGE_SECTIONS)
    ]


def with_buttons(pieces: Sequence[Piece], buttons: Sequence[Button]) -> list[Piece]:
    """The buttons below the last piece; a command that is too long for one stands in the text."""
    fitting = tuple(button for button in buttons if len(button.command) <= VALUE_CHARS)
    written = [f"{escape(one.label)}: `{escape(one.command)}`" for one in buttons if one not in fitting]
    found = list(pieces)
    for text in written:
        found += [Piece((part,)) for part in split(text, SECTION_UNITS, "utf16")]
    if fitting:
        found = found or [Piece(("…",))]
        found[-1] = found[-1]._replace(buttons=fitting)
    return found


def preview(markdown: str) -> Piece | None:
    """What a growing answer shows: as much of it as fits into one message, None for nothing. Takes milliseconds."""
    pieces = message_pieces(markdown)
    if not pieces:
        return None
    first = pieces[0]
    return first._replace(sections=(*first.sections, "…")) if len(pieces) > 1 else first


def section(text: str) -> Block:
    """A block of mrkdwn. `verbatim`: a model must not wake a channel up by writing @channel; `expand`: Slack would
    hide the end of it behind "Show more"."""
    return {"type": "section", "expand": True, "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def context(text: str) -> Block:
    """A small grey line of plain text."""
    return {"type": "context", "elements": [{"type": "plain_text", "text": text[:SECTION_UNITS], "emoji": True}]}


def _sections(markdown: str, limit: int) -> list[str]:
    found: list[str] = []
    for part in split(markdown, limit, "utf16", repeat_table_header=True):
        text = to_slack_mrkdwn(part)
        if not text.strip():
            continue
        if measure(text, "utf16") <= SECTION_UNITS:
            found.append(text)
        elif limit > 64:
            found.extend(_sections(part, limit // 2))
        else:
            found.extend(escape(piece) for piece in split(part, SECTION_UNITS // 5, "utf16"))
    return found


def _button(button: Button, number: int) -> Block:
    label = button.label if len(button.label) <= _LABEL_CHARS else button.label[: _LABEL_CHARS - 1] + "…"
    found = {
        "type": "button",
        "action_id": f"choice-{number}",
        "text": {"type": "plain_text", "text": label or button.command[:_LABEL_CHARS], "emoji": True},
        "value": button.command,
    }
    return {**found, "style": button.style} if button.style else found


def _cut(text: str) -> str:
    """The beginning, not cut within a reference such as &amp; or <https://…>."""
    head = (
        text[: FALLBACK_UNITS // 2]
        if measure(text[:FALLBACK_UNITS], "utf16") > FALLBACK_UNITS
        else text[:FALLBACK_UNITS]
    )
    head = head[: head.rfind("\n")] if "\n" in head else head
    for opening, closing in (("<", ">"), ("&", ";")):
        start = head.rfind(opening)
        if start > head.rfind(closing):
            head = head[:start]
    return head.rstrip() + "…"
