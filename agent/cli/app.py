"""The table of commands, and the typer application made from it: only the module that is called gets imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

SINGLE = {
    "ask": "agent.cli.ask",
    "chat": "agent.cli.chat",
    "serve": "agent.cli.serve",
    "toggle": "agent.cli.window",
    "quit": "agent.cli.window",
    "models": "agent.cli.models",
    "undo": "agent.cli.undo",
    "usage": "agent.cli.usage",
    "doctor": "agent.cli.doctor",
    "smoke": "agent.cli.hidden",
    "window-check": "agent.cli.hidden",
}
"""Commands of one word; the module holds a function `register(app)`."""

GROUPS = {
    "config": "agent.cli.config",
    "keys": "agent.cli.keys",
    "channels": "agent.cli.channels",
    "pair": "agent.cli.pair",
    "conversations": "agent.cli.conversations",
    "turns": "agent.cli.turns",
    "grants": "agent.cli.grants",
    "skills": "agent.cli.skills",
    "mcp": "agent.cli.mcp",
}
"""Nouns with commands of their own; the module holds `group() -> typer.Typer`."""

ORDER = (
    *("ask", "chat", "serve", "toggle", "quit", "config", "keys", "models", "channels", "pair"),
    *("conversations", "turns", "undo", "grants", "skills", "mcp", "usage", "doctor", "smoke"),
)


def run_command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command; mistakes in them are told with the usage, exit code 2."""
    import typer

    words = [argument for argument in arguments if not argument.startswith("-")]
    only = words[0] if words and (words[0] in SINGLE or words[0] in GROUPS) else None
    command = typer.main.get_command(build(only))
    try:
        result = command.main(args=list(arguments), prog_name="trayclaw", standalone_mode=False)
    except typer.TyperException as mistake:
        show = getattr(mistake, "show", None)
        if show is None:
            raise
        show()
        if "--json" in arguments:
            from agent.cli.failures import error_line

            print(error_line("usage", mistake.format_message(), "See the command with --help."))
        return mistake.exit_code
    except SystemExit as end:  # typer ends the process itself when the reader of a pipe went away, with 1
        raise BrokenPipeError from end
    except typer.Abort:
        print("Stopped.", file=sys.stderr)
        return 5
    return result if isinstance(result, int) else 0


def build(only: str | None = None) -> typer.Typer:
    """The application: with one command (fast), or with all of them for help, mistakes and the documentation."""
    import typer

    app = typer.Typer(
        name="trayclaw",
        help="A personal AI agent that lives in the system tray. Without a command, it starts the tray app.",
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(
        version: bool = typer.Option(
            False, "--version", "-V", is_eager=True, callback=_show_version, help="Print the version."
        ),
        verbose: bool = typer.Option(False, "--verbose", help="Write the log to stderr as well."),
    ) -> None:
        if verbose:
            from agent import logs
            from agent.paths import Paths

            logs.configure(Paths.locate(), verbose=True)

    registered = set()
    for name in ORDER if only is None else (only,):
        module = importlib.import_module(SINGLE.get(name) or GROUPS[name])
        if name in GROUPS:
            app.add_typer(module.group(), name=name)
        elif module.__name__ not in registered:
            registered.add(module.__name__)
            module.register(app)
    return app


def noun(help_text: str) -> typer.Typer:
    """An empty group of commands in the style of the application."""
    import typer

    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def _show_version(value: bool) -> None:
    if value:
        import typer

        from agent import version

        print(f"trayclaw {version()}")
        raise typer.Exit
