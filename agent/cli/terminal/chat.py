"""The terminal chat: read a message, show its turn, again."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from agent.cli.safe import visible
from agent.cli.session import on_signals
from agent.cli.talk import talk
from agent.cli.terminal.commands import Commands
from agent.cli.terminal.footer import problem
from agent.cli.terminal.glyphs import glyphs_for
from agent.cli.terminal.keyboard import unechoed
from agent.cli.terminal.markdown import AnswerMarkdown
from agent.cli.terminal.prompt import Prompt
from agent.cli.terminal.view import TerminalView
from agent.errors import TrayClawError
from agent.settings import STARTER
from agent.views import SentItem, TextItem, ToolItem, TurnView

if TYPE_CHECKING:
    from agent.service import AgentService

HISTORY_FILE = "terminal_history"
SHOWN_TURNS = 2
"""How much of a conversation is shown when it is taken up again."""


class TerminalChat:
    """One session. The conversation is created with its first message, so that looking in leaves nothing behind."""

    def __init__(self, service: AgentService, *, model: str = "") -> None:
        self.service = service
        self.conversation_id: int | None = None
        self._model = model
        self._console = Console(highlight=False)
        self._glyphs = glyphs_for(sys.stdout)
        self._commands = Commands(self, self._console)
        self._prompt = Prompt(service.paths.data / HISTORY_FILE, self._commands.suggest, self._toolbar, self._glyphs)

    @property
    def model(self) -> str:
        """The model that answers here."""
        return self._model or self.service.settings.model.default

    async def run(self, conversation: str = "") -> int:
        """Until the person leaves."""
        task = asyncio.current_task()
        assert task is not None

        def leave() -> None:
            task.cancel()

        # Between a turn and the prompt nothing is echoed, and a late Ctrl+C (meant for the turn) ends nothing.
        with unechoed(), on_signals(lambda: None, signal.SIGINT), on_signals(leave, signal.SIGTERM):
            await self._run(conversation)
        return 0

    async def _run(self, conversation: str) -> None:
        self._welcome()
        if conversation and await self.use(await self.service.local_conversation(conversation)):
            self._console.print()
        while True:
            try:
                text = await self._prompt.read()
                if text.startswith("/") and await self._commands.run(text.strip()):
                    self._console.print()
                    continue
                await self._turn(text)
            except TrayClawError as error:
                self._console.print(problem(error.title, str(error), error.hint, self._glyphs))
                self._console.print()
            except (EOFError, KeyboardInterrupt):
                break
        kept = " The conversation is kept; /conversations finds it next time." if self.conversation_id else ""
        self._console.print(Text(f"Bye.{kept}", style="dim"))

    # --- for the commands -------------------------------------------------------------------------------------------
    async def use_new(self) -> None:
        """Let the next message begin a conversation."""
        self.conversation_id = None

    async def use(self, conversation_id: int) -> bool:
        """Go on with a conversation and show where it stands; False when nothing was said in it yet."""
        conversation = await self.service.conversation(conversation_id)
        self.conversation_id = conversation_id
        self._model = conversation.model
        turns = await self.service.timeline(conversation_id, limit=SHOWN_TURNS)
        if turns:
            self._console.print(Text(f"{visible(conversation.title, one_line=True) or 'Untitled'}", style="bold"))
        for turn in turns:
            self._console.print()
            self._show_past(turn)
        return bool(turns)

    async def use_model(self, model: str) -> None:
        """Answer here with this model from now on."""
        fresh = self.conversation_id is None
        conversation = await self.conversation()
        try:
            await self.service.set_conversation_model(conversation, model)
        except TrayClawError:
            if fresh:
                self.conversation_id = None
                await self.service.delete_conversation(conversation)
            raise
        self._model = model

    async def stop(self) -> bool:
        """Stop what runs in this conversation (another window may have started it)."""
        return self.conversation_id is not None and await self.service.stop_turn(self.conversation_id)

    async def title(self) -> str:
        """What the conversation is called; empty for a new one."""
        if self.conversation_id is None:
            return ""
        return (await self.service.conversation(self.conversation_id)).title

    async def conversation(self) -> int:
        """The one that is open here; begun now where there is none."""
        if self.conversation_id is None:
            self.conversation_id = await self.service.new_conversation()
            if self._model:
                await self.service.set_conversation_model(self.conversation_id, self._model)
        return self.conversation_id

    # --- parts ------------------------------------------------------------------------------------------------------
    async def _turn(self, text: str) -> None:
        self._console.print()
        view = TerminalView(console=self._console, details=True)
        await talk(self.service, await self.conversation(), text, view, model=self._model)
        self._console.print()

    def _toolbar(self) -> str:
        return f" {self._glyphs.dot} ".join((f" {self.model}", "/help", "Alt+Enter new line", "Ctrl+D leaves"))

    def _welcome(self) -> None:
        from agent import version

        head = Text.assemble(("TrayClaw", "bold"), f" {version()}", (f"  {self.model}", "dim"))
        self._console.print(head)
        if self.model == STARTER:
            self._console.print(
                Text(
                    "You are talking to the tiny built-in model: it shows how TrayClaw works, knows little and uses "
                    "no tools.\nFor a real one: `trayclaw keys set openai` and then /model here, or start Ollama and "
                    "type /model.",
                    style="yellow",
                )
            )
        self._console.print()

    def _show_past(self, turn: TurnView) -> None:
        if not turn.unasked:
            self._console.print(Text(f"{self._glyphs.prompt} {visible(turn.question)}\n", style="bold"))
        for number, item in enumerate(turn.items):
            if isinstance(item, TextItem):
                if number:
                    self._console.print()
                self._console.print(AnswerMarkdown(visible(item.text)))
            elif isinstance(item, SentItem):
                if item.text:
                    self._console.print(AnswerMarkdown(visible(item.text)))
                for path in item.files:
                    self._console.print(Text(f"  {visible(str(path), one_line=True)}"))
            elif isinstance(item, ToolItem):
                sign = self._glyphs.failed if item.ok is False else self._glyphs.done
                self._console.print(Text(f"{sign} {visible(item.summary, one_line=True)}", style="dim"))
        if turn.failure is not None:
            self._console.print(Text(f"{self._glyphs.failed} {turn.failure.title}", style="red"))
        elif turn.status != "answered":
            self._console.print(Text(f"({turn.status})", style="dim"))
