"""The fences that this system can put up, tried for real."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import SandboxError
from agent.safety.sandbox import Fence, Sandbox
from agent.safety.sandbox.choose import Fences, candidates, prove, works
from agent.safety.sandbox.seatbelt import profile
from agent.safety.sandbox.seccomp import filter_program
from agent.safety.workspace import Workspace
from agent.tools import processes
from tests.agent.test_tools_shell import running
from tests.agent.tool_desk import ToolDesk

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fences of Linux")


def fences() -> list[Sandbox]:
    return [fence for fence in candidates() if works(fence)] if sys.platform.startswith("linux") else []


@pytest.fixture(params=["bubblewrap", "landlock"])
def fence(request: pytest.FixtureRequest, home: Path) -> Sandbox:
    found = next((one for one in candidates(home) if one.name == request.param), None)
    if found is None or not works(found):
        pytest.skip(f"this system cannot put up {request.param}")
    return found


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="fence-", dir=Path("~").expanduser()))
    for name in ("TrayClaw/.git/hooks", ".ssh", ".config/trayclaw"):
        (root / name).mkdir(parents=True)
    (root / ".ssh" / "id_rsa").write_text("PLANTED")
    (root / ".config/trayclaw/trayclaw.db").write_text("PLANTED")
    (root / ".bashrc").write_text("# mine")
    yield root
    shutil.rmtree(root)


@pytest.fixture
def workspace(home: Path) -> Workspace:
    return Workspace(home / "TrayClaw", (home / ".config/trayclaw",), home=home)


def inside(sandbox: Sandbox, workspace: Workspace, command: str, *, network: bool = False) -> tuple[int, str]:
    launch = sandbox.launch(
        ("bash", "-c", command),
        cwd=workspace.root,
        environment={"PATH": os.defpath, "HOME": str(workspace.root.parent)},
        fence=workspace.fence(network=network),
    )
    try:
        done = subprocess.run(
            launch.argv,
            env=dict(launch.environment),
            cwd=workspace.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=20,
            **launch.options,
        )
    finally:
        for handle in launch.close:
            os.close(handle)
    return done.returncode, done.stdout


@linux
def test_a_program_works_in_the_workspace(fence: Sandbox, workspace: Workspace) -> None:
    status, output = inside(fence, workspace, "echo hi > a && cat a && mkdir d && ls && echo done >/dev/stderr")
    assert (status, output) == (0, "hi\na\nd\ndone\n")


@linux
@pytest.mark.parametrize(
    "command",
    [
        "echo x > ../outside.txt",
        "echo x >> ../.bashrc",
        "echo x > /etc/trayclaw-test",
        "rm -rf ../.ssh",
        "ln ../.bashrc here && echo x >> here",
        "chmod 777 ..",
    ],
)
def test_nothing_outside_is_changed(fence: Sandbox, workspace: Workspace, home: Path, command: str) -> None:
    before = {path: path.lstat().st_mtime_ns for path in home.rglob("*") if workspace.root not in path.parents}
    inside(fence, workspace, command)
    after = {path: path.lstat().st_mtime_ns for path in home.rglob("*") if workspace.root not in path.parents}
    changed = {path.name for path in {*before, *after} if before.get(path) != after.get(path)}
    assert changed <= {"TrayClaw"}
    assert (home / ".bashrc").read_text() == "# mine" and not Path("/etc/trayclaw-test").exists()


@linux
@pytest.mark.parametrize(
    "command",
    [
        "cat ../.ssh/id_rsa",
        "cat ../.config/trayclaw/trayclaw.db",
        "tar cf - .. | strings",
        "ln -s ../.ssh/id_rsa k; cat k",
        f"cat /proc/{os.getpid()}/environ /proc/{os.getpid()}/root/etc/shadow | tr '\\0' '\\n' | grep -c .; true",
        f"ls -l /proc/{os.getpid()}/fd; ls /run/user",
    ],
)
def test_what_is_hidden_is_not_seen(
    fence: Sandbox, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    _, output = inside(fence, workspace, command)
    assert "PLANTED" not in output and "socket:" not in output
    assert "root:" not in output


@linux
def test_opened_folders_are_reached_as_far_as_they_were_opened(fence: Sandbox, home: Path) -> None:
    for name in ("read", "write", "write/narrower"):
        (home / name).mkdir()
        (home / name / "a").write_text("there")
    folders = ((home / "read", False), (home / "write", True), (home / "write/narrower", False), (home / "gone", True))
    workspace = Workspace(home / "TrayClaw", (home / ".config/trayclaw",), home=home, folders=folders)
    status, output = inside(fence, workspace, "cat ../read/a ../write/a ../write/narrower/a && echo x > ../write/b")
    assert (status, output) == (0, "theretherethere") and (home / "write/b").exists()
    inside(fence, workspace, "echo x > ../read/a; mkdir ../gone")
    assert (home / "read/a").read_text() == "there" and not (home / "gone").exists()
    if fence.name == "bubblewrap":  # Landlock cannot take away below what it gave
        inside(fence, workspace, "echo x > ../write/narrower/a")
        assert (home / "write/narrower/a").read_text() == "there"


@linux
@pytest.mark.parametrize("kind", ["tcp", "unix", "abstract"])
def test_nobody_comes_through_a_door_on_this_computer(
    fence: Sandbox, workspace: Workspace, home: Path, kind: str
) -> None:
    door = socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX)
    address = {"tcp": ("127.0.0.1", 0), "unix": str(home / "bus"), "abstract": "\0trayclaw-test-door"}[kind]
    with door:
        door.bind(address)
        door.listen()
        door.settimeout(0.3)
        name = door.getsockname()
        family = "AF_INET" if kind == "tcp" else "AF_UNIX"
        code = f"import socket; s = socket.socket(socket.{family}); s.connect({name!r}); print('THR' + 'OUGH')"
        (workspace.root / "knock.py").write_text(code)
        _, output = inside(fence, workspace, "/usr/bin/python3 knock.py")
        assert "THROUGH" not in output and "Error" in output
        with pytest.raises(TimeoutError):
            door.accept()


@linux
def test_with_network_a_program_reaches_a_server(fence: Sandbox, workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        inside(fence, workspace, f"exec 3<>/dev/tcp/127.0.0.1/{port}", network=True)
        door.settimeout(2)
        door.accept()[0].close()


@linux
@pytest.mark.parametrize("kind", ["unix", "abstract"])
def test_the_network_does_not_open_the_display_or_the_bus(
    fence: Sandbox, workspace: Workspace, home: Path, kind: str
) -> None:
    """X11 and old session buses listen on abstract sockets, which belong to the network and not to the files."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("\0trayclaw-test-display" if kind == "abstract" else str(workspace.root / "door"))
        door.listen()
        door.settimeout(0.3)
        code = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({door.getsockname()!r})"
        (workspace.root / "knock.py").write_text(f"{code}; print('THR' + 'OUGH')")
        _, output = inside(fence, workspace, "/usr/bin/python3 knock.py", network=True)
        assert "THROUGH" not in output and "Error" in output
        with pytest.raises(TimeoutError):
            door.accept()


@linux
def test_memory_is_limited(fence: Sandbox, workspace: Workspace) -> None:
    code = "x = bytearray(600_000_000); print('GOT' + ' IT')"
    small = dataclasses.replace(workspace.fence(), memory=300_000_000)
    launch = fence.launch(
        ("/usr/bin/python3", "-c", code), cwd=workspace.root, environment={"PATH": os.defpath}, fence=small
    )
    try:
        done = subprocess.run(
            launch.argv, env=dict(launch.environment), capture_output=True, text=True, timeout=20, **launch.options
        )
    finally:
        for handle in launch.close:
            os.close(handle)
    assert "MemoryError" in done.stderr and "GOT IT" not in done.stdout


@linux
def test_the_number_of_processes_is_limited(fence: Sandbox, workspace: Workspace) -> None:
    _, output = inside(fence, workspace, "ulimit -u; ulimit -c")
    assert output.split() == ["256", "0"]


# --- a workspace that is the home, or an opened folder that holds more than documents ---------------------------------
@pytest.fixture
def whole_home(home: Path) -> Workspace:
    (home / ".config/autostart").mkdir()
    (home / ".netrc").write_text("PLANTED")
    (home / "dotfiles").mkdir()
    (home / "dotfiles/profile").write_text("# mine")
    (home / ".profile").symlink_to(home / "dotfiles/profile")
    return Workspace(home, (home / ".config/trayclaw",), home=home)


@linux
@pytest.mark.parametrize("opened", ["workspace", "read", "write"])
def test_keys_in_an_opened_home_stay_hidden(fence: Sandbox, home: Path, whole_home: Workspace, opened: str) -> None:
    if opened != "workspace":
        folders = ((home, opened == "write"),)
        whole_home = Workspace(home / "TrayClaw", (home / ".config/trayclaw",), home=home, folders=folders)
    command = f"cat {home}/.ssh/id_rsa {home}/.netrc {home}/.config/trayclaw/trayclaw.db; grep -r PLANTED {home}; true"
    if fence.name == "landlock":
        with pytest.raises(SandboxError, match="Landlock cannot hide it"):
            inside(fence, whole_home, command)
        return
    _, output = inside(fence, whole_home, command)
    assert "PLANTED" not in output


@linux
async def test_sign_in_files_in_an_opened_home_are_not_changed(
    home: Path, whole_home: Workspace, tmp_path: Path
) -> None:
    found = next((one for one in candidates(home) if one.name == "bubblewrap" and works(one)), None)
    if found is None:
        pytest.skip("this system cannot put up bubblewrap")
    desk = ToolDesk(tmp_path, sandbox=found)
    desk.scope = dataclasses.replace(desk.scope, workspace=whole_home)
    command = (
        "echo evil >> .bashrc; rm -f .profile; echo evil > .profile; echo evil >> dotfiles/profile;"
        " echo evil > .bash_profile; mkdir -p .config/autostart .config/systemd/user .local/bin;"
        " echo evil > .config/autostart/x.desktop; echo evil > .config/systemd/user/x.service;"
        " echo evil > .local/bin/ls; echo fine > note.txt"
    )
    result = await desk.call("run_command", command=command)
    assert (home / "note.txt").read_text() == "fine\n", result.text
    assert (home / ".bashrc").read_text() == "# mine" and (home / "dotfiles/profile").read_text() == "# mine"
    assert (home / ".profile").readlink() == home / "dotfiles/profile"
    evil = [path for path in home.rglob("*") if path.is_file() and "evil" in path.read_text()]
    assert evil == []
    assert ".bash_profile" in result.text and "put back" in result.text


@linux
def test_what_a_program_left_behind_dies_with_it(fence: Sandbox, workspace: Workspace) -> None:
    command = "trap '' TERM; for i in 1 2 3; do setsid bash -c \"trap '' TERM; sleep 55.1234\" & done; sleep 0.2"
    launch = fence.launch(
        ("bash", "-c", command), cwd=workspace.root, environment={"PATH": os.defpath}, fence=workspace.fence()
    )

    async def run() -> None:
        await processes.run(
            launch.argv,
            cwd=workspace.root,
            environment=launch.environment,
            seconds=10,
            output=lambda text: None,
            options=launch.options,
        )

    asyncio.run(run())
    for handle in launch.close:
        os.close(handle)
    assert not running("55.1234")


@linux
def test_the_proof_for_people_holds(fence: Sandbox, workspace: Workspace, home: Path) -> None:
    proof = prove(fence, workspace.fence(), home)
    assert len(proof) >= 6 and all(ok for _, ok in proof), proof


@linux
async def test_the_fence_is_found_once_and_can_be_switched_off() -> None:
    found = Fences()
    first = await found.get("auto")
    assert first is await found.get("auto")
    assert await found.get("off") is None


def test_the_filter_refuses_sockets_on_both_architectures() -> None:
    for machine in ("x86_64", "aarch64"):
        with_network, without = (filter_program(network=network, machine=machine) for network in (True, False))
        assert len(with_network) % 8 == len(without) % 8 == 0
        assert len(with_network) > len(without)


def test_the_profile_for_macos_denies_first_and_protects_last() -> None:
    fence = Fence(
        (Path("/Users/me/TrayClaw"),),
        (Path("/Users/me/Docs"),),
        (Path("/Users/me/TrayClaw/.git/hooks"),),
        (Path("/Users/me/Library/Application Support/TrayClaw"),),
    )
    text = profile(fence, Path("/Users/me"))
    assert text.index("(deny default)") < text.index('(allow file-write* (subpath "/Users/me/TrayClaw"))')
    assert text.rstrip().endswith('(deny file-write* (subpath "/Users/me/TrayClaw/.git/hooks"))')
    assert "network" not in text
    assert "network-outbound" in profile(Fence((Path("/x"),), network=True), Path("/Users/me"))
    assert '\\"' in profile(Fence((Path('/a"b'),)), Path("/Users/me"))
