"""Which fence this computer can put up, found by putting it up, and the proof for people."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from agent.errors import SandboxError
from agent.safety.sandbox import Fence, Sandbox
from agent.safety.sandbox.bubblewrap import Bubblewrap
from agent.safety.sandbox.landlock import Landlock

_TRY_SECONDS = 5.0


class Fences:
    """Finds the fence once, at the first need. `setting` is safety.sandbox."""

    def __init__(self, home: Path | None = None) -> None:
        self._home = home
        self._lock = asyncio.Lock()
        self._found: tuple[Sandbox | None] | None = None

    async def get(self, setting: str) -> Sandbox | None:
        """The fence, None where there is none or it is switched off."""
        if setting == "off":
            return None
        async with self._lock:
            if self._found is None:
                self._found = (await asyncio.to_thread(_first_that_works, self._home),)
            return self._found[0]


def candidates(home: Path | None = None) -> tuple[Sandbox, ...]:
    """Those that this system may have, the best one first."""
    if sys.platform == "darwin":
        from agent.safety.sandbox.seatbelt import Seatbelt

        return (Seatbelt(),)
    if sys.platform.startswith("linux"):
        program = shutil.which("bwrap")
        fences: list[Sandbox] = [Bubblewrap(program, home)] if program else []
        if Landlock.version():
            fences.append(Landlock(home))
        return tuple(fences)
    if sys.platform == "win32":
        from agent.safety.sandbox.windows_job import WindowsJob

        return (WindowsJob(),)
    return ()


def _first_that_works(home: Path | None) -> Sandbox | None:
    return next((fence for fence in candidates(home) if works(fence)), None)


def works(sandbox: Sandbox) -> bool:
    """Whether a program inside can write where it may, and nowhere else."""
    with tempfile.TemporaryDirectory(prefix="trayclaw-") as outer:
        inside, outside = Path(outer, "in"), Path(outer, "out")
        inside.mkdir()
        script = 'echo x > "$1/a"; ( echo x > "$2" ) 2>/dev/null; test -f "$1/a"'
        argv: tuple[str, ...] = ("/bin/sh", "-c", script, "sh", str(inside), str(outside))
        if sys.platform == "win32":
            argv = _cmd("echo x> ..\\out & echo x> a")
        status = run_inside(sandbox, argv, Fence((inside,)))
        return status == 0 and (inside / "a").exists() and not outside.exists()


def run_inside(sandbox: Sandbox, argv: tuple[str, ...], fence: Fence) -> int | None:
    """Run a short program behind a fence and tell its exit code; None when it could not be started. Blocks."""
    try:
        environment = {"PATH": os.defpath}
        if sys.platform == "win32":  # nothing starts there without these
            environment = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "PATHEXT") if name in os.environ}
        launch = sandbox.launch(argv, cwd=fence.writable[0], environment=environment, fence=fence)
    except (OSError, SandboxError):
        return None
    try:
        return subprocess.run(
            launch.argv,
            env=dict(launch.environment),
            cwd=fence.writable[0],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TRY_SECONDS,
            check=False,
            **launch.options,
        ).returncode
    except (OSError, subprocess.SubprocessError):
        return None
    finally:
        for handle in launch.close:
            os.close(handle)


def prove(sandbox: Sandbox, fence: Fence, home: Path) -> tuple[tuple[str, bool], ...]:
    """What was really tried behind this fence, in words, and whether it went as it should. Blocks for a second."""

    def tried(script: str, *arguments: str) -> bool:
        return run_inside(sandbox, ("/bin/sh", "-c", script, "sh", *arguments), fence) == 0

    root = fence.writable[0]
    if sys.platform == "win32":
        return (
            (
                "A program can write in the workspace",
                run_inside(sandbox, _cmd("echo x> .probe & del .probe"), fence) == 0,
            ),
            ("It cannot write in the rest of your home", not _wrote(sandbox, fence, home / ".trayclaw-probe")),
        )
    probe = home / ".trayclaw-probe"
    checks = [
        ("A program can write in the workspace", tried('f="$1/.trayclaw-probe"; echo x > "$f" && rm "$f"', str(root))),
        ("It cannot write in the rest of your home", not (tried('echo x > "$1"', str(probe)) and probe.exists())),
        ("It cannot write to the system", tried("! ( echo x > /etc/trayclaw-probe ) 2>/dev/null")),
        (
            "It does not see the keyring or the session bus",
            tried("! ls /run/user/*/bus /run/user/*/keyring 2>/dev/null"),
        ),
    ]
    for hidden in fence.hidden[:3]:
        if hidden.name.startswith("."):
            continue  # a key store of the person: nothing of ours is put there
        secret = hidden / ".trayclaw-probe"
        try:
            secret.write_text("x", encoding="utf-8")
            checks.append((f"It does not see {hidden}", not tried('cat "$1"', str(secret))))
        except OSError:
            continue  # no such folder, or not ours to write in
        finally:
            secret.unlink(missing_ok=True)
    if not fence.network and sandbox.closes_network:
        checks.append(("It has no network", _no_network(sandbox, fence)))
    probe.unlink(missing_ok=True)
    return tuple(checks)


def _cmd(line: str) -> tuple[str, ...]:
    return ("cmd.exe", "/d", "/c", line)


def _wrote(sandbox: Sandbox, fence: Fence, path: Path) -> bool:
    """Whether a program behind the fence of Windows could make this file."""
    run_inside(sandbox, _cmd(f"echo x> {path}"), fence)
    found = path.exists()
    path.unlink(missing_ok=True)
    return found


def _no_network(sandbox: Sandbox, fence: Fence) -> bool:
    """A door is opened on this computer, and nobody comes through it."""
    bash = shutil.which("bash")
    if bash is None:
        return run_inside(sandbox, ("/bin/sh", "-c", "! ls /sys/class/net | grep -v '^lo$'"), fence) == 0
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0.2)
        port = door.getsockname()[1]
        run_inside(sandbox, (bash, "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"), fence)
        try:
            door.accept()
        except TimeoutError:
            return True
        return False
