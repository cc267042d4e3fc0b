"""What a model writes to people: nothing in it loads, leads elsewhere than it says, calls everybody, or hides."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from agent.channels.markup import to_telegram_html, visible_text
from agent.channels.neutral import tells_another_place, without_unseen
from agent.cli.safe import visible
from agent.safety.effects import visible as shown_in_questions
from tests.agent.tool_desk import ToolDesk
from tests.peers.telegram_html import parse

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "security_cases.jsonl"
pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")


def rows(kind: str, *words: str) -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    found = [row for row in map(json.loads, CORPUS.read_text("utf-8").splitlines()) if row["kind"] == kind]
    return [row for row in found if not words or any(word in row["input"] for word in words)]


@pytest.mark.parametrize("row", rows("output_exfil"), ids=lambda row: row["id"])
def test_a_message_to_telegram_is_harmless(row: dict[str, Any]) -> None:
    html = to_telegram_html(f"before {row['input']} after")
    parse(html)
    assert "<img" not in html, "a picture would be loaded"
    for address, label in re.findall(r'<a href="([^"]*)">(.*?)</a>', html):
        assert address.startswith(("https://", "http://", "mailto:", "tel:"))
        assert not tells_another_place(visible_text(label), address) or address in visible_text(label)
    seen = visible_text(html)
    assert [one for one in seen if unicodedata.category(one) in ("Cc", "Cf") and one != "\n"] == []
    assert seen.startswith("before") and seen.endswith("after")


@pytest.mark.parametrize("row", rows("output_exfil"), ids=lambda row: row["id"])
def test_a_terminal_is_told_nothing(row: dict[str, Any]) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", visible(row["input"]))


@pytest.mark.parametrize("row", rows("toctou", "homoglyph"), ids=lambda row: row["id"])
@pytest.mark.parametrize(
    "command",
    [
        "rm x\u202efdp.txt",
        "ls\x1b[8m; rm x",
        "ls\u200b; rm x",
        "rm \u0430.txt",
        "ｒｍ x",
        "ls \U000e0072\U000e006d",
        "ls\u3164x",
    ],
)
async def test_what_is_shown_is_what_runs(tmp_path: Path, row: dict[str, Any], command: str) -> None:
    desk = ToolDesk(tmp_path)
    desk.answers = lambda approval: "deny"
    await desk.call("run_command", command=command)
    (question,) = desk.questions
    shown = question.action.partition("\n\nin ")[0]
    assert shown != command and shown.replace("\n", "").isprintable()
    back = re.sub(r"‹(.) [^›]*›", r"\1", shown)
    assert back == shown_in_questions(command), "nothing of it is lost"
    assert not (await desk.call("run_command", command="ls\rrm x")).ok
    assert len(desk.questions) == 1, "a carriage return is refused at once"


@pytest.mark.parametrize(
    "text",
    [
        "Привет, Ελλάδα, 日本語, مرحبا بالعالم, नमस्ते",
        "می\u200cخواهم",
        "क्\u200dष",
        "👩\u200d💻 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f ❤\ufe0f",
        "tab\tand\nline",
        "soft\u00adhyphen, non\u00a0breaking",
    ],
)
def test_honest_text_is_sent_as_it_is(text: str) -> None:
    assert without_unseen(text) == text


@pytest.mark.parametrize(
    ("label", "address", "elsewhere"),
    [
        ("https://bank.example", "https://evil.example", True),
        ("bank.example/login", "https://evil.example/login", True),
        ("www.bank.example", "https://bank.example.evil.example", True),
        ("bank.example", "https://bank.example/", False),
        ("https://bank.example/a", "https://www.bank.example/b", False),
        ("the bank", "https://evil.example", False),
        ("notes.txt is here", "https://example.com/notes.txt", False),
        ("", "https://evil.example", False),
    ],
)
def test_a_link_that_says_another_place(label: str, address: str, elsewhere: bool) -> None:
    assert tells_another_place(label, address) is elsewhere
    if label:
        assert (f"({address})" in to_telegram_html(f"[{label}]({address})")) is elsewhere


def test_every_row_is_tried_by_some_test(request: pytest.FixtureRequest) -> None:
    chosen = {item.path.name for item in request.session.items}
    there = {path.name for path in Path(__file__).parent.glob("test_security_*.py")}
    if not there <= chosen:
        pytest.skip(f"only a part of the security tests was chosen; missing: {', '.join(sorted(there - chosen))}")
    params = [getattr(item, "callspec", None) for item in request.session.items]
    tried = {one.params["row"]["id"] for one in params if one is not None and isinstance(one.params.get("row"), dict)}
    assert [
        row["id"] for line in CORPUS.read_text("utf-8").splitlines() if (row := json.loads(line))["id"] not in tried
    ] == []
