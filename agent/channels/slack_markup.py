"""A tree of Markdown in Slack's mrkdwn; see https://docs.slack.dev/messaging/formatting-message-text.

mrkdwn knows no escape for its marks and takes one for a mark only at the edge of a word and within one line. A space of
no width is put where Markdown would end a word and where a literal mark would begin one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.channels.neutral import tells_another_place

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

_NO_WIDTH = "\u200b"
_LINK_SCHEMES = ("http://", "https://", "mailto:", "tel:")
_INDENT = "    "
_RULE = "—" * 10
_MARKS = {"strong": "*", "em": "_", "s": "~"}
_TASK = re.compile(r"\[([ xX])\]\s")
_BARE_ADDRESS = re.compile(r"https?://[^\s<>|\"'`*~]+[^\s<>|\"'`*~.,;:!?)\]}]")
_LITERAL = re.compile(r"(?<!\w)(?:[*_~](?=[^\s*_~`]|\Z)|`)")
_QUOTE = re.compile(r"^(?=&gt;)", re.MULTILINE)
_FENCE = "```"


def render(tree: SyntaxTreeNode, table: Callable[[SyntaxTreeNode], str]) -> str:
    """The whole text. `table` gives the lines of a table, escaped."""
    return _Renderer(table).blocks(tree, nested=False).strip("\n")


def escape(text: str) -> str:
    """The three characters that Slack reads as control characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Renderer:
    def __init__(self, table: Callable[[SyntaxTreeNode], str]) -> None:
        self._table = table

    def blocks(self, parent: SyntaxTreeNode, *, nested: bool) -> str:
        return "\n\n".join(text for node in parent.children if (text := self._block(node, nested=nested)))

    def _block(self, node: SyntaxTreeNode, *, nested: bool) -> str:
        match node.type:
            case "paragraph" | "inline":
                return _QUOTE.sub(_NO_WIDTH, _unfenced(_inline(node, "")))
            case "heading":
                return _marked("*", _unfenced(_inline(node, "*")))
            case "fence" | "code_block":
                return _fenced(escape(node.content))
            case "table":
                return _fenced(self._table(node))
            case "bullet_list" | "ordered_list":
                return self._list(node)
            case "blockquote":
                text = self.blocks(node, nested=True)
                return text if nested else _quoted(text)  # Slack knows them at the beginning of a line only
            case "hr":
                return _RULE
            case _:
                return escape(node.content)

    def _list(self, node: SyntaxTreeNode) -> str:
        number = int(str(node.attrs.get("start", 1)))
        tight = all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
        items = [
            self._item(item, "• " if node.type == "bullet_list" else f"{number + offset}. ")
            for offset, item in enumerate(node.children)
        ]
        return ("\n" if tight else "\n\n").join(items)

    def _item(self, item: SyntaxTreeNode, bullet: str) -> str:
        text = ""
        for child in item.children:
            block = self._block(child, nested=True)
            if not text and child.type == "paragraph" and bullet == "• " and (task := _TASK.match(block)):
                bullet, block = ("☐ " if task[1] == " " else "☑ "), block[task.end() :]
            block = _indented(block)
            gap = "\n" if child.hidden or child.type != "paragraph" else "\n\n"
            if text:
                block = gap + ("" if block.startswith(_FENCE) else _INDENT) + block
            elif block.startswith(_FENCE):
                block = "\n" + block
            text += block
        return bullet + text


def _fenced(code: str) -> str:
    """Slack has no languages and closes at the first three backticks."""
    code = _unfenced(code.rstrip("\n"))
    return f"{_FENCE}\n{code}\n{_FENCE}" if code.strip() else ""


def _unfenced(text: str) -> str:
    """Three backticks anywhere would begin or end a code block."""
    return re.sub(r"``(?=`)", f"``{_NO_WIDTH}", text)


def _indented(block: str) -> str:
    """All lines but the first one, moved to the right; code stays: the spaces would be seen as code."""
    return "".join(
        part if part.startswith(_FENCE) else re.sub(r"\n(?=[^\n])", "\n" + _INDENT, part) for part in _apart(block)
    )


def _quoted(text: str) -> str:
    """Every line behind its mark; code stands outside, because Slack knows none in a quotation."""
    found = []
    for part in _apart(text):
        if part.startswith(_FENCE):
            found.append(part)
        elif part.strip("\n"):
            found.append("\n".join(f"> {line}".rstrip() for line in part.strip("\n").split("\n")))
    return "\n".join(found)


def _apart(text: str) -> list[str]:
    """Code blocks and what stands between them."""
    return [part for part in re.split(rf"(^{_FENCE}\n.*?\n{_FENCE}$)", text, flags=re.DOTALL | re.MULTILINE) if part]


def _inline(node: SyntaxTreeNode, marks: str) -> str:
    """The children of a paragraph, heading or span. `marks` are those that are open: they are not opened again."""
    text = ""
    edge = False  # the text ends with a mark that a letter would make invalid
    for child in node.children:
        piece = _piece(child, marks)
        if not piece:
            continue
        marked = child.type in _MARKS or child.type == "code_inline"
        if text and ((edge and not piece[0].isspace()) or (marked and not text[-1].isspace())):
            text += _NO_WIDTH if _joins(text[-1], piece[0]) else ""
        text += piece
        edge = marked
    return text


def _joins(before: str, after: str) -> bool:
    """Whether a mark between these two characters would not be taken for one."""
    return before not in "(\u200b" and after not in ").,;:!?"


def _piece(node: SyntaxTreeNode, marks: str) -> str:
    match node.type:
        case "text":
            return _text(node.content)
        case "code_inline":
            shown = escape(node.content)
            return f"`{shown}`" if shown.strip() and "`" not in shown else shown
        case "strong" | "em" | "s":
            mark = _MARKS[node.type]
            return _inline(node, marks) if mark in marks else _marked(mark, _inline(node, marks + mark))
        case "link":
            return _link(node, marks)
        case "image":
            return _anchor(str(node.attrs.get("src", "")), node.content)
        case "softbreak" | "hardbreak":
            return "\n"
        case _:
            return _inline(node, marks) if node.children else escape(node.content)


def _marked(mark: str, inner: str) -> str:
    """Each line by itself, with its outer spaces outside of the marks."""
    lines = []
    for line in inner.split("\n"):
        kept = line.strip()
        lead = line[: len(line) - len(line.lstrip())]
        lines.append(f"{lead}{mark}{kept}{mark}{line[len(lead) + len(kept) :]}" if kept else line)
    return "\n".join(lines)


def _text(content: str) -> str:
    """Bare addresses become links here: what Slack finds by itself (also @channel) is switched off."""
    found, at = "", 0
    for match in _BARE_ADDRESS.finditer(content):
        found += _literal(content[at : match.start()]) + f"<{_address(match[0])}>"
        at = match.end()
    return found + _literal(content[at:])


def _literal(text: str) -> str:
    return escape(_LITERAL.sub(rf"\g<0>{_NO_WIDTH}", text))


def _link(node: SyntaxTreeNode, marks: str) -> str:
    """Marks of the whole label go around the link: inside of it they would be shown."""
    around = ""
    inner = node
    while len(seen := [child for child in inner.children if child.children or child.content]) == 1:
        mark = _MARKS.get(seen[0].type, "")
        if not mark:
            break
        around += "" if mark in marks + around else mark
        inner = seen[0]
    anchor = _anchor(str(node.attrs.get("href", "")), _plain(inner))
    return around + anchor + around[::-1]


def _anchor(address: str, label: str) -> str:
    label = " ".join(label.split())
    if not address.lower().startswith(_LINK_SCHEMES):
        return escape(f"{label} ({address})" if label and address else label or address)
    target = _address(address)
    if tells_another_place(label, address):
        label += f" ({address})"
    shown = escape(label or address)
    return f"<{target}>" if shown == target else f"<{target}|{shown}>"


def _address(address: str) -> str:
    for char in "|<> \t":
        address = address.replace(char, f"%{ord(char):02X}")
    return escape(address)


def _plain(node: SyntaxTreeNode) -> str:
    if node.type in ("softbreak", "hardbreak"):
        return " "
    return "".join(map(_plain, node.children)) if node.children else node.content
