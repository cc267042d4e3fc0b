"""The way of a call: validated, decided, asked, noted, run, noted; and nothing that fails ends the turn."""

import asyncio
import threading
import time
from typing import Annotated, Literal

import pytest

from agent.errors import StorageError, ToolError
from agent.events import ApprovalAsked, ApprovalResolved, ToolCalled, ToolFinished
from agent.providers.types import ToolCall
from agent.safety.effects import Effect
from agent.tools.tool import Outcome, ToolContext, tool
from agent.tools.toolbox import Toolbox
from tests.agent.tool_desk import ToolDesk


@pytest.fixture
def desk(tmp_path):
    return ToolDesk(tmp_path)


def effect(kind):
    return lambda context, **arguments: Effect(kind, f"{kind} it", (context.workspace.place("x"),))


# --- schemas --------------------------------------------------------------------------------------------------------
def test_a_typed_function_becomes_a_compact_schema():
    @tool("read", effect("read"))
    def find_things(
        context: ToolContext,
        text: Annotated[str, "What to find."],
        kind: Literal["file", "folder"] = "file",
        names: list[str] | None = None,
        depth: int = 3,
    ) -> str:
        """Find things.

        Slowly.

        Args:
            depth: How deep to look,
                at most.
        """
        return ""

    assert find_things.spec.name == "find_things"
    assert find_things.spec.description == "Find things. Slowly."
    assert find_things.spec.parameters == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "What to find."},
            "kind": {"type": "string", "enum": ["file", "folder"], "default": "file"},
            "names": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
            "depth": {"type": "integer", "description": "How deep to look, at most.", "default": 3},
        },
        "required": ["text"],
        "additionalProperties": False,
    }
    assert find_things.spec is find_things.spec


# --- one call -------------------------------------------------------------------------------------------------------
async def test_an_allowed_call_is_told_asked_noted_and_finished_in_this_order(desk):
    result = await desk.call("write_file", path="a.txt", text="hello")
    assert result.ok and (desk.folder / "a.txt").read_text() == "hello"
    assert [type(event) for event in desk.events] == [ToolCalled, ApprovalAsked, ApprovalResolved, ToolFinished]
    assert desk.called[0].summary == "Create a.txt"
    row = desk.effects[0]
    assert row["state"] == "done" and row["detail"]["decided_by"] == "desktop"
    assert len(row["detail"]["action_hash"]) == 64 and row["detail"]["paths"] == [str(desk.folder / "a.txt")]


async def test_arguments_may_have_the_names_that_models_know_from_elsewhere(desk):
    assert (await desk.call("write_file", file_path="a.txt", content="one two")).ok
    assert (await desk.call("edit_file", file_path="a.txt", old_string="two", new_string="three")).ok
    assert (desk.folder / "a.txt").read_text() == "one three"
    both = await desk.call("write_file", path="a.txt", text="x", content="y")
    assert not both.ok and "content" in both.text
    assert (desk.folder / "a.txt").read_text() == "one three"


async def test_a_denied_call_does_nothing_and_the_model_hears_why(desk):
    desk.answers = lambda approval: "deny"
    result = await desk.call("write_file", path="a.txt", text="hello")
    assert not result.ok and "the person said no" in result.text
    assert not (desk.folder / "a.txt").exists()
    assert desk.effects[0]["state"] == "denied" and desk.effects[0]["detail"]["decided_by"] == "desktop"
    desk.answers, desk.seconds = lambda approval: None, 0.05
    late = await desk.call("run_command", command="touch a.txt")
    assert not late.ok and "nobody answered in time" in late.text
    assert not (desk.folder / "a.txt").exists()


async def test_the_policy_denies_without_asking(desk):
    (desk.home / ".ssh").mkdir()
    (desk.home / ".ssh" / "id_rsa").write_text("PRIVATE")
    for call in (
        desk.call("read_file", path="~/.ssh/id_rsa"),
        desk.call("write_file", path="~/.bashrc", text="x"),
        desk.call("edit_file", path="../.config/trayclaw/config.toml", old="", new="x"),
        desk.call("write_file", path=".git/hooks/pre-commit", text="x"),
    ):
        result = await call
        assert not result.ok and "safety policy" in result.text and "PRIVATE" not in result.text
    assert not desk.questions and {row["state"] for row in desk.effects} == {"denied"}


async def test_nothing_happens_that_could_not_be_noted(desk, tmp_path):
    async def full(*row):
        raise StorageError("disk full")

    from dataclasses import replace

    desk.scope = replace(desk.scope, record_begin=full)
    with pytest.raises(StorageError):
        await desk.call("write_file", path="a.txt", text="x")
    assert not (desk.folder / "a.txt").exists()


async def test_bad_calls_are_answered_in_words(desk):
    unknown = await desk.call("fly")
    assert not unknown.ok and "read_file" in unknown.text
    missing = await desk.call("read_file")
    assert not missing.ok and "path" in missing.text
    cut = ToolCall("c", "write_file", {}, '{"path": "a.txt", "text": "hal', truncated=True)
    assert "cut off" in (await desk.toolbox.run(cut, desk.scope)).text
    garbage = await desk.toolbox.run(ToolCall("c", "read_file", {}, "[1, 2"), desk.scope)
    assert not garbage.ok
    assert len(desk.called) == len(desk.finished) == 4 and not desk.effects


async def test_whatever_a_tool_raises_becomes_a_short_result(tmp_path, log_guard):
    log_guard.expect("broken failed")

    @tool("read", effect("read"))
    def broken(context: ToolContext) -> str:
        raise KeyError("internal /secret/path")

    @tool("read", effect("read"))
    async def refusing(context: ToolContext) -> str:
        raise ToolError("Not today.")

    @tool("read", effect("read"), seconds=0.05)
    async def slow(context: ToolContext) -> str:
        await asyncio.sleep(60)
        return ""

    desk = ToolDesk(tmp_path, toolbox=Toolbox((broken, refusing, slow)))
    assert (await desk.call("broken")).text == "The tool failed unexpectedly (KeyError)."
    assert any("broken failed" in record.getMessage() for record in log_guard.records)
    assert (await desk.call("refusing")).text == "Not today."
    assert "longer than" in (await desk.call("slow")).text
    assert [row["state"] for row in desk.effects] == ["failed"] * 3


async def test_known_secrets_are_taken_out_of_results_and_receipts(tmp_path):
    desk = ToolDesk(tmp_path, scrub=lambda text: text.replace("planted-key-123", "[hidden]"))
    (desk.folder / "notes.txt").write_text("key = planted-key-123\n")
    assert (await desk.call("read_file", path="notes.txt")).text == "1\tkey = [hidden]"
    await desk.call("run_command", command="echo planted-key-123")
    await desk.call("edit_file", path="notes.txt", old="key =", new="name =")
    assert "planted" not in repr(desk.effects) + repr(desk.finished)
    assert desk.effects[-1]["detail"]["changes"]


async def test_output_is_cut_to_the_limit(tmp_path):
    @tool("read", effect("read"))
    def loud(context: ToolContext) -> str:
        return "a" * 50_000 + "END"

    desk = ToolDesk(tmp_path, toolbox=Toolbox((loud,)), max_chars=1000)
    text = (await desk.call("loud")).text
    assert text.startswith("aaa") and text.endswith("END") and len(text) < 1100


async def test_the_wait_for_a_person_is_not_the_tools_time(desk):
    async def answer_late(approval):
        await asyncio.sleep(1.0)
        desk.desk.resolve(approval.id, "allow", "desktop")

    tasks = []
    desk.answers = lambda approval: tasks.append(asyncio.ensure_future(answer_late(approval)))
    await desk.call("write_file", path="a.txt", text="x")
    await asyncio.gather(*tasks)
    assert desk.finished[0].seconds < 0.95


async def test_a_stopped_write_is_noted_as_it_really_ended(tmp_path):
    entered, leave = threading.Event(), threading.Event()

    @tool("write", effect("write"))
    def write_slowly(context: ToolContext) -> Outcome:
        entered.set()
        leave.wait(5)
        context.path.write_text("written")
        return Outcome("Wrote it.", detail={"after_size": 7})

    desk = ToolDesk(tmp_path, toolbox=Toolbox((write_slowly,)))
    task = asyncio.ensure_future(desk.call("write_slowly"))
    await asyncio.to_thread(entered.wait, 5)
    task.cancel()
    asyncio.get_running_loop().call_later(0.1, leave.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (desk.folder / "x").read_text() == "written"
    assert desk.effects[0]["state"] == "done" and desk.effects[0]["detail"]["stopped"]


async def test_stopping_an_open_question_ends_the_call(desk):
    desk.answers = lambda approval: None
    task = asyncio.ensure_future(desk.call("run_command", command="touch ran"))
    async with asyncio.timeout(2):
        while not desk.desk.pending():
            await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert desk.desk.pending() == () and desk.events[-2].by == "stopped"
    assert not (desk.folder / "ran").exists()


# --- all calls of a reply -------------------------------------------------------------------------------------------
async def test_reading_calls_run_together_and_results_keep_their_order(tmp_path):
    barrier = threading.Barrier(3)

    @tool("read", effect("read"))
    def meet(context: ToolContext, name: str) -> str:
        barrier.wait(5)
        return name

    desk = ToolDesk(tmp_path, toolbox=Toolbox((meet,)))
    calls = [desk.make("meet", name=name) for name in "abc"]
    results = await desk.toolbox.run_all(calls, desk.scope)
    assert [result.text for result in results] == ["a", "b", "c"]
    assert [result.call_id for result in results] == [call.id for call in calls]


async def test_a_call_sees_what_the_calls_before_it_did(desk):
    calls = [
        desk.make("write_file", path="a.txt", text="one"),
        desk.make("edit_file", path="a.txt", old="one", new="two"),
        desk.make("read_file", path="a.txt"),
        desk.make("read_file", path="none.txt"),
        desk.make("run_command", command="cat a.txt"),
    ]
    results = await desk.toolbox.run_all(calls, desk.scope)
    assert [result.ok for result in results] == [True, True, True, False, True]
    assert results[2].text == "1\ttwo" and results[4].text.startswith("two\n")
    assert len(desk.questions) == 3


async def test_stopping_ends_all_calls_of_a_reply(desk):
    calls = [desk.make("run_command", command="echo started; sleep 60"), desk.make("run_command", command="touch late")]
    task = asyncio.ensure_future(desk.toolbox.run_all(calls, desk.scope))
    async with asyncio.timeout(5):
        while not desk.printed:
            await asyncio.sleep(0.01)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 1.0
    assert not (desk.folder / "late").exists() and len(desk.called) == 1
