"""`trayclaw skills`: the list, the text and the difference, accepting, withdrawing; at a terminal and without."""

from __future__ import annotations

import json
import os

import pytest

from agent.paths import Paths
from tests.agent.cli_kit import Terminal, trayclaw
from tests.agent.test_skills_folders import SIMPLE, put


def state(name: str) -> str:
    rows = [json.loads(line) for line in trayclaw("skills", "list", "--json").out.splitlines()]
    return next(row["state"] for row in rows if row["name"] == name)


def test_from_new_to_accepted_changed_and_withdrawn(paths: Paths) -> None:
    folder = put(paths.workspace, "notes")
    needy = "metadata: {nanobot: {os: [plan9]}}"
    put(paths.workspace, "tool", f'---\ndescription: "\\x1b[2J Needs it."\n{needy}\n---\n')
    put(paths.workspace, "bad", "nothing")
    listed = trayclaw("skills", "list")
    assert listed.code == 0 and listed.out.splitlines()[0].split() == ["NAME", "STATE", "DESCRIPTION"]
    lines = {line.split()[0]: line for line in listed.out.splitlines()}
    assert "new" in lines["notes"] and "built in" in lines["weather"] and "\x1b" not in listed.out
    assert "lacks another system (plan9)" in lines["tool"] and "front matter" in lines["bad"]
    shown = trayclaw("skills", "show", "notes")
    assert shown.code == 0 and "Write them down." in shown.out
    refused = trayclaw("skills", "accept", "notes")
    assert refused.code == 2 and "--yes" in refused.err and state("notes") == "new"
    assert trayclaw("skills", "accept", "notes", "--yes").out == "Accepted as it is now.\n"
    assert trayclaw("skills", "accept", "notes").out == "You accepted exactly this before.\n"
    (folder / "SKILL.md").write_text(SIMPLE.replace("Write", "Shout"))
    assert state("notes") == "changed"
    assert "-Write them down.\n+Shout them down." in trayclaw("skills", "show", "notes").out
    assert trayclaw("skills", "withdraw", "notes").code == 0
    assert state("notes") == "new"
    assert trayclaw("skills", "withdraw", "notes").code == 2
    for command in ("show", "accept"):
        unknown = trayclaw("skills", command, "nothing")
        assert unknown.code == 2 and "no skill nothing" in unknown.err
        broken = trayclaw("skills", command, "bad")
        assert broken.code == 2 and "front matter" in broken.err


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("typed", "code", "after"), [("y\r", 0, "accepted"), ("\r", 5, "new")])
def test_at_a_terminal_it_is_shown_and_asked(paths: Paths, typed: str, code: int, after: str) -> None:
    put(paths.workspace, "notes")
    with Terminal("skills", "accept", "notes") as terminal:
        terminal.wait_for("Write them down.")
        terminal.wait_for("Accept it as it is?")
        terminal.type(typed)
        assert terminal.end() == code
    assert state("notes") == after
