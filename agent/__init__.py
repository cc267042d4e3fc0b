"""TrayClaw's agent: models, conversations, tools and channels, without any user interface."""

from __future__ import annotations

import os
import sys


def version() -> str:
    """The version of the installed distribution (its one home is pyproject.toml).

    Read from the metadata by hand: `importlib.metadata` takes longer to import than `trayclaw --version` may last.
    """
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208 - pathlib costs 20 ms here
        except OSError:
            continue
        for name in names:
            if name.startswith("trayclaw-") and name.endswith(".dist-info"):
                return name.removeprefix("trayclaw-").removesuffix(".dist-info")
    from importlib.metadata import version as distribution_version

    return distribution_version("trayclaw")
