"""The tools that run commands: for as long as the call takes, or in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from agent.errors import BlockedAddressError, ToolArgumentsError, ToolError
from agent.safety.effects import Effect, one_line, visible
from agent.safety.network import check_host
from agent.tools import full_output, processes
from agent.tools.clip import HeadAndTail, clip
from agent.tools.concerned import command_digest
from agent.tools.fenced import Fenced
from agent.tools.sessions import LIFE_SECONDS, Session, Sessions
from agent.tools.tool import Outcome, ToolContext, tool

LONGEST_SECONDS = 3600.0
MOST_HOSTS = 8
MOST_WRITTEN = 10_000
"""Characters written to a session at once: a person may have to read them."""
FIRST_SECONDS = 1.0
"""How long a session is listened to before its call returns: most mistakes show by then."""
LONGEST_POLL = 60.0

Action = Literal["list", "poll", "write", "kill"]


def _describe(
    context: ToolContext,
    command: str,
    cwd: str = ".",
    timeout: float | None = None,
    network: bool = False,
    hosts: Sequence[str] = (),
    background: bool = False,
) -> Effect:
    if not command.strip():
        raise ToolArgumentsError("The command is empty.")
    if "\0" in command or "\r" in command:
        raise ToolArgumentsError("A command cannot contain NUL or carriage return characters.")
    if background:
        _sessions(context).check_room(context.conversation_id)
    place = context.workspace.place(cwd)
    named = () if network else _hosts(hosts)
    sandbox = context.sandbox
    closed = sandbox is not None and sandbox.closes_network
    by_host = bool(named) and sandbox is not None and sandbox.by_host
    everything = network or not closed or (bool(named) and not by_host)
    return Effect(
        "execute",
        f"Run {one_line(command)}" + (" in the background" if background else ""),
        (place,),
        processes.shell_argv(command),
        title=_title(everything and (network or bool(named)), background),
        action=f"{visible(command)}\n\nin {visible(place.full)}" + _reach(context, network, named, by_host, background),
        network=everything,
        hosts=named if by_host else (),
        undoable=closed and not network and not named and not background,
        digest=command_digest(context.workspace, place.path, command),
    )


def _title(network: bool, background: bool) -> str:
    return f"Run a command{' in the background' if background else ''}{' with the whole network' if network else ''}?"


def _reach(context: ToolContext, network: bool, hosts: tuple[str, ...], by_host: bool, background: bool) -> str:
    """What it may reach and how long it may go on, below the command."""
    text = ""
    if network:
        text += "\n\nWITH THE WHOLE NETWORK: it can send what it sees to anybody"
    elif by_host:
        text += f"\n\nwith network, but to {', '.join(hosts)} only"
    elif hosts:
        name = context.sandbox.name if context.sandbox is not None else ""
        why = f"{name} cannot limit it to hosts" if name else "there is no fence that could limit it"
        text += f"\n\nWITH THE WHOLE NETWORK, although only {', '.join(hosts)} is wanted: {why}"
    if background:
        text += "\n\nIt goes on after this answer; what it changes then is not covered by undo"
    return text


def _hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    if len(hosts) > MOST_HOSTS:
        raise ToolArgumentsError(f"{len(hosts)} hosts are more than {MOST_HOSTS}; name those that are needed.")
    try:
        return tuple(dict.fromkeys(check_host(host) for host in hosts))
    except BlockedAddressError as error:
        raise ToolArgumentsError(f"{error} {error.hint}".strip()) from error


@tool("execute", _describe, seconds=None)
async def run_command(
    context: ToolContext,
    command: str,
    cwd: str = ".",
    timeout: float | None = None,
    network: bool = False,
    hosts: Sequence[str] = (),
    background: bool = False,
) -> Outcome:
    """Run a shell command and read its output. It sees and changes the workspace only and gets no keyboard input. What
    it starts ends with it.

    Args:
        command: Shell text, bash where there is one, PowerShell on Windows.
        cwd: Folder to run in.
        timeout: Seconds until it is ended.
        network: It needs all of the network; asks the person.
        hosts: It needs these hosts only, like pypi.org; asks too.
        background: Do not wait; the answer names a session.
    """
    effect = context.effect
    if effect is None:
        raise LookupError("the call was not prepared")
    if not context.path.is_dir():
        raise ToolError(f"There is no folder {context.path}.")
    named = () if network else _hosts(hosts)
    if background:
        return await _start_session(context, effect, command, timeout, network, named)
    seconds = min(timeout or context.command_seconds, LONGEST_SECONDS)
    kept = HeadAndTail(full_output.MOST_CHARS)

    def hear(text: str) -> None:
        kept.add(text)
        context.output(text)

    fenced = await Fenced.start(context, effect.argv, context.path, network=network, hosts=named, output=hear)
    try:
        ended = await fenced.wait(seconds)
    finally:
        put_back = await asyncio.shield(fenced.end())
    if ended.status is None:
        note = f"[ended after {seconds:g} seconds: its time was over]"
    elif ended.status < 0:
        note = f"[ended by signal {-ended.status}]"
    else:
        note = f"[exit code {ended.status}]"
    if ended.left_children:
        note += " [what it had left running in the background was ended]"
    note += _put_back(put_back) + _refused(fenced)
    detail: dict[str, Any] = {"exit_code": ended.status} | _reached(fenced)
    text = await _shown(context, kept.text(), note)
    return Outcome(text, ok=ended.status == 0, detail=detail, source=_source(command, network, named, fenced))


async def _start_session(
    context: ToolContext, effect: Effect, command: str, timeout: float | None, network: bool, hosts: tuple[str, ...]
) -> Outcome:
    sessions, sandbox = _sessions(context), context.sandbox
    session = sessions.make(
        context.conversation_id,
        command,
        context.sender_role,
        effect.places[0],
        network=effect.network,
        hosts=effect.hosts,
        fence=sandbox.name if sandbox is not None else "",
        seconds=min(timeout or LIFE_SECONDS, LIFE_SECONDS),
    )
    session.listener = context.output
    try:
        fenced = await Fenced.start(
            context, effect.argv, context.path, network=network, hosts=hosts, output=session.hear, keyboard=True
        )
    except BaseException:
        sessions.forget(session)
        raise
    sessions.keep(session, fenced)
    try:
        await asyncio.wait_for(session.over.wait(), FIRST_SECONDS)
    except TimeoutError:
        pass
    except asyncio.CancelledError:
        await asyncio.shield(sessions.end((session,)))
        raise
    finally:
        session.listener = None
    text = await session.read(0)
    detail: dict[str, Any] = {"session": session.id} | _reached(fenced)
    if session.runs:
        reach = f", may reach {', '.join(hosts)}" if hosts else ""
        detail["gap"] = f"it runs on in the background{reach}; what it changes after this is not covered by undo"
        how = f'[session {session.id} runs: use the tool session, action poll, write or kill, id "{session.id}"]'
        source = f"the output of {one_line(command)}" if text and (network or hosts) else ""
        return Outcome(await _shown(context, text, how), detail=detail, source=source)
    ended = session.ended
    status = ended.status if ended is not None else None
    detail = {"exit_code": status, "session": session.id} | _reached(fenced)
    note = f"[the session {session.state()}]{_put_back(session.put_back)}{_refused(fenced)}"
    sessions.forget(session)
    shown = await _shown(context, text, note)
    return Outcome(shown, ok=status == 0, detail=detail, source=_source(command, network, hosts, fenced))


# --- sessions ---------------------------------------------------------------------------------------------------------
def _describe_session(
    context: ToolContext, action: Action, id: str = "", text: str = "", enter: bool = True, seconds: float = 0.0
) -> Effect:
    here = context.workspace.place(".")
    if context.sender_role == "member":
        raise ToolError("Members of a group may not use sessions.")
    if action == "list":
        return Effect("read", "List background sessions", (here,))
    session = _session(context, id)
    if action == "poll":
        return Effect("read", f"Read the output of {session.id}: {one_line(session.command)}", (here,))
    if action == "kill":  # it only takes back what was allowed
        return Effect("read", f"End {session.id}: {one_line(session.command)}", (here,))
    if len(text) > MOST_WRITTEN:
        raise ToolArgumentsError(
            f"The text has {len(text):,} characters; at most {MOST_WRITTEN:,} are written at once."
        )
    shown = visible(text) + ("⏎" if enter else "")
    return Effect(
        "execute",
        f"Write to {session.id}: {one_line(text)}",
        (session.place,),
        title="Write to a running command?",
        action=f"{shown}\n\nto {session.id}, which runs {visible(session.command)}"
        + _reach(context, session.network, session.hosts, bool(session.hosts), True),
        network=session.network,
        hosts=session.hosts,
        undoable=False,
    )


@tool(
    "execute", _describe_session, seconds=LONGEST_POLL + 10, deferred=True, also={"session_id": "id", "input": "text"}
)
async def session(
    context: ToolContext, action: Action, id: str = "", text: str = "", enter: bool = True, seconds: float = 0.0
) -> Outcome:
    """A command that run_command started in the background.

    Args:
        action: "list" all, "poll" the output that is new, "write" to its input, "kill" it.
        id: The session.
        text: What to write.
        enter: Whether a line end follows it.
        seconds: How long to wait for output if there is none yet.
    """
    sessions = _sessions(context)
    if action == "list":
        lines = [f"{one.id}: {one_line(one.command)} ({one.state()})" for one in sessions.of(context.conversation_id)]
        return Outcome("\n".join(lines) or "There is no session.")
    found = _session(context, id)
    detail: dict[str, Any] = {"session": found.id}
    if action == "kill":
        await asyncio.shield(sessions.end((found,)))
    elif action == "write":
        data = (text + ("\n" if enter else "")).encode("utf-8", "replace")
        if not found.runs or found.fenced is None or not found.fenced.running.write(data):
            raise ToolError(f"{found.id} reads nothing now: {found.state()}.")
        detail["gap"] = "what a background command changes after this is not covered by undo"
        seconds = seconds or FIRST_SECONDS
    output = await found.read(0 if action == "kill" else min(seconds, LONGEST_POLL))
    fenced = found.fenced
    note = f"[{found.id}: {found.state()}]" + _put_back(found.put_back)
    found.put_back.clear()
    if fenced is not None:
        note += _refused(fenced)
        detail |= _reached(fenced)
    if not found.runs:
        sessions.forget(found)
    outside = found.reached or (found.network and found.fence)
    source = f"the output of {one_line(found.command)}" if output and outside else ""
    return Outcome(await _shown(context, output, note), detail=detail, source=source)


def _sessions(context: ToolContext) -> Sessions:
    if context.sessions is None:
        raise ToolError("There are no background sessions here.")
    return context.sessions


def _session(context: ToolContext, name: str) -> Session:
    """One that the sender may touch: the owner any, others those that one of their kind started."""
    found = _sessions(context).find(context.conversation_id, name)
    if context.sender_role not in ("owner", found.role):
        raise ToolError(f"{found.id} was started for somebody else.")
    return found


# --- words ------------------------------------------------------------------------------------------------------------
async def _shown(context: ToolContext, text: str, note: str) -> str:
    """The output, of a long one both ends and the name of the file that has all of it."""
    room = context.max_chars - 300 - len(note)
    if len(text) > room:
        kept, text = await asyncio.to_thread(_keep, context, text, room)
        note += kept
    return text + ("" if not text or text.endswith("\n") else "\n") + note


def _keep(context: ToolContext, text: str, room: int) -> tuple[str, str]:
    """(where all of it is, in words for the model, both ends of it). Blocks."""
    try:
        words = f" [all of the output: read_file {full_output.keep(context.workspace, context.scrub(text))}]"
    except (OSError, ToolError) as error:
        words = f" [the whole output could not be kept: {error}]"
    return words, clip(text, room)


def _put_back(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f" [git would run these, so they were put back as they were: {', '.join(names)}]"


def _refused(fenced: Fenced) -> str:
    if fenced.gate is None or not fenced.gate.refused:
        return ""
    return f" [not allowed and not reached: {', '.join(fenced.gate.refused[:10])}]"


def _reached(fenced: Fenced) -> dict[str, Any]:
    """For the receipt: where it really got through, in place of where it might have."""
    if fenced.gate is None:
        return {}
    return {"hosts": list(fenced.gate.reached), "refused_hosts": list(fenced.gate.refused)}


def _source(command: str, network: bool, hosts: tuple[str, ...], fenced: Fenced) -> str:
    """What came from the network is a text of others."""
    got_through = network or bool(fenced.gate.reached if fenced.gate is not None else hosts)
    return f"the output of {one_line(command)}" if got_through else ""
