"""Whether a resident TrayClaw (tray app or `serve`) uses this data now."""

from __future__ import annotations

from agent.paths import Paths


def resident_runs(paths: Paths) -> bool:
    """Looks at the lock that a resident process holds; False where there is no data yet. Blocks shortly."""
    from agent.errors import StorageError
    from agent.storage.instance import Instance

    folder = paths.data / "run"
    if not (folder / "resident").exists():
        return False
    try:
        probe = Instance(folder)
    except StorageError:
        return False
    try:
        return not probe.become_resident()
    finally:
        probe.close()


def note_for_running(paths: Paths) -> str:
    """What to tell after a change of settings; empty when nothing runs that would have to notice."""
    if not resident_runs(paths):
        return ""
    return "TrayClaw is running: it takes effect there within seconds."
