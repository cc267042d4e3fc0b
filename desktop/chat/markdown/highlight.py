"""Colours for code: Pygments reads it in a thread, a highlighter paints what it found."""

from __future__ import annotations

from bisect import bisect_right

from PySide6.QtGui import QColor, QSyntaxHighlighter, QTextCharFormat, QTextDocument

from desktop import theme

MOST_CHARS = 40_000
"""Longer code stays in one colour: painting it would hold up the window."""

Token = tuple[int, int, str]
"""Start and length in UTF-16 units, and the family of the token."""

# 4.5:1 on the ground of code, in both appearances.
_COLORS = {
    "light": {"keyword": "#8A2F8F", "string": "#1F6B3F", "number": "#1D5FAE", "name": "#8A5300", "comment": "#67625B"},
    "dark": {"keyword": "#D7A3F0", "string": "#7CCB9B", "number": "#84BFF7", "name": "#E3B341", "comment": "#A29C95"},
}


def read(language: str, code: str) -> list[Token]:
    """The coloured tokens of `code`; none for a language that is not known. Slow: call it in a thread."""
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
    from pygments.token import Comment, Keyword, Name, Number, Operator, String  # type: ignore[import-untyped]
    from pygments.token import Token as AnyToken
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    families = (
        (Keyword, "keyword"),
        (Operator.Word, "keyword"),
        (String, "string"),
        (Number, "number"),
        (Comment, "comment"),
        (Name.Function, "name"),
        (Name.Class, "name"),
        (Name.Tag, "keyword"),
        (Name.Attribute, "name"),
        (Name.Decorator, "name"),
        (Name.Builtin, "number"),
        (AnyToken.Generic.Deleted, "keyword"),
        (AnyToken.Generic.Inserted, "string"),
        (AnyToken.Generic.Heading, "name"),
    )
    if not language or len(code) > MOST_CHARS:
        return []
    try:
        lexer = get_lexer_by_name(language.lower(), stripnl=False, ensurenl=False)
    except ClassNotFound:
        return []
    found: list[Token] = []
    position = 0
    for kind, text in lexer.get_tokens(code):
        length = len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
        family = next((name for parent, name in families if kind in parent), "")
        if family:
            found.append((position, length, family))
        position += length
    return found


class Highlighter(QSyntaxHighlighter):
    """Paints tokens that were read before."""

    def __init__(self, document: QTextDocument) -> None:
        super().__init__(document)
        self._tokens: list[Token] = []
        self._starts: list[int] = []

    def show_tokens(self, tokens: list[Token]) -> None:
        """Paint these."""
        self._tokens = tokens
        self._starts = [start for start, _length, _family in tokens]
        self.rehighlight()

    def highlightBlock(self, text: str) -> None:
        begin = self.currentBlock().position()
        end = begin + self.currentBlock().length()
        colors = _COLORS[theme.current().name]
        index = max(0, bisect_right(self._starts, begin) - 1)
        while index < len(self._tokens) and self._starts[index] < end:
            start, length, family = self._tokens[index]
            index += 1
            if start + length > begin:
                look = QTextCharFormat()
                look.setForeground(QColor(colors[family]))
                self.setFormat(max(0, start - begin), min(start + length, end) - max(start, begin), look)
