"""The tools that come with TrayClaw."""

from __future__ import annotations

from agent.tools.files import edit_file, list_dir, read_file, write_file
from agent.tools.shell import run_command
from agent.tools.toolbox import Toolbox


def built_in_toolbox() -> Toolbox:
    """A toolbox with all of them."""
    return Toolbox((read_file, write_file, edit_file, list_dir, run_command))
