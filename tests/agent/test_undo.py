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
ODD_NAMES = ["line\nbreak", " ", "sub/*?[x]", "\udcff\udcfe", "👍", "a" * 200, "sub/'\"$(x)`"]
CONTENTS = ["", "x", "line\r\n", "\x00\xff", "y" * 9]
LARGE = ["z" * 99, "zz" * 50]
"""Written 300 times over (`data`), which is more than `file_mb` in the tests that set it; the others are not."""


def data(content: str) -> bytes:
    """What is in a file: short where hypothesis shows it, as long as it must be on the disk."""
    return content.encode("latin-1") * (300 if content in LARGE else 20)


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

    def do(self, name: str, target: str, other: str, content: str, mode: int) -> None:
        """One thing that a program may do; what cannot be done there is not done."""
        path, second = self.folder / target, self.folder / other
        try:
            match name:
                case "write":
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data(content))
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
                case "swap":  # a file becomes a folder, or the other way round
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path)
                        path.write_bytes(data(content))
                    else:
                        path.unlink()
                        path.mkdir()
                        (path / "inside").write_bytes(data(content))
                        path.chmod(mode)
                case "copy":
                    shutil.copy2(path, second, follow_symlinks=False)
                case "hard link":
                    second.hardlink_to(path)
                case "swap names":
                    third = self.folder / "third"
                    path.rename(third)
                    second.rename(path)
                    third.rename(second)
        except OSError:
            pass


WORK = ["write", "write", "remove", "rename", "chmod", "link", "mkdir", "swap", "copy", "hard link", "swap names"]
MODES = [0o644, 0o600, 0o755, 0o700, 0o444, 0o555, 0o500]


def steps(names: list[str], contents: list[str]) -> st.SearchStrategy[tuple[str, str, str, str, int]]:
    some = st.sampled_from(names)
    return st.tuples(st.sampled_from(WORK), some, some, st.sampled_from(contents), st.sampled_from(MODES))


STEPS = steps(NAMES, CONTENTS) | steps(NAMES[:4] + ODD_NAMES, CONTENTS)


@given(
    start=st.lists(STEPS, max_size=8),
    turns=st.lists(st.lists(STEPS, min_size=1, max_size=5), min_size=1, max_size=3),
    foreign=st.none() | STEPS,
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_undo_restores_exactly_or_touches_nothing(start: Any, turns: Any, foreign: Any) -> None:
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(Path(root))
        for step in start:
            bench.do(*step)
        before = bench.tree()
        for work in turns:
            bench.begin()
            for step in work:
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


@given(
    start=st.lists(steps(NAMES, CONTENTS + LARGE), max_size=8),
    turns=st.lists(st.lists(steps(NAMES, CONTENTS + LARGE), min_size=1, max_size=5), min_size=1, max_size=3),
    foreign=st.none() | steps(NAMES, CONTENTS),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_too_large_to_keep_is_never_lost(start: Any, turns: Any, foreign: Any) -> None:
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(Path(root), file_mb=0.01)
        for step in start:
            bench.do(*step)
        before = bench.tree()
        for work in turns:
            bench.begin()
            for step in work:
                bench.act("execute", lambda step=step: bench.do(*step))
        after = bench.tree()
        if foreign is not None:
            bench.do(*foreign)
        now = bench.tree()
        report = bench.undo(len(turns))
        found = bench.tree()
        if not report.done:
            assert found == now and any(step.outcome == "conflict" for step in report.steps)
            return
        named = {os.path.relpath(step.what, bench.folder) for step in report.steps if step.outcome == "not covered"}
        theirs = {name for name in {*after, *now} if after.get(name) != now.get(name)}
        for name in {*before, *found} - theirs - named:
            assert found.get(name) == before.get(name), name
        for name in named - theirs:
            assert found.get(name) == now.get(name) or found.get(name) == before.get(name), name
        large = {entry[2] for entry in before.values() if entry[2] in map(data, LARGE)}
        left = {entry[2] for entry in found.values()}
        assert all(content in left for content in large if content in {entry[2] for entry in now.values()})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path, file_mb=0.05)
    bench.begin()
    return bench


def test_a_file_that_a_tool_made_is_removed_with_the_folders_made_for_it(bench: Bench) -> None:
    bench.act("write", lambda: bench.do("write", "sub/deep/d.bin", "", "x", 0), "sub/deep/d.bin")
    report = bench.undo()
    assert report.done and [step.outcome for step in report.steps] == ["removed"] * 3
    assert bench.tree() == {}


def test_a_dry_run_touches_nothing(bench: Bench) -> None:
    bench.act("write", lambda: bench.do("write", "a", "", "x", 0), "a")
    assert bench.undo(dry_run=True).done and (bench.folder / "a").read_bytes() == data("x")


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


def test_a_large_file_that_was_moved_is_not_lost(bench: Bench) -> None:
    (bench.folder / "big").write_bytes(b"x" * 60_000)
    (bench.folder / "small").write_text("old")

    def work() -> None:
        (bench.folder / "new").mkdir()
        (bench.folder / "big").rename(bench.folder / "new" / "big")
        (bench.folder / "small").write_text("new")

    bench.act("execute", work)
    report = bench.undo()
    assert report.done and (bench.folder / "small").read_text() == "old"
    assert (bench.folder / "new" / "big").stat().st_size == 60_000
    stayed = {Path(step.what).name: step.detail for step in report.steps if step.outcome == "not covered"}
    assert stayed["new"] == "the only copy of a large file is in its place"


def test_a_folder_that_somebody_put_something_into_stays_with_all_that_is_in_it(bench: Bench) -> None:
    bench.act("execute", lambda: bench.do("write", "sub/c", "", "x", 0))
    (bench.folder / "sub" / "c").rename(bench.folder / "sub" / "mine")
    now = bench.tree()
    report = bench.undo()
    assert not report.done and bench.tree() == now
    assert [(Path(step.what).name, step.detail) for step in report.steps] == [("sub", "mine was put into it since")]


def test_what_fails_half_way_is_put_back_as_it_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (bench.folder / name).write_text("old")

    def work() -> None:
        for name in "ab":
            (bench.folder / name).write_text("new")
        (bench.folder / "c").unlink()
        (bench.folder / "c").mkdir(0o755)

    bench.act("execute", work)
    (bench.folder / "a").write_text("old")  # as far as an undo that was cut off had come
    now = bench.tree()
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "c":
            raise OSError(28, "No space left on device", str(target))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    report = bench.undo()
    assert not report.done and bench.tree() == now
    assert "No space left on device" in report.steps[0].detail
