"""Attacks and harmless commands from public collections against the tools' gate: nothing of it happens unasked."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ToolError
from agent.safety.workspace import _refuse_windows_oddities as refuse_windows_oddities
from tests.agent.tool_desk import ToolDesk

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "security_cases.jsonl"

pytestmark = [
    pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}"),
    pytest.mark.skipif(os.name != "posix", reason="the rows expect a POSIX file system"),
]


def rows(*kinds: str) -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] in kinds]


ATTACKS = rows("shell_destructive", "shell_secret_or_exfil", "workspace_escape", "self_tamper")
BENIGN = rows("shell_benign")
ENVIRONMENT = rows("env_exfil")
PATHS = rows("path_traversal")


@pytest.fixture
def desk(tmp_path: Path) -> ToolDesk:
    desk = ToolDesk(tmp_path, mode="autonomous")
    desk.answers = lambda approval: "deny"
    (desk.home / "outside.txt").write_text("OUTSIDE")
    (desk.home / "workspace2").mkdir()
    (desk.folder / "link_to_etc").symlink_to("/etc")
    (desk.folder / "link_file").symlink_to(desk.home / "outside.txt")
    (desk.folder / "dir").mkdir()
    (desk.folder / "dir" / "link").symlink_to(desk.home)
    (desk.folder / ".env").write_text("KEY=OUTSIDE")
    os.mkfifo(desk.folder / "fifo")
    return desk


@pytest.mark.parametrize("row", ATTACKS, ids=lambda row: row["id"])
async def test_a_command_runs_only_after_a_person_saw_all_of_it(desk: ToolDesk, row: dict[str, Any]) -> None:
    result = await desk.call("run_command", command=row["input"])
    assert not result.ok and [effect["state"] for effect in desk.effects] == ["denied"]
    assert row["input"] in desk.questions[0].action


@pytest.mark.parametrize("row", BENIGN, ids=lambda row: row["id"])
async def test_a_harmless_command_is_never_refused_outright(desk: ToolDesk, row: dict[str, Any]) -> None:
    await desk.call("run_command", command=row["input"])
    assert len(desk.questions) == 1


@pytest.mark.parametrize("row", ENVIRONMENT, ids=lambda row: row["id"])
async def test_no_key_of_the_agent_is_in_a_command_s_environment(
    desk: ToolDesk, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TELEGRAM_TOKEN", "TRAYCLAW_KEY_OPENAI"):
        monkeypatch.setenv(name, "PLANTED")
    desk.answers = lambda approval: "allow"
    result = await desk.call("run_command", command=row["input"], timeout=10)
    assert "PLANTED" not in result.text


@pytest.mark.parametrize("row", PATHS, ids=lambda row: row["id"])
async def test_a_path_does_not_lead_out_of_the_workspace_unasked(desk: ToolDesk, row: dict[str, Any]) -> None:
    outside = {path: path.stat().st_mtime_ns for path in (desk.home / "outside.txt", Path("/etc/passwd"))}
    read = await desk.call("read_file", path=row["input"])
    assert "OUTSIDE" not in read.text and "root:" not in read.text
    asked = len(desk.questions)
    if row["required_outcome"] == "ask":
        assert asked == 1
    written = await desk.call("write_file", path=row["input"], text="x")
    if row["required_outcome"] == "block":
        assert not read.ok and not written.ok
    if row["required_outcome"] == "block_on_windows":
        with pytest.raises(ToolError):
            refuse_windows_oddities(row["input"])
    if row["required_outcome"] == "clean_error":
        assert not read.ok and "not an ordinary file" in read.text
    assert {path: path.stat().st_mtime_ns for path in outside} == outside


SWAPPED = [row for row in rows("toctou") if "symlink" in row["input"] or "cwd changes" in row["input"]]


@pytest.mark.parametrize("row", SWAPPED, ids=lambda row: row["id"])
async def test_what_is_swapped_for_a_link_after_the_check_is_not_used(desk: ToolDesk, row: dict[str, Any]) -> None:
    folder, path = desk.folder / "dir2", desk.folder / "dir2" / "outside.txt"
    folder.mkdir()
    path.write_text("inside")
    context = desk.scope.context("c")
    prepared = [
        desk.toolbox.prepare(desk.make("read_file", path="dir2/outside.txt"), context),
        desk.toolbox.prepare(desk.make("write_file", path="dir2/outside.txt", text="changed"), context),
    ]
    path.unlink()
    if "symlink" in row["input"]:
        path.symlink_to(desk.home / "outside.txt")
    else:
        folder.rmdir()
        folder.symlink_to(desk.home)
    read, write = (replace(context, effect=one.effect) for one in prepared)
    with pytest.raises((OSError, ToolError)):
        await prepared[0].tool.function(read, **prepared[0].arguments)
    with pytest.raises((OSError, ToolError)):
        prepared[1].tool.function(write, **prepared[1].arguments)
    assert (desk.home / "outside.txt").read_text() == "OUTSIDE"
