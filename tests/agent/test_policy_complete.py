"""The policy by its own documentation: every row of the table in `decide` is generated and checked, in every column,
with and without taint; and what no row says stays denied."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.safety.effects import Effect
from agent.safety.grants import Rule
from agent.safety.policy import Decision, PolicyContext, ProposedCall, decide
from agent.safety.rules import standing_rule
from agent.safety.workspace import Place

HOME = Path("/home/me")
HERE = "telegram:4242"


def place(name: str = "TrayClaw/a.txt", **marks: Any) -> Place:
    marks.setdefault("inside", name.startswith("TrayClaw/"))
    return Place(HOME / name, f"~/{name}", **marks)


WORKSPACES = (
    place(),
    place("notes/a.txt", access="write"),
)
CREDENTIALS = (place("TrayClaw/.env", sensitive=True), place("notes/.env", access="write", sensitive=True))
ELSEWHERE = (place("other/a.txt"),)
SECRET = (
    place(".ssh/id", protected="it holds keys", secret=True),
    place("TrayClaw/own", protected="ours", secret=True),
)
PROTECTED = (place(".bashrc", protected="it is run"), place("TrayClaw/.git/hooks/x", protected="git runs it"), *SECRET)
READABLE = (place("docs/a.txt", access="read"),)


def files(kind: str, places: tuple[Place, ...]) -> list[Effect]:
    return [Effect(kind, f"{kind} it", (one,)) for one in places]


def programs(places: tuple[Place, ...], **options: Any) -> list[Effect]:
    return [Effect("execute", "Run ls", (one,), ("bash", "-c", "ls"), **options) for one in places]


WEB = Effect("fetch", "Read it", hosts=("example.com",), addresses=("https://example.com/",))
ROWS: dict[str, list[Effect]] = {
    "read in the workspace or a granted folder": files("read", WORKSPACES + READABLE),
    "read a file with credentials there": files("read", (*CREDENTIALS, place("d/.env", access="read", sensitive=True))),
    "read elsewhere": files("read", ELSEWHERE),
    "read TrayClaw's own files, key stores": files("read", SECRET),
    "write in the workspace or a granted folder": files("write", WORKSPACES),
    "write a file with credentials there": files("write", CREDENTIALS),
    "write elsewhere": files("write", ELSEWHERE + READABLE),
    "write start-up files, git hooks, key stores": files("write", PROTECTED),
    "run a fenced program without network there": programs(WORKSPACES),
    "run any other program (network, named hosts)": programs(WORKSPACES, network=True)
    + programs(WORKSPACES, hosts=("pypi.org",))
    + programs(ELSEWHERE + READABLE),
    "read the web": [WEB],
    "send to the conversation that asked": [
        Effect("send", "Send it", recipients=(HERE,)),
        Effect("send", "Send it", (WORKSPACES[0],), recipients=(HERE,)),
    ],
    "send to others, or files not readable unasked": [
        Effect("send", "Send it", recipients=("Anna",)),
        Effect("send", "Send it", recipients=(HERE, "Anna")),
        Effect("send", "Send it", ELSEWHERE, recipients=(HERE,)),
        Effect("send", "Send it", (CREDENTIALS[0],), recipients=(HERE,)),
    ],
    "use an outside tool": [Effect("use", "Use it")],
    "follow a new or changed skill": [Effect("follow", "Follow it")],
    "follow a skill as the person accepted it": [Effect("follow", "Follow it", vouched="person")],
    "follow one that came along and runs nothing": [Effect("follow", "Follow it", vouched="shipped")],
    "start a subagent (its own calls are decided)": [Effect("delegate", "Start it")],
    "ask the person, look for a tool": [Effect("ask", "Ask it"), Effect("find", "Find it")],
}


@dataclass(frozen=True)
class Column:
    role: str
    mode: str


COLUMNS = {
    "owner: careful": Column("owner", "careful"),
    "balanced": Column("owner", "balanced"),
    "autonomous": Column("owner", "autonomous"),
    "paired": Column("paired", "balanced"),
    "member": Column("member", "balanced"),
}


def table() -> list[tuple[str, str, str]]:
    """(effect, column, cell) of the table in the docstring."""
    lines = [line.strip().strip("|") for line in str(decide.__doc__).splitlines() if line.strip().startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    head, _, *body = rows
    return [(row[0], column, cell) for row in body for column, cell in zip(head[1:], row[1:], strict=True)]


def expected(cell: str, *, tainted: bool, earlier: bool) -> str:
    """What a cell means. (1) asks once untrusted text was read in this turn, (2) and (3) also for earlier turns."""
    outcome, number = re.fullmatch(r"(allow|ask|deny|)\s*(?:\((\d)\))?", cell).groups()  # type: ignore[union-attr]
    if number == "1":
        return "ask" if tainted else "allow"
    if number == "2":
        return "ask" if tainted or earlier else "allow"
    if number == "3":
        return "deny" if tainted or earlier else "allow"
    return str(outcome)


def test_the_table_is_whole() -> None:
    assert list(dict.fromkeys(name for name, _, _ in table())) == list(ROWS)
    assert list(dict.fromkeys(column for _, column, _ in table())) == list(COLUMNS)


@pytest.mark.parametrize(("name", "column", "cell"), table(), ids=lambda text: text)
def test_every_cell(name: str, column: str, cell: str) -> None:
    where = COLUMNS[column]
    for effect, tainted, earlier in itertools.product(ROWS[name], (False, True), (False, True)):
        context = PolicyContext(
            where.role,
            where.mode,  # type: ignore[arg-type]
            taint=("the page evil.example",) if tainted else (),
            background=("notes.txt",) if earlier else (),
            sandboxed=True,
            here=HERE,
        )
        decision = decide(ProposedCall("t", {}, effect), context)
        assert decision.outcome == expected(cell, tainted=tainted, earlier=earlier), (effect, tainted, earlier)
        _explained(decision, context)


def _explained(decision: Decision, context: PolicyContext) -> None:
    assert bool(decision.reason) == (decision.outcome != "allow")
    assert decision.sources == ((*context.taint, *context.background) if decision.outcome == "ask" else ())


@pytest.mark.parametrize("name", ROWS)
def test_a_job_is_an_owner_who_is_never_autonomous(name: str) -> None:
    for effect, mode, tainted in itertools.product(ROWS[name], ("careful", "balanced", "autonomous"), (False, True)):
        taint = ("a mail",) if tainted else ()
        as_job = decide(ProposedCall("t", {}, effect), PolicyContext("job", mode, taint=taint, sandboxed=True))
        plain = "balanced" if mode == "autonomous" else mode
        as_owner = decide(ProposedCall("t", {}, effect), PolicyContext("owner", plain, taint=taint, sandboxed=True))
        assert as_job == as_owner


@pytest.mark.parametrize("name", ROWS)
def test_a_paired_person_and_a_member_have_the_same_in_every_mode_but_careful(name: str) -> None:
    for effect, role in itertools.product(ROWS[name], ("paired", "member")):
        one, other = (
            decide(ProposedCall("t", {}, effect), PolicyContext(role, mode, sandboxed=True))  # type: ignore[arg-type]
            for mode in ("balanced", "autonomous")
        )
        assert one == other


@pytest.mark.parametrize("role", ["owner", "paired", "member", "job"])
@pytest.mark.parametrize("name", ROWS)
def test_a_grant_turns_questions_into_yes_and_nothing_else(name: str, role: str) -> None:
    for effect in ROWS[name]:
        rule = standing_rule(effect) or Rule("tool", effect.kind, "x", "")
        without = PolicyContext(role, taint=("a page",), sandboxed=True)
        before = decide(ProposedCall("t", {}, effect), without)
        after = decide(ProposedCall("t", {}, effect), replace(without, grants=(rule,)))
        if before.outcome == "ask" and standing_rule(effect) is not None:
            assert after == Decision("allow", "you permitted this")
        else:
            assert after == before
        other = Rule(rule.kind, rule.effect, rule.value + "x", "")
        assert decide(ProposedCall("t", {}, effect), replace(without, grants=(other,))) == before


def test_an_outside_tool_is_granted_by_its_own_rule() -> None:
    rule = Rule("tool", "use", "calendar:1f2e", "calendar")
    effect = Effect("use", "Use it", always=rule)
    ask = PolicyContext("owner")
    assert decide(ProposedCall("t", {}, effect), ask).outcome == "ask"
    assert decide(ProposedCall("t", {}, effect), replace(ask, grants=(rule,))).outcome == "allow"
    changed = replace(rule, value="calendar:ffff")
    assert decide(ProposedCall("t", {}, effect), replace(ask, grants=(changed,))).outcome == "ask"


REASONS = [
    (Effect("nap", ""), {}, "no rule covers 'nap'"),
    (Effect("write", ""), {}, "it does not say which files it touches"),
    (Effect("read", ""), {}, "it does not say which files it touches"),
    (Effect("fetch", ""), {}, "it does not say which host it reads from"),
    (Effect("send", ""), {}, "it does not say who it is sent to"),
    (files("read", SECRET)[0], {}, "~/.ssh/id is off limits: it holds keys"),
    (files("write", PROTECTED)[0], {}, "~/.bashrc is off limits: it is run"),
    (programs(SECRET)[0], {"sandboxed": True}, "~/.ssh/id is off limits: it holds keys"),
    (files("read", ELSEWHERE)[0], {}, "~/other/a.txt is outside the workspace"),
    (files("write", READABLE)[0], {}, "~/docs/a.txt is outside the workspace"),
    (files("read", CREDENTIALS)[0], {}, "~/TrayClaw/.env usually holds credentials"),
    (files("write", WORKSPACES)[0], {}, "it changes files"),
    (files("write", WORKSPACES)[0], {"role": "paired"}, "somebody you paired asks to change files"),
    (programs(WORKSPACES)[0], {}, "programs run without a sandbox, with all your rights"),
    (programs(WORKSPACES)[0], {"sandboxed": True, "mode": "careful"}, "every effect asks in this mode"),
    (programs(WORKSPACES)[0], {"sandboxed": True, "role": "paired"}, "somebody you paired asks to run a program"),
    (programs(ELSEWHERE)[0], {"sandboxed": True}, "it works in ~/other/a.txt, which is outside the workspace"),
    (
        programs(WORKSPACES, network=True)[0],
        {"sandboxed": True},
        "the program may reach all of the network, and what it sends there cannot be taken back",
    ),
    (
        programs(WORKSPACES, hosts=("pypi.org", "example.com"))[0],
        {"sandboxed": True},
        "the program may reach pypi.org, example.com, and what it sends there cannot be taken back",
    ),
    (
        Effect("send", "", recipients=(HERE,)),
        {"here": HERE, "taint": ("the page x",)},
        "it sends something after the page x was read, which may be where the wish comes from",
    ),
    (Effect("send", "", recipients=(HERE,)), {"here": HERE, "mode": "careful"}, "every effect asks in this mode"),
    (
        Effect("follow", ""),
        {},
        "it tells TrayClaw what to do, and you have not accepted it as it is now",
    ),
    (WEB, {"mode": "careful"}, "every effect asks in this mode"),
    (
        WEB,
        {"background": ("a",)},
        "the address at example.com was put together by the model and could carry something out",
    ),
    (Effect("send", "", recipients=("Anna", "Bob")), {}, "what is sent to Anna, Bob cannot be taken back"),
    (Effect("send", "", recipients=tuple("abc")), {}, "what is sent to a, b, c cannot be taken back"),
    (Effect("send", "", recipients=tuple("abcd")), {}, "what is sent to a, b, c and 1 more cannot be taken back"),
    (Effect("send", "", recipients=tuple("abcde")), {}, "what is sent to a, b, c and 2 more cannot be taken back"),
    (Effect("use", ""), {}, "nobody but its maker knows what it does"),
    (Effect("delegate", ""), {"mode": "careful"}, "every effect asks in this mode"),
    (
        Effect("delegate", ""),
        {"role": "member"},
        "members of a group may only have files of the workspace and web pages read",
    ),
    (
        programs(WORKSPACES)[0],
        {"sandboxed": True, "taint": ("the page x", "a mail")},
        "it runs a program after the page x, a mail was read, which may be where the wish comes from",
    ),
    (
        files("write", WORKSPACES)[0],
        {"mode": "autonomous", "taint": ("the page x",)},
        "it changes files after the page x was read, which may be where the wish comes from",
    ),
    (Effect("ask", ""), {"role": "stranger"}, "the sender is not known"),
]


@pytest.mark.parametrize(("effect", "context", "reason"), REASONS, ids=[reason for _, _, reason in REASONS])
def test_the_reason_is_told_in_these_words(effect: Effect, context: dict[str, Any], reason: str) -> None:
    decision = decide(ProposedCall("t", {}, effect), PolicyContext(**{"role": "owner", **context}))
    assert decision.reason == reason and decision.outcome != "allow"


@pytest.mark.parametrize("role", ["owner", "job"])
def test_careful_asks_for_known_addresses_too(role: str) -> None:
    context = PolicyContext(role, "careful", known_urls=True, taint=("a page",))
    assert decide(ProposedCall("t", {}, WEB), context).outcome == "ask"
    assert decide(ProposedCall("t", {}, WEB), replace(context, mode="balanced")).outcome == "allow"
    paired = replace(context, role="paired")
    assert decide(ProposedCall("t", {}, WEB), paired).outcome == "allow"
    assert decide(ProposedCall("t", {}, WEB), PolicyContext(role, background=("",))).outcome == "allow"


def test_one_bad_place_among_good_ones_counts() -> None:
    good = WORKSPACES[0]
    for kind, bad, outcome in (
        ("read", ELSEWHERE[0], "ask"),
        ("write", CREDENTIALS[0], "ask"),
        ("write", PROTECTED[0], "deny"),
        ("execute", ELSEWHERE[0], "ask"),
        ("read", SECRET[0], "deny"),
    ):
        for places in ((good, bad), (bad, good)):
            context = PolicyContext("owner", "autonomous", sandboxed=True)
            assert decide(ProposedCall("t", {}, Effect(kind, "", places)), context).outcome == outcome


def test_a_question_to_the_person_is_free_whatever_it_speaks_of() -> None:
    question = Effect("ask", "Ask it", (ELSEWHERE[0], CREDENTIALS[0]))
    assert decide(ProposedCall("t", {}, question), PolicyContext("member", "careful", taint=("a",))) == Decision(
        "allow"
    )
