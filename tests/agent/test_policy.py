"""What runs unasked, what asks, what never happens; and where paths really lead."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ToolError
from agent.safety.effects import Effect, visible
from agent.safety.policy import PolicyContext, ProposedCall, decide
from agent.safety.workspace import Place, Workspace

INSIDE = Place(Path("/home/me/TrayClaw/a.txt"), "a.txt", inside=True)
CREDENTIALS = Place(Path("/home/me/TrayClaw/.env"), ".env", inside=True, sensitive=True)
OUTSIDE = Place(Path("/home/me/b.txt"), "~/b.txt", inside=False)
HOOK = Place(Path("/home/me/TrayClaw/.git/hooks/x"), ".git/hooks/x", inside=True, protected="git runs it")
KEYS = Place(Path("/home/me/.ssh/id"), "~/.ssh/id", inside=False, protected="it holds keys", secret=True)


def outcome(kind, place, role="owner", mode="balanced"):
    call = ProposedCall("some_tool", {}, Effect(kind, "Did it", (place,)))
    decision = decide(call, PolicyContext(role, mode))
    assert decision.reason or decision.outcome == "allow"
    return decision.outcome


TABLE = [
    # kind, place, careful, balanced, autonomous, paired, member
    ("read", INSIDE, "allow", "allow", "allow", "allow", "allow"),
    ("read", CREDENTIALS, "ask", "ask", "ask", "ask", "deny"),
    ("read", OUTSIDE, "ask", "ask", "ask", "ask", "deny"),
    ("read", HOOK, "allow", "allow", "allow", "allow", "allow"),
    ("read", KEYS, "deny", "deny", "deny", "deny", "deny"),
    ("write", INSIDE, "ask", "ask", "allow", "ask", "deny"),
    ("write", CREDENTIALS, "ask", "ask", "ask", "ask", "deny"),
    ("write", OUTSIDE, "ask", "ask", "ask", "ask", "deny"),
    ("write", HOOK, "deny", "deny", "deny", "deny", "deny"),
    ("write", KEYS, "deny", "deny", "deny", "deny", "deny"),
    ("execute", INSIDE, "ask", "ask", "ask", "ask", "deny"),
    ("execute", KEYS, "deny", "deny", "deny", "deny", "deny"),
    ("send", INSIDE, "deny", "deny", "deny", "deny", "deny"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} {row[1].shown}")
def test_the_table(row):
    kind, place, careful, balanced, autonomous, paired, member = row
    assert outcome(kind, place, mode="careful") == careful
    assert outcome(kind, place, mode="balanced") == balanced
    assert outcome(kind, place, mode="autonomous") == autonomous
    for mode in ("careful", "balanced", "autonomous"):
        assert outcome(kind, place, "paired", mode) == paired
        assert outcome(kind, place, "member", mode) == member
        assert outcome(kind, place, "somebody", mode) == "deny"


def test_the_strictest_of_several_places_counts():
    for order in itertools.permutations([INSIDE, OUTSIDE, KEYS]):
        call = ProposedCall("some_tool", {}, Effect("read", "Read", order))
        assert decide(call, PolicyContext("owner", "autonomous")).outcome == "deny"
    assert decide(ProposedCall("t", {}, Effect("write", "", ())), PolicyContext("owner")).outcome == "deny"


def test_programs_ask_because_there_is_no_sandbox():
    call = ProposedCall("run_command", {"command": "ls"}, Effect("execute", "Run ls", (INSIDE,)))
    assert "sandbox" in decide(call, PolicyContext("owner", "autonomous")).reason


# --- paths ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def workspace(tmp_path):
    home = tmp_path / "home"
    own = home / ".config" / "trayclaw"
    for folder in (home / "TrayClaw", home / "TrayClaw2", own, home / ".ssh"):
        folder.mkdir(parents=True)
    return Workspace(home / "TrayClaw", (own,), home=home)


def test_containment_is_real(workspace):
    root = workspace.root
    for text in (".", "a.txt", "a/../b", "%2e%2e/x", "....//x", str(root), str(root / "deep" / "x")):
        assert workspace.place(text).inside, text
    for text in ("..", "../TrayClaw2/x", str(root) + "2", "a/../../x", "/", "~", "~/x"):
        assert not workspace.place(text).inside, text


@pytest.mark.skipif(os.name != "posix", reason="needs symlinks")
def test_links_are_followed_before_the_check(workspace):
    root = workspace.root
    (root / "sub").mkdir()
    (root / "sub" / "link").symlink_to("/etc")
    (root / "inner").symlink_to(root / "sub")
    (root / "loop").symlink_to(root / "loop")
    (root / "keys").symlink_to(root.parent / ".ssh")
    assert workspace.place("sub/link/passwd").path == Path("/etc/passwd")
    assert not workspace.place("sub/link/passwd").inside
    assert not workspace.place("sub/link/../x").inside
    assert workspace.place("inner/x").inside and workspace.place("inner/x").path == root / "sub" / "x"
    assert workspace.place("keys/id_rsa").secret
    workspace.place("loop")  # does not hang or raise


def test_protected_places(workspace):
    secret = [
        "~/.ssh/id_rsa",
        "~/.SSH/config",
        "~/.config/trayclaw/config.toml",
        "~/.local/share/keyrings/login.keyring",
    ]
    if os.name == "posix":
        secret += ["/proc/self/environ", "/dev/tty", "/etc/shadow"]
    for text in secret:
        assert workspace.place(text).secret and workspace.place(text).protected, text
    for text in (
        "~/.bashrc",
        "~/.config/autostart/x.desktop",
        ".git/hooks/pre-commit",
        "sub/.git/config",
        ".GIT/hooks/x",
    ):
        place = workspace.place(text)
        assert place.protected and not place.secret, text
    for text in ("a.txt", ".gitignore", ".git/HEAD", "hooks/x", "~/.sshx", "~/.bashrc.d"):
        assert not workspace.place(text).protected, text
    assert workspace.place(".env").sensitive and workspace.place("server.PEM").sensitive
    assert not workspace.place("environment.md").sensitive


def test_the_workspace_beside_the_database_is_no_part_of_it(tmp_path):
    """The layout of TRAYCLAW_HOME."""
    own = tmp_path / "home"
    root = own / "workspace"
    root.mkdir(parents=True)
    workspace = Workspace(root, (own, own, own / "cache"), but=root, home=tmp_path)
    for text in (".", "a.txt", "sub/config.toml", str(root / "trayclaw.db")):
        assert workspace.place(text).inside and not workspace.place(text).protected, text
    for name in ("", "config.toml", "trayclaw.db", "trayclaw.db-wal", "logs/x", "cache/x", "run/x", "secrets.enc"):
        for text in (f"../{name}", str(own / name)):
            assert workspace.place(text).secret and workspace.place(text).protected, text
    assert workspace.place("../workspace2/x").secret
    if os.name == "posix":
        (root / "link").symlink_to(own / "config.toml")
        assert workspace.place("link").secret
    elsewhere = Workspace(own / "logs", (own,), but=root, home=tmp_path)
    assert elsewhere.place("trayclaw.log").secret, "a workspace that a person puts there does not open TrayClaw's files"


@pytest.mark.parametrize(
    "text", ["", "a\0b", "file:///etc/passwd", "https://x/y", "$HOME/.ssh/id_rsa", "%TEMP%\\x", "~root/x"]
)
def test_what_is_no_path_is_refused_in_words(workspace, text):
    with pytest.raises(ToolError, match=r"\w+ \w+"):
        workspace.place(text)


def test_windows_names_that_are_not_files():
    from agent.safety.workspace import _refuse_windows_oddities

    for text in ("NUL", "con.txt", "aux", "a.txt ", "a.", "ＡＵＸ", "sub\\com1.log", "a.txt:stream", "\\\\?\\C:\\x"):
        with pytest.raises(ToolError):
            _refuse_windows_oddities(text)
    for text in ("C:\\Users\\me\\a.txt", "console.txt", "..\\x", "./a", "auxiliary"):
        _refuse_windows_oddities(text)


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "TrayClaw", "TrayClaw2", "", "~"]), max_size=8))
def test_containment_agrees_with_the_file_system(parts):
    workspace = Workspace(Path("/nowhere/home/TrayClaw"), home=Path("/nowhere/home"))
    text = "/".join(["x", *parts])
    real = os.path.normpath(f"/nowhere/home/TrayClaw/{text}")
    assert workspace.place(text).inside == (real + "/").startswith("/nowhere/home/TrayClaw/")


def test_what_is_shown_hides_nothing():
    assert visible("a\tb\nc é 日本 👍") == "a\tb\nc é 日本 👍"
    assert visible("x\u202ey\x1b[0m\u200b\r\ud800") == "x\\u202ey\\x1b[0m\\u200b\\r\\ud800"
