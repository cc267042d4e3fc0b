"""What the doctor asks of the disk: folders, space, database, log."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from agent.cli.checks import Finding
from agent.logs import log_file
from agent.paths import HOME_VARIABLE, Paths

LOW_BYTES = 200_000_000
LOG_LINES = 2000
"""How far back the log is read."""


def folders(paths: Paths) -> Iterator[Finding]:
    """One finding a folder: there, a folder, writable, private."""
    for name, folder in _named(paths):
        yield _folder(name, folder, private=name != "workspace")


def mend(paths: Paths) -> list[str]:
    """Create what is missing and take others' rights away; says what was done. Failures are found by the checks."""
    done = []
    for name, folder in _named(paths):
        try:
            if not folder.exists():
                folder.mkdir(parents=True, mode=0o700)
                done.append(f"created {folder}")
            elif name != "workspace" and _open_to_others(folder):
                folder.chmod(0o700)
                done.append(f"made {folder} private")
        except OSError:
            continue
    for file in (paths.config_file, paths.database, paths.secrets_file):
        try:
            if file.exists() and _open_to_others(file):
                file.chmod(0o600)
                done.append(f"made {file} private")
        except OSError:
            continue
    return done


def disk(paths: Paths) -> Finding:
    """Room for the database."""
    place = next(folder for folder in (paths.data, *paths.data.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / 1e9:,.1f} GB free"
    if free < LOW_BYTES:
        return Finding("disk", "fail", f"only {free / 1e6:.0f} MB free at {place}", "Free some space.")
    return Finding("disk", "ok", text)


def database(paths: Paths) -> Finding:
    """Opens and is whole (SQLite's quick_check); blocks."""
    file = paths.database
    if not file.exists():
        return Finding("database", "ok", "made at the first start")
    try:
        connection = sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=2)
        try:
            connection.execute("PRAGMA query_only = ON")
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (conversations,) = connection.execute("SELECT count(*) FROM conversations").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        if shutil.disk_usage(file.parent).free < LOW_BYTES and "I/O" in str(error):
            return Finding("database", "fail", f"{file} cannot be opened on a full disk", "Free some space.")
        hint = "Close other programs that use it; if it is damaged, move it away to start afresh or restore a backup."
        return Finding("database", "fail", f"{file}: {error}", hint)
    if result != "ok":
        return Finding("database", "fail", f"{file} is damaged: {result}", "Move it away to start afresh.")
    size = file.stat().st_size / 1e6
    return Finding("database", "ok", f"{file} ({size:.1f} MB, {conversations} conversations)")


def log_errors(paths: Paths) -> Finding:
    """Errors among the last lines of the log."""
    file = log_file(paths)
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            errors = [line.strip() for line in deque(lines, LOG_LINES) if " ERROR " in line or " CRITICAL " in line]
    except FileNotFoundError:
        return Finding("log", "ok", "nothing logged yet")
    except OSError as error:
        return Finding("log", "warn", f"{file} cannot be read: {error.strerror}")
    if errors:
        many = f"{len(errors)} errors" if len(errors) > 1 else "one error"
        return Finding("log", "warn", f"{many} lately, the last: {errors[-1][:200]}", f"Read {file}.")
    return Finding("log", "ok", f"no errors lately ({file})")


def _named(paths: Paths) -> tuple[tuple[str, Path], ...]:
    own = (("config", paths.config), ("data", paths.data))
    return (
        *(own if paths.config != paths.data else own[1:]),  # one folder on macOS, Windows and with TRAYCLAW_HOME
        ("cache", paths.cache),
        ("logs", paths.logs),
        ("workspace", paths.workspace),
    )


def _folder(name: str, folder: Path, *, private: bool) -> Finding:
    elsewhere = f"Make it writable, or set {HOME_VARIABLE} to a folder that is."
    if not folder.exists():
        parent = next(one for one in folder.parents if one.exists())
        if not os.access(parent, os.W_OK):
            return Finding(name, "fail", f"{folder} cannot be created: {parent} is not writable", elsewhere)
        return Finding(name, "ok", f"{folder} (made at the first start)")
    if not folder.is_dir():
        return Finding(name, "fail", f"{folder} is not a folder", "Move that file away.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(name, "fail", f"{folder} cannot be written: {error.strerror}", elsewhere)
    if private and _open_to_others(folder):
        return Finding(name, "warn", f"other users can look into {folder}", "trayclaw doctor --fix")
    return Finding(name, "ok", str(folder))


def _open_to_others(path: Path) -> bool:
    return os.name == "posix" and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
