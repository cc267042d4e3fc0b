"""What a person allowed is what happens: a script that is swapped while the question is open does not run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.events import Approval
from agent.tools.concerned import MOST_BYTES, command_digest
from tests.agent.tool_desk import ToolDesk

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX shell")

SCRIPT = "echo ran > ran.txt\n"


@pytest.fixture
def desk(tmp_path: Path) -> ToolDesk:
    desk = ToolDesk(tmp_path)
    (desk.folder / "sub").mkdir()
    for name in ("x.sh", "sub/x.sh", "x.py", "Makefile", "input.txt"):
        (desk.folder / name).write_text(SCRIPT)
        (desk.folder / name).chmod(0o755)
    return desk


def meanwhile(desk: ToolDesk, work: Callable[[], object]) -> None:
    """Do this while the question is open, then allow."""

    def answer(approval: Approval) -> str:
        work()
        return "allow"

    desk.answers = answer


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("sh x.sh", "x.sh"),
        ("./x.sh", "x.sh"),
        ("sh <x.sh", "x.sh"),
        ("cat x.sh | sh", "x.sh"),
        ("cd sub && ./x.sh", "sub/x.sh"),
        ("cd sub; sh x.sh", "sub/x.sh"),
        ("sh sub/x.sh", "sub/x.sh"),
        ("sh -c './x.sh'", "x.sh"),
        ('sh -c ". ./x.sh"', "x.sh"),
        ("echo $(sh x.sh)", "x.sh"),
        ("echo `sh x.sh`", "x.sh"),
        ("for one in *.sh; do sh $one; done", "x.sh"),
        ("python3 x.py", "x.py"),
        ("python3 -m x", "x.py"),
        ("make", "Makefile"),
        ("ls --file=input.txt", "input.txt"),
        ("curl -d @input.txt http://127.0.0.1:9/", "input.txt"),
        ("X=1 ./x.sh", "x.sh"),
        ("sh x.sh # it's time", "x.sh"),
    ],
)
async def test_a_file_that_was_swapped_while_the_question_was_open(desk: ToolDesk, command: str, name: str) -> None:
    meanwhile(desk, lambda: (desk.folder / name).write_text("touch swapped.txt\n"))
    result = await desk.call("run_command", command=command)
    assert not result.ok and "changed while the question was open" in result.text
    assert not (desk.folder / "swapped.txt").exists() and not (desk.folder / "ran.txt").exists()
    assert desk.effects[-1]["state"] == "denied"


async def test_what_did_not_change_runs(desk: ToolDesk) -> None:
    meanwhile(desk, lambda: (desk.folder / "another.sh").write_text("x"))
    assert (await desk.call("run_command", command="sh x.sh")).ok
    assert (desk.folder / "ran.txt").exists()


async def test_a_script_that_appears_or_is_replaced_by_a_link(desk: ToolDesk) -> None:
    (desk.folder / "x.sh").unlink()
    meanwhile(desk, lambda: (desk.folder / "x.sh").write_text("touch swapped.txt"))
    assert "changed while" in (await desk.call("run_command", command="sh x.sh")).text
    (desk.folder / "evil.sh").write_text("touch swapped.txt")

    def swap() -> None:
        (desk.folder / "x.sh").unlink()
        (desk.folder / "x.sh").symlink_to("evil.sh")

    meanwhile(desk, swap)
    assert "changed while" in (await desk.call("run_command", command="sh x.sh")).text
    assert not (desk.folder / "swapped.txt").exists()


@pytest.mark.parametrize("tool", ["write_file", "edit_file", "apply_patch"])
async def test_a_file_that_somebody_saved_meanwhile_is_not_written_over(desk: ToolDesk, tool: str) -> None:
    path = desk.folder / "notes.txt"
    path.write_text("one\n")
    arguments = {
        "write_file": {"path": "notes.txt", "text": "two\n"},
        "edit_file": {"path": "notes.txt", "old": "one", "new": "two"},
        "apply_patch": {"patch": "*** Begin Patch\n*** Update File: notes.txt\n-one\n+two\n*** End Patch"},
    }[tool]
    meanwhile(desk, lambda: path.write_text("one\nmine\n"))
    result = await desk.call(tool, **arguments)
    assert not result.ok and "changed while the question was open" in result.text
    assert path.read_text() == "one\nmine\n"
    desk.answers = lambda approval: "allow"
    assert (await desk.call(tool, **arguments)).ok


def test_what_is_outside_or_large_or_no_file_is_not_read(desk: ToolDesk, tmp_path: Path) -> None:
    workspace = desk.scope.workspace
    (desk.home / "outside.sh").write_text("x")
    os.mkfifo(desk.folder / "fifo")
    for command in ("ls -la", "echo hi", "sh ../outside.sh", "cat /etc/passwd", "cat fifo", "", "a" * 5000, "\0"):
        assert command_digest(workspace, desk.folder, command) == "", command
    large = desk.folder / "large.bin"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    before = command_digest(workspace, desk.folder, "cat large.bin")
    with large.open("r+b") as file:
        file.write(b"x")
    assert before and command_digest(workspace, desk.folder, "cat large.bin") != before
