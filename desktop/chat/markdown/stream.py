"""Splits growing Markdown into what is finished and the end that may still change, a bounded piece at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from desktop.chat.markdown.parser import Block, parse
from desktop.chat.markdown.parts import CodePart, Part

PIECE = 1500
"""Characters that are parsed at once: some 4 ms on a slow machine."""
UNDECIDED = 6
"""A line shorter than this may still turn out to belong to the block before it ("3" on its way to "3. ")."""
TABLE_PIECE = 3 * PIECE


@dataclass(frozen=True, slots=True)
class Step:
    """What one step brought: parts that are final, code to append to the last of them, the end as it looks now."""

    done: tuple[Part, ...] = ()
    code: str = ""
    tail: tuple[Part, ...] = ()
    more: bool = False
    """There is more to do at once."""


@dataclass(slots=True)
class MarkdownStream:
    """`feed` text as it comes, then take `step`s until there is no more; `close` when nothing will follow."""

    _rest: str = ""
    _fence: re.Pattern[str] | None = None
    _code_started: bool = False
    _closed: bool = False

    def feed(self, text: str) -> None:
        """Text that follows what came before."""
        self._rest += text

    def close(self) -> None:
        """Nothing follows: the next steps finish everything."""
        self._closed = True

    def step(self) -> Step:
        """Deal with at most a piece."""
        return self._code_step() if self._fence is not None else self._block_step()

    def _block_step(self) -> Step:
        piece, partial = self._piece(PIECE)
        blocks = parse(piece)
        if len(blocks) == 1 and blocks[0].kind == "table" and partial:
            piece, partial = self._piece(TABLE_PIECE)
            blocks = parse(piece)
        if not blocks:
            if partial or self._closed:
                self._rest = self._rest[len(piece) :]
            return Step(more=partial)
        last = blocks[-1]
        done = [part for block in blocks[:-1] for part in block.parts]
        if last.kind == "fence" and not last.closed and "\n" in _from_line(piece, last.start):
            return self._open_fence(piece, last, done)
        if partial:
            return self._cut(piece, blocks, done)
        if self._closed:
            self._rest = ""
            return Step((*done, *last.parts))
        beginning = _from_line(piece, last.start)
        if len(beginning) < UNDECIDED and "\n" not in beginning:
            return Step(tail=(*done, *last.parts))
        if done:
            self._rest = _from_line(self._rest, last.start)
        return Step(tuple(done), tail=last.parts)

    def _piece(self, size: int) -> tuple[str, bool]:
        """The beginning of what is left, up to the end of a line, and whether more follows it."""
        if len(self._rest) <= size:
            return self._rest, False
        for separator in ("\n", " "):
            end = self._rest.rfind(separator, size // 2, size)
            if end >= 0:
                return self._rest[: end + 1], True
        return self._rest[:size], True

    def _cut(self, piece: str, blocks: list[Block], done: list[Part]) -> Step:
        """More follows than is parsed at once: finish all but the last block, or a piece of it if it is alone."""
        last = blocks[-1]
        if done:
            self._rest = _from_line(self._rest, last.start)
            return Step(tuple(done), more=True)
        if len(last.items) > 1:
            head = piece[: len(piece) - len(_from_line(piece, last.items[-1]))]
            self._rest = _from_line(self._rest, last.items[-1])
            return Step(tuple(part for block in parse(head) for part in block.parts), more=True)
        self._rest = self._rest[len(piece) :]
        if last.kind == "table":
            self._rest = "".join(piece.splitlines(keepends=True)[last.start : last.start + 2]) + self._rest
        return Step(last.parts, more=True)

    def _open_fence(self, piece: str, block: Block, done: list[Part]) -> Step:
        part = block.parts[0]
        assert isinstance(part, CodePart)
        mark = block.markup
        self._fence = re.compile(rf"^ {{0,3}}{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$", re.MULTILINE)
        self._code_started = False
        opening = _from_line(self._rest, block.start)
        self._rest = opening[opening.index("\n") + 1 :]
        return Step((*done, CodePart(part.language, "")), more=bool(self._rest))

    def _code_step(self) -> Step:
        """Inside a code block only its end matters: nothing is parsed."""
        assert self._fence is not None
        found = self._fence.search(self._rest)
        if found and (self._closed or found.end() < len(self._rest)):
            code, self._rest = self._rest[: found.start()], self._rest[found.end() + 1 :]
            self._fence = None
            return Step(code=self._joined(code.removesuffix("\n")), more=bool(self._rest))
        if self._closed:
            code, self._rest, self._fence = self._rest, "", None
            return Step(code=self._joined(code.removesuffix("\n")))
        end = self._rest.rfind("\n")
        if end < 0:
            return Step()
        code, self._rest = self._rest[:end], self._rest[end + 1 :]
        return Step(code=self._joined(code))

    def _joined(self, code: str) -> str:
        """Whole lines, with the line break that separates them from those before."""
        if not self._code_started:
            self._code_started = bool(code)
            return code
        return f"\n{code}" if code else ""


def _from_line(text: str, number: int) -> str:
    """`text` from its line `number` on, counted from 0."""
    position = 0
    for _ in range(number):
        position = text.index("\n", position) + 1
    return text[position:]
