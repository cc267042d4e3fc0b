"""Files that ship with the app (icons, fonts), found the same way in a checkout, a wheel and a frozen executable."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parent  # PyInstaller sets __file__ below the folder it unpacks data files to


def path(name: str) -> Path:
    """The file or folder `name`, relative to this package with forward slashes: `path("icons/trayclaw.svg")`.

    Raises FileNotFoundError when it does not ship, and ValueError when `name` points outside the package.
    """
    found = (_ROOT / name).resolve()
    if not found.is_relative_to(_ROOT):
        raise ValueError(f"not inside the resources: {name}")
    if not found.exists():
        raise FileNotFoundError(f"no such resource: {name}")
    return found
