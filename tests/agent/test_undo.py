"""Undo restores what effects changed, byte for byte, or says what is in the way and touches nothing."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.ledger import Ledger
from agent.core.undo import plan
from agent.safety.effects import Effect
from agent.safety.workspace import Workspace
from agent.settings import UndoSettings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")

NAMES = ["a", "b.txt", "sub", "sub/c", "sub/deep/d.bin", "sub/deep", "ü é", "-rf"]
CONTENTS = [b"", b"x", b"line\r\n" * 3, bytes(range(256)), b"y" * 70_000]


class Bench:
    """A workspace, and effects on it that are noted as a turn's."""

    def __init__(self, root: Path, **limits: Any) -> None:
        self.folder = root / "workspace"
        self.folder.mkdir(parents=True)
        self.workspace = Workspace(self.folder, home=root)
        self.ledger = Ledger(root / "undo", lambda: UndoSettings(**limits))
        self.turns: list[tuple[int, list[dict[str, Any]]]] = []

    def act(self, kind: str, work: Any, *names: str) -> None:
        places = tuple(self.workspace.place(name) for name in names) or (self.workspace.place("."),)
        effect = Effect(kind, "did it", places)
        before = self.ledger.before(effect, self.workspace)
        work()
        detail = before.as_json() | self.ledger.after(before)
        self.turns[0][1].append({"kind": kind, "state": "done", "summary": "did it", "detail": detail})

    def begin(self) -> None:
        self.turns.insert(0, (len(self.turns) + 1, []))

    def undo(self, count: int = 1, **options: Any) -> Any:
        return self.ledger.undo(plan(self.turns[:count]), **options)

    def tree(self) -> dict[str, tuple[Any, ...]]:
        found: dict[str, tuple[Any, ...]] = {}
        for path in sorted(self.folder.rglob("*")):
            status = path.lstat()
            what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
            mode = 0 if path.is_symlink() else stat.S_IMODE(status.st_mode)
            found[str(path.relative_to(self.folder))] = (stat.S_IFMT(status.st_mode), mode, what)
        return found

    def do(self, name: str, target: str, other: str, content: bytes, mode: int) -> None:
        """One thing that a program may do; what cannot be done there is not done."""
        path, second = self.folder / target, self.folder / other
        try:
            match name:
                case "write":
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                case "remove":
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                case "rename":
                    path.rename(second)
                case "chmod":
                    if not path.is_symlink():
                        path.chmod(mode)
                case "link":
                    path.symlink_to(other)
                case "mkdir":
                    path.mkdir(parents=True)
        except OSError:
            pass


STEPS = st.tuples(
    st.sampled_from(["write", "write", "remove", "rename", "chmod", "link", "mkdir"]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.sampled_from(CONTENTS),
    st.sampled_from([0o644, 0o600, 0o755, 0o700]),
)


@given(
    start=st.lists(STEPS, max_size=8),
    turns=st.lists(st.lists(STEPS, min_size=1, max_size=5), min_size=1, max_size=3),
    foreign=st.none() | STEPS,
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_undo_restores_exactly_or_touches_nothing(start: Any, turns: Any, foreign: Any) -> None:
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(Path(root))
        for step in start:
            bench.do(*step)
        before = bench.tree()
        for steps in turns:
            bench.begin()
            for step in steps:
                bench.act("execute", lambda step=step: bench.do(*step))
        after = bench.tree()
        if foreign is not None:
            bench.do(*foreign)
        now = bench.tree()
        report = bench.undo(len(turns))
        if report.done:
            untouched = {name for name in {*after, *now} if after.get(name) != now.get(name)}
            expected = {name: entry for name, entry in before.items() if name not in untouched}
            found = {name: entry for name, entry in bench.tree().items() if name not in untouched}
            assert found == expected
        else:
            assert foreign is not None and bench.tree() == now
            assert any(step.outcome == "conflict" for step in report.steps)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path, file_mb=0.05)
    bench.begin()
    return bench


def test_a_file_that_a_tool_made_is_removed_with_the_folders_made_for_it(bench: Bench) -> None:
    bench.act("write", lambda: bench.do("write", "sub/deep/d.bin", "", b"x", 0), "sub/deep/d.bin")
    report = bench.undo()
    assert report.done and [step.outcome for step in report.steps] == ["removed"] * 3
    assert bench.tree() == {}


def test_a_dry_run_touches_nothing(bench: Bench) -> None:
    bench.act("write", lambda: bench.do("write", "a", "", b"x", 0), "a")
    assert bench.undo(dry_run=True).done and (bench.folder / "a").read_bytes() == b"x"


def test_what_somebody_changed_since_stays_and_is_named(bench: Bench) -> None:
    (bench.folder / "a").write_text("old")
    (bench.folder / "b").write_text("old")
    bench.act("execute", lambda: [(bench.folder / name).write_text("new") for name in "ab"])
    (bench.folder / "b").write_text("mine")
    report = bench.undo()
    assert not report.done and [step.what for step in report.steps] == [str(bench.folder / "b")]
    assert (bench.folder / "a").read_text() == "new" and (bench.folder / "b").read_text() == "mine"


def test_a_file_too_large_to_keep_is_said_and_the_rest_restored(bench: Bench) -> None:
    (bench.folder / "big").write_bytes(b"x" * 60_000)
    (bench.folder / "small").write_text("old")
    bench.act("execute", lambda: [(bench.folder / name).write_text("new") for name in ("big", "small")])
    report = bench.undo()
    assert report.done and (bench.folder / "small").read_text() == "old"
    assert ("not covered", str(bench.folder / "big")) in [(step.outcome, step.what) for step in report.steps]


def test_a_link_put_in_the_place_of_a_folder_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    (bench.folder / "sub").mkdir()
    (bench.folder / "sub" / "c").write_text("old")
    bench.act("write", lambda: (bench.folder / "sub" / "c").write_text("new"), "sub/c")
    elsewhere = tmp_path / "elsewhere"
    (bench.folder / "sub").rename(elsewhere)
    (bench.folder / "sub").symlink_to(elsewhere)
    assert not bench.undo().done
    assert (elsewhere / "c").read_text() == "new"


def test_an_undo_that_was_cut_off_is_finished_by_the_next_one(bench: Bench) -> None:
    for name in "ab":
        (bench.folder / name).write_text("old")
    bench.act("execute", lambda: [(bench.folder / name).write_text("new") for name in "ab"])
    (bench.folder / "a").write_text("old")  # as far as the first one came
    assert bench.undo().done
    assert (bench.folder / "b").read_text() == "old"
