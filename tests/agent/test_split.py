"""Cutting answers: nothing visible is lost, every piece fits and is whole Markdown."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.channels.markup import to_telegram_html, visible_text
from agent.channels.split import Unit, measure, split

UNITS: tuple[Unit, ...] = ("code_points", "utf16", "bytes")
WORDS = st.text(st.characters(categories=("Ll", "Lu", "Lo", "Nd", "So", "Mn")), min_size=1, max_size=12)
PROSE = st.lists(st.tuples(WORDS, st.sampled_from([" ", "\n", "\n\n", ". ", "\r\n", "  "])), max_size=60).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)
PIECES = st.sampled_from(
    ["**", "*", "_", "`", "~~", "```\n", "```py\n", "\n", "\n\n", "> ", "- ", "| a | b |\n", "|---|---|\n", " ", "word",
     "x", "😀", "👨\u200d👩\u200d👧", "é", "e\u0301", "🇩🇪", "[link](http://x.y)", "\t", "\r\n", "\0", "~~~\n"]
)  # fmt: skip
MARKDOWN = st.lists(PIECES, max_size=120).map("".join)


@settings(deadline=None)
@given(PROSE, st.integers(30, 200), st.sampled_from(UNITS))
def test_prose_keeps_every_visible_character_in_order(text: str, limit: int, unit: Unit) -> None:
    pieces = split(text, limit, unit)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(measure(piece, unit) <= limit and piece.strip() for piece in pieces)


@settings(deadline=None)
@given(MARKDOWN, st.integers(16, 120), st.sampled_from(UNITS), st.booleans())
def test_any_markdown_keeps_its_words_and_fits(text: str, limit: int, unit: Unit, tables: bool) -> None:
    pieces = split(text, limit, unit, repeat_table_header=tables)
    assert all(measure(piece, unit) <= limit for piece in pieces)
    seen, wanted = words("".join(pieces)), words(text)
    if tables:  # the header of a table may be shown again
        seen, wanted = [re.sub("[ab]", "", one) for one in (seen, wanted)]
    languages = re.compile("[py]")  # where the room is tiny, the name of a language may be cut as well
    assert languages.sub("", seen) == languages.sub("", wanted)


def words(text: str) -> str:
    return "".join(char for char in text if char.isalnum() or unicodedata.category(char) in ("So", "Mn"))


CHARACTERS = ("👨\u200d👩\u200d👧", "e\u0301\u0323", "🇩🇪", "👍🏽", "\u1100\u1161\u11a8", "ก็", "1\ufe0f\u20e3")


@settings(deadline=None)
@given(st.lists(st.sampled_from(CHARACTERS), max_size=80))
def test_characters_stay_whole(characters: list[str]) -> None:
    text = "".join(characters)
    rest = list(characters)
    for piece in split(text, 24, "utf16"):
        taken = ""
        while taken != piece:
            taken += rest.pop(0)
            assert piece.startswith(taken)
    assert rest == []


def test_a_text_that_fits_is_left_alone() -> None:
    assert split("  as it is\n", 12, "code_points") == ["  as it is\n"]


@pytest.mark.parametrize("text", ["", "   \n \t", "\0"])
def test_nothing_to_see_gives_no_message(text: str) -> None:
    assert split(text, 10, "utf16") == []


@pytest.mark.parametrize(("unit", "size"), [("code_points", 3), ("utf16", 4), ("bytes", 7)])
def test_lengths(unit: Unit, size: int) -> None:
    assert measure("aé😀", unit) == size


def test_paragraphs_are_preferred_to_lines_and_lines_to_sentences() -> None:
    first, second = "a" * 20 + ". " + "b" * 20, "c" * 30
    assert split(f"{first}\n\n{second}", 60, "code_points") == [first, second]
    assert split(f"{first}\n{second}", 60, "code_points") == [first, second]
    assert split(f"{'a' * 40}. {second} ddd", 60, "code_points") == ["a" * 40 + ".", f"{second} ddd"]
    assert split(f"{'a' * 40} {second}", 60, "code_points") == ["a" * 40, second]


def test_a_code_block_is_closed_and_opened_again_with_its_language() -> None:
    lines = [f"line {number} = {number}" for number in range(20)]
    pieces = split("Look:\n\n````python\n" + "\n".join(lines) + "\n````\n\nDone.", 120, "code_points")
    assert len(pieces) > 2
    code = [re.fullmatch(r"(?:Look:\n\n)?````python\n(.*)\n````(?:\n\nDone\.)?", one, re.DOTALL) for one in pieces]
    assert all(code)
    assert [line for match in code if match for line in match[1].split("\n")] == lines


def test_a_code_block_that_fits_is_not_cut() -> None:
    block = "```\n" + "x = 1\n" * 10 + "```"
    assert split("word " * 12 + "\n\n" + block, 100, "code_points") == [("word " * 12).rstrip(), block]


def test_indentation_survives_a_cut_in_code() -> None:
    pieces = split("```py\n" + "if x:\n    y = 1\n" * 12 + "```", 70, "code_points")
    assert all(line in ("```py", "```", "if x:", "    y = 1") for piece in pieces for line in piece.split("\n"))


@pytest.mark.parametrize("count", [24, 30, 31])
@pytest.mark.parametrize("marks", ["**", "*", "_", "~~", "`", "**_", "***", "_**`"])
def test_formatting_is_closed_and_opened_again(marks: str, count: int) -> None:
    pieces = split("start " + marks + "word " * count + "end" + marks[::-1] + " after", 60, "code_points")
    assert len(pieces) > 2
    shown = [to_telegram_html(piece) for piece in pieces]
    assert " ".join(map(visible_text, shown)) == "start " + "word " * count + "end after"
    assert all("<" in html for html in shown if "word" in html)


def test_stars_that_mean_nothing_are_not_repeated() -> None:
    pieces = split("2 * 3 " + "and 4 * 5 " * 20 + "snake_case_name " * 10, 60, "code_points")
    assert all(not piece.endswith("*") or piece.endswith(" *") for piece in pieces)
    assert sum(piece.count("*") for piece in pieces) == 21


@pytest.mark.parametrize("middle", ["> ", "- ", "# ", "12. ", "+ ", "* "])
def test_words_do_not_turn_into_a_list_or_heading(middle: str) -> None:
    text = ("a" * 9 + " " + middle) * 30
    pieces = split(text, 59, "code_points")
    assert not any(piece.startswith(middle) for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_quotation_goes_on_as_one() -> None:
    pieces = split("> " + "word " * 40, 60, "code_points")
    assert all(piece.startswith("> word") for piece in pieces)


def test_a_link_is_not_torn() -> None:
    link = "[the documentation](https://example.org/a/b)"
    pieces = split("word " * 8 + link + " more", 60, "code_points")
    assert any(link in piece for piece in pieces)


def test_a_table_has_its_header_in_every_piece_when_asked() -> None:
    table = "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 20
    pieces = split(table, 80, "code_points", repeat_table_header=True)
    assert len(pieces) > 2
    assert all(piece.startswith("| a | b |\n|---|---|\n| 1 | 2 |") for piece in pieces)
    assert sum(piece.count("| 1 | 2 |") for piece in pieces) == 20
    assert "| a |" not in split(table, 80, "code_points")[1]


def test_a_limit_must_leave_room() -> None:
    with pytest.raises(ValueError, match="positive"):
        split("text", 0, "utf16")
    assert split("😀😀", 1, "utf16") == ["😀", "😀"]
