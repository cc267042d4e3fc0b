"""The frozen builds that tests run: reused while newer than the sources, made where building is wanted."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ONE_FILE = ROOT / "dist" / "trayclaw"
FOLDER = ROOT / "dist" / "folder" / "trayclaw"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
SOURCES = ("agent", "desktop", "resources", "installers", "build.spec", "uv.lock", "pyproject.toml")


def one_file() -> Path:
    """The single-file executable."""
    _build(ONE_FILE, "make build", {"MODE": "onefile", "DIST": "dist"})
    return ONE_FILE


def folder() -> Path:
    """The folder that installers carry."""
    _build(FOLDER / "trayclaw", "make deb", {"MODE": "onedir", "DIST": "dist/folder"})
    return FOLDER


def _build(target: Path, command: str, options: dict[str, str]) -> None:
    if target.is_file() and target.stat().st_mtime > _newest_source():
        return
    if os.environ.get("CI") != "true" and "BUILD_FROZEN" not in os.environ:
        pytest.skip(f"{target.relative_to(ROOT)} is absent or older than the sources; `{command}` makes it")
    done = subprocess.run(
        ["scripts/build"], cwd=ROOT, env=os.environ | options, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _newest_source() -> float:
    roots = [ROOT / name for name in SOURCES]
    files = [path for root in roots for path in (root.rglob("*") if root.is_dir() else [root])]
    return max(path.stat().st_mtime for path in files if path.is_file() and path.suffix != ".pyc")


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """What a program started from nowhere has: a home and a temporary folder of its own, no display, no D-Bus."""
    for name in ("tmp", "runtime"):
        (home / name).mkdir(mode=0o700, exist_ok=True)
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "TRAYCLAW_HOME": str(home / "trayclaw"),
        "TMPDIR": str(home / "tmp"),
        "XDG_RUNTIME_DIR": str(home / "runtime"),
        "LC_ALL": "C.UTF-8",
    } | more


def smoke(command: list[str], environment: dict[str, str]) -> dict[str, str]:
    """Runs `smoke --json` through a command line; returns the details by name once all checks passed."""
    done = subprocess.run([*command, "smoke", "--json"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout, f"exit {done.returncode}, no output; stderr: {done.stderr}"
    report = json.loads(done.stdout)
    failed = [check for check in report["checks"] if not check["ok"]]
    assert not failed and report["ok"] and done.returncode == 0, (failed, done.stderr)
    assert report["frozen"] is True
    assert report["version"] == VERSION
    assert done.stderr == ""
    return {check["name"]: check["detail"] for check in report["checks"]}


linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drives the Linux build")
