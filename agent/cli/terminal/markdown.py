"""Markdown for a terminal while it arrives: finished blocks are given out once, only the tail is rendered again."""

from __future__ import annotations

from typing import ClassVar

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement
from rich.syntax import Syntax
from rich.text import Text

from agent.cli.safe import visible

_parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
"""HTML stays text: a terminal cannot render it, and leaving it out would lose parts of an answer."""


class _Code(CodeBlock):
    """Code without rich's blank lines above and below, in the terminal's own colours."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Syntax(
            str(self.text).rstrip(),
            self.lexer_name,
            theme="ansi_dark",
            background_color="default",
            word_wrap=True,
            padding=(0, 2),
        )


class _Heading(Heading):
    """All headings at the left; the first two levels are told apart by more than weight."""

    LEVEL_ALIGN: ClassVar = {}


class AnswerMarkdown(Markdown):
    """An answer, rendered for reading."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
        "heading_open": _Heading,
    }

    def __init__(self, text: str) -> None:
        super().__init__("", hyperlinks=False)
        self.markup = text
        self.parsed = _parser.parse(text)


class Blocks:
    """Takes an answer in pieces and gives out its blocks as they become final."""

    def __init__(self) -> None:
        self.tail = ""
        self._checked = 0

    def feed(self, delta: str) -> None:
        """Add a piece."""
        self.tail += visible(delta)

    def finished(self) -> str:
        """The blocks that no later piece can change any more (they leave the tail), or an empty string."""
        end = self.tail.rfind("\n") + 1
        if end <= self._checked:
            return ""
        self._checked = end
        # An unfinished line may still turn out to belong to the block above it.
        whole = self.tail[:end]
        starts = [token.map[0] for token in _parser.parse(whole) if token.level == 0 and token.map]
        if len(starts) < 2:
            return ""
        done = "".join(whole.splitlines(keepends=True)[: starts[-1]])
        self.tail = self.tail[len(done) :]
        self._checked = 0
        return done.strip("\n")

    def rest(self) -> str:
        """Everything that is left; the tail is empty afterwards."""
        rest, self.tail, self._checked = self.tail, "", 0
        return rest.strip("\n")


def plain(text: str) -> Text:
    """Foreign text as it is, without markup and harmless."""
    return Text(visible(text))
