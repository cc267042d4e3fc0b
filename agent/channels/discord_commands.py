"""Slash commands and buttons: what Discord is told of them, and which command an interaction stands for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from agent.channels.channel import Button, Notes
from agent.channels.discord_bot import DiscordBot

if TYPE_CHECKING:
    import discord

CUSTOM_ID_CHARS = 100
"""What Discord keeps with a button; a longer command is kept here, under a short id."""

_OPTION: Final = "value"
_COMMANDS: Final = {
    "new": ("Start afresh, without what was said before", ""),
    "stop": ("Stop what I am doing here", ""),
    "undo": ("Take back what the last turn here did", ""),
    "status": ("The model, what runs, what was spent today", ""),
    "model": ("Use another model in this conversation", "provider/model, or default"),
    "usage": ("What was spent", "today, a day or a month"),
    "jobs": ("What is planned", "what to do with them"),
    "memory": ("What I remember", "what to look for"),
    "help": ("What I understand", ""),
}
_IN_SERVERS, _DIRECT = 0, 1
_REGISTERED = "commands"
_CHAT_INPUT, _TEXT_OPTION, _INSTALLED_IN_SERVER = 1, 3, 0


def registration() -> list[dict[str, Any]]:
    """As https://discord.com/developers/docs/interactions/application-commands wants them."""
    return [
        {
            "name": name,
            "type": _CHAT_INPUT,
            "description": description,
            "contexts": [_IN_SERVERS, _DIRECT],
            "integration_types": [_INSTALLED_IN_SERVER],
            "options": [{"name": _OPTION, "description": argument, "type": _TEXT_OPTION}] if argument else [],
        }
        for name, (description, argument) in _COMMANDS.items()
    ]


async def register(bot: DiscordBot, notes: Notes) -> None:
    """Tell Discord of the commands, once for each bot and each change of them."""
    commands = registration()
    known = hashlib.sha256(json.dumps([bot.client.application_id, commands]).encode()).hexdigest()
    if await notes.get(_REGISTERED) != known:
        await bot.register(commands)
        await notes.set(_REGISTERED, known)


async def with_custom_ids(buttons: Sequence[Button], notes: Notes) -> list[tuple[str, Button]]:
    """The buttons and what Discord shall send back when one is pressed; each command once."""
    found: dict[str, Button] = {}
    for button in buttons:
        custom_id = button.command
        if len(custom_id) > CUSTOM_ID_CHARS:
            custom_id = f"note:{hashlib.sha256(button.command.encode()).hexdigest()[:40]}"
            await notes.set(custom_id, button.command)
        found.setdefault(custom_id, button)
    return list(found.items())


async def command_of(interaction: discord.Interaction, notes: Notes) -> str:
    """What was pressed or chosen, as if it were written; empty for what is not ours (any more)."""
    data: Any = interaction.data or {}
    if interaction.type.name == "application_command":
        values = [str(one.get("value", "")) for one in data.get("options") or ()]
        return " ".join([f"/{data.get('name', '')}", *values]).strip()
    custom_id = str(data.get("custom_id", ""))
    return await notes.get(custom_id) or "" if custom_id.startswith("note:") else custom_id
