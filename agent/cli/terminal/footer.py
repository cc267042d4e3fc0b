"""What stands under an answer: time, tokens, money and model, or what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.failures import words
from agent.cli.safe import visible
from agent.cli.terminal.glyphs import Glyphs
from agent.events import TurnFinished

if TYPE_CHECKING:
    from rich.console import RenderableType


def footer(event: TurnFinished, glyphs: Glyphs) -> str:
    """`4.1 s · 1,204 → 356 tokens · $0.0021 · openai/gpt-5`."""
    parts = [duration(event.seconds)]
    usage = event.usage
    if usage.input_tokens or usage.output_tokens:
        parts.append(f"{usage.input_tokens:,} {glyphs.arrow} {usage.output_tokens:,} tokens")
    if event.cost_usd:
        parts.append(money(event.cost_usd))
    if event.model:
        parts.append(event.model)
    return f" {glyphs.dot} ".join(parts)


def problem(title: str, message: str, hint: str, glyphs: Glyphs) -> RenderableType:
    """An error: its title, what happened, what to do next."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    first, *others = words(visible(title), visible(message), visible(hint))
    details = "\n".join(line.strip() for line in others)
    return Group(Text(f"{glyphs.failed} {first}", "bold red"), Padding(Text(details), (0, 0, 0, 2)))


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def money(usd: float) -> str:
    """`$0.0021`, `$1.20`: as many digits as say something."""
    if not usd:
        return "$0.00"
    if usd < 0.0001:
        return "< $0.0001"
    return f"${usd:.4f}" if usd < 0.1 else f"${usd:,.2f}"
