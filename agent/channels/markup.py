"""Markdown, as models write it, in the mark-up of a channel. The result is well-formed for any input."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, MutableMapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from agent.channels.neutral import tells_another_place, without_unseen

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode
    from markdown_it.utils import OptionsDict

_LINK_SCHEMES = ("http://", "https://", "mailto:", "tel:", "tg://")
_INDENT = "   "
RULE = "—" * 10
_LANGUAGE = re.compile(r"[\w+#.-]+")
TASK = re.compile(r"\[([ xX])\]\s")
_TAG = re.compile(r"<[^<>]*>")


def to_telegram_html(markdown: str) -> str:
    """HTML with the few tags that https://core.telegram.org/bots/api#html-style knows; tables become aligned text."""
    return _blocks(_tree(without_unseen(markdown)), in_quote=False).strip("\n")


def to_slack_mrkdwn(markdown: str) -> str:
    """Slack's own mark-up; tables become aligned text, pictures links."""
    from agent.channels.slack_markup import render

    return render(_tree(without_unseen(markdown)), lambda table: html.escape(aligned_table(table), quote=False))


def to_discord(markdown: str) -> str:
    """Discord's own Markdown; tables become aligned text in a code block."""
    from agent.channels.discord_markup import render

    return render(_tree(without_unseen(markdown)))


def visible_text(telegram_html: str) -> str:
    """What a reader sees of it; Telegram's limits count this text."""
    return html.unescape(_TAG.sub("", telegram_html))


def to_email_html(markdown: str) -> str:
    """HTML for the body of a mail. A picture becomes a link: nothing may be fetched when the mail is opened."""
    clean = "".join(char for char in markdown if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs"))
    return str(_mail_parser().render(clean)).strip()


@cache
def _mail_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _linked_picture)
    return parser


def _linked_picture(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    address = str(tokens[index].attrs.get("src", ""))
    label = html.escape(renderer.renderInlineAsText(tokens[index].children, options, env) or address)
    opened = [token.nesting for token in tokens[:index] if token.type in ("link_open", "link_close")]
    if sum(opened) or not address.startswith(_LINK_SCHEMES):
        return label
    return f'<a href="{html.escape(address)}">{label}</a>'


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _tree(markdown: str) -> SyntaxTreeNode:
    from markdown_it.tree import SyntaxTreeNode

    return SyntaxTreeNode(_parser().parse(markdown))


def _blocks(parent: SyntaxTreeNode, *, in_quote: bool) -> str:
    return "\n\n".join(text for node in parent.children if (text := _block(node, in_quote=in_quote)))


def _block(node: SyntaxTreeNode, *, in_quote: bool) -> str:
    match node.type:
        case "paragraph" | "inline":
            return _inline(node)
        case "heading":
            return f"<b>{text}</b>" if (text := _inline(node)) else ""
        case "fence" | "code_block":
            return _code(node.content, node.info)
        case "bullet_list" | "ordered_list":
            return _list(node, in_quote=in_quote)
        case "blockquote":
            text = _blocks(node, in_quote=True)
            return text if in_quote or not text else f"<blockquote>{text}</blockquote>"  # they cannot be nested
        case "table":
            return f"<pre>{html.escape(aligned_table(node), quote=False)}</pre>"
        case "hr":
            return RULE
        case _:
            return html.escape(node.content, quote=False)


def _code(content: str, info: str) -> str:
    code = html.escape(content.rstrip("\n"), quote=False)
    language = _LANGUAGE.match(info.strip())
    if language:
        return f'<pre><code class="language-{language[0]}">{code}</code></pre>'
    return f"<pre>{code}</pre>"


def _list(node: SyntaxTreeNode, *, in_quote: bool) -> str:
    number = int(str(node.attrs.get("start", 1)))
    items = []
    tight = True
    for offset, item in enumerate(node.children):
        bullet = "• " if node.type == "bullet_list" else f"{number + offset}. "
        tight = tight and all(child.hidden for child in item.children if child.type == "paragraph")
        items.append(_item(item, bullet, in_quote=in_quote))
    return ("\n" if tight else "\n\n").join(items)


def _item(item: SyntaxTreeNode, bullet: str, *, in_quote: bool) -> str:
    text = ""
    for child in item.children:
        block = _block(child, in_quote=in_quote)
        if not text and child.type == "paragraph" and bullet == "• " and (task := TASK.match(block)):
            bullet, block = ("☐ " if task[1] == " " else "☑ "), block[task.end() :]
        if child.type not in ("fence", "code_block", "table"):  # spaces inside of those would be seen as code
            block = block.replace("\n", "\n" + _INDENT)
        gap = "\n" if child.hidden or child.type != "paragraph" else "\n\n"
        text += f"{gap}{'' if block.startswith('<pre>') else _INDENT}{block}" if text else block
    return bullet + text


def aligned_table(node: SyntaxTreeNode) -> str:
    """Plain text: columns padded to the same width, a line under the header."""
    rows = [[_plain(cell) for cell in row.children] for part in node.children for row in part.children]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(lines)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Columns in a fixed-width font."""
    marks = sum(1 for char in text if unicodedata.category(char) in ("Mn", "Me", "Cf"))
    return len(text) - marks + sum(1 for char in text if unicodedata.east_asian_width(char) in "WF")


def _plain(node: SyntaxTreeNode) -> str:
    return " ".join(visible_text(_inline(node)).split())


def _wrapped(tag: str) -> Callable[[SyntaxTreeNode], str]:
    def render(node: SyntaxTreeNode) -> str:
        inner = _inline(node)
        return f"<{tag}>{inner}</{tag}>" if inner else ""

    return render


def _link(node: SyntaxTreeNode) -> str:
    return _anchor(str(node.attrs.get("href", "")), _inline(node))


def _image(node: SyntaxTreeNode) -> str:
    return _anchor(str(node.attrs.get("src", "")), html.escape(node.content, quote=False))


def _anchor(address: str, label: str) -> str:
    if not address.lower().startswith(_LINK_SCHEMES):
        shown = html.escape(address, quote=False)
        return f"{label} ({shown})" if label and address else label or shown
    if tells_another_place(visible_text(label), address):
        label += f" ({html.escape(address, quote=False)})"
    return f'<a href="{html.escape(address)}">{label or html.escape(address, quote=False)}</a>'


_INLINE: dict[str, Callable[[SyntaxTreeNode], str]] = {
    "text": lambda node: html.escape(node.content, quote=False),
    "code_inline": lambda node: f"<code>{html.escape(node.content, quote=False)}</code>",
    "strong": _wrapped("b"),
    "em": _wrapped("i"),
    "s": _wrapped("s"),
    "link": _link,
    "image": _image,
    "softbreak": lambda _: "\n",
    "hardbreak": lambda _: "\n",
}


def _inline(node: SyntaxTreeNode) -> str:
    """The children of a paragraph, heading, cell or span."""
    return "".join(_INLINE.get(child.type, _inline)(child) for child in node.children)
