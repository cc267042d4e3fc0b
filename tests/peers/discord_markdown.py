"""Reads a message as a Discord client shows it: the visible text without marks; an open code block is an error.

The order and the shapes of the rules follow the client's: a code block wherever three backticks stand, then code,
escapes, addresses, links, underlined before italic, what is hidden by bars, and marks at the beginnings of lines.
"""

import re

_RULES = re.compile(
    r"""
      (?P<block>```(?:(?P<language>[\w+\-.\#]*)\n)?\n*(?P<body>[^\n].*?)\n*```)
    | (?P<code>(?P<ticks>`+)(?P<inside>.*?[^`])(?P=ticks)(?!`))
    | \\(?P<escaped>[^0-9A-Za-z\s])
    | \[(?P<label>(?:[^\[\]\\]|\\.)+)\]\((?P<target>https?://[^\s)]+)\)
    | (?P<address>https?://[^\s<]+[^<.,:;"'\])\s])
    | <(?P<mention>@!?\d+|@&\d+|\#\d+|a?:\w+:\d+|t:-?\d+(?::\w)?)>
    | (?P<strong>\*\*(?P<bold>(?:\\.|[^\\])+?)\*\*(?!\*))
    | (?P<underline>__(?P<under>(?:\\.|[^\\])+?)__(?!_))
    | (?P<strike>~~(?P<struck>.+?)~~)
    | (?P<spoiler>\|\|(?P<hidden>.+?)\|\|)
    | (?P<em>\b_(?P<em1>(?:__|\\.|[^\\_])+?)_\b | \*(?=\S)(?P<em2>(?:\*\*|\\.|\s+(?:[^*\s\\]|\*\*)|[^\s*\\])+?)\*(?!\*))
    """,
    re.VERBOSE | re.DOTALL,
)
_INNER = ("label", "bold", "under", "struck", "em1", "em2")
_LINE = re.compile(r"^(?P<indent>[ \t]*)(?P<mark>\#{1,3} +|-\# +|> |[-*] +|\d+\. +)")


class Unreadable(Exception):
    """Something is open at the end, or means what nobody wrote."""


def visible(text: str) -> str:
    """What a reader sees. Raises `Unreadable` for what is hidden, calls somebody, or is an open code block."""
    if len(re.findall("```", re.sub(r"\\`", "", text))) % 2:
        raise Unreadable(f"a code block is open: {text!r}")
    return _spans("\n".join(_line(one) for one in _lines(text)))


def _lines(text: str) -> list[str]:
    """Lines outside of code blocks; a block is one line."""
    found: list[str] = []
    inside = False
    for line in text.split("\n"):
        quoted = line.removeprefix("> ")
        if inside:
            found[-1] += "\n" + quoted
        else:
            found.append(line)
        inside ^= quoted.lstrip().startswith("```") or (inside and quoted.endswith("```"))
    return found


def _line(line: str) -> str:
    while (found := _LINE.match(line)) and not line.startswith("```"):
        line = found["indent"] + line[found.end() :]
    return line


def _spans(text: str) -> str:
    def shown(found: re.Match[str]) -> str:
        if found["spoiler"] or found["mention"] or found["underline"]:
            raise Unreadable(f"nobody wrote this: {found[0]!r}")
        if found["block"]:
            return found["body"]
        if found["code"]:
            return found["inside"].strip() if "`" in found["inside"] else found["inside"]
        inner = next((found[name] for name in _INNER if found[name] is not None), None)
        return found["escaped"] or found["address"] or _spans(inner or "")

    return _RULES.sub(shown, text).replace("\u200b", "")
