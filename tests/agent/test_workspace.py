"""Where paths lead, which rights hold there, and in which words it is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import ToolError
from agent.safety import workspace as places
from agent.safety.workspace import Workspace, run_by_git

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX paths")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    for name in ("TrayClaw", "docs/drafts", "docs/drafts/final", ".ssh", ".config/trayclaw"):
        (home / name).mkdir(parents=True)
    return home


@pytest.fixture
def workspace(home: Path) -> Workspace:
    folders = ((home / "docs", False), (home / "docs/drafts", True), (home / "docs/drafts/final", False))
    return Workspace(home / "TrayClaw", (home / ".config/trayclaw",), home=home, folders=folders)


REFUSED = [
    ("", "The path is empty."),
    ("a\0b", "A path cannot contain a NUL character."),
    ("https://x.example/a", "'https://x.example/a' is a URL; give the path of a file."),
    ("S3.x+y-z://a", "'S3.x+y-z://a' is a URL; give the path of a file."),
    ("FILE:/etc/passwd", "'FILE:/etc/passwd' is a URL; give the path of a file."),
    ("file:a", "'file:a' is a URL; give the path of a file."),
    ("$HOME/a", "'$HOME/a': variables are not expanded in paths; write the path out."),
    ("%temp%/a", "'%temp%/a': variables are not expanded in paths; write the path out."),
    ("%Temp_1%/a", "'%Temp_1%/a': variables are not expanded in paths; write the path out."),
    ("C:\\a", "'C:\\\\a' is a Windows path; this computer has none."),
    ("c:/a", "'c:/a' is a Windows path; this computer has none."),
    ("\\\\server\\a", "'\\\\\\\\server\\\\a' is a Windows path; this computer has none."),
    ("~root/a", "'~root/a': only ~/ is understood; write the path out."),
    ("a" * 5000, "is not a usable path"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=[text[:12] or "empty" for text, _ in REFUSED])
def test_what_is_no_path_is_refused_in_these_words(workspace: Workspace, text: str, words: str) -> None:
    if len(text) > 4000:  # whether the system minds is its own affair
        with pytest.raises((ToolError, OSError)):
            workspace.place(text).path.lstat()
        return
    with pytest.raises(ToolError) as caught:
        workspace.place(text)
    assert str(caught.value) == words


PROTECTED = [
    ("~/.config/trayclaw/config.toml", "it belongs to TrayClaw itself", True),
    ("~/.ssh/id_rsa", "it holds keys or passwords", True),
    ("~/.netrc", "it holds keys or passwords", True),
    ("/proc/1/environ", "it belongs to the system's devices and internals", True),
    ("/dev/sda", "it belongs to the system's devices and internals", True),
    ("~/.bashrc", "it is run when you sign in or open a terminal", False),
    ("~/.config/autostart/x", "it is run when you sign in or open a terminal", False),
    (".git/hooks", "git runs what is written there", False),
    (".git/hooks/x", "git runs what is written there", False),
    (".git/config", "git runs what is written there", False),
    ("bare.git/config", "git runs what is written there", False),
    (".git/modules/a/b/hooks/x", "git runs what is written there", False),
    (".git/config.lock", "", False),
    (".git/hooksx", "", False),
    ("git/hooks/x", "", False),
    ("notes.txt", "", False),
]


@pytest.mark.parametrize(("text", "why", "secret"), PROTECTED, ids=[text for text, _, _ in PROTECTED])
def test_what_is_protected_says_why(workspace: Workspace, text: str, why: str, secret: bool) -> None:
    place = workspace.place(text)
    assert (place.protected, place.secret) == (why, secret)


def test_how_a_place_is_named(workspace: Workspace, home: Path) -> None:
    def named(text: str) -> tuple[str, str, bool, str]:
        place = workspace.place(text)
        return place.shown, place.full, place.inside, place.access

    assert named(".") == ("the workspace", "~/TrayClaw", True, "workspace")
    assert named("a/b.txt") == ("a/b.txt", "~/TrayClaw/a/b.txt", True, "workspace")
    assert named("../x") == ("~/x", "~/x", False, "")
    assert named("~/x") == ("~/x", "~/x", False, "")
    assert named("~") == (str(home), str(home), False, "")
    assert named("~\\x") == ("~/x", "~/x", False, "")
    assert named("/etc/hosts") == ("/etc/hosts", "/etc/hosts", False, "")
    assert named("../docs/a") == ("~/docs/a", "~/docs/a", False, "read")


def test_the_innermost_folder_that_was_granted_decides(workspace: Workspace, home: Path) -> None:
    expected = {
        "docs": ("read", True, False),
        "docs/a": ("read", True, False),
        "docs/drafts": ("write", True, True),
        "docs/drafts/a": ("write", True, True),
        "docs/drafts/final/a": ("read", True, False),
        "docs2/a": ("", False, False),
        "TrayClaw/a": ("workspace", True, True),
    }
    for name, (access, readable, writable) in expected.items():
        place = workspace.place(f"~/{name}")
        assert (place.access, place.reachable(write=False), place.reachable(write=True)) == (access, readable, writable)
    twice = Workspace(home / "TrayClaw", home=home, folders=((home / "docs", True), (home / "docs", False)))
    assert twice.place("~/docs/a").access == "read", "of the same folder granted twice, the narrower grant"


def test_what_the_fence_is_told(workspace: Workspace, home: Path) -> None:
    (home / "docs/drafts/repo/.git/hooks").mkdir(parents=True)
    fence = workspace.fence()
    assert fence.writable == (home / "TrayClaw", home / "docs/drafts")
    assert fence.readable == (home / "docs", home / "docs/drafts/final")
    assert fence.protected == (home / "docs/drafts/final", home / "docs/drafts/repo/.git/hooks")
    assert fence.hidden == (home / ".config/trayclaw",) and fence.network is False
    assert workspace.fence(network=True).network is True
    (home / "docs/drafts/final").rmdir()
    assert workspace.fence().readable == (home / "docs",), "a folder that is gone is left out"


def test_what_a_search_leaves_out(workspace: Workspace, home: Path) -> None:
    at_home = workspace.keeps_back(home)
    assert [name for name in (".ssh", ".env", "key.pem", "docs", ".bashrc", "TrayClaw") if at_home(name)] == [
        ".ssh",
        ".env",
        "key.pem",
    ]
    config = workspace.keeps_back(home / ".config")
    assert config("trayclaw") and config("gh") and not config("other")
    inside = workspace.keeps_back(home / "TrayClaw")
    assert inside(".env.local") and inside("ID_RSA") and not inside("notes.txt") and not inside("trayclaw")


SENSITIVE = (
    ".env .ENV .env.production a.pem b.KEY c.pfx d.p12 e.kdbx f.jks g.keystore id_rsa id_dsa id_ecdsa id_ed25519"
)
SENSITIVE += " credentials credentials.json .npmrc .pypirc"


def test_names_that_hold_credentials(workspace: Workspace) -> None:
    assert [name for name in SENSITIVE.split() if not workspace.place(name).sensitive] == []
    plain = ["env", ".environment", "pem", "id_rsa.pub", "credentials.md", "my.env.txt", "keynote"]
    assert [name for name in plain if workspace.place(name).sensitive] == []


def test_repositories_are_found_as_deep_as_people_keep_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def repository(name: str, *parts: str) -> list[Path]:
        for part in parts or ("hooks",):
            (tmp_path / name / part).mkdir(parents=True)
        return [tmp_path / name / part for part in parts or ("hooks",)]

    wanted = repository(".git", "hooks", "config")
    wanted += repository("a/.GIT") + repository("b/bare.git") + repository("1/2/3/4/5/.git")
    repository("1/2/3/4/5/6/.git")
    for left_out in ("node_modules", ".venv", "venv", "__pycache__", ".tox", ".cache"):
        repository(f"{left_out}/x/.git")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    (tmp_path / "c" / ".git").mkdir(parents=True)
    (tmp_path / "closed").mkdir()
    found = list(run_by_git(tmp_path))
    assert sorted(found) == sorted(wanted)
    assert list(run_by_git(tmp_path / "gone")) == []
    monkeypatch.setattr(places, "_MOST_FOLDERS", 1)
    assert sorted(run_by_git(tmp_path)) == sorted(wanted[:2]), "a folder without end is not walked to it"


def test_folders_are_compared_as_systems_compare_them(home: Path) -> None:
    workspace = Workspace(home / "TrayClaw", (home / "Caf\u00e9",), home=home)
    for name in ("Caf\u00e9/x", "CAFE\u0301/x", "cafe\u0301"):
        assert workspace.place(f"~/{name}").secret, name
    assert not workspace.place("~/Cafe/x").secret
    assert workspace.place("~/.SSH/x").secret and not workspace.place("~/.ssh2").secret
    assert workspace.place("/DEV/null").secret


@pytest.mark.parametrize("text", ["\\\\?\\C:\\x", "\\\\.\\pipe\\x", "//?/x", "//./x"])
def test_windows_devices(text: str) -> None:
    with pytest.raises(ToolError) as caught:
        places._refuse_windows_oddities(text)
    assert str(caught.value) == f"{text!r} is a device path; give an ordinary path."


ODD = [
    "a.txt ",
    "a.",
    "a. .",
    "x:y",
    "NUL",
    "nul.txt",
    "con .txt",
    "LPT9",
    "com\u00b9",
    "CONIN$",
    "a/aux/b",
    "a\\prn",
    "C:\\NUL",
    "./NUL",
]


@pytest.mark.parametrize("text", ODD)
def test_windows_names(text: str) -> None:
    with pytest.raises(ToolError, match=r"is not a file name that Windows allows\.$"):
        places._refuse_windows_oddities(text)
    for fine in ("c:\\a\\b", "C:/x", "d:", "..\\..\\x", "./x//y", ".hidden", "com0.x.y"[:3] + "puter", "lpt"):
        places._refuse_windows_oddities(fine)
