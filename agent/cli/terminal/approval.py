"""The question whether a tool may run: a card with the exact action, No unless somebody says yes."""

from __future__ import annotations

from typing import TextIO

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from agent.cli.safe import visible
from agent.cli.terminal.keyboard import forget_typed
from agent.events import Approval, ApprovalChoice


async def ask(approval: Approval, stream: TextIO, console: Console | None = None) -> ApprovalChoice:
    """Show the card and wait for the answer. Raises KeyboardInterrupt on Ctrl+C, EOFError on Ctrl+D."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.output import create_output

    console = console or Console(file=stream, highlight=False)
    console.print(card(approval))
    session: PromptSession[str] = PromptSession(output=create_output(stdout=stream))
    offered = [("y", "once")]
    offered += [("c", "in this conversation")] if approval.session else []
    offered += [("a", "always")] if approval.always else []
    words = ", ".join(f"{key} = {what}" for key, what in (*offered, ("Enter", "no")))
    forget_typed()
    while True:
        answer = (await session.prompt_async(f"Allow? [y/N] ({words}) ", handle_sigint=False)).strip().lower()
        if answer in ("y", "yes"):
            return "allow"
        if answer in ("c", "conversation") and approval.session:
            return "conversation"
        if answer in ("a", "always") and approval.always:
            return "always"
        if answer in ("", "n", "no"):
            return "deny"


def card(approval: Approval) -> Panel:
    """The frame: what would happen word for word, why it is asked, whether it can be undone."""
    action = Padding(Text(visible(approval.action), style="bold", overflow="fold"), (0, 2))
    facts = Text()
    if approval.reason:
        reason = visible(approval.reason)
        facts.append(f"{reason[0].upper()}{reason[1:].rstrip('.')}.\n")
    if approval.sources:
        facts.append(f"Read before: {visible(', '.join(approval.sources))}.\n")
    if approval.sandbox:
        facts.append(f"Behind {approval.sandbox}.\n")
    facts.append("This can be undone." if approval.undoable else "This cannot be undone.")
    if approval.session:
        facts.append(f"\nIn this conversation would allow: {visible(approval.session)}")
    if approval.always:
        facts.append(f"\nAlways would allow: {visible(approval.always)}")
    return Panel(
        Group(action, Text(), facts),
        title=Text(f" {visible(approval.title, one_line=True)} ", style="bold"),
        title_align="left",
        border_style="yellow",
        box=box.ROUNDED,
        padding=(0, 1),
    )
