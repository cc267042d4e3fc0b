"""What a permission is made of, and that it is good for nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.safety.effects import Effect
from agent.safety.grants import Rule
from agent.safety.rules import granted, session_rule, standing_rule
from agent.safety.workspace import Place, Workspace

HERE = Place(Path("/home/me/TrayClaw"), "the workspace", inside=True, full="~/TrayClaw")
FILE = Place(Path("/home/me/TrayClaw/a.txt"), "a.txt", inside=True, full="~/TrayClaw/a.txt")


def run(command: str, place: Place = HERE, *, network: bool = False) -> Effect:
    return Effect("execute", "Run it", (place,), ("bash", "-c", command), network=network)


def test_a_program_with_its_arguments_and_folder() -> None:
    rule = standing_rule(run("git  status"))
    assert rule is not None and (rule.kind, rule.effect) == ("command", "execute")
    assert rule.words == "git status in the workspace" and len(rule.value) == 64
    assert standing_rule(run("git status")) == rule
    assert standing_rule(run("'git' \"status\"")).value == rule.value  # type: ignore[union-attr]
    networked = standing_rule(run("git status", network=True))
    assert networked is not None and networked.words == "git status in the workspace with network"
    values = {rule.value, networked.value}
    values |= {standing_rule(run(text)).value for text in ("git", "git statuS", "git stat us")}  # type: ignore[union-attr]
    values.add(standing_rule(run("git status", FILE)).value)  # type: ignore[union-attr]
    assert len(values) == 6
    long = standing_rule(run("git log " + "x" * 100))
    assert long is not None and long.words.startswith("git log xxx") and "… in the workspace" in long.words
    assert len(long.words) == len(" in the workspace") + 60


@pytest.mark.parametrize("name", ["sh", "BASH", "bash.exe", "python3.12", "python", "pythonw", "perl5", "env", "sudo"])
def test_no_interpreter_under_any_name(name: str) -> None:
    assert standing_rule(run(f"{name} x")) is None


@pytest.mark.parametrize("sign", list(";&|<>$`(){}*?~!#[]\\\n\r"))
def test_no_line_that_a_shell_reads_as_more_than_words(sign: str) -> None:
    assert standing_rule(run(f"ls a{sign}b")) is None


@pytest.mark.parametrize("command", ["", "   ", "A=1 ls", "ls 'a", "./ls", "/bin/ls", "bin/ls"])
def test_nothing_that_is_no_plain_program(command: str) -> None:
    assert standing_rule(run(command)) is None


def test_without_exactly_one_folder_there_is_no_rule() -> None:
    assert standing_rule(replace(run("ls"), places=())) is None
    assert standing_rule(replace(run("ls"), places=(HERE, FILE))) is None
    assert standing_rule(replace(run("ls"), argv=())) is None
    assert standing_rule(run("ls")) is not None


def test_files_hosts_and_people() -> None:
    read, write = Effect("read", "", (FILE,)), Effect("write", "", (FILE,))
    path = str(FILE.path)
    assert standing_rule(read) == Rule("path", "read", path, "reading ~/TrayClaw/a.txt")
    assert standing_rule(write) == Rule("path", "write", path, "changing ~/TrayClaw/a.txt")
    bare = replace(FILE, full="")
    assert standing_rule(replace(write, places=(bare,))) == Rule("path", "write", path, "changing a.txt")
    assert standing_rule(Effect("fetch", "", hosts=("a.example",))) == Rule(
        "host", "fetch", "a.example", "reading from a.example"
    )
    assert standing_rule(Effect("send", "", recipients=("Anna",))) == Rule(
        "recipient", "send", "Anna", "sending to Anna"
    )
    for several in (
        Effect("read", "", (FILE, HERE)),
        Effect("write", ""),
        Effect("fetch", "", hosts=("a", "b")),
        Effect("send", "", recipients=("a", "b")),
        Effect("fetch", ""),
        Effect("use", ""),
        Effect("delegate", "", (FILE,), hosts=("a",), recipients=("b",)),
    ):
        assert standing_rule(several) is None
    own = Rule("tool", "use", "x:1", "x")
    assert standing_rule(Effect("use", "", always=own)) == own
    assert standing_rule(replace(read, always=own)) == own


def test_the_rest_of_a_conversation(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws", home=tmp_path)
    inside = workspace.place("a.txt")
    whole = Rule("path", "write", f"{workspace.root}/", "changing files in the workspace")
    assert session_rule(Effect("write", "", (inside,)), workspace) == whole
    assert session_rule(Effect("write", "", (inside, workspace.place("b"))), workspace) == whole
    for effect in (
        Effect("read", "", (inside,)),
        Effect("write", "", (workspace.place(".env"),)),
        Effect("write", "", (workspace.place("../b"),)),
        Effect("write", ""),
        Effect("write", "", (inside, workspace.place(".env"))),
        run("ls"),
    ):
        assert session_rule(effect, workspace) == standing_rule(effect)


def test_a_permission_covers_exactly_its_own() -> None:
    rule = Rule("path", "write", "/a/b", "")
    assert rule.covers(replace(rule, words="other words"))
    for other in (
        replace(rule, kind="host"),
        replace(rule, effect="read"),
        replace(rule, value="/a/bc"),
        replace(rule, value="/a/b/c"),
        replace(rule, value="/a"),
    ):
        assert not rule.covers(other), other
    folder = replace(rule, value="/a/b/")
    for value, covered in (("/a/b", True), ("/a/b/c", True), ("/a/b/c/d", True), ("/a/bc", False), ("/a", False)):
        assert folder.covers(replace(rule, value=value)) is covered, value
    host = Rule("host", "fetch", "example.com/", "")
    assert not host.covers(replace(host, value="example.com/x"))


def test_all_of_an_action_must_be_permitted() -> None:
    other = replace(FILE, path=FILE.path.with_name("b.txt"))
    keys = replace(FILE, path=FILE.path.with_name(".env"), sensitive=True)
    rules = (Rule("path", "write", str(FILE.path), ""), Rule("path", "read", str(other.path), ""))
    assert granted(Effect("write", "", (FILE,)), rules)
    assert granted(Effect("read", "", (other,)), rules)
    assert not granted(Effect("write", "", (FILE, other)), rules)
    assert not granted(Effect("write", "", ()), rules)
    assert not granted(Effect("write", "", (FILE,)), ())
    folder = (Rule("path", "write", f"{FILE.path.parent}/", ""),)
    assert granted(Effect("write", "", (FILE, other)), folder)
    assert not granted(Effect("write", "", (FILE, keys)), folder)
    assert granted(Effect("write", "", (keys,)), (Rule("path", "write", str(keys.path), ""),))
    assert not granted(Effect("use", ""), folder)
    fetch = Effect("fetch", "", hosts=("a.example",))
    assert granted(fetch, (Rule("host", "fetch", "b.example", ""), Rule("host", "fetch", "a.example", "")))
    assert not granted(fetch, (Rule("host", "fetch", "b.example", ""),))
