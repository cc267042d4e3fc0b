"""`trayclaw toggle` and `trayclaw quit`: speak to the running tray app."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add `toggle` and `quit`."""

    @app.command()
    def toggle() -> None:
        """Show or hide the window of the running app."""
        from agent.cli.remote import send
        from agent.errors import UsageError
        from agent.paths import Paths

        if not send(Paths.locate(), "toggle"):
            raise UsageError(
                "No window can be shown or hidden.",
                title="TrayClaw is not running",
                hint="Start it with `trayclaw`.",
            )

    @app.command()
    def quit() -> None:
        """End the running app."""
        from agent.cli.remote import send
        from agent.cli.running import resident_runs
        from agent.paths import Paths

        paths = Paths.locate()
        if send(paths, "quit"):
            print("TrayClaw ends.")
        elif resident_runs(paths):
            print("`trayclaw serve` is running; it ends on Ctrl+C or SIGTERM.")
        else:
            print("TrayClaw is not running.")
