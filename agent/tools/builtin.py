"""The tools that come with TrayClaw."""

from __future__ import annotations

from collections.abc import Iterable

from agent.tools.files import edit_file, list_dir, read_file, write_file
from agent.tools.patching import apply_patch
from agent.tools.searching import find_files, search_text
from agent.tools.shell import run_command
from agent.tools.tool import Tool
from agent.tools.toolbox import Toolbox


def built_in_toolbox(more: Iterable[Tool] = ()) -> Toolbox:
    """A toolbox with those that need nothing, and `more` that were made for this agent."""
    return Toolbox(
        (read_file, write_file, edit_file, apply_patch, list_dir, find_files, search_text, run_command, *more)
    )
