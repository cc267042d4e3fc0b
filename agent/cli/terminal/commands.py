"""What a line that begins with a slash does in the terminal chat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.cli.safe import visible
from agent.cli.terminal.footer import money
from agent.cli.texts import ago
from agent.errors import TrayClawError

if TYPE_CHECKING:
    from agent.cli.terminal.chat import TerminalChat

COMMANDS = {
    "help": "what can be typed here",
    "new": "start a new conversation",
    "conversations": "show the conversations; with a number, switch to that one",
    "model": "show the models; with a name, use it in this conversation",
    "status": "model, conversation, money spent",
    "limit": "the spending limits; with an amount, this conversation's own for a day; with off, without",
    "raise": "raise the limit that was reached, for today or this month only",
    "local": "go on with a model on this computer, which costs nothing",
    "stop": "stop the answer (while it runs: Ctrl+C)",
    "quit": "leave",
}
MODELS_SHOWN = 12
CONVERSATIONS_SHOWN = 15


class Commands:
    """Runs the commands of one chat."""

    def __init__(self, chat: TerminalChat, console: Console) -> None:
        self._chat = chat
        self._console = console
        self._models: list[str] = []
        self._listed: list[tuple[int, str]] = []

    def suggest(self, typed: str) -> Iterable[tuple[str, str]]:
        """For completion."""
        command, space, argument = typed.partition(" ")
        if not space:
            return [(name, meaning) for name, meaning in COMMANDS.items() if name.startswith(command)]
        if command == "model":
            return [(f"model {model}", "") for model in self._models if argument.lower() in model.lower()]
        if command == "conversations":
            numbered = enumerate(self._listed, start=1)
            return [(f"conversations {n}", title) for n, (_, title) in numbered if str(n).startswith(argument)]
        return []

    async def run(self, line: str) -> bool:
        """Do what the line says; False when it is no command but a message. Raises TrayClawError, EOFError to leave."""
        name, _, argument = line[1:].partition(" ")
        argument = argument.strip()
        if "/" in name or "\n" in name or not name:
            return False  # a path, not a command
        name = {"exit": "quit", "q": "quit", "?": "help", "h": "help", "models": "model"}.get(name, name)
        match name:
            case "quit":
                raise EOFError
            case "help":
                self._help()
            case "new":
                await self._chat.use_new()
                self._say("A new conversation. The old one is kept: /conversations")
            case "stop":
                stopped = await self._chat.stop()
                self._say("Stopped." if stopped else "Nothing is running. While an answer runs, Ctrl+C stops it.")
            case "model":
                await (self._use_model(argument) if argument else self._show_models())
            case "status":
                await self._status()
            case "limit":
                await self._limit(argument)
            case "raise":
                for limit in await self._chat.service.spending.raise_limit(self._chat.conversation_id):
                    self._say(f"The limit is now {money(limit.limit)} {visible(limit.label)}. Ask again.")
            case "local":
                await self._use_model(await self._chat.service.local_model())
            case "conversations":
                await (self._switch(argument) if argument else self._conversations())
            case _:
                self._say(f"There is no command /{visible(name)}. /help shows what there is.")
        return True

    def _help(self) -> None:
        table = Table.grid(padding=(0, 2))
        for name, meaning in COMMANDS.items():
            table.add_row(Text(f"/{name}", style="bold"), meaning)
        for key, meaning in (
            ("Enter", "send"),
            ("Alt+Enter", "new line (also Esc then Enter, or \\ at the end of a line)"),
            ("Up, Ctrl+R", "what was typed before"),
            ("Ctrl+X Ctrl+E", "write in your editor"),
            ("Ctrl+C", "stop the answer; with nothing running and nothing typed, leave"),
            ("Ctrl+D", "leave"),
        ):
            table.add_row(Text(key, style="bold"), meaning)
        self._console.print(table)

    async def _use_model(self, model: str) -> None:
        await self._chat.use_model(model)
        self._say(f"This conversation uses {visible(self._chat.model)} from now on.")

    async def _limit(self, wanted: str) -> None:
        spending = self._chat.service.spending
        if wanted:
            from agent.core.commands import amount

            daily = amount(wanted)
            await spending.set_conversation_limit(await self._chat.conversation(), daily)
        for limit in await spending.limits(self._chat.conversation_id):
            raised = f" (raised by {money(limit.raised)})" if limit.raised else ""
            self._say(f"{money(limit.spent)} of {money(limit.limit)} {visible(limit.label)}{raised}")

    async def _show_models(self) -> None:
        import asyncio

        service = self._chat.service
        self._say(f"In use: {visible(self._chat.model)}")
        usable = [provider for provider in await service.providers() if provider.has_key or not provider.needs_key]
        with self._console.status("Asking the providers…"):
            local = [one for one in await service.find_local_models() if one.name not in {p.name for p in usable}]
            asked = [one for one in (*usable, *local) if one.name != "starter"]
            answers = await asyncio.gather(
                *(asyncio.wait_for(service.list_models(one.name), 8) for one in asked), return_exceptions=True
            )
        self._models = ["starter"]
        for provider, answer in zip(asked, answers, strict=True):
            if isinstance(answer, TrayClawError | TimeoutError):
                if not provider.local:
                    self._say(f"{provider.label}: {str(answer) or 'no answer within 8 seconds'}")
                continue
            if isinstance(answer, BaseException):
                raise answer
            names = [f"{provider.name}/{model.id}" for model in answer]
            self._models += names
            more = f"  and {len(names) - MODELS_SHOWN} more (Tab completes)" if len(names) > MODELS_SHOWN else ""
            self._console.print(Text(visible("\n".join(f"  {name}" for name in names[:MODELS_SHOWN]) + more)))
        self._console.print(Text("  starter  (the tiny built-in model)"))
        self._say("/model PROVIDER/MODEL uses one here. Add a provider: trayclaw keys set openai")

    async def _status(self) -> None:
        service = self._chat.service
        today, month, *_ = await service.spending.limits()
        settings = service.settings
        table = Table.grid(padding=(0, 2))
        table.add_row("Model", visible(self._chat.model))
        table.add_row("Conversation", visible(await self._chat.title(), one_line=True) or "new")
        table.add_row("Today", f"{money(today.spent)} of {money(today.limit)}")
        table.add_row("This month", f"{money(month.spent)} of {money(month.limit)}")
        table.add_row("Safety", settings.safety.mode)
        table.add_row("Workspace", str(settings.tools.workspace or service.paths.workspace))
        self._console.print(table)

    async def _conversations(self) -> None:
        found = [one for one in await self._chat.service.conversations() if one.channel == "local"]
        if not found:
            self._say("There is no conversation yet.")
            return
        found = found[:CONVERSATIONS_SHOWN]
        self._listed = [(one.id, visible(one.title, one_line=True) or "untitled") for one in found]
        table = Table.grid(padding=(0, 2))
        for number, one in enumerate(found, start=1):
            here = " (here)" if one.id == self._chat.conversation_id else ""
            title = Text(f"{self._listed[number - 1][1]}{here}", overflow="ellipsis", no_wrap=True)
            table.add_row(Text(str(number), justify="right"), title, Text(ago(one.updated_at), style="dim"))
        self._console.print(table)
        self._say("/conversations NUMBER switches.")

    async def _switch(self, choice: str) -> None:
        if not self._listed:
            await self._conversations()
        if not choice.isdigit() or not 1 <= int(choice) <= len(self._listed):
            self._say(f"Choose a number from 1 to {len(self._listed)}.")
            return
        await self._chat.use(self._listed[int(choice) - 1][0])

    def _say(self, text: str) -> None:
        self._console.print(Text(text, style="dim"))
