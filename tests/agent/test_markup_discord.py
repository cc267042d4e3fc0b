"""Markdown to Discord's Markdown, read back as a client of Discord shows it."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from agent.channels.discord_text import MESSAGE_CHARS, message_pieces, preview, with_note
from agent.channels.markup import to_discord
from tests.agent.test_split import MARKDOWN
from tests.peers.discord_markdown import visible

PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@pytest.mark.parametrize(
    ("markdown", "discord"),
    [
        ("**bold** *italic* ~~gone~~ `a<b`", "**bold** *italic* ~~gone~~ `a<b`"),
        ("__bold__ _italic_", "**bold** *italic*"),
        ("# Title", "# Title"),
        ("#### Deep *title*", "**Deep *title***"),
        ("2 * 3 * 4 = 24", r"2 \* 3 \* 4 = 24"),
        ("snake_case_name __init__", r"snake_case_name **init**"),
        ("a || hidden || b", r"a \|\| hidden \|\| b"),
        ("\\# no heading\n\\- no list\n1\\. no number", "\\# no heading\n\\- no list\n1\\. no number"),
        ("<@123> <#4> <t:5> <b>", r"\<@123> \<#4> \<t:5> <b>"),
        ("see https://e.org/a_b_c(d)*e*", "see https://e.org/a_b_c(d)*e*"),
        ("[x](https://e.org/?a=(1))", "[x](https://e.org/?a=%281%29)"),
        ("[https://e.org](https://e.org)", "https://e.org"),
        ("[https://good.org](https://evil.org)", "https://good.org (https://evil.org)"),
        ("[x](notes.txt)", "x (notes.txt)"),
        ("![a cat](https://e.org/c.png)", "[a cat](https://e.org/c.png)"),
        ("- one\n- two\n  - deep\n    1. deeper", "- one\n- two\n  - deep\n    1. deeper"),
        ("3. three\n4. four", "3. three\n4. four"),
        ("- [ ] open\n- [x] done", "- ☐ open\n- ☑ done"),
        ("> said\n> > before", "> said\n> \n> before"),
        ("```py\nif a < b:\n    pass\n```", "```py\nif a < b:\n    pass\n```"),
        ("~~~~\n```\ninside\n```\n~~~~", "```\n`\u200b``\ninside\n`\u200b``\n```"),
        ("one\ntwo\n\nthree\n\n---\n\nfour", "one\ntwo\n\nthree\n\n——————————\n\nfour"),
        ("`` a`b ``", "`` a`b ``"),
        ("a\0b", "ab"),
        ("", ""),
    ],
)
def test_elements(markdown: str, discord: str) -> None:
    assert to_discord(markdown) == discord


def test_a_table_is_aligned_in_a_code_block() -> None:
    text = to_discord("| name | 値段 |\n|---|---|\n| **tea** | 3 |\n| 紅茶 | `4` |")
    assert text == "```\nname | 値段\n-----+-----\ntea  | 3\n紅茶 | 4\n```"


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def seen_by_a_reader(markdown: str) -> list[str]:
    """The words of the text nodes and codes."""
    found: list[str] = []

    def walk(tokens: list[Any]) -> None:
        for token in tokens:
            if token.type in ("text", "code_inline", "fence", "code_block"):
                found.extend(words(token.content))
            walk(token.children or [])

    walk(PARSER.parse(markdown.replace("\0", "")))
    return found


@settings(deadline=None)
@given(st.one_of(MARKDOWN, st.text(), st.text("*_`~[]()<>&\"'!#|-\n :\\1ab./@", max_size=80)))
def test_any_text_is_well_formed(text: str) -> None:
    visible(to_discord(text))


@settings(deadline=None)
@given(st.text("*_`~[]()<>&!#|-\n :\\1ab./@", max_size=60))
def test_no_word_is_lost_or_changed(text: str) -> None:
    kept = [one for one in words(visible(to_discord(text)).replace("_", " ")) if not one.isdigit()]
    for word in seen_by_a_reader(text):
        for part in word.replace("_", " ").split():
            assert part.isdigit() or part in " ".join(kept)


@settings(deadline=None)
@given(MARKDOWN)
def test_a_message_never_exceeds_the_limit(text: str) -> None:
    for piece in message_pieces(text * 40):
        assert 0 < len(piece) <= MESSAGE_CHARS
        visible(piece)


def test_what_grows_by_escapes_is_cut_to_fit() -> None:
    text = "1 * 2 < 3 ~ 4 " * 600
    pieces = message_pieces(text)
    assert all(len(one) <= MESSAGE_CHARS for one in pieces)
    assert " ".join(visible(one) for one in pieces).split() == text.split()


def test_a_growing_answer_shows_its_beginning_when_it_is_long() -> None:
    assert preview("**not yet") == r"\*\*not yet"
    assert preview("") == ""
    shown = preview("word " * 2000)
    assert shown.endswith("\n\n…")
    assert len(shown) <= MESSAGE_CHARS


def test_a_note_stands_above_the_text_if_there_is_room() -> None:
    assert with_note("(again)", "text") == "-# (again)\ntext"
    assert with_note("(again)", "x" * 1995) is None


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("**use `a**b` here**", "use a**b here"),
        ("*[words](https://a.test/*/b)*", "words"),
        ("**a**__b__", "ab"),
        ("~~x `y~~z`~~", "x y~~z"),
    ],
)
def test_a_span_is_not_ended_by_what_stands_in_it(markdown: str, shown: str) -> None:
    assert visible(to_discord(markdown)) == shown
