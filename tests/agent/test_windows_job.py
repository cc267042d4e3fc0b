"""The fence of Windows by what it asks of the system; the last tests run there for real."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.safety.policy import PolicyContext, ProposedCall, decide
from agent.safety.sandbox import Fence, windows_job
from agent.safety.sandbox import windows_api as api
from agent.safety.sandbox.choose import candidates, works
from agent.safety.sandbox.windows_job import WindowsJob, around, limits, order
from agent.tools import shell
from tests.agent.tool_desk import ToolDesk

windows = pytest.mark.skipif(sys.platform != "win32", reason="runs on Windows, in its CI matrix")
WIDE = pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="the sizes are those of 64-bit systems")


class FakeWindows:
    """Writes down what is asked for; handles are numbers from 100 on. `fails` names calls that are refused."""

    def __init__(self, *fails: str, code: int = 0) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.limits: dict[int, Any] = {}
        self._fails, self._code = fails, code
        self._handles = iter(range(100, 200))

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if call[0] in self._fails:
            raise OSError(5, "Access is denied")

    def make_job(self) -> int:
        self._note("make_job")
        return next(self._handles)

    def limit(self, job: int, kind: int, limits: ctypes.Structure | ctypes.c_uint32) -> None:
        self.limits[kind] = limits
        self._note("limit", job, kind)

    def open_process(self, pid: int) -> int:
        self._note("open_process", pid)
        return next(self._handles)

    def assign(self, job: int, process: int) -> None:
        self._note("assign", job, process)

    def end_job(self, job: int) -> None:
        self._note("end_job", job)

    def close(self, handle: int) -> None:
        self.calls.append(("close", handle))

    def low_token(self) -> int:
        self._note("low_token")
        return next(self._handles)

    def start(self, token: int, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, int]:
        self._note("start", token, list(argv))
        return next(self._handles), next(self._handles)

    def resume(self, thread: int) -> None:
        self._note("resume", thread)

    def wait(self, process: int) -> int:
        self._note("wait", process)
        return self._code


# --- structures and numbers, as winnt.h has them ---------------------------------------------------------------------
@WIDE
def test_the_structures_have_the_layout_of_the_headers() -> None:
    assert ctypes.sizeof(api.BasicLimits) == 64 and ctypes.sizeof(api.ExtendedLimits) == 144
    assert api.BasicLimits.LimitFlags.offset == 16 and api.BasicLimits.ActiveProcessLimit.offset == 40
    assert api.ExtendedLimits.ProcessMemoryLimit.offset == 112 and api.ExtendedLimits.JobMemoryLimit.offset == 120
    assert ctypes.sizeof(api._StartupInfo) == 104 and ctypes.sizeof(api._ProcessInformation) == 24


def test_a_job_kills_on_close_and_has_limits() -> None:
    found = limits(memory=4 << 30, processes=256)
    assert found.Basic.LimitFlags == 0x2000 | 0x400 | 0x200 | 0x8
    assert found.JobMemoryLimit == 4 << 30 and found.Basic.ActiveProcessLimit == 256
    assert limits().Basic.LimitFlags == 0x2000 | 0x400


# --- the job around a program ----------------------------------------------------------------------------------------
def test_a_job_around_a_program_ends_with_it() -> None:
    fake = FakeWindows()
    job = around(4242, fake)
    assert job is not None
    assert fake.calls == [
        ("make_job",),
        ("limit", 100, 9),
        ("open_process", 4242),
        ("assign", 100, 101),
        ("close", 101),
    ]
    job.end()
    job.close()
    job.close()
    job.end()
    assert fake.calls[5:] == [("end_job", 100), ("close", 100)]


@pytest.mark.parametrize("call", ["make_job", "limit", "open_process", "assign"])
def test_without_a_job_there_is_none_and_no_handle_stays_open(call: str) -> None:
    fake = FakeWindows(call)
    assert around(4242, fake) is None
    opened = sum(name in ("make_job", "open_process") and name != call for name, *_ in fake.calls)
    assert sum(name == "close" for name, *_ in fake.calls) == opened


# --- the process that holds it ----------------------------------------------------------------------------------------
def test_the_program_is_in_the_job_before_its_first_step() -> None:
    fake = FakeWindows(code=7)
    fence = Fence((Path("work"),), memory=1 << 30, processes=9)
    assert windows_job.main([order(fence, ("pwsh", "-Command", 'echo "ü"'))], fake) == 7
    names = [name for name, *_ in fake.calls]
    assert names == [
        *("make_job", "limit", "limit", "low_token", "start", "assign", "resume", "wait"),
        *("close", "close", "close", "close"),
    ]
    assert fake.limits[9].JobMemoryLimit == 1 << 30 and fake.limits[9].Basic.ActiveProcessLimit == 9
    assert fake.limits[4].value == 0xFF, "no clipboard, no other windows, no shutdown"
    assert ("start", 101, ["pwsh", "-Command", 'echo "ü"']) in fake.calls and ("assign", 100, 102) in fake.calls


@pytest.mark.parametrize("call", ["assign", "resume"])
def test_a_program_that_cannot_be_put_into_the_job_ends_with_it(call: str) -> None:
    fake = FakeWindows(call)
    with pytest.raises(OSError, match="denied"):
        windows_job.main([order(Fence((Path("work"),)), ("cmd",))], fake)
    assert [name for name, *_ in fake.calls].count("close") == 4 and ("wait", 102) not in fake.calls


def test_the_command_that_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []

    def run(argv: Any, **options: Any) -> Any:
        ran.append(argv)
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(windows_job.subprocess, "run", run)
    monkeypatch.setenv("SYSTEMROOT", "/Windows")
    hooks = tmp_path / ".git" / "hooks"
    hooks.mkdir(parents=True)
    fence = Fence((tmp_path,), protected=(hooks, tmp_path / "not there"), memory=5, processes=6)
    fenced = WindowsJob()
    launch = fenced.launch(("pwsh", "-c", "ls"), cwd=tmp_path, environment={"PATH": "x", "TEMP": "y"}, fence=fence)
    assert launch.argv[0] == sys.executable and json.loads(launch.argv[-1]) == {
        "argv": ["pwsh", "-c", "ls"],
        "memory": 5,
        "processes": 6,
    }
    assert launch.environment == {"PATH": "x", "TEMP": str(tmp_path / ".tmp"), "TMP": str(tmp_path / ".tmp")}
    assert [(one[1], one[3]) for one in ran] == [
        (str(tmp_path), "(OI)(CI)low"),
        (str(hooks), "(OI)(CI)medium"),
    ]
    assert ran[0][2] == "/setintegritylevel" and Path(ran[0][0]).name == "icacls.exe"
    fenced.launch(("pwsh",), cwd=tmp_path, environment={}, fence=fence)
    assert [one[3] for one in ran[2:]] == ["(OI)(CI)medium"], "a folder is labelled once, what is protected each time"
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert windows_job.launcher() == (sys.executable, "_fenced")


def test_the_start_finds_the_package_from_anywhere(tmp_path: Path) -> None:
    """Its imports work in a bare environment and another folder; the calls themselves are Windows' own."""
    start = (*windows_job.launcher(), order(Fence((tmp_path,)), ("true",)))
    done = subprocess.run(start, cwd=tmp_path, env={}, capture_output=True, text=True)
    assert sys.platform == "win32" or "WinDLL" in done.stderr.splitlines()[-1], done.stderr


# --- what it means ----------------------------------------------------------------------------------------------------
class _Fenced:
    name, closes_network, by_host = WindowsJob.name, WindowsJob.closes_network, WindowsJob.by_host


def test_it_is_no_full_fence_so_that_every_command_asks(tmp_path: Path) -> None:
    context = ToolDesk(tmp_path, sandbox=_Fenced()).scope.context("x")
    effect = shell._describe(context, "dir")
    assert effect.network and not effect.undoable
    for mode in ("careful", "balanced", "autonomous"):
        decision = decide(ProposedCall("run_command", {}, effect), PolicyContext("owner", mode, sandboxed=True))
        assert decision.outcome == "ask" and "network" in decision.reason
    by_host = shell._describe(context, "dir", hosts=["pypi.org"])
    assert by_host.network and by_host.hosts == () and "WITH THE WHOLE NETWORK" in by_host.action


def test_power_shell_speaks_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.tools import processes

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(processes.shutil, "which", lambda name: f"C:\\{name}.exe" if name == "pwsh" else None)
    argv = processes.shell_argv("Write-Output ü")
    assert argv[0] == "C:\\pwsh.exe" and argv[1:5] == ("-NoLogo", "-NoProfile", "-NonInteractive", "-Command")
    assert argv[5] == "[Console]::OutputEncoding = [Text.Encoding]::UTF8; Write-Output ü"


# --- on Windows -------------------------------------------------------------------------------------------------------
@windows
def test_the_fence_can_be_put_up() -> None:
    [fence] = candidates()
    assert isinstance(fence, WindowsJob) and works(fence)


@windows
async def test_a_fenced_command_works_in_the_workspace_only(tmp_path: Path) -> None:
    desk = ToolDesk(tmp_path, sandbox=WindowsJob())
    outside = desk.home / "outside.txt"
    result = await desk.call("run_command", command=f"'ü' > in.txt; Get-Content in.txt; 'x' > '{outside}'")
    assert "ü" in result.text and (desk.folder / "in.txt").exists() and not outside.exists()


@windows
async def test_what_it_left_running_ends_with_it(tmp_path: Path) -> None:
    desk = ToolDesk(tmp_path)
    command = "$p = Start-Process ping -ArgumentList '-n','300','127.0.0.1' -PassThru -WindowStyle Hidden; $p.Id"
    result = await desk.call("run_command", command=command)
    pid = int(result.text.splitlines()[0])
    found = subprocess.run(("tasklist", "/FI", f"PID eq {pid}"), capture_output=True, text=True, check=True).stdout
    assert str(pid) not in found
