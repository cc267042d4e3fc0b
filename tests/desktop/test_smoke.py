"""`trayclaw smoke`, run from the sources: what it says when all is there, and when something is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def smoke(*arguments: str, keyring: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON_KEYRING_BACKEND": keyring, "QT_QPA_PLATFORM": "offscreen", "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "agent", "smoke", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def by_name(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_a_complete_installation_passes_every_check() -> None:
    done = smoke("--json", keyring="keyring.backends.fail.Keyring")
    checks = by_name(done)
    assert [check for check in checks.values() if not check["ok"]] == []
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"] is True
    assert checks["keyring"]["detail"] == "none on this machine"
    assert "FTS5" in checks["sqlite"]["detail"]
    assert "offscreen" in checks["qt-platform"]["detail"]


def test_a_keyring_that_forgets_is_found_and_the_other_checks_go_on() -> None:
    done = smoke("--json", keyring="keyring.backends.null.Keyring")
    checks = by_name(done)
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False
    assert [name for name, check in checks.items() if not check["ok"]] == ["keyring"]
    assert "not the one that is read" in checks["keyring"]["detail"]


def test_for_people_it_is_a_table_with_one_line_a_check() -> None:
    done = smoke(keyring="keyring.backends.null.Keyring")
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1
    assert "keyring" in failed[0]
    assert sum(line.startswith("ok ") for line in done.stdout.splitlines()) >= 12
