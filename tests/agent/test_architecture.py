"""The rules that the shape of the code rests on."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN_PROGRAMS = {"desktop/smoke.py", "desktop/widgets/gallery.py"}  # they run a loop of their own, not the app's
FORBIDDEN = {"PySide6", "shiboken6", "qasync", "desktop"}


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0]


def test_the_agent_knows_nothing_of_qt_or_the_desktop() -> None:
    assert [(name, found) for name, tree in modules("agent") for found in FORBIDDEN & set(imported(tree))] == []


def test_starting_the_agent_loads_no_qt_and_no_channel_library() -> None:
    script = "import sys, agent.service, agent.cli.app; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()

    assert "pydantic" in loaded
    assert set(loaded) & (FORBIDDEN | {"telegram", "discord", "keyring", "httpx", "genai_prices", "xllamacpp"}) == set()


@pytest.mark.parametrize("package", ["agent", "desktop"])
def test_nothing_blocks_the_loop_in_a_nested_one(package: str) -> None:
    calls = [
        f"{name}:{node.lineno}"
        for name, tree in modules(package)
        for node in ast.walk(tree)
        if name not in OWN_PROGRAMS
        and isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("exec", "exec_", "run_polling", "run_until_complete")
    ]
    assert calls == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name
        for package in ("agent", "desktop", "resources")
        for name, tree in modules(package)
        if tree.body and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_there_is_no_grab_bag() -> None:
    names = [path.stem for package in ("agent", "desktop") for path in (ROOT / package).rglob("*.py")]
    assert {"utils", "util", "helpers", "misc", "common"} & set(names) == set()
