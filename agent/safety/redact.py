"""Keeps keys out of logs and error texts: what was read from the store, and whatever looks like a key.

A secret is known once this process has read it: a token of a channel that is off was never in its memory, and the files
that hold it are closed to tools (`workspace.py`). Not found is what is compressed, encrypted, or sent in several parts:
that an address which the model put together asks (`policy.py`) is what stands against it.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

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
    | \btvly-[\w-]{16,} | \bBSA[\w-]{24,}              # Tavily, Brave
    | \beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}         # JSON web token
    | (?<=://)[^\s/@:]*:[^\s/@]{3,}(?=@)              # name and password in an address
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----(?s:.*?)(?:-----END\ [A-Z ]*-----|\Z)
    | (?<=\bBearer\ )[\w.~+/-]{12,}=*
    """,
    re.VERBOSE,
)
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{10,}={0,2}")
_JOINTS = re.compile(r"[\s\"'\\]+")
_SIGNS = re.compile(r"[\W_]+")
_DEEPEST = 3
"""Layers of encoding that are taken off."""


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


def mask_shapes(text: str) -> str:
    """The text with all but the beginning of what looks like a key replaced; for what a person decides about. One word
    at most goes, and none that is a path."""
    return _SHAPES.sub(_masked, text)


def _masked(found: re.Match[str]) -> str:
    word = found[0]
    if word.startswith(("/", "~/", "./", "../")):
        return word
    return (word[:6] if len(word) > 20 or word.isalnum() else "") + HIDDEN


def readings(text: str, depth: int = _DEEPEST) -> Iterator[str]:
    """A text as whoever receives it may read it: percent signs, base64 and hexadecimal decoded, without what stands
    between the letters. For finding secrets in what leaves the computer."""
    yield text
    yield _SIGNS.sub("", text)
    if not depth:
        return
    if "%" in text and (plain := unquote(text)) != text:
        yield from readings(plain, depth - 1)
    joined = _JOINTS.sub("", text)
    words = dict.fromkeys((*_ENCODED.findall(text), *_ENCODED.findall(joined)))
    for word in words:
        for decoded in _decoded(word.rstrip("=")):
            yield from readings(decoded, depth - 1)


def _decoded(word: str) -> Iterator[str]:
    with contextlib.suppress(ValueError):
        yield bytes.fromhex(word).decode(errors="ignore")
    body = word.replace("-", "+").replace("_", "/")
    with contextlib.suppress(ValueError):
        yield base64.b64decode(body + "=" * (-len(body) % 4), validate=True).decode(errors="ignore")


def _forms(secret: str) -> Iterator[str]:
    """The secret as it is and as somebody may write it to get it out unnoticed."""
    yield secret
    if len(secret) < SHORTEST_SECRET:
        return
    data = secret.encode()
    yield from (quote(secret, safe=""), secret[::-1], data.hex(), data.hex().upper(), secret.lower(), secret.upper())
    if len(letters := _SIGNS.sub("", secret)) >= 12:
        yield from (letters, letters[::-1], letters.lower())
    for before in range(3):  # where it stands in a longer text decides how base64 writes it
        encoded = base64.b64encode(bytes(before) + data).decode()
        first = (0, 2, 3)[before]
        last = len(encoded) - (0, 3, 2)[(before + len(data)) % 3]
        yield from (encoded[first:last], encoded[first:last].replace("+", "-").replace("/", "_"))
