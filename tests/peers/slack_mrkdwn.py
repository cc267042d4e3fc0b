"""Reads mrkdwn as Slack does; see https://docs.slack.dev/messaging/formatting-message-text. Raises ValueError for what
Slack would show otherwise than it was meant: a stray control character, a fence that is not closed."""

import re
from typing import NamedTuple

_ENTITY = re.compile(r"&(?:amp|lt|gt);")
_FENCE = re.compile(r"```\n?(.*?)\n?```", re.DOTALL)
_REFERENCE = re.compile(r"<((?:https?://|mailto:|tel:)[^<>|]*)(?:\|([^<>]*))?>")
_CODE = re.compile(r"(?<!\w)`([^`\n\u200b][^`\n]*)`(?!\w)")
_MARKS = {"*": "bold", "_": "italic", "~": "strike"}
_HIDDEN = "\u200b"


class Span(NamedTuple):
    kind: str
    text: str
    address: str = ""


def parse(mrkdwn: str) -> tuple[str, list[Span]]:
    """The text that is seen, and what is marked in it."""
    if "&" in _ENTITY.sub("", mrkdwn):
        raise ValueError("an & that is no entity")
    if mrkdwn.count("```") % 2:
        raise ValueError("a code block that is not closed")
    spans: list[Span] = []
    seen = ""
    at = 0
    for fence in _FENCE.finditer(mrkdwn):
        seen += _outside(mrkdwn[at : fence.start()], spans)
        spans.append(Span("block", _plain(fence[1])))
        seen += _plain(fence[1])
        at = fence.end()
    return seen + _outside(mrkdwn[at:], spans), spans


def _outside(text: str, spans: list[Span]) -> str:
    lines = []
    for line in text.split("\n"):
        quoted = re.sub(r"^(?:> ?|&gt; ?)", "", line)
        if quoted != line:
            spans.append(Span("quote", _plain(quoted)))
        bare = _REFERENCE.sub("", quoted)
        if "<" in bare or ">" in bare:
            raise ValueError(f"a stray < or > in {line!r}")
        lines.append(_line(quoted, spans))
    return "\n".join(lines)


def _line(line: str, spans: list[Span]) -> str:
    """Code first, then marks from the outside in, then links."""
    seen, at = "", 0
    for code in _CODE.finditer(line):
        seen += _marked(line[at : code.start()], spans)
        spans.append(Span("code", _plain(code[1])))
        seen += _plain(code[1])
        at = code.end()
    return seen + _marked(line[at:], spans)


def _marked(text: str, spans: list[Span]) -> str:
    for mark, kind in _MARKS.items():
        sign = re.escape(mark)
        match = re.search(
            rf"(?<![\w{sign}]){sign}(?=[^\s{sign}{_HIDDEN}])([^{sign}]*?)(?<=\S){sign}(?![\w{sign}])", text
        )
        if match:
            before = _marked(text[: match.start()], spans)
            inner = _marked(match[1], spans)
            spans.append(Span(kind, inner))
            return before + inner + _marked(text[match.end() :], spans)
    spans.extend(Span("link", _plain(link[2] or link[1]), _plain(link[1])) for link in _REFERENCE.finditer(text))
    return _plain(_REFERENCE.sub(lambda link: link[2] or link[1], text))


def _plain(text: str) -> str:
    return text.replace(_HIDDEN, "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
