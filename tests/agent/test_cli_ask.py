"""`trayclaw ask` as scripts see it: JSON lines, plain text, exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.cli_kit import KEY, PROGRAM, configure, environment, model, trayclaw, use_model, wait_until
from tests.peers.model_server import Request
from tests.peers.replies import Answer, Call, Ending, Reply, garbage, unauthorized

WORKSPACE_ENV = "TRAYCLAW_HOME"


def workspace() -> Path:
    return Path(os.environ[WORKSPACE_ENV]) / "workspace"


def runs_a_command(request: Request) -> Answer:
    if request.messages[-1]["role"] == "tool":
        return Reply(f"It said: {request.last_text}")
    return Reply(
        "I will look.", calls=[Call("run_command", {"command": "echo made > made.txt", "network": True}, "call_1")]
    )


def test_the_answer_is_plain_text_in_a_pipe() -> None:
    with model("# Title\n\nHello **there**.") as peer:
        outcome = trayclaw("ask", "hi")
        assert outcome.code == 0
        assert outcome.out == "# Title\n\nHello **there**.\n"
        assert outcome.err == ""
        assert peer.peer.chats[0].last_text.endswith("hi")


def test_the_question_comes_from_stdin() -> None:
    with model("yes") as peer:
        assert trayclaw("ask", "-", stdin="from a pipe").out == "yes\n"
        assert trayclaw("ask", stdin="from a pipe too").out == "yes\n"
        assert [chat.last_text for chat in peer.peer.chats] == ["from a pipe", "from a pipe too"]


def test_json_lines_have_the_documented_form() -> None:
    with model(Reply("Hello there", reasoning="hm", prompt_tokens=20, completion_tokens=5, cached_tokens=4)):
        outcome = trayclaw("ask", "hi", "--json")
    assert outcome.code == 0
    assert outcome.err == ""
    *pieces, last = outcome.events
    assert "".join(one["delta"] for one in pieces if one["event"] == "text") == "Hello there"
    assert "".join(one["delta"] for one in pieces if one["event"] == "reasoning") == "hm"
    assert last == {
        "event": "turn",
        "turn_id": 1,
        "status": "answered",
        "text": "Hello there",
        "model": "local/fake-1",
        "usage": {
            "input_tokens": 20,
            "output_tokens": 5,
            "cache_read_tokens": 4,
            "reasoning_tokens": 0,
            "cost_usd": last["usage"]["cost_usd"],
        },
        "effects": [],
    }


def test_a_named_conversation_is_continued_and_another_is_not() -> None:
    with model("noted") as peer:
        assert trayclaw("ask", "my name is Ada", "--conversation", "work").code == 0
        assert trayclaw("ask", "who am I?", "--conversation", "work").code == 0
        assert trayclaw("ask", "who am I?").code == 0
        _, second, third = peer.peer.chats
        assert any("Ada" in str(message["content"]) for message in second.messages)
        assert not any("Ada" in str(message["content"]) for message in third.messages)


def test_without_a_person_a_command_is_denied_and_the_model_is_told() -> None:
    with model(runs_a_command):
        outcome = trayclaw("ask", "look", "--json")
    assert outcome.code == 0
    kinds = [one["event"] for one in outcome.events if one["event"] != "text"]
    assert kinds == ["tool_call", "approval", "tool_result", "turn"]
    call, approval, result = (one for one in outcome.events if one["event"] in ("tool_call", "approval", "tool_result"))
    assert call == {
        "event": "tool_call",
        "id": "call_1",
        "name": "run_command",
        "arguments": {"command": "echo made > made.txt", "network": True},
    }
    assert approval == {"event": "approval", "id": "call_1", "decision": "deny"}
    assert (result["id"], result["ok"]) == ("call_1", False)
    assert not (workspace() / "made.txt").exists()


def test_approve_always_lets_it_run() -> None:
    with model(runs_a_command):
        outcome = trayclaw("ask", "look", "--json", "--approve", "always")
    assert outcome.code == 0
    decisions = [one["decision"] for one in outcome.events if one["event"] == "approval"]
    assert decisions == ["allow"]
    assert (workspace() / "made.txt").exists()
    assert outcome.events[-1]["effects"]


def test_an_unknown_provider_is_a_mistake_of_the_caller_and_leaves_no_conversation() -> None:
    outcome = trayclaw("ask", "hi", "--model", "nobody/x", "--json")
    assert outcome.code == 2
    assert outcome.events[-1]["event"] == "error"
    assert outcome.events[-1]["kind"] == "usage"
    assert "nobody" in outcome.err
    assert "Next: There is: openai" in outcome.err
    assert trayclaw("conversations", "list").out == "There is no conversation yet.\n"


def failing(script: Answer) -> tuple[int, dict[str, str], str]:
    with model(script):
        outcome = trayclaw("ask", "hi", "--json", env={"TRAYCLAW_KEY_LOCAL": KEY})
    assert KEY not in outcome.out + outcome.err
    return outcome.code, outcome.events[-1], outcome.err


def test_a_refused_key_names_the_command_that_replaces_it() -> None:
    code, last, words = failing(unauthorized())
    assert code == 4
    assert (last["event"], last["kind"]) == ("error", "auth")
    assert set(last) == {"event", "kind", "title", "hint"}
    assert last["title"] in words
    assert "Next: Store another key: trayclaw keys set local" in words


def test_garbage_from_the_provider() -> None:
    code, last, _ = failing(garbage())
    assert (code, last["event"], last["kind"]) == (4, "error", "bad_response")


def test_half_an_answer_is_shown_and_the_failure_told() -> None:
    with model(Reply("one two three four", ending=Ending.CUT)):
        outcome = trayclaw("ask", "hi", "--json")
    assert outcome.code == 4
    assert outcome.events[0] == {"event": "text", "delta": "one"}
    assert outcome.events[-1]["kind"] == "network"


def test_nobody_listens_at_the_address(unused_tcp_port: int) -> None:
    use_model(f"http://127.0.0.1:{unused_tcp_port}/v1")
    outcome = trayclaw("ask", "hi", "--json")
    assert outcome.code == 4
    assert outcome.events[-1]["kind"] == "network"
    assert f"127.0.0.1:{unused_tcp_port}" in outcome.err


def test_a_broken_settings_file_is_named_with_its_place_and_kept() -> None:
    broken = '[model]\ndefault = "local/fake-1\n'
    file = configure(broken)
    outcome = trayclaw("ask", "hi", "--json")
    assert outcome.code == 2
    assert outcome.events == [{**outcome.events[0], "event": "error", "kind": "config"}]
    assert "line 2, column" in outcome.err
    assert file.read_text() == broken


def test_a_locked_database_is_named() -> None:
    with model("fine"):
        assert trayclaw("ask", "hi").code == 0
        holder = sqlite3.connect(Path(os.environ["TRAYCLAW_HOME"]) / "trayclaw.db", isolation_level=None)
        try:
            holder.execute("BEGIN EXCLUSIVE")
            outcome = trayclaw("ask", "hi", "--json")
        finally:
            holder.close()
        assert outcome.code == 1
        assert (outcome.events[-1]["kind"], outcome.events[-1]["title"]) == ("storage", "The database is locked")
        assert trayclaw("ask", "hi").code == 0


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    outcome = trayclaw("ask", "hi", env={"TRAYCLAW_HOME": str(blocker / "home")})
    assert outcome.code == 1
    assert "cannot create its folders" in outcome.err
    assert "Next:" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be sent to a process on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_was_said(number: signal.Signals) -> None:
    with model("placeholder") as peer:

        async def halfway() -> asyncio.Event:
            return asyncio.Event()

        held = peer.call(halfway())
        peer.peer.script = Reply("first second third fourth", halfway=held)
        process = subprocess.Popen(
            [*PROGRAM, "ask", "hi", "--json"], stdout=subprocess.PIPE, text=True, env=environment()
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "first" in first
        process.send_signal(number)
        rest, _ = process.communicate(timeout=20)
        assert process.returncode == 5
        last = rest.splitlines()[-1]
        assert '"status": "stopped"' in last
        assert "first second" in last
        wait_until(lambda: peer.peer.active == 0, "the end of the request")


def test_an_unexpected_error_is_short_and_the_details_are_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import agent.paths\n"
        "def fail(*a): raise RuntimeError(f'odd thing with {KEY}')\n"
        f"KEY = '{KEY}'\n"
        "agent.paths.Paths.prepare = fail\n"
    )
    root = environment()["PYTHONPATH"]
    outcome = trayclaw("ask", "hi", env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"})
    assert outcome.code == 1
    log = Path(os.environ["TRAYCLAW_HOME"]) / "logs" / "trayclaw.log"
    assert outcome.err == (
        f"Something unexpected happened\n  RuntimeError: odd thing with [hidden]\n  Next: The details are in {log}.\n"
    )
    written = log.read_text()
    assert "Traceback" in written
    assert KEY not in written


def test_the_spending_limit_refuses_before_anything_is_sent() -> None:
    with model("dear") as peer:
        limit = "[budget]\ndaily_usd = 0.0\n"
        configure(f'[model]\ndefault = "openai/gpt-4o"\n[providers.openai]\nbase_url = "{peer.peer.base_url}"\n{limit}')
        outcome = trayclaw("ask", "hi", "--json", env={"TRAYCLAW_KEY_OPENAI": KEY})
        assert (outcome.code, outcome.events[-1]["event"], outcome.events[-1]["kind"]) == (3, "error", "budget")
        assert peer.peer.chats == []
        assert "budget.daily_usd" in outcome.err
