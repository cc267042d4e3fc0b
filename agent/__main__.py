"""The program `trayclaw`: hands its arguments to the tray app or to the command line, and turns errors into words.

Nothing heavy is imported here: `--version` must answer at once.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing and collections.abc take longer to import than all of `--version`
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with these arguments (those of the process by default) and return the exit code."""
    chosen = list(sys.argv[1:] if arguments is None else arguments)
    _fill_streams()
    _use_utf8()
    if chosen in (["--version"], ["-V"]):
        from agent import version

        return _guarded(lambda: print(f"trayclaw {version()}"), chosen)
    if len(chosen) == 2 and chosen[0] == "_extract":  # a child that reads one document; see agent/tools/documents.py
        from agent.tools.documents import main as extract

        return extract(chosen[1:])
    if len(chosen) == 2 and chosen[0] == "_fenced":  # the fence of Windows; see agent/safety/sandbox/windows_job.py
        from agent.safety.sandbox.windows_job import main as fenced

        return fenced(chosen[1:])
    if chosen in ([], ["--background"]):  # the second is how the system starts it at login
        return _guarded(lambda: _start_app(chosen), chosen)
    if chosen[0] == "serve" and chosen[1:] in ([], ["--json"]):
        from agent.cli.serve import run

        return _guarded(lambda: run(as_json="--json" in chosen), chosen)
    if chosen[0] == "ask":
        from agent.cli import ask

        question = ask.plain_question(chosen[1:])
        if question is not None:
            return _guarded(lambda: ask.run(question), chosen)
    from agent.cli.app import run_command

    return _guarded(lambda: run_command(chosen), chosen)


def _guarded(action: Callable[[], int | None], arguments: Sequence[str]) -> int:
    """Run `action`; every error becomes a message and an exit code."""
    try:
        code = action()
        sys.stdout.flush()
        return code or 0
    except BrokenPipeError:
        # The reader went away (`| head`). Python would complain once more while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 5
    except Exception as error:  # noqa: BLE001 - the outermost edge: nobody else would tell the person
        from agent.cli.failures import report_error

        return report_error(error, as_json="--json" in arguments)


def _fill_streams() -> None:
    """A windowed program on Windows has no streams (None), and a shell can close them (`>&-`): no file that is opened
    later may get their numbers, or what a child process prints ends up in it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 as long as the program


def _use_utf8() -> None:
    """Windows gives pipes and old consoles a legacy code page; unprintable characters never end the program."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:  # a test's own
            continue
        if sys.platform == "win32":
            reconfigure(encoding="utf-8")
        if stream is not sys.stdin:
            reconfigure(errors="replace")


def _start_app(arguments: list[str]) -> int:
    """The tray app where there is a display and Qt, else the terminal chat."""
    import importlib

    obstacle = _no_window()
    if not obstacle:
        try:
            app = importlib.import_module("desktop.__main__")
        except ImportError as error:  # Qt is there and a system library that it needs is not
            obstacle = f"The tray app cannot start here ({error})"
        else:
            code: int | None = app.main(arguments)
            return code or 0
    if arguments:
        from agent.errors import UsageError

        raise UsageError(f"{obstacle}.", title="The tray app cannot start", hint="Without a window: trayclaw serve")
    print(f"{obstacle}: this is the terminal chat.", file=sys.stderr, flush=True)
    from agent.cli.chat import run

    return run()


def _no_window() -> str:
    """Why there can be no window; empty when there can."""
    from importlib.util import find_spec

    if sys.platform not in ("win32", "darwin") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "There is no display"
    if find_spec("PySide6") is None or find_spec("desktop") is None:
        return "Qt is not installed"
    return ""


if __name__ == "__main__":
    sys.exit(main())
