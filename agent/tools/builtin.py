"""The tools that come with TrayClaw."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.tools.files import FILE_TOOLS
from agent.tools.shell import run_command, session
from agent.tools.spawn import spawn
from agent.tools.tool import Tool
from agent.tools.toolbox import Toolbox


def built_in_toolbox(more: Iterable[Tool] = (), outside: Callable[[], Iterable[Tool]] = tuple) -> Toolbox:
    """A toolbox with those that need nothing, `more` that were made for this agent, and `outside` ones (MCP)."""
    return Toolbox((*FILE_TOOLS, run_command, session, spawn, *more), outside)
