"""Undo of what the real tools did, in any order, through the receipts as they are stored."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.undo import plan
from tests.agent.tool_desk import ToolDesk

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")

NAMES = ["a", "b.txt", "sub/c", "sub", "new/deep/d", "ü é", "-rf", "x\ny"]
COMMANDS = [
    "echo changed > {0}",
    "rm -rf -- {0}",
    "mkdir -p -- {0}",
    "mv -f -- {0} {1}",
    "cp -R -- {0} {1}",
    "chmod {2} -- {0}",
    "ln -sfn {1} {0}",
    "rm -rf -- {0}; mkdir -p -- {0}; echo x > {0}/inside",
    "rm -rf -- {0}; printf 'a\\r\\nb' > {0}; chmod 400 {0}",
    "mkfifo -- {0}",
    "for n in 1 2 3; do mkdir -p many/$n; echo $n > many/$n/{0}; done",
    "printf '\\377' > \"$(printf 'bad\\377name')\"; touch empty; truncate -s 5000 {0}",
    "echo fails > {0}; exit 3",
]
SOME = st.sampled_from(NAMES)
CALLS = st.one_of(
    st.tuples(st.just("write_file"), SOME, SOME, st.sampled_from(["", "one\ntwo\n", "é" * 50])),
    st.tuples(st.just("edit_file"), SOME, SOME, st.sampled_from(["one", "changed", "two\n"])),
    st.tuples(st.just("apply_patch"), SOME, SOME, st.sampled_from(["one", "two"])),
    st.tuples(st.just("run_command"), SOME, SOME, st.sampled_from(COMMANDS)),
    st.tuples(st.just("run_command"), SOME, SOME, st.sampled_from(COMMANDS)),
)


def arguments(tool: str, name: str, other: str, text: str) -> dict[str, Any]:
    if tool == "write_file":
        return {"path": name, "text": text}
    if tool == "edit_file":
        return {"path": name, "old": text, "new": f"{text} and more"}
    if tool == "apply_patch":
        update = f"*** Update File: {name}\n-{text}\n+{text} patched\n"
        return {"patch": f"*** Begin Patch\n{update}*** Add File: {other}.added\n+new\n*** End Patch"}
    quoted = ["'" + one + "'" for one in (f"./{name}", f"./{other}")]
    return {"command": text.format(*quoted, "755" if name < other else "440")}


def tree(folder: Path) -> dict[str, tuple[int, int, object]]:
    found: dict[str, tuple[int, int, object]] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        content: object = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        mode = 0 if path.is_symlink() else stat.S_IMODE(status.st_mode)
        found[str(path.relative_to(folder))] = (stat.S_IFMT(status.st_mode), mode, content)
    return found


@given(
    start=st.lists(
        st.tuples(SOME, st.sampled_from(["", "one\ntwo\n"]), st.sampled_from([0o644, 0o600, 0o755])), max_size=5
    ),
    turns=st.lists(st.lists(CALLS, min_size=1, max_size=3), min_size=1, max_size=2),
    foreign=st.none() | st.tuples(SOME, st.sampled_from(["theirs", ""])),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_tools_did_is_taken_back_exactly_or_nothing_is(start: Any, turns: Any, foreign: Any) -> None:
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(_play(Path(root), start, turns, foreign))


async def _play(root: Path, start: Any, turns: Any, foreign: Any) -> None:
    desk = ToolDesk(root)
    for name, text, mode in start:
        path = desk.folder / name
        if not path.exists() and not path.parent.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(mode)
    before = tree(desk.folder)
    receipts: list[tuple[int, Any]] = []
    for number, calls in enumerate(turns):
        first = len(desk.effects)
        for call in calls:
            await desk.call(call[0], **arguments(*call))
        receipts.insert(0, (number, json.loads(json.dumps(desk.effects[first:]))))  # as the database keeps them
    after = tree(desk.folder)
    if foreign is not None:
        path = desk.folder / foreign[0]
        if path.is_file() or (not os.path.lexists(path) and path.parent.is_dir()):
            path.write_text(foreign[1])
    now = tree(desk.folder)
    report = desk.ledger.undo(plan(receipts))
    found = tree(desk.folder)
    if not report.done:
        assert found == now and now != after
        assert any(step.outcome == "conflict" for step in report.steps)
        return
    theirs = {name for name in {*after, *now} if after.get(name) != now.get(name)}
    for name in {*before, *found} - theirs:
        assert found.get(name) == before.get(name), name
