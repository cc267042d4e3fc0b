"""Every file tool with paths that lead out in all ways: nothing outside is read, listed or changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.agent.tool_desk import ToolDesk

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links of POSIX")

OUT = "OUTSIDE-7b1d"


@pytest.fixture
def desk(tmp_path: Path) -> ToolDesk:
    desk = ToolDesk(tmp_path, mode="autonomous")
    desk.answers = lambda approval: "deny"
    for name in ("TrayClaw2/secret.txt", "docs/secret.txt", ".ssh/id_rsa", ".bashrc", ".config/trayclaw/trayclaw.db"):
        path = desk.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(OUT)
    (desk.folder / "inside.txt").write_text("inside")
    (desk.folder / "file-link").symlink_to(desk.home / "docs/secret.txt")
    (desk.folder / "folder-link").symlink_to(desk.home / "docs")
    (desk.folder / "relative-link").symlink_to("../docs")
    (desk.folder / "chain").symlink_to("folder-link")
    (desk.folder / "dangling").symlink_to(desk.home / "docs/new.txt")
    (desk.folder / "root-link").symlink_to("/")
    (desk.folder / "proc-link").symlink_to("/proc/self/cwd")
    (desk.folder / "sub").mkdir()
    (desk.folder / "sub" / "up").symlink_to("..")
    (desk.folder / "sub" / "home").symlink_to(desk.home)
    return desk


PATHS = [
    "../docs/secret.txt",
    "../TrayClaw2/secret.txt",
    "{folder}2/secret.txt",
    "{folder}/../docs/secret.txt",
    "{home}/docs/secret.txt",
    "~/docs/secret.txt",
    "~/.ssh/id_rsa",
    "~/.SSH/ID_RSA",
    "~/.bashrc",
    "~/.config/trayclaw/trayclaw.db",
    "file-link",
    "folder-link/secret.txt",
    "relative-link/secret.txt",
    "chain/secret.txt",
    "dangling",
    "sub/up/../docs/secret.txt",
    "sub/home/docs/secret.txt",
    "sub/../../docs/secret.txt",
    "./././../docs//secret.txt",
    "root-link{home}/docs/secret.txt",
    "/proc/self/root{home}/docs/secret.txt",
    "/proc/thread-self/root{home}/docs/secret.txt",
    "/dev/fd/../../self/root{home}/docs/secret.txt",
    "//{home}/docs/secret.txt",
    "folder-link",
    "sub/home/.ssh",
    "..",
    "/",
]


MOVE = "*** Begin Patch\n*** Update File: inside.txt\n*** Move to: {}\n-inside\n+moved\n*** End Patch"


def calls(path: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("read_file", {"path": path}),
        ("list_dir", {"path": path}),
        ("list_dir", {"path": path, "recursive": True}),
        ("find_files", {"pattern": "**/*secret*", "path": path}),
        ("search_text", {"pattern": "OUTSIDE", "path": path}),
        ("write_file", {"path": path, "text": "changed"}),
        ("edit_file", {"path": path, "old": OUT, "new": "changed"}),
        ("apply_patch", {"patch": f"*** Begin Patch\n*** Update File: {path}\n-{OUT}\n+changed\n*** End Patch"}),
        ("apply_patch", {"patch": f"*** Begin Patch\n*** Delete File: {path}\n*** End Patch"}),
        ("apply_patch", {"patch": MOVE.format(path)}),
    ]


def outside(desk: ToolDesk) -> dict[str, bytes]:
    paths = (path for path in desk.home.rglob("*") if desk.folder not in path.parents and path.is_file())
    return {str(path): path.read_bytes() for path in paths}


@pytest.mark.parametrize("path", PATHS)
async def test_no_tool_leads_out(desk: ToolDesk, path: str) -> None:
    before = outside(desk)
    for name, arguments in calls(path.format(home=desk.home, folder=desk.folder)):
        result = await desk.call(name, **arguments)
        assert OUT not in result.text, name
        assert not result.ok, f"{name}: {result.text}"
        assert outside(desk) == before, name
    assert (desk.folder / "inside.txt").read_text() == "inside"


@pytest.mark.parametrize(
    "pattern", ["**/*", "*", "**/secret*", "../**/*", "../docs/*", "/**/secret.txt", "sub/home/**/*"]
)
async def test_a_search_in_the_workspace_does_not_follow_links_out(desk: ToolDesk, pattern: str) -> None:
    for name, arguments in (
        ("find_files", {"pattern": pattern}),
        ("search_text", {"pattern": "OUTSIDE"}),
        ("search_text", {"pattern": "OUTSIDE", "glob": pattern}),
        ("list_dir", {"path": ".", "recursive": True}),
    ):
        result = await desk.call(name, **arguments)
        shown = [line for line in result.text.splitlines() if " -> " not in line]  # where a link leads may be said
        assert OUT not in result.text and not any("secret.txt" in line for line in shown), name
    assert desk.questions == []


async def test_a_hard_link_is_no_way_to_change_what_is_outside(desk: ToolDesk) -> None:
    """Writing replaces the link; it does not write through it."""
    (desk.folder / "hard").hardlink_to(desk.home / "docs/secret.txt")
    for name, arguments in (
        ("edit_file", {"path": "hard", "old": OUT, "new": "changed"}),
        ("write_file", {"path": "hard", "text": "changed"}),
    ):
        await desk.call(name, **arguments)
        assert (desk.home / "docs/secret.txt").read_text() == OUT
