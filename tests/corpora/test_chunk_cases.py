"""Texts that are awkward to cut, for the limits of Telegram and Discord: every row must hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.channels import discord_text
from agent.channels.split import Unit, measure, split
from agent.channels.telegram_text import message_pieces
from tests.peers import discord_markdown
from tests.peers.telegram_html import parse, utf16_length

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "chunk_cases.jsonl"

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")

MARK_UP = re.compile(r"```(?:\w*\n)?|\*\*")


def rows() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    found = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    return [row for row in found if "text" in row]


def limits() -> dict[str, Any]:
    first: dict[str, Any] = json.loads(CORPUS.read_text(encoding="utf-8").splitlines()[0])["limits"]
    return first


def visible(text: str) -> str:
    """What must neither get lost nor come twice: all but white space and the marks that a cut closes and opens."""
    return "".join(MARK_UP.sub("", text).replace("\0", "").split())


ALL = pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['id']}-{row['name']}")


@ALL
def test_lengths_are_counted_like_the_corpus_does(row: dict[str, Any]) -> None:
    counted = [measure(row["text"], unit) for unit in ("code_points", "utf16", "bytes")]
    assert counted == [row["codepoints"], row["utf16"], row["utf8"]]


@ALL
@pytest.mark.parametrize("unit", ["code_points", "utf16", "bytes"])
def test_pieces_fit_and_hold_everything(row: dict[str, Any], unit: Unit) -> None:
    size = {"code_points": "codepoints", "utf16": "utf16", "bytes": "utf8"}[unit]
    for limit in (limits()["discord"]["message"], limits()["slack"]["section_block_text"], 4096):
        pieces = split(row["text"], limit, unit)
        assert all(0 < measure(piece, unit) <= limit for piece in pieces)
        assert visible("".join(pieces)) == visible(row["text"])
        least = -(-row[size] // limit) if row["text"].strip() else 0
        assert least <= len(pieces) <= least + 1
        assert all(piece.count("```") % 2 == 0 and piece.count("**") % 2 == 0 for piece in pieces)
        check_characters(row["name"], pieces)


def check_characters(name: str, pieces: list[str]) -> None:
    for piece in pieces:
        if name == "zwj":
            assert piece.startswith("\U0001f468") and piece.endswith("\U0001f466")
        elif name == "combining":
            assert piece[0] == "e" and piece[-1] == "\u0301"
        elif name == "code_block":
            assert piece.startswith("```python\n")
            assert all(line in ("```python", "x = 1", "```", "") for line in piece.split("\n"))
        elif name == "crlf":
            assert all(line == "line" for line in piece.split())
        elif name == "table":
            assert all(line.startswith("| ") or line == "|---|---|" for line in piece.splitlines())


@ALL
def test_telegram_reads_every_message(row: dict[str, Any]) -> None:
    shown = []
    for piece in message_pieces(row["text"]):
        text, _ = parse(piece.html)
        assert 0 < utf16_length(text) <= limits()["telegram"]["message"]
        shown.append(text)
    if row["name"] == "table":
        assert [text.partition("\n")[0] for text in shown] == ["a | b"] * len(shown)
        assert sum(text.count("1 | 2") for text in shown) == row["text"].count("| 1 | 2 |")
    else:
        assert visible("".join(shown)) == visible(row["text"])


def test_exactly_one_message_where_it_fits_exactly() -> None:
    fitting = {row["name"]: row["text"] for row in rows() if row["utf16"] == limits()["telegram"]["message"]}
    assert set(fitting) >= {"ascii_4096", "emoji_2048", "long_word_cjk"}
    assert all(len(message_pieces(text)) == 1 for text in fitting.values())


@ALL
def test_discord_reads_every_message(row: dict[str, Any]) -> None:
    shown = []
    for piece in discord_text.message_pieces(row["text"]):
        assert 0 < len(piece) <= limits()["discord"]["message"]
        shown.append(discord_markdown.visible(piece))
    if row["name"] == "table":
        assert [text.partition("\n")[0] for text in shown] == ["a | b"] * len(shown)
        assert sum(text.count("1 | 2") for text in shown) == row["text"].count("| 1 | 2 |")
    else:
        assert visible("".join(shown)) == visible(row["text"])
