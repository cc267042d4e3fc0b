"""The tree of a Markdown text in Discord's own Markdown; see https://support.discord.com/hc/en-us/articles/210298617.

Discord differs from CommonMark where it hurts: `__x__` is underlined, `||x||` is hidden, tables, images, rules and
headings of more than three levels do not exist, and a code block ends at the first three backticks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.channels.markup import RULE, TASK, aligned_table

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

_LINK_SCHEMES = ("http://", "https://")
_LANGUAGE = re.compile(r"[\w+#.-]+")
_ADDRESS = re.compile(r"https?://[^\s<]+")
_SPECIAL = re.compile(
    r"""
      [\\*`~]
    | (?<![^\W_])_ | _(?![^\W_])          # not inside of a word, where it is harmless: snake_case
    | _(?=_) | (?<=_)_
    | \|(?=\|) | (?<=\|)\|                # hides what is between
    | <(?=[@\#:/at]|id:|sound:)           # mentions, emojis, times
    | (?<=\])\(                           # would be a link
    """,
    re.VERBOSE,
)
_LINE_BEGIN = re.compile(r"(?m)^([ \t]*)(?=\#{1,3}\s|-\#\s|>{1,3}\s|[-+]\s)")
_LINE_NUMBER = re.compile(r"(?m)^([ \t]*\d{1,9})(?=[.)]\s)")
_UNSAFE_IN_ADDRESS = {"(": "%28", ")": "%29", "<": "%3C", ">": "%3E", " ": "%20", "\\": "%5C", "|": "%7C"}


def render(tree: SyntaxTreeNode) -> str:
    """Well-formed for any tree."""
    return _blocks(tree, nested=False).strip("\n")


def escaped(text: str) -> str:
    """Plain text that Discord shows as it is; addresses stay what they are."""
    found: list[str] = []
    end = 0
    for address in _ADDRESS.finditer(text):
        found += [_SPECIAL.sub(r"\\\g<0>", text[end : address.start()]), address[0]]
        end = address.end()
    return "".join([*found, _SPECIAL.sub(r"\\\g<0>", text[end:])])


def _blocks(parent: SyntaxTreeNode, *, nested: bool) -> str:
    return "\n\n".join(text for node in parent.children if (text := _block(node, nested=nested)))


def _block(node: SyntaxTreeNode, *, nested: bool) -> str:
    match node.type:
        case "paragraph" | "inline":
            return _paragraph(node)
        case "heading":
            return _heading(node, nested=nested)
        case "fence" | "code_block":
            return _code(node.content, node.info)
        case "bullet_list" | "ordered_list":
            return _list(node)
        case "blockquote":
            text = _blocks(node, nested=True)
            return text if nested or not text else "\n".join(f"> {line}" for line in text.split("\n"))
        case "table":
            return _code(aligned_table(node), "")
        case "hr":
            return RULE
        case _:
            return escaped(node.content)


def _paragraph(node: SyntaxTreeNode) -> str:
    """Lines that look like a list or a heading, and are none, keep their first characters."""
    return _LINE_NUMBER.sub(r"\g<1>\\", _LINE_BEGIN.sub(r"\g<1>\\", _inline(node)))


def _heading(node: SyntaxTreeNode, *, nested: bool) -> str:
    text = " ".join(_inline(node).split("\n")).strip()
    level = int(node.tag[1:])
    if not text:
        return ""
    return f"{'#' * level} {text}" if level <= 3 and not nested else f"**{text}**"


def _code(content: str, info: str) -> str:
    """A code block; three backticks inside of it would end it, so they are kept apart by a space of no width."""
    code = re.sub("`(?=``)", "`\u200b", content.rstrip("\n"))
    language = _LANGUAGE.fullmatch(info.strip().partition(" ")[0])
    return f"```{language[0] if language else ''}\n{code or ' '}\n```"


def _list(node: SyntaxTreeNode) -> str:
    number = int(str(node.attrs.get("start", 1)))
    items = []
    for offset, item in enumerate(node.children):
        bullet = "- " if node.type == "bullet_list" else f"{number + offset}. "
        items.append(_item(item, bullet))
    return "\n".join(items)


def _item(item: SyntaxTreeNode, bullet: str) -> str:
    text = ""
    indent = " " * len(bullet)
    for child in item.children:
        block = _block(child, nested=True)
        if not text and child.type == "paragraph" and bullet == "- " and (task := TASK.match(block)):
            block = ("☐ " if task[1] == " " else "☑ ") + block[task.end() :]
        if child.type not in ("fence", "code_block", "table"):  # spaces inside of those would be seen as code
            block = block.replace("\n", f"\n{indent}")
        text += f"\n{'' if block.startswith('```') else indent}{block}" if text else block
    return bullet + text


def _wrapped(mark: str) -> Callable[[SyntaxTreeNode], str]:
    def render_span(node: SyntaxTreeNode) -> str:
        inner = _inline(node)
        kept = inner.strip()
        if not kept or _holds(node, mark):
            return inner
        before, _, after = inner.partition(kept)
        return f"{before}{mark}{kept}{mark}{after}"

    return render_span


def _holds(node: SyntaxTreeNode, mark: str) -> bool:
    """Whether code or an address inside has the mark: Discord would end the span there."""
    for one in node.walk():
        addresses = _ADDRESS.findall(one.content) if one.type == "text" else ()
        told = (
            one.content if one.type == "code_inline" else "",
            one.attrs.get("href"),
            one.attrs.get("src"),
            *addresses,
        )
        if any(mark in str(part) for part in told):
            return True
    return False


def _inline_code(node: SyntaxTreeNode) -> str:
    code = re.sub("`(?=`)", "`\u200b", node.content)
    if "`" not in code:
        return f"`{code}`" if code.strip() else code
    return f"`` {code} ``"


def _link(node: SyntaxTreeNode) -> str:
    return _anchor(str(node.attrs.get("href", "")), _inline(node))


def _image(node: SyntaxTreeNode) -> str:
    return _anchor(str(node.attrs.get("src", "")), escaped(node.content))


def _anchor(address: str, label: str) -> str:
    """Discord shows a link whose words look like an address, or that leads elsewhere than the web, as it is written."""
    shown = " ".join(label.split("\n")).strip()
    safe = "".join(_UNSAFE_IN_ADDRESS.get(char, char) for char in address)
    if not address.lower().startswith(_LINK_SCHEMES):
        return f"{label} ({escaped(address)})" if shown and address else label or escaped(address)
    if not shown or shown in (safe, escaped(address), address):
        return safe
    if "://" in shown or re.search(r"[\[\]]", shown):
        return f"{label} ({safe})"
    return f"[{shown}]({safe})"


_SPANS = ("strong", "em", "s")
_INLINE: dict[str, Callable[[SyntaxTreeNode], str]] = {
    "text": lambda node: escaped(node.content),
    "code_inline": _inline_code,
    "strong": _wrapped("**"),
    "em": _wrapped("*"),
    "s": _wrapped("~~"),
    "link": _link,
    "image": _image,
    "softbreak": lambda _: "\n",
    "hardbreak": lambda _: "\n",
}


def _inline(node: SyntaxTreeNode) -> str:
    """The children of a paragraph, heading, cell or span."""
    text = ""
    for child in node.children:
        piece = _INLINE.get(child.type, _inline)(child)
        if child.type in _SPANS and text.endswith(("*", "~")) and piece[:1] == text[-1]:
            text += "\u200b"  # else the end of one span and the beginning of the next are one mark
        text += piece
    return text
