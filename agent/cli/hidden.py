"""Commands for packages, tests and the doctor, not shown in the help."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `smoke` and `window-check`."""

    @app.command(hidden=True)
    def smoke(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
        """Prove that this copy carries everything it needs."""
        from agent.cli.smoke import run

        return run(as_json)

    @app.command("window-check", hidden=True)
    def window_check() -> int:
        """Try Qt, in a process of its own: it aborts where a display cannot be reached."""
        import importlib
        import json
        from dataclasses import asdict

        checks = importlib.import_module("desktop.smoke").qt_checks()
        print(json.dumps([asdict(check) for check in checks]))
        return 0 if all(check.ok for check in checks) else 1
