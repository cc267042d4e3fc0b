"""What the model wants to know, asked at the terminal: by the number of a choice or in words."""

from __future__ import annotations

from typing import TextIO

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from agent.cli.safe import visible
from agent.cli.terminal.keyboard import forget_typed
from agent.events import Question


async def ask(question: Question, stream: TextIO, console: Console | None = None) -> str:
    """Show it and wait for an answer that says something. Raises KeyboardInterrupt on Ctrl+C, EOFError on Ctrl+D."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.output import create_output

    console = console or Console(file=stream, highlight=False)
    console.print(card(question))
    session: PromptSession[str] = PromptSession(output=create_output(stdout=stream))
    prompt = "Your answer (a number, or your own words): " if question.choices else "Your answer: "
    forget_typed()
    while True:
        answer = (await session.prompt_async(prompt, handle_sigint=False)).strip()
        if answer:
            return answer


def card(question: Question) -> Panel:
    """The frame: the question, and the answers that it offers."""
    lines = [Text(visible(question.text), overflow="fold")]
    if question.choices:
        lines.append(Text())
    for number, choice in enumerate(question.choices, 1):
        lines.append(Text(f"{number}  {visible(choice, one_line=True)}", style="bold", overflow="fold"))
    if question.sources:
        lines.append(Text(f"\nRead before: {visible(', '.join(question.sources))}.", style="dim"))
    return Panel(
        Group(*lines),
        title=Text(" A question ", style="bold"),
        title_align="left",
        border_style="cyan",
        box=box.ROUNDED,
        padding=(0, 1),
    )
