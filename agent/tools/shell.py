"""The tool that runs commands."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Sequence

from agent.errors import ToolArgumentsError, ToolError
from agent.safety.effects import Effect, one_line, visible
from agent.safety.hooks import HookGuard
from agent.safety.sandbox import Fence, Launch
from agent.tools import processes
from agent.tools.clip import HeadAndTail
from agent.tools.concerned import command_digest
from agent.tools.tool import Outcome, ToolContext, tool

LONGEST_SECONDS = 3600.0


def _describe(
    context: ToolContext, command: str, cwd: str = ".", timeout: float | None = None, network: bool = False
) -> Effect:
    if not command.strip():
        raise ToolArgumentsError("The command is empty.")
    if "\0" in command or "\r" in command:
        raise ToolArgumentsError("A command cannot contain NUL or carriage return characters.")
    place = context.workspace.place(cwd)
    return Effect(
        "execute",
        f"Run {one_line(command)}",
        (place,),
        processes.shell_argv(command),
        title="Run a command?",
        action=f"{visible(command)}\n\nin {visible(place.full)}{', with network' if network else ''}",
        network=network or context.sandbox is None,
        undoable=context.sandbox is not None and not network,
        digest=command_digest(context.workspace, place.path, command),
    )


@tool("execute", _describe, seconds=None)
async def run_command(
    context: ToolContext, command: str, cwd: str = ".", timeout: float | None = None, network: bool = False
) -> Outcome:
    """Run a shell command and read its output. There is no keyboard input; background processes end with the command.
    It sees and changes the workspace only.

    Args:
        command: Shell text, bash where there is one, PowerShell on Windows.
        cwd: Folder to run in; the workspace if left out.
        timeout: Seconds until it is ended.
        network: Whether it needs the network; the person is asked then.
    """
    effect = context.effect
    if effect is None:
        raise LookupError("the call was not prepared")
    if not context.path.is_dir():
        raise ToolError(f"There is no folder {context.path}.")
    seconds = min(timeout or context.command_seconds, LONGEST_SECONDS)
    kept = HeadAndTail(context.max_chars - 300)

    def hear(text: str) -> None:
        kept.add(text)
        context.output(text)

    fence = await asyncio.to_thread(context.workspace.fence, network=network)
    guard = await asyncio.to_thread(HookGuard.look, fence.writable)
    launch = await _launch(context, effect.argv, fence)
    try:
        ended = await processes.run(
            launch.argv,
            cwd=context.path,
            environment=launch.environment,
            seconds=seconds,
            output=hear,
            options=launch.options,
        )
    finally:
        for handle in launch.close:
            os.close(handle)
        put_back = await asyncio.shield(asyncio.to_thread(guard.restore))
    if ended.status is None:
        note = f"[ended after {seconds:g} seconds: its time was over]"
    elif ended.status < 0:
        note = f"[ended by signal {-ended.status}]"
    else:
        note = f"[exit code {ended.status}]"
    if ended.left_children:
        note += " [what it had left running in the background was ended]"
    if put_back:
        note += f" [git would run these, so they were put back as they were: {', '.join(put_back)}]"
    text = kept.text()
    text += "" if not text or text.endswith("\n") else "\n"
    return Outcome(text + note, ok=ended.status == 0, detail={"exit_code": ended.status})


async def _launch(context: ToolContext, argv: Sequence[str], fence: Fence) -> Launch:
    """Behind the fence where there is one; without one a person has allowed it."""
    environment = context.environment()
    if context.sandbox is None:
        return Launch(tuple(argv), environment)
    start = functools.partial(
        context.sandbox.launch, tuple(argv), cwd=context.path, environment=environment, fence=fence
    )
    return await asyncio.to_thread(start)
