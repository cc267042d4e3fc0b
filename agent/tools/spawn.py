"""The tool that hands a task to a subagent."""

from __future__ import annotations

from agent.errors import ToolArgumentsError, ToolError
from agent.safety.effects import Effect, one_line, visible
from agent.tools.tool import Errand, Outcome, ToolContext, tool


def _describe(context: ToolContext, task: str, steps: int = 0, usd: float = 0) -> Effect:
    if not task.strip():
        raise ToolArgumentsError("The task is empty.")
    if context.delegate is None:
        raise ToolError("A subagent cannot start another one.")
    if steps < 0 or usd < 0:
        raise ToolArgumentsError("A limit cannot be negative.")
    return Effect("delegate", f"Subagent: {one_line(task, 70)}", title="Start a subagent?", action=visible(task))


@tool("delegate", _describe, seconds=None, deferred=True)
async def spawn(context: ToolContext, task: str, steps: int = 0, usd: float = 0) -> Outcome:
    """Let a subagent read, search and run commands for you, and get its report. Several in one reply work side by side.

    Args:
        task: All that it must know; it does not see this conversation.
        steps: Most model calls; 0 for the usual.
        usd: Most cost; 0 for the usual.
    """
    if context.delegate is None:
        raise LookupError("the call was not prepared")
    return await context.delegate(Errand(task, steps, usd))
