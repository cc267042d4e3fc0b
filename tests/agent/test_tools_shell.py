"""Commands as the model runs them: in their own group, with a clean environment, ended as a whole and in time."""

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.tools.environment import child_environment
from tests.agent.tool_desk import ToolDesk

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands here are for a POSIX shell")


@pytest.fixture
def desk(tmp_path):
    return ToolDesk(tmp_path)


def running(mark):
    """Whether a process with this word among its arguments runs."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        if not Path("/proc/self").exists():
            os.kill(pid, 0)
            return True
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def eventually(condition, seconds=2.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        await asyncio.sleep(0.01)


async def test_output_errors_and_exit_code_come_back(desk):
    result = await desk.call("run_command", command="echo out; echo err >&2; exit 3")
    assert result.text == "out\nerr\n[exit code 3]" and not result.ok
    assert "".join(desk.printed) == "out\nerr\n"
    fine = await desk.call("run_command", command="printf 'a\\xffb'; cat")
    assert fine.text == "a\ufffdb\n[exit code 0]" and fine.ok
    assert desk.effects[0]["state"] == "failed" and desk.effects[0]["detail"]["exit_code"] == 3


async def test_it_runs_in_the_workspace_or_a_folder_below(desk):
    (desk.folder / "sub").mkdir()
    assert (await desk.call("run_command", command="pwd")).text.startswith(f"{desk.folder}\n")
    assert (await desk.call("run_command", command="pwd", cwd="sub")).text.startswith(f"{desk.folder}/sub\n")
    assert not (await desk.call("run_command", command="pwd", cwd="none")).ok


async def test_long_output_keeps_both_ends(tmp_path):
    desk = ToolDesk(tmp_path, max_chars=2000)
    result = await desk.call("run_command", command="seq 1 20000")
    assert result.text.startswith("1\n2\n") and "\n20000\n[exit code 0]" in result.text
    assert "characters left out" in result.text and len(result.text) <= 2000


async def test_a_time_out_ends_grandchildren_too(desk):
    started = time.monotonic()
    command = "trap '' TERM; (trap '' TERM; sleep 300 & echo pid=$!; wait) & echo pid=$!; wait"
    result = await desk.call("run_command", command=command, timeout=0.5)
    assert time.monotonic() - started < 2.0
    assert not result.ok and "its time was over" in result.text
    pids = [int(pid) for pid in re.findall(r"pid=(\d+)", result.text)]
    assert len(pids) == 2
    await eventually(lambda: not any(alive(pid) for pid in pids))


async def test_stop_ends_the_command_within_a_second(desk):
    task = asyncio.ensure_future(desk.call("run_command", command="sleep 300 & echo pid=$!; wait"))
    await eventually(lambda: "pid=" in "".join(desk.printed))
    pid = int(re.search(r"pid=(\d+)", "".join(desk.printed))[1])
    assert alive(pid)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 1.0
    await eventually(lambda: not alive(pid))
    assert desk.effects[0]["state"] == "failed" and desk.effects[0]["detail"]["stopped"]
    assert desk.finished[0].text == "Stopped by the person."


async def test_what_is_left_in_the_background_ends_with_the_command(desk):
    started = time.monotonic()
    result = await desk.call("run_command", command="sleep 300 & echo pid=$!")
    assert time.monotonic() - started < 2.0
    assert "left running" in result.text
    pid = int(re.search(r"pid=(\d+)", result.text)[1])
    await eventually(lambda: not alive(pid))


async def test_no_secret_is_in_the_environment_of_a_command(desk, monkeypatch):
    planted = {
        "OPENAI_API_KEY": "planted-openai",
        "TRAYCLAW_KEY_OPENAI": "planted-trayclaw",
        "TRAYCLAW_PASSPHRASE": "planted-passphrase",
        "TELEGRAM_TOKEN": "planted-telegram",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/planted-bus",
        "https_proxy": "http://me:planted-proxy@127.0.0.1:1",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    for command in ("printenv", "set", "cat /proc/self/environ", "echo $OPENAI_API_KEY ${TRAYCLAW_KEY_OPENAI:0:9}"):
        result = await desk.call("run_command", command=command)
        assert result.ok and "planted" not in result.text
    assert child_environment({"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET": "x"}).keys() >= {"PATH", "LC_ALL", "TERM"}
    assert "AWS_SECRET" not in child_environment({"AWS_SECRET": "x"})


async def test_nothing_hides_in_the_command_a_person_is_shown(desk):
    hidden = "echo safe \u202e/ fr- mr\x1b[8m; rm x"
    desk.answers = lambda approval: "deny"
    result = await desk.call("run_command", command=hidden)
    assert not result.ok
    shown = desk.questions[0].action
    assert "\\u202e" in shown and "\\x1b[8m; rm x" in shown and "\u202e" not in shown and "\x1b" not in shown
    refused = await desk.call("run_command", command="rm -rf x\recho safe     ")
    assert not refused.ok and "carriage return" in refused.text and len(desk.questions) == 1


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_child_cannot_read_keys_from_its_parents_environment():
    code = (
        "import os, subprocess; from agent.safety.process import hide_environment; hide_environment();"
        "print(os.environ['TRAYCLAW_KEY_OPENAI'][::-1], flush=True);"
        "subprocess.run('cat /proc/$PPID/environ; printenv', shell=True)"
    )
    environ = {"PATH": os.environ["PATH"], "TRAYCLAW_KEY_OPENAI": "planted-key", "VISIBLE": "seen"}
    repository = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], env=environ, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "yek-detnalp" in done.stdout and "seen" in done.stdout
    assert "planted" not in done.stdout


def test_commands_run_on_the_window_s_loop(tmp_path):
    """qasync's loop, in a process of its own."""
    pytest.importorskip("qasync", reason="the desktop's loop is not installed")
    code = (
        "import asyncio, qasync, sys; from pathlib import Path; from PySide6.QtCore import QCoreApplication;"
        "from agent.tools.processes import run, shell_argv;"
        "app = QCoreApplication([]); loop = qasync.QEventLoop(app); asyncio.set_event_loop(loop);"
        "heard = []; argv = shell_argv('sleep 300 & echo hi');"
        "ended = loop.run_until_complete(run(argv, cwd=Path('.'), environment={'PATH': '/usr/bin:/bin'}, seconds=9,"
        " output=heard.append)); print(heard, ended.status, ended.left_children); loop.close()"
    )
    repository = Path(__file__).parents[2]
    environ = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environ, cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['hi\\n'] 0 True", done.stderr
