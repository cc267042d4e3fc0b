"""Markdown in Slack's mrkdwn, judged by a reader that speaks for Slack."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.channels.channel import Button
from agent.channels.markup import to_slack_mrkdwn, to_telegram_html, visible_text
from agent.channels.slack_text import message_pieces, preview, with_buttons
from tests.agent.test_split import MARKDOWN
from tests.peers import slack_blocks
from tests.peers.slack_mrkdwn import Span, parse

ANY = st.one_of(MARKDOWN, st.text(), st.text("*_`~[]()<>&\"'!#|-\n :\\1ab./", max_size=80))
HIDDEN = "\u200b"


def letters(text: str) -> str:
    return "".join(re.findall(r"[^\W_]+", text))


@settings(deadline=None)
@given(ANY)
def test_any_text_gives_mrkdwn_that_slack_reads_and_loses_no_letter(text: str) -> None:
    seen, _ = parse(to_slack_mrkdwn(text.replace(HIDDEN, "")))
    assert letters(seen) == letters(visible_text(to_telegram_html(text.replace(HIDDEN, ""))))


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("**bold** *italic* ~~gone~~ `a<b`", "*bold* _italic_ ~gone~ `a&lt;b`"),
        ("***both*** and **bold *in* it**", "_*both*_ and *bold _in_ it*"),
        ("**two\nlines** and ** not **", f"*two*\n*lines* and ** not **{HIDDEN}"),
        ("# A **bold** title", "*A bold title*"),
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("[x](https://e.org/?a=1&b=2)", "<https://e.org/?a=1&amp;b=2|x>"),
        ("[**x** y](https://e.org) [*z*](https://f.org)", "<https://e.org|x y> _<https://f.org|z>_"),
        ("**see [it](https://e.org)**", "*see <https://e.org|it>*"),
        ("[x|y](https://e.org/a|b)", "<https://e.org/a%7Cb|x|y>"),
        ("[x](notes.txt) [y](javascript:alert)", "x (notes.txt) [y](javascript:alert)"),
        ("![a cat](https://e.org/c.png)", "<https://e.org/c.png|a cat>"),
        ("<https://e.org> and https://f.org/a_b_c.", "<https://e.org> and <https://f.org/a_b_c>."),
        ("- one\n- two\n  - deep\n    1. deeper\n- `three`", "• one\n• two\n    • deep\n        1. deeper\n• `three`"),
        ("3. three\n4. four", "3. three\n4. four"),
        ("- [ ] open\n- [x] done", "☐ open\n☑ done"),
        ("- a\n\n  b\n- c", "• a\n\n    b\n\n• c"),
        ("1. run\n   ```sh\n   x\n     y\n   ```\n2. end", "1. run\n```\nx\n  y\n```\n2. end"),
        ("> said\n> > before\n>\n> - item", "> said\n>\n> before\n>\n> • item"),
        ("> a\n> ```\n> code\n> ```\n> b", "> a\n```\ncode\n```\n> b"),
        ("```py\nif a < b:\n    pass\n```", "```\nif a &lt; b:\n    pass\n```"),
        ("````\n```\n````", f"```\n``{HIDDEN}`\n```"),
        ("``a`b``", "a`b"),
        ("| a | b |\n|---|---|\n| **1** | <2> |", "```\na | b\n--+----\n1 | &lt;2&gt;\n```"),
        ("a **b**c `d`e", f"a *b*{HIDDEN}c `d`{HIDDEN}e"),
        ("x**y**z", f"x{HIDDEN}*y*{HIDDEN}z"),
        ("(**b**), **c**.", "(*b*), *c*."),
        ("\\*not bold\\* 2 * 3 * 4 snake_case_name", f"*{HIDDEN}not bold* 2 * 3 * 4 snake_case_name"),
        ("\\> no quote", f"{HIDDEN}&gt; no quote"),
        ("<!channel> <@U0LI>", "&lt;!channel&gt; &lt;@U0LI&gt;"),
        ("---", "——————————"),
        ("one\ntwo\n\nthree", "one\ntwo\n\nthree"),
        ("a\0b", "ab"),
        ("", ""),
    ],
)
def test_elements(markdown: str, mrkdwn: str) -> None:
    assert to_slack_mrkdwn(markdown) == mrkdwn
    parse(mrkdwn)


def test_marks_are_seen_as_marks() -> None:
    seen, spans = parse(to_slack_mrkdwn("x**y**z, *a*b, `c`d, **e *f* g**, \\*not\\*, [l](https://e.org)"))
    assert seen == "xyz, ab, cd, e f g, *not*, l"
    assert Span("link", "l", "https://e.org") in spans
    assert [(one.kind, one.text) for one in spans if one.kind in ("bold", "italic", "code")] == [
        ("bold", "y"),
        ("italic", "a"),
        ("code", "c"),
        ("italic", "f"),
        ("bold", "e f g"),
    ]


@settings(deadline=None, max_examples=40)
@given(ANY.map(lambda text: text * 30))
def test_slack_takes_every_message_of_any_answer(text: str) -> None:
    pieces = message_pieces(text)
    buttons = (Button("Yes", "/allow", "primary"), Button("l" * 200, "c" * 3000))
    for piece in [*pieces, *with_buttons(pieces, buttons), *filter(None, [preview(text)])]:
        slack_blocks.check(piece.blocks)
        slack_blocks.check(piece._replace(note="(sent again)").blocks)
        assert 0 < slack_blocks.length(piece.text) <= 4000
        for section in piece.sections:
            parse(section)


def test_a_very_long_answer_loses_nothing() -> None:
    text = "\n\n".join(f"Paragraph {number} & **more** " + "word " * 900 for number in range(9))
    pieces = message_pieces(text)
    assert 3 <= len(pieces) <= 6
    seen = "".join(parse(section)[0] for piece in pieces for section in piece.sections)
    assert letters(seen) == letters(text)
    assert "…" in preview(text).sections[-1]  # type: ignore[union-attr]
