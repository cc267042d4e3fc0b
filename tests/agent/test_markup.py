"""Markdown to Telegram's HTML, judged by the parser that speaks for Telegram."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.channels.markup import to_telegram_html, visible_text
from agent.channels.telegram_text import MESSAGE_UNITS, message_pieces, preview
from tests.agent.test_split import MARKDOWN
from tests.peers.telegram_html import parse, utf16_length


@settings(deadline=None)
@given(st.one_of(MARKDOWN, st.text(), st.text("*_`~[]()<>&\"'!#|-\n :\\1ab./", max_size=80)))
def test_any_text_gives_html_that_telegram_reads(text: str) -> None:
    html = to_telegram_html(text)
    seen, _ = parse(html)
    assert seen == visible_text(html).strip()


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**bold** *italic* ~~gone~~ `a<b`", "<b>bold</b> <i>italic</i> <s>gone</s> <code>a&lt;b</code>"),
        ("# Title", "<b>Title</b>"),
        ("a & b < c", "a &amp; b &lt; c"),
        ("<b>not ours</b>", "&lt;b&gt;not ours&lt;/b&gt;"),
        ('[x](https://e.org/?a=1&b="2")', '<a href="https://e.org/?a=1&amp;b=%222%22">x</a>'),
        ("[x](notes.txt)", "x (notes.txt)"),
        ("![a cat](https://e.org/c.png)", '<a href="https://e.org/c.png">a cat</a>'),
        ("- one\n- two\n  - deep", "• one\n• two\n   • deep"),
        ("3. three\n4. four", "3. three\n4. four"),
        ("- [ ] open\n- [x] done", "☐ open\n☑ done"),
        ("> said\n> > before", "<blockquote>said\n\nbefore</blockquote>"),
        ("```py\nif a < b:\n    pass\n```", '<pre><code class="language-py">if a &lt; b:\n    pass</code></pre>'),
        ("```\nplain\n```", "<pre>plain</pre>"),
        ("one\ntwo\n\nthree", "one\ntwo\n\nthree"),
        ("a\0b", "ab"),
        ("", ""),
    ],
)
def test_elements(markdown: str, html: str) -> None:
    assert to_telegram_html(markdown) == html
    parse(html)


def test_a_dangerous_address_is_not_a_link() -> None:
    assert "<a" not in to_telegram_html("[x](javascript:alert(1)) [y](file:///etc/passwd)")


def test_a_table_is_aligned_also_for_wide_characters() -> None:
    html = to_telegram_html("| name | 値段 |\n|---|---|\n| **tea** | 3 |\n| 紅茶 | `4` |")
    assert html == "<pre>name | 値段\n-----+-----\ntea  | 3\n紅茶 | 4</pre>"


def test_code_inside_a_list_keeps_its_own_indentation() -> None:
    html = to_telegram_html("1. first\n\n   ```\n   x\n     y\n   ```")
    assert "<pre>x\n  y</pre>" in html


@settings(deadline=None)
@given(MARKDOWN)
def test_a_message_never_exceeds_the_limit(text: str) -> None:
    for piece in message_pieces(text * 40):
        seen, _ = parse(piece.html) if piece.html else (piece.plain, [])
        assert 0 < utf16_length(seen) <= MESSAGE_UNITS


def test_a_padded_table_is_cut_to_fit() -> None:
    rows = "".join(f"| {'x' * (40 if number == 0 else 1)} | y | z |\n" for number in range(300))
    pieces = message_pieces(f"| a | b | c |\n|---|---|---|\n{rows}")
    assert all(utf16_length(piece.plain) <= MESSAGE_UNITS for piece in pieces)
    assert all(piece.html.startswith("<pre>a ") for piece in pieces)
    assert sum(piece.plain.count("| y | z") for piece in pieces) == 300


def test_a_growing_answer_shows_its_beginning_when_it_is_long() -> None:
    assert preview("**not yet").plain == "**not yet"
    assert preview("**bold** and `co").html == "<b>bold</b> and `co"
    shown = preview("*word* " * 2000)
    assert shown.plain.endswith("…")
    assert shown.html.endswith("…")
    assert utf16_length(shown.plain) <= MESSAGE_UNITS
