"""What a person decides about shows letters that look like others, and leaves honest text alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.channels.markup import to_telegram_html, visible_text
from agent.core.asking import question
from agent.events import Approval
from agent.safety.effects import Effect, one_line, visible
from agent.safety.lookalikes import mark_lookalikes
from agent.safety.web_client import WebClient
from agent.settings import NetworkSettings, Settings
from agent.tools.builtin import built_in_toolbox
from agent.tools.tool import ToolContext, tool
from agent.tools.web import web_tools
from tests.agent.tool_desk import ToolDesk


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("curl p\u0430ypal.com", "curl p‹а Cyrillic U+0430›ypal.com"),
        ("cat раура in ~/x", "cat " + "".join(f"‹{one} Cyrillic U+{ord(one):04X}›" for one in "раура") + " in ~/x"),
        ("rm \u0430", "rm ‹а Cyrillic U+0430›"),
        ("rm \u03bf\u03c1", "rm ‹ο Greek U+03BF›‹ρ Greek U+03C1›"),
        ("g\u03bfogle", "g‹ο Greek U+03BF›ogle"),
        ("\u0391pple", "‹Α Greek U+0391›pple"),
        ("Mосква", "‹M Latin U+004D›осква"),
        ("\u0555penAI", "‹Օ Armenian U+0555›penAI"),
        ("\u13a1oot", "‹Ꭱ Cherokee U+13A1›oot"),
        ("ｒm -rf", "‹ｒ full-width U+FF52›m -rf"),
        ("𝗋m ~", "‹𝗋 mathematical U+1D5CB›m ~"),
        ("ⓡm ~", "‹ⓡ circled U+24E1›m ~"),
        ("\u212aey", "‹\u212a U+212A›ey"),
        ("\u0261it push", "‹ɡ Latin U+0261›it push"),
        ("/etc\u2215passwd", "/etc‹∕ U+2215›passwd"),
        ("evil.com\uff0fpath", "evil.com‹／ full-width U+FF0F›path"),
        ("rm\u2003x", "rm‹\u2003 U+2003›x"),
        ("\u217cs", "‹ⅼ U+217C›s"),
    ],
)
def test_a_letter_that_looks_like_another_is_named(text: str, shown: str) -> None:
    assert mark_lookalikes(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Съешь же ещё этих мягких французских булок, да выпей чаю. А с ней и он — у осы.",
        "файл.txt в папке ~/Документы, USB-порт, PDFка и Wi-Fi 6",
        "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ο Α και η Ε.",
        "敏捷的棕色狐狸，跳过：懒狗；ＡＢＣ（１２３）",
        "色は匂へど　散りぬるを　Pythonのファイル／ＵＲＬ",
        "다람쥐 헌 쳇바퀴에 타고파, v2의 README",
        "Ça va, naïve façade, Straße, Łódź, Þórr, œuvre, ĳs, ﬁn, Việt Nam, İstanbul ışık, cafe\u0301, 1½ m² x₂",
        "Zwölf Boxkämpfer … – “quotes” ‘single’ « guillemets »\u00a0; 5\u202f%",
        "10 μm at 5 kΩ, Δt = 3 µs, π ≈ 3, γ-rays, λx.x, a × b",
        "नमस्ते दुनिया ราชา שלום עולם مرحبا بالعالم ጤና ይስጥልኝ",
        "👍🏽 👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 → ✓ Ⅻ",
        "the α channel, the ρ of steel",
        "ls -la | grep 'x' && echo $HOME > a.txt",
    ],
)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert mark_lookalikes(text) == text


@given(st.text())
def test_nothing_is_lost_or_put_out_of_order(text: str) -> None:
    import re

    assert re.sub(r"‹(.) (?:[A-Za-z-]+ )?U\+[0-9A-F]{4,6}›", r"\1", mark_lookalikes(text), flags=re.DOTALL) == (
        re.sub(r"‹(.) (?:[A-Za-z-]+ )?U\+[0-9A-F]{4,6}›", r"\1", text, flags=re.DOTALL)
    )


@given(st.text(alphabet=st.characters(max_codepoint=0x7F)))
def test_plain_text_is_never_marked(text: str) -> None:
    assert mark_lookalikes(text) == text


@pytest.mark.parametrize(
    "character",
    "\u00ad\u034f\u115f\u180b\u200b\u200d\u2066\u202e\u2800\u3164\ufe01\ufeff\uffa0\U000e0041\U000e0101\x07\x7f\x9b\r\u2028",
)
def test_what_shows_nothing_is_written_out(character: str) -> None:
    shown = visible(f"rm{character} -rf")
    assert shown == "rm" + character.encode("unicode_escape").decode() + " -rf"
    assert visible(shown) == shown, "a second time changes nothing"


def test_a_selector_may_follow_a_sign_once() -> None:
    assert visible("❤\ufe0f 1\ufe0f\u20e3") == "❤\ufe0f 1\ufe0f\u20e3"
    assert visible("a\ufe0f ❤\ufe0f\ufe0f \ufe0f"[:-2]) == "a\\ufe0f ❤\ufe0f\\ufe0f"
    assert visible("\ufe0f") == "\\ufe0f"


def test_the_beginning_of_a_text_as_one_line() -> None:
    assert one_line("a\n b\t\tc ") == "a b c"
    assert one_line("x" * 80) == "x" * 80 and one_line("x" * 81) == "x" * 79 + "…"


def careless() -> Any:
    """A tool that describes what it does as it was given."""

    @tool("use", lambda context, text: Effect("use", "Use it", title=f"Use {text}?", action=text))
    def use(context: ToolContext, text: str) -> str:
        """Use it."""
        return text

    return use


async def test_every_question_is_shown_like_this_whatever_the_tool_made_of_it(tmp_path: Path) -> None:
    desk = ToolDesk(tmp_path, toolbox=built_in_toolbox((careless(),)))
    assert (await desk.call("use", text="p\u0430y \u202etxt.exe")).text == "p\u0430y \u202etxt.exe"
    assert desk.questions[0].action == "p‹а Cyrillic U+0430›y \\u202etxt.exe"
    assert "\u202e" not in desk.questions[0].title
    await desk.call("run_command", command="echo p\u0430y\u200b")
    assert desk.questions[1].action.startswith("echo p‹а Cyrillic U+0430›y\\u200b\n\nin ~/TrayClaw")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://b\u00fccher.example/a", "xn--bcher-kva.example is bücher.example"),
        ("https://xn--bcher-kva.example/a", "xn--bcher-kva.example is bücher.example"),
        ("https://xn--pypal-4ve.com/", "xn--pypal-4ve.com is p‹а Cyrillic U+0430›ypal.com"),
        ("https://p\u0430ypal.com/", "xn--pypal-4ve.com is p‹а Cyrillic U+0430›ypal.com"),
        ("https://ex\uff41mple.com/", "is read as example.com"),
    ],
)
async def test_a_host_in_other_letters_is_shown_both_ways(tmp_path: Path, url: str, expected: str) -> None:
    async def key(name: str) -> str | None:
        return None

    tools = built_in_toolbox(web_tools(Settings, key, WebClient(NetworkSettings, resolve=lambda host: [])))
    desk = ToolDesk(tmp_path, toolbox=tools, mode="careful")
    await desk.call("web_fetch", url=url)
    assert expected in desk.questions[0].action
    plain = desk.toolbox.prepare(desk.make("web_fetch", url="https://example.com/a"), desk.scope.context("c"))
    assert plain.effect.action == "https://example.com/a"


@given(st.text("`~\n a*[]()", max_size=40))
def test_nothing_in_an_action_ends_the_block_that_a_messenger_shows_it_in(action: str) -> None:
    asked = Approval("0" * 16, 1, 2, "c", "run_command", "Run a command?", f"x{action}x", "why", False, "", 0.0)
    html = to_telegram_html(question(asked, ""))
    shown = html.partition("<pre>")[2].partition("</pre>")[0]
    assert visible_text(shown) == f"x{action}x"
