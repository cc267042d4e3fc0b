"""What runs unasked, what asks, what never happens; and where paths really lead."""

import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ToolError
from agent.safety.effects import Effect, visible
from agent.safety.grants import Rule
from agent.safety.policy import PolicyContext, ProposedCall, decide
from agent.safety.rules import session_rule, standing_rule
from agent.safety.taint import Taint
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


WEB = Effect("fetch", "Read it", hosts=("example.com",), addresses=("https://example.com/a",))
MAIL = Effect("send", "Send it", recipients=("Anna",))
TOOL = Effect("use", "Use it")
SKILL = Effect("follow", "Follow it")
FENCED = Effect("execute", "Run ls", (INSIDE,), ("bash", "-c", "git status"))
OPEN = Place(Path("/srv/shared/a.txt"), "/srv/shared/a.txt", inside=False, access="write")
READABLE = Place(Path("/srv/docs/a.txt"), "/srv/docs/a.txt", inside=False, access="read")
CLEAN, TAINTED = (), ("the web page example.com",)

MORE = [
    # effect, taint, careful, balanced, autonomous, paired, member, job
    (FENCED, CLEAN, "ask", "allow", "allow", "ask", "deny", "allow"),
    (FENCED, TAINTED, "ask", "ask", "ask", "ask", "deny", "ask"),
    (replace(FENCED, network=True), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (replace(FENCED, hosts=("pypi.org",)), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (replace(FENCED, places=(OUTSIDE,)), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (replace(FENCED, places=(OPEN,)), CLEAN, "ask", "allow", "allow", "ask", "deny", "allow"),
    (replace(FENCED, places=(READABLE,)), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (Effect("write", "", (INSIDE,)), CLEAN, "ask", "ask", "allow", "ask", "deny", "ask"),
    (Effect("write", "", (INSIDE,)), TAINTED, "ask", "ask", "ask", "ask", "deny", "ask"),
    (Effect("write", "", (OPEN,)), CLEAN, "ask", "ask", "allow", "ask", "deny", "ask"),
    (Effect("write", "", (READABLE,)), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (Effect("read", "", (READABLE,)), TAINTED, "allow", "allow", "allow", "allow", "allow", "allow"),
    (WEB, CLEAN, "ask", "allow", "allow", "allow", "allow", "allow"),
    (WEB, TAINTED, "ask", "ask", "ask", "ask", "deny", "ask"),
    (MAIL, CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (TOOL, CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (replace(TOOL, vouched="shipped"), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (SKILL, CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (replace(SKILL, vouched="somebody"), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (replace(SKILL, vouched="person"), TAINTED, "allow", "allow", "allow", "allow", "deny", "allow"),
    (replace(SKILL, vouched="shipped"), TAINTED, "allow", "allow", "allow", "allow", "allow", "allow"),
    (Effect("delegate", ""), CLEAN, "ask", "allow", "allow", "allow", "deny", "allow"),
    (Effect("find", ""), TAINTED, "allow", "allow", "allow", "allow", "allow", "allow"),
    (Effect("ask", ""), TAINTED, "allow", "allow", "allow", "allow", "allow", "allow"),
    (Effect("fetch", ""), CLEAN, "deny", "deny", "deny", "deny", "deny", "deny"),
    (Effect("send", ""), CLEAN, "deny", "deny", "deny", "deny", "deny", "deny"),
    (Effect("explode", ""), CLEAN, "deny", "deny", "deny", "deny", "deny", "deny"),
]


@pytest.mark.parametrize("row", MORE, ids=lambda row: f"{row[0].kind} {'tainted' if row[1] else ''}")
def test_the_table_behind_a_fence(row):
    effect, taint, *outcomes = row
    asked = ("owner", "careful"), ("owner", "balanced"), ("owner", "autonomous"), ("paired", "balanced")
    asked += ("member", "balanced"), ("job", "balanced")
    for (role, mode), expected in zip(asked, outcomes, strict=True):
        context = PolicyContext(role, mode, taint=taint, sandboxed=True)
        decision = decide(ProposedCall("t", {}, effect), context)
        assert decision.outcome == expected, (role, mode, decision)
        if expected == "ask":
            assert decision.sources == taint and decision.reason
            if taint and effect.kind == "execute" and mode != "careful" and role != "paired":
                assert "example.com" in decision.reason
    job = decide(ProposedCall("t", {}, effect), PolicyContext("job", "autonomous", taint=taint, sandboxed=True))
    assert job.outcome == outcomes[-1], "a job is never autonomous"


SENDING = [
    # recipients, places, taint, careful, balanced, autonomous, paired, member, job
    (("telegram:1",), (), CLEAN, "ask", "allow", "allow", "allow", "deny", "allow"),
    (("telegram:1",), (INSIDE,), CLEAN, "ask", "allow", "allow", "allow", "deny", "allow"),
    (("telegram:1",), (READABLE,), CLEAN, "ask", "allow", "allow", "allow", "deny", "allow"),
    (("telegram:1",), (HOOK,), CLEAN, "ask", "allow", "allow", "allow", "deny", "allow"),
    (("telegram:1",), (), TAINTED, "ask", "ask", "ask", "ask", "deny", "ask"),
    (("telegram:1",), (OUTSIDE,), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (("telegram:1",), (INSIDE, CREDENTIALS), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (("telegram:1",), (KEYS,), CLEAN, "deny", "deny", "deny", "deny", "deny", "deny"),
    (("telegram:2",), (), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
    (("telegram:1", "telegram:2"), (), CLEAN, "ask", "ask", "ask", "ask", "deny", "ask"),
]


@pytest.mark.parametrize("row", SENDING, ids=lambda row: f"{row[0]} {[place.shown for place in row[1]]} {row[2]}")
def test_the_table_of_sending(row):
    recipients, places, taint, *outcomes = row
    call = ProposedCall("t", {}, Effect("send", "", places, recipients=recipients))
    asked = ("owner", "careful"), ("owner", "balanced"), ("owner", "autonomous"), ("paired", "balanced")
    asked += ("member", "balanced"), ("job", "autonomous")
    for (role, mode), expected in zip(asked, outcomes, strict=True):
        decision = decide(call, PolicyContext(role, mode, taint=taint, here="telegram:1"))
        assert decision.outcome == expected, (role, mode, decision)
        assert not taint or expected != "ask" or decision.sources == taint
    nowhere = decide(call, PolicyContext("owner", taint=taint))
    assert nowhere.outcome != "allow", "without a conversation nothing is sent to it"


def test_a_permission_to_send_is_not_one_for_files():
    rule = standing_rule(MAIL)
    assert standing_rule(replace(MAIL, places=(INSIDE,))) is None
    with_file = ProposedCall("t", {}, replace(MAIL, places=(INSIDE,)))
    assert decide(with_file, PolicyContext("owner", grants=(rule,))).outcome == "ask"


def test_an_address_that_was_seen_and_one_that_was_put_together():
    seen = PolicyContext("owner", taint=TAINTED, known_urls=True)
    assert decide(ProposedCall("t", {}, WEB), seen).outcome == "allow"
    earlier = PolicyContext("owner", background=("the web page example.com (read earlier)",))
    assert decide(ProposedCall("t", {}, WEB), earlier).outcome == "ask"


def test_a_permission_is_good_for_exactly_its_action():
    def allowed(effect, *rules, role="owner"):
        context = PolicyContext(role, grants=rules, taint=TAINTED, sandboxed=True)
        return decide(ProposedCall("t", {}, effect), context).outcome

    status = standing_rule(FENCED)
    assert allowed(FENCED, status) == "allow" and "git status" in status.words
    for other in ("git status -s", "git stash", "git  status; rm x"):
        assert allowed(replace(FENCED, argv=("bash", "-c", other)), status) == "ask", other
    assert allowed(replace(FENCED, network=True), status) == "ask"
    assert allowed(replace(FENCED, hosts=("pypi.org",)), status) == "ask"
    by_host = standing_rule(replace(FENCED, hosts=("pypi.org",)))
    assert allowed(replace(FENCED, hosts=("pypi.org",)), by_host) == "allow" and "pypi.org" in by_host.words
    for hosts in (("pypi.org", "evil.org"), ("evil.org",)):
        assert allowed(replace(FENCED, hosts=hosts), by_host) == "ask"
    assert allowed(replace(FENCED, network=True), by_host) == "ask"
    assert allowed(replace(FENCED, places=(OPEN,)), status) == "ask"
    assert allowed(FENCED, status, role="member") == "deny"
    assert allowed(MAIL, standing_rule(MAIL)) == "allow"
    assert allowed(replace(MAIL, recipients=("Bob",)), standing_rule(MAIL)) == "ask"
    assert allowed(replace(MAIL, recipients=("Anna", "Bob")), standing_rule(MAIL)) == "ask"
    assert allowed(WEB, standing_rule(WEB)) == "allow"
    write = Effect("write", "", (INSIDE,))
    assert allowed(write, standing_rule(write)) == "allow"
    assert allowed(Effect("write", "", (INSIDE, OPEN)), standing_rule(write)) == "ask", "each place needs its own"
    assert allowed(Effect("read", "", (OUTSIDE,)), Rule("path", "write", str(OUTSIDE.path), "")) == "ask"
    folder = Rule("path", "write", "/home/me/TrayClaw/", "")
    assert allowed(write, folder) == "allow"
    assert allowed(Effect("write", "", (CREDENTIALS,)), folder) == "ask", "a folder's rule opens no credentials"
    assert allowed(Effect("write", "", (HOOK,)), folder) == "deny"
    sibling = replace(INSIDE, path=Path("/home/me/TrayClaw2/a.txt"), inside=False)
    assert allowed(Effect("write", "", (sibling,)), folder) == "ask"


@pytest.mark.parametrize(
    "command",
    [
        "bash x.sh",
        "python3 x.py",
        "python3.12 -c 1",
        "env ls",
        "sudo ls",
        "xargs rm",
        "find . -delete",
        "npm run x",
        "ls | sh",
        "ls; rm x",
        "echo $(rm x)",
        "ls > x",
        "./build",
        "/tmp/ls",
        "A=1 ls",
        "ls *",
        "make",
        "ls 'a",
        "",
    ],
)
def test_always_never_stands_for_a_shell_an_interpreter_or_a_wrapper(command):
    assert standing_rule(replace(FENCED, argv=("bash", "-c", command))) is None


def test_a_conversation_may_be_given_the_workspace(workspace):
    place = workspace.place("a.txt")
    rule = session_rule(Effect("write", "", (place,)), workspace)
    assert rule.value == f"{workspace.root}/" and "files in the workspace" in rule.words
    outside = session_rule(Effect("write", "", (workspace.place("~/x"),)), workspace)
    assert outside.value == str(workspace.root.parent / "x")


@pytest.mark.parametrize(
    ("text", "address", "known"),
    [
        ("see https://a.example/x.", "https://a.example/x", True),
        ("[a](https://a.example/x)", "https://a.example/x", True),
        ("(https://a.example/x_(y))", "https://a.example/x_(y)", True),
        ("https://a.example/x/", "https://a.example/x#part", True),
        ("https://a.example/x", "https://a.example/x?d=secret", False),
        ("https://a.example/x", "https://a.example/", False),
        ("nothing", "https://a.example/", False),
    ],
)
def test_addresses_are_known_word_for_word(text, address, known):
    taint = Taint()
    taint.saw(text)
    assert taint.knows([address]) is known
    assert not taint.knows([])


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
