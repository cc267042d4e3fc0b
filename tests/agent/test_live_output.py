"""What a running command prints: few events, bounded, without keys; and where all of a long output is kept."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import pytest

from agent.core.ledger import Ledger
from agent.events import Event, ToolOutput
from agent.safety.redact import Redactor
from agent.settings import UndoSettings
from agent.tools import full_output, live_output
from agent.tools.live_output import LiveOutput
from tests.agent.tool_desk import ToolDesk

KEY = "sk-planted-0123456789abcdef"


class Listening:
    def __init__(self) -> None:
        self.events: list[Event] = []
        redactor = Redactor()
        redactor.register(KEY)
        self.live = LiveOutput(7, 9, self.events.append, redactor.scrub_known)

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ToolOutput))


async def test_many_pieces_become_few_events() -> None:
    heard = Listening()
    for number in range(200):
        heard.live.add("a", f"{number}\n")
        await asyncio.sleep(0.002)
    await asyncio.sleep(2 * live_output.BETWEEN_SECONDS)
    assert heard.text == "".join(f"{number}\n" for number in range(200))
    assert 2 <= len(heard.events) <= 12
    assert heard.events[0] == ToolOutput(7, 9, "a", heard.events[0].text)  # type: ignore[union-attr]


async def test_a_flood_is_cut_to_its_end() -> None:
    heard = Listening()
    for number in range(2_000):
        heard.live.add("a", f"line {number} {'x' * 100}\n")
    await asyncio.sleep(2 * live_output.BETWEEN_SECONDS)
    [event] = heard.events
    assert isinstance(event, ToolOutput)
    assert len(event.text) <= live_output.MOST_CHARS + 1 and event.text.startswith("…")
    assert event.text.endswith(f"line 1999 {'x' * 100}\n")


async def test_a_key_that_comes_in_two_pieces_is_not_shown() -> None:
    heard = Listening()
    heard.live.add("a", f"the key is {KEY[:12]}")
    await asyncio.sleep(3 * live_output.BETWEEN_SECONDS)
    heard.live.add("a", f"{KEY[12:]} there\n")
    await asyncio.sleep(3 * live_output.BETWEEN_SECONDS)
    assert heard.text == "the key is [hidden] there\n"


async def test_dots_and_questions_are_shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_output, "HELD_SECONDS", 0.3)
    heard = Listening()
    heard.live.add("a", "Really? ...")
    await asyncio.sleep(2 * live_output.BETWEEN_SECONDS)
    assert heard.text == "Really? ..."
    heard.live.add("a", "name")
    await asyncio.sleep(2 * live_output.BETWEEN_SECONDS)
    assert heard.text == "Really? ..."
    await asyncio.sleep(0.5)
    assert heard.text == "Really? ...name", "a word that nothing follows is shown after a while"


async def test_nothing_is_told_after_the_turn() -> None:
    heard = Listening()
    heard.live.add("a", "late\n")
    heard.live.close()
    await asyncio.sleep(2 * live_output.BETWEEN_SECONDS)
    assert heard.events == []


# --- all of a long output ---------------------------------------------------------------------------------------------
posix = pytest.mark.skipif(os.name != "posix", reason="the commands here are for a POSIX shell")


def named(text: str) -> str:
    found = re.search(r"read_file (\S+?)\]", text)
    assert found, text[-300:]
    return found[1]


@posix
async def test_the_model_can_read_the_part_that_it_was_not_shown(tmp_path: Path) -> None:
    desk = ToolDesk(tmp_path, max_chars=2_000)
    result = await desk.call("run_command", command="seq 1 20000")
    assert "\n10000\n" not in result.text and len(result.text) <= 2_000
    asked = len(desk.questions)
    part = await desk.call("read_file", path=named(result.text), offset=10_000, limit=3)
    assert part.ok and "10000" in part.text and len(desk.questions) == asked
    short = await desk.call("run_command", command="seq 1 20")
    assert "read_file" not in short.text
    found = await desk.call("search_text", pattern="^12345$", path=named(result.text))
    assert "12345" in found.text


@posix
async def test_neither_undo_nor_searches_see_the_folder(tmp_path: Path) -> None:
    desk = ToolDesk(tmp_path, max_chars=2_000)
    await desk.call("run_command", command="seq 1 20000; echo x > made.txt")
    await desk.call("run_command", command="seq 1 20000")
    names = [Path(change["path"]).name for effect in desk.effects for change in effect["detail"].get("changes", ())]
    assert names == ["made.txt"]
    assert ".trayclaw" not in (await desk.call("search_text", pattern="12345")).text
    assert (desk.folder / ".trayclaw/.gitignore").read_text() == "*\n"


@posix
async def test_no_key_gets_into_the_file(tmp_path: Path) -> None:
    redactor = Redactor()
    redactor.register(KEY)
    desk = ToolDesk(tmp_path, max_chars=2_000, scrub=redactor.scrub_known)
    (desk.folder / "notes.txt").write_text(KEY)
    result = await desk.call("run_command", command="seq 1 9000; cat notes.txt; seq 1 9000")
    kept = (desk.folder / named(result.text)).read_text()
    assert KEY not in kept and "[hidden]" in kept


@posix
async def test_the_files_are_few_and_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_output, "MOST_FILES", 3)
    desk = ToolDesk(tmp_path)
    kept = [full_output.keep(desk.scope.workspace, f"output {number}") for number in range(6)]
    folder = desk.folder / ".trayclaw/output"
    assert len(list(folder.iterdir())) == 3 and (desk.folder / kept[-1]).read_text() == "output 5"
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    full_output.keep(desk.scope.workspace, "new")
    assert [path.read_text() for path in folder.iterdir()] == ["new"]


@posix
async def test_a_link_in_its_place_leads_nowhere(tmp_path: Path) -> None:
    desk = ToolDesk(tmp_path, max_chars=2_000)
    (tmp_path / "elsewhere").mkdir()
    (desk.folder / ".trayclaw").symlink_to(tmp_path / "elsewhere")
    result = await desk.call("run_command", command="seq 1 20000")
    assert result.ok and "could not be kept" in result.text and list((tmp_path / "elsewhere").iterdir()) == []


@posix
async def test_more_than_is_kept_has_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_output, "MOST_CHARS", 50_000)
    desk = ToolDesk(tmp_path, max_chars=2_000)
    result = await desk.call("run_command", command="seq 1 20000")
    kept = (desk.folder / named(result.text)).read_text()
    assert kept.startswith("1\n2\n") and kept.endswith("\n20000\n") and "characters left out" in kept
    assert len(kept) < 51_000 and result.text.count("characters left out") == 1


def test_the_ledger_leaves_out_that_folder_alone(tmp_path: Path) -> None:
    from agent.safety.effects import Effect

    desk = ToolDesk(tmp_path)
    for name in (".trayclaw/output/a", "sub/.trayclaw/b"):
        (desk.folder / name).parent.mkdir(parents=True)
        (desk.folder / name).write_text("x")
    ledger = Ledger(tmp_path / "images", UndoSettings)
    snapshot: Any = ledger.before(Effect("execute", "run"), desk.scope.workspace)
    seen = {path.relative_to(desk.folder).as_posix() for path in snapshot.states}
    assert seen == {"sub", "sub/.trayclaw", "sub/.trayclaw/b"}
