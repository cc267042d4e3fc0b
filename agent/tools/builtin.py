"""The tools that come with TrayClaw."""

from __future__ import annotations

from agent.tools.files import FILE_TOOLS
from agent.tools.shell import run_command
from agent.tools.toolbox import Toolbox


def built_in_toolbox() -> Toolbox:
    """A toolbox with all of them."""
    return Toolbox((*FILE_TOOLS, run_command))
