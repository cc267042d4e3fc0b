"""Errors as a person at a terminal sees them (title, what happened, next step), and their exit codes."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from agent.errors import TrayClawError

if TYPE_CHECKING:
    from agent.events import Failure

STOPPED = 5


def report_error(error: Exception, *, as_json: bool) -> int:
    """Say what went wrong, on stderr, and as a last JSON line where a script listens. Returns the exit code."""
    if isinstance(error, TrayClawError):
        return report(error.kind, error.title, str(error), error.hint, error.exit_code, as_json=as_json)
    return _report_unexpected(error, as_json=as_json)


def report_failure(failure: Failure, model: str) -> int:
    """The same, on stderr only, for a turn that failed with this model."""
    hint = next_step(failure, model)
    return report(failure.kind, failure.title, failure.message, hint, failure.exit_code or 1, as_json=False)


def next_step(failure: Failure, model: str) -> str:
    """The hint; where the window's settings would help, the command that does the same."""
    provider, slash, _ = model.partition("/")
    if failure.kind == "auth" and slash:
        return f"Store another key: trayclaw keys set {provider}"
    return failure.hint


def report(kind: str, title: str, message: str, hint: str, exit_code: int, *, as_json: bool) -> int:
    """Write the parts of an error and return `exit_code`."""
    if sys.stdout is not None:  # a windowed program on Windows has no streams
        sys.stdout.flush()
    for line in words(title, message, hint, colour=_colour(sys.stderr)):
        print(line, file=sys.stderr)
    if as_json:
        print(error_line(kind, title, hint))
    return exit_code


def error_line(kind: str, title: str, hint: str) -> str:
    """The last line that a script reads of a command that failed."""
    return json.dumps({"event": "error", "kind": kind, "title": title, "hint": hint}, ensure_ascii=False)


def words(title: str, message: str, hint: str, *, colour: bool = False) -> list[str]:
    """The lines of an error; a message that only repeats the title is left out."""
    lines = [f"\x1b[1;31m{title}\x1b[0m" if colour else title]
    if message and message.rstrip(".") != title.rstrip("."):
        lines.append(f"  {message}")
    if hint:
        lines.append(f"  Next: {hint}")
    return lines


def _report_unexpected(error: Exception, *, as_json: bool) -> int:
    import logging

    from agent import logs
    from agent.paths import Paths

    paths = Paths.locate()
    logs.configure(paths)
    logging.getLogger(__name__).error("unexpected failure", exc_info=error)
    file = logs.log_file(paths)
    hint = f"The details are in {file}." if file.exists() else "Run it again with `trayclaw --verbose ...`."
    title = "Something unexpected happened"
    return report("unexpected", title, f"{type(error).__name__}: {_first_line(error)}", hint, 1, as_json=as_json)


def _first_line(error: Exception) -> str:
    from agent.logs import scrubbed

    return scrubbed(str(error).strip().partition("\n")[0])[:300]


def _colour(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
