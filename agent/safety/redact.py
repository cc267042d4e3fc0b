"""Keeps keys out of logs and error texts: what was read from the store, and whatever looks like a key."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from urllib.parse import quote

HIDDEN = "[hidden]"
SHORTEST_SECRET = 8
"""Shorter values are not searched for: they would tear holes into ordinary words."""

_SHAPES = re.compile(
    r"""
      \bsk-[\w-]{16,}                                   # OpenAI, Anthropic, OpenRouter, DeepSeek
    | \b(?:gsk|hf|xai|r8|fw|pplx|nvapi|csk)[_-][\w-]{20,}   # Groq, Hugging Face, xAI, Replicate, Fireworks, ...
    | \bAIza[\w-]{35}                                   # Google
    | \bAKIA[0-9A-Z]{16}\b                              # AWS
    | \b(?:gh[opsur]_|github_pat_|glpat-)[\w-]{20,}     # GitHub, GitLab
    | \bxox[a-z]-[\w-]{10,} | \bxapp-[\w-]{10,}         # Slack
    | (?<!\d)\d{6,12}:[\w-]{35}(?![\w-])                # Telegram bot token
    | \b[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,}         # Discord bot token
    | (?<=\bBearer\ )[\w.~+/-]{12,}=*
    """,
    re.VERBOSE,
)


class Redactor:
    """Scrubs strings of the secrets it was told and of common key shapes."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secret: str) -> None:
        """Hide this value from now on, also as it looks in a URL, in hexadecimal, in base64 and backwards."""
        fresh = {form for form in _forms(secret) if len(form) >= SHORTEST_SECRET} - self._known
        if fresh:
            self._known |= fresh
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def scrub(self, text: str) -> str:
        """The text with every secret and everything that looks like one replaced: for logs and error texts."""
        return _SHAPES.sub(HIDDEN, self.scrub_known(text))

    def scrub_known(self, text: str) -> str:
        """The text with the registered secrets replaced and nothing else: for files and output that models read."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._known)} values>"


def _forms(secret: str) -> Iterator[str]:
    """The secret as it is and as somebody may write it to get it out unnoticed."""
    yield secret
    if len(secret) < SHORTEST_SECRET:
        return
    data = secret.encode()
    yield from (quote(secret, safe=""), secret[::-1], data.hex(), data.hex().upper())
    for before in range(3):  # where it stands in a longer text decides how base64 writes it
        encoded = base64.b64encode(bytes(before) + data).decode()
        first = (0, 2, 3)[before]
        last = len(encoded) - (0, 3, 2)[(before + len(data)) % 3]
        yield from (encoded[first:last], encoded[first:last].replace("+", "-").replace("/", "_"))
