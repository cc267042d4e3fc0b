"""What a tool call is about to do, described before it happens: policy, approvals and receipts all read this."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from agent.safety.grants import Rule
from agent.safety.workspace import Place

_HIDING = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode categories of control, format, surrogate, private, unassigned and separator characters."""
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing; the selector that makes an emoji of a sign (U+FE0F) may stand once."""

EffectKind = Literal["read", "write", "execute", "fetch", "send", "delegate", "ask", "use", "follow", "find"]
"""Look at files, change files, run a program, read from the web, send to people, start a subagent, ask the person,
use an outside tool (MCP) whose effect nobody knows, follow the instructions of a skill, look for a tool by words."""

Vouched = Literal["", "person", "shipped"]
"""Who vouches for what is followed: nobody, the person who accepted it as it is, or TrayClaw because it came along."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One exact action.

    `summary` is the line on a tool's card, true before and after ("Read Invoices/", "Run ls"), `title` the question of
    an approval ("Run a command?"), `action` all that an approval shows of it. `argv` is the program and its arguments
    where one is started, `network` that it may reach all of the network. `hosts` are those it connects to,
    `addresses` the URLs as the model wrote them (none where it has no say in them), `recipients` the people or chats it
    sends to. `digest` is the hash of content that counts although it is not in the arguments (a script that would run).
    `always` is the rule that "always" would store, where it is not made of the rest. `vouched` says who vouches for
    what is followed.
    """

    kind: EffectKind | str
    summary: str
    places: tuple[Place, ...] = ()
    argv: tuple[str, ...] = ()
    title: str = ""
    action: str = ""
    undoable: bool = False
    network: bool = False
    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    digest: str = ""
    always: Rule | None = None
    vouched: Vouched = ""


def visible(text: str) -> str:
    """Text in which nothing can hide: control, bidirectional and invisible characters appear as escapes.

    What a person approves must be what runs ("Trojan Source", CVE-2021-42574).
    """
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    before = ""
    for character in text:
        hides = character not in "\n\t" and (
            unicodedata.category(character) in _HIDING
            or bool(_UNSEEN.match(character))
            or (character == "\ufe0f" and (before.isalpha() or before in ("", "\ufe0f")))
        )
        shown.append(character.encode("unicode_escape").decode("ascii") if hides else character)
        before = character
    return "".join(shown)


def one_line(text: str, limit: int = 80) -> str:
    """The beginning of a text as one line, for cards and lists."""
    line = " ".join(visible(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
