"""Destructive and prying commands from public collections, run for real inside the fence: nothing outside is touched.

Nothing here runs without a fence that was proven a moment before.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.safety.sandbox import Sandbox
from agent.safety.sandbox.choose import candidates, prove, works
from agent.safety.workspace import Workspace
from tests.agent.tool_desk import ToolDesk

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "security_cases.jsonl"
KINDS = ("shell_destructive", "shell_secret_or_exfil", "workspace_escape", "self_tamper", "shell_benign")
PLANTED = "PLANTED-c0ffee-9f31"

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")


def rows(*kinds: str) -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    return [row for row in map(json.loads, CORPUS.read_text("utf-8").splitlines()) if row["kind"] in kinds]


@pytest.fixture(scope="module")
def fence() -> Sandbox:
    """Bubblewrap alone: it has a root of its own that nothing can be written to, and no process but its own."""
    found = next((one for one in candidates() if one.name == "bubblewrap" and works(one)), None)
    if found is None:
        pytest.skip("this system cannot put up bubblewrap")
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "workspace").mkdir()
        proof = prove(found, Workspace(Path(root) / "workspace", home=Path(root)).fence(), Path.home())
    assert all(ok for _, ok in proof), proof
    return found


@pytest.fixture
def desk(tmp_path: Path, fence: Sandbox) -> ToolDesk:
    desk = ToolDesk(tmp_path, mode="balanced", sandbox=type(fence)(shutil.which("bwrap") or "", tmp_path / "home"))
    for name in (
        ".aws/credentials",
        ".ssh/id_rsa",
        ".config/gh/hosts.yml",
        ".kube/config",
        ".git-credentials",
        ".bash_history",
        ".bashrc",
        ".config/trayclaw/trayclaw.db",
        "Documents/letter.txt",
    ):
        path = desk.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PLANTED)
    (desk.folder / "README.md").write_text("# hello\n")
    (desk.folder / ".git" / "hooks").mkdir(parents=True)
    desk.answers = lambda approval: "deny"
    return desk


def outside(desk: ToolDesk) -> dict[str, tuple[int, int, bytes]]:
    found: dict[str, tuple[int, int, bytes]] = {}
    for folder, names, files in os.walk(desk.home):
        if Path(folder) == desk.home:
            names.remove(desk.folder.name)
        for name in files:
            path = Path(folder, name)
            found[str(path)] = (path.lstat().st_mode, path.lstat().st_mtime_ns, path.read_bytes())
    for name in ("/etc/passwd", "/etc/hosts", "/etc/issue", "/bin/sh"):
        status = Path(name).stat()
        found[name] = (status.st_mode, status.st_mtime_ns, b"")
    return found


@pytest.fixture
def door() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.mark.parametrize("row", rows(*KINDS), ids=lambda row: f"{row['kind']}-{row['id']}")
async def test_a_command_in_the_fence(desk: ToolDesk, row: dict[str, Any], door: socket.socket) -> None:
    before = outside(desk)
    result = await desk.call("run_command", command=row["input"], timeout=3)
    assert outside(desk) == before
    assert PLANTED not in result.text and PLANTED not in repr(desk.effects)
    assert not list((desk.folder / ".git" / "hooks").iterdir())
    if row["kind"] == "shell_benign":
        assert desk.questions == [], "a harmless command must not ask"
    with pytest.raises(BlockingIOError):
        door.accept()


@pytest.mark.parametrize("row", rows("env_exfil"), ids=lambda row: row["id"])
async def test_no_secret_of_the_agent_is_seen(
    desk: ToolDesk, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TELEGRAM_TOKEN", "TRAYCLAW_KEY_OPENAI"):
        monkeypatch.setenv(name, PLANTED)
    result = await desk.call("run_command", command=row["input"], timeout=5)
    assert PLANTED not in result.text


def pack(path: Path, what: str) -> None:
    """The archive that a row speaks of."""
    if what.startswith("zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("a\0b.txt", "..\\..\\x", "../../x", "/etc/trayclaw-planted"):
                archive.writestr(name, PLANTED)
        return
    with tarfile.open(path, "w") as archive:

        def add(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, link
            entry.size = len(PLANTED) if kind == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(PLANTED.encode()) if entry.size else None)

        if "absolute" in what:
            add("/etc/cron.d/x")
            add("/etc/trayclaw-planted")
        elif "symlink" in what:
            add("a", tarfile.SYMTYPE, "/etc")
            add("a/passwd")
            add("home", tarfile.SYMTYPE, "../..")
            add("home/Documents/letter.txt")
        else:
            add("x", tarfile.LNKTYPE, "../../x")
            add("y", tarfile.LNKTYPE, "../Documents/letter.txt")
            add("y")


@pytest.mark.parametrize(
    "how", ["tar xPf {}", "python3 -c 'import shutil; shutil.unpack_archive(\"{}\")'", "unzip -: -o {}"]
)
@pytest.mark.parametrize("row", rows("archive"), ids=lambda row: row["id"])
async def test_an_archive_unpacks_nothing_outside(desk: ToolDesk, row: dict[str, Any], how: str) -> None:
    name = "a.zip" if row["input"].startswith("zip") else "a.tar"
    pack(desk.folder / name, row["input"])
    (desk.home / "Documents" / "letter.txt").write_text("a letter")
    before = outside(desk)
    await desk.call("run_command", command=how.format(name), timeout=20)
    assert outside(desk) == before and desk.questions == []
    assert not Path("/etc/cron.d/x").exists() and not Path("/etc/trayclaw-planted").exists()
    assert not (desk.home / "x").exists()
    await desk.call("read_file", path=name)
    assert outside(desk) == before, "reading a document unpacks nothing"
