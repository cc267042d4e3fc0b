"""A turn on a terminal: the answer as Markdown while it streams, tools as one line each, a footer at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from agent.cli.failures import next_step
from agent.cli.safe import visible
from agent.cli.terminal.footer import footer, problem
from agent.cli.terminal.glyphs import glyphs_for
from agent.cli.terminal.keyboard import unechoed
from agent.cli.terminal.live import LiveRegion
from agent.cli.terminal.markdown import AnswerMarkdown, Blocks
from agent.events import (
    Approval,
    ApprovalChoice,
    ApprovalResolved,
    Event,
    MessageSent,
    Question,
    QuestionResolved,
    ToolCalled,
    ToolFinished,
    TurnFinished,
    TurnNotice,
    TurnReasoning,
    TurnText,
)

FRAME_SECONDS = 0.08
WAITING = "Thinking"
REASON_CHARS = 300


class TerminalView:
    """One turn. `fixed_choice` answers every approval; None asks. `details` adds the footer and shows failures."""

    def __init__(
        self,
        *,
        console: Console | None = None,
        fixed_choice: ApprovalChoice | None = None,
        details: bool = False,
    ) -> None:
        self.console = console or Console(highlight=False)
        self._fixed_choice = fixed_choice
        self._details = details
        self._glyphs = glyphs_for(self.console.file)  # type: ignore[arg-type]  # rich says IO[str]
        smart = self.console.is_terminal and not self.console.legacy_windows and os.environ.get("TERM") != "dumb"
        self._live = LiveRegion(self.console.file, enabled=smart)  # type: ignore[arg-type]
        self._blocks = Blocks()
        self._running: dict[str, tuple[str, float]] = {}
        self._label = WAITING
        self._thought = ""
        self._started = time.monotonic()
        self._last = ""  # what was printed last: "text", "tool" or nothing yet
        self._over = False
        self._held: list[str] | None = None
        self._asking = asyncio.Lock()
        self._ticker: asyncio.Task[None] | None = None
        self._cleanup = contextlib.ExitStack()

    # --- life -------------------------------------------------------------------------------------------------------
    def open(self) -> None:
        """Start the spinner."""
        self._cleanup.enter_context(unechoed())
        self._started = time.monotonic()
        self._ticker = asyncio.create_task(self._tick())

    def close(self) -> None:
        """Leave the terminal as it was, whatever happened."""
        if self._ticker is not None:
            self._ticker.cancel()
        self._release()
        self._live.clear()
        self._cleanup.close()

    # --- events -----------------------------------------------------------------------------------------------------
    def show(self, event: Event) -> None:
        match event:
            case TurnText():
                self._thought, self._label = "", "Writing"
                self._blocks.feed(event.delta)
                if done := self._blocks.finished():
                    self._print_answer(done)
            case TurnReasoning():
                self._thought = (self._thought + event.delta)[-400:]
            case TurnNotice():
                self._label = visible(event.text, one_line=True)
                if not self._live.enabled:
                    self._print(Text(self._label, style="dim"), "tool")
            case ToolCalled():
                self._flush()
                self._running[event.call_id] = (visible(event.summary or event.name, one_line=True), time.monotonic())
            case ApprovalResolved() if event.by == "timeout":
                self._print(Text("Nobody answered in time: denied.", style="yellow"), "tool")
            case QuestionResolved() if event.by == "timeout":
                self._print(Text("Nobody answered in time.", style="yellow"), "tool")
            case MessageSent():
                self._print_answer(visible(event.text))
                for path in event.files:
                    self._print(Text(f"  {visible(str(path), one_line=True)}"), "tool")
            case ToolFinished():
                self._tool_ended(event)
            case TurnFinished():
                self._ended(event)
            case _:
                pass

    async def decide(self, approval: Approval) -> ApprovalChoice:
        if self._fixed_choice:
            return self._fixed_choice
        from agent.cli.terminal.approval import ask

        async with self._card():
            return await ask(approval, self.console.file, self.console)  # type: ignore[arg-type]

    async def reply(self, question: Question) -> str | None:
        if self._fixed_choice:
            return None
        from agent.cli.terminal.question import ask

        async with self._card():
            return await ask(question, self.console.file, self.console)  # type: ignore[arg-type]

    @contextlib.asynccontextmanager
    async def _card(self) -> AsyncIterator[None]:
        """The terminal for one question; what is printed meanwhile comes after it."""
        async with self._asking:
            self._flush()
            self._space("card")
            self._live.clear()
            self._held = []
            try:
                yield
            finally:
                self._release()

    # --- parts ------------------------------------------------------------------------------------------------------
    def _tool_ended(self, event: ToolFinished) -> None:
        self._flush()
        summary, _ = self._running.pop(event.call_id, (visible(event.name), 0.0))
        self._label = WAITING
        sign, style = (self._glyphs.done, "green") if event.ok else (self._glyphs.failed, "red")
        indent = "  " if event.parent else ""
        entry = Text.assemble(indent, (f"{sign} ", style), summary, (f"  {event.seconds:.1f} s", "dim"))
        if event.ok:
            self._print(entry, "tool")
        else:
            reason = Text(visible(event.text, one_line=True)[:REASON_CHARS], "dim")
            self._print(Group(entry, Padding(reason, (0, 0, 0, 2 + len(indent)))), "tool")

    def _ended(self, event: TurnFinished) -> None:
        self._over = True
        self._flush()
        if not self._last and event.text:  # nothing was streamed: a command's answer
            self._print_answer(visible(event.text))
        if self._details:
            if event.failure is not None:
                failure = event.failure
                hint = next_step(failure, event.model)
                self._print(problem(failure.title, failure.message, hint, self._glyphs), "end")
            elif event.status == "stopped":
                self._print(Text("Stopped.", style="yellow"), "end")
            self._print(Text(footer(event, self._glyphs), style="dim"), "end")
        if self._ticker is not None:
            self._ticker.cancel()
        self._live.clear()

    def _flush(self) -> None:
        if rest := self._blocks.rest():
            self._print_answer(rest)

    def _print_answer(self, markdown: str) -> None:
        self._print(AnswerMarkdown(markdown), "text")

    def _space(self, kind: str) -> None:
        """A blank line between things of different kinds and between the blocks of an answer."""
        if self._last and (kind != self._last or kind == "text"):
            self._commit("")
        self._last = kind

    def _print(self, renderable: RenderableType, kind: str) -> None:
        self._space(kind)
        self._commit(self._rendered(renderable))

    def _commit(self, text: str) -> None:
        if self._held is not None:
            self._held.append(text)
        else:
            self._live.commit(text, self._changing())

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for text in held:
            self._live.commit(text, ())

    def _rendered(self, renderable: RenderableType) -> str:
        with self.console.capture() as captured:
            self.console.print(renderable, width=max(20, self.console.width - 1))
        return "\n".join(line.rstrip(" ") for line in captured.get().strip("\n").split("\n"))

    # --- the changing lines -----------------------------------------------------------------------------------------
    async def _tick(self) -> None:
        while True:
            if self._held is None:
                self._live.draw(self._changing())
            await asyncio.sleep(FRAME_SECONDS)

    def _changing(self) -> list[str]:
        if self._over or not self._live.enabled:
            return []
        now = time.monotonic()
        room = max(3, self.console.height - 2)
        width = max(20, self.console.width - 1)
        frame = self._glyphs.spinner[int(now / FRAME_SECONDS) % len(self._glyphs.spinner)]
        lines = [
            self._one_line(f"{frame} {summary}  {now - since:.0f} s", width, "cyan")
            for summary, since in self._running.values()
        ]
        if not lines:
            label = f"{frame} {self._label}{self._glyphs.ellipsis if self._label == WAITING else ''}"
            lines = [self._one_line(f"{label}  {now - self._started:.0f} s  Ctrl+C stops", width, "dim")]
            if self._thought:
                last = visible(self._thought, one_line=True)[-(width - 4) :]
                lines.insert(0, self._one_line(f"  {last}", width, "dim italic"))
        if self._blocks.tail.strip():
            tail = self._rendered(AnswerMarkdown(self._blocks.tail)).split("\n")
            lines = [*tail[-(room - len(lines) - 1) :], "", *lines]
        if self._last:
            lines.insert(0, "")
        return lines

    def _one_line(self, text: str, width: int, style: str) -> str:
        line = Text(text, style=style)
        line.truncate(width, overflow="ellipsis")
        return self._rendered(line)
