"""The connection to Discord through discord.py; its errors come out as ChannelError.

discord.py takes a good part of a second to import: that, and the certificates, happen in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.channels.channel import Button
from agent.channels.discord_errors import missing_intents, translated
from agent.errors import ChannelError
from agent.providers.http import certificates, is_loopback

if TYPE_CHECKING:
    import aiohttp
    import discord

    from agent.settings import DiscordSettings

HEARTBEAT_SECONDS = 60.0
"""A gateway that was silent for that long is given up; it confirms a heartbeat every 41 s."""
_CALL_SECONDS = 60.0
_UPLOAD_SECONDS = 300.0
_LONGEST_WAIT_SECONDS = 30.0
"""Shorter waits for a rate limit are sat out by the library, longer ones are told."""
_CLOSE_SECONDS = 1.0
_LABEL_CHARS = 80
_MOST_BUTTONS = 25
_FILE_HOSTS = (".discordapp.com", ".discordapp.net", ".discord.com")


class DiscordBot:
    """One bot. Channels and messages are named by their ids as text."""

    def __init__(self, client: discord.Client, connector: aiohttp.TCPConnector, settings: DiscordSettings) -> None:
        self.client = client
        self._connector = connector
        self._settings = settings

    @classmethod
    async def connect(cls, token: str, settings: DiscordSettings) -> DiscordBot:
        """Log in, without receiving anything yet. Raises ChannelError (wrong_token, network)."""
        proxy = await asyncio.to_thread(_prepare, settings)
        import aiohttp
        import discord

        secure = settings.api_base.startswith("https:")
        connector = aiohttp.TCPConnector(limit=0, ssl=certificates() if secure else True)
        client = discord.Client(
            intents=_intents(),
            connector=connector,
            proxy=proxy,
            max_messages=None,
            heartbeat_timeout=HEARTBEAT_SECONDS,
            max_ratelimit_timeout=_LONGEST_WAIT_SECONDS,
            allowed_mentions=discord.AllowedMentions.none(),
        )
        bot = cls(client, connector, settings)
        try:
            async with translated(), asyncio.timeout(_CALL_SECONDS):
                await client.login(token)
        except BaseException:
            await bot.close()
            raise
        return bot

    async def stay(self) -> None:
        """Be connected to the gateway until that is over; what can be resumed is, by the library.

        Its own way to connect anew after anything else is not used: it waits longer than it must, and tells nobody.
        """
        try:
            async with translated():
                await self.client.connect(reconnect=False)
        except AttributeError:
            # It looks for the socket's state before there is one: https://github.com/Rapptz/discord.py, client.connect
            if self.client.ws is not None:
                raise
            raise ChannelError("network", "Discord closed the connection.") from None

    async def close(self) -> None:
        """Close the connections; a peer that does not answer is left after a second."""
        try:
            async with translated(), asyncio.timeout(_CLOSE_SECONDS):
                await self.client.close()
        except ChannelError:
            await self.client.http.close()  # nothing depends on a farewell
        finally:
            await self._connector.close()

    @property
    def me(self) -> discord.ClientUser:
        """The bot's own account."""
        assert self.client.user is not None, "logged in"
        return self.client.user

    @property
    def address(self) -> str:
        """The name of the bot, with its @."""
        return f"@{self.me.name}"

    @property
    def invitation(self) -> str:
        """Where a person lets the bot into a server; people can write to it only when they share one with it."""
        return f"https://discord.com/oauth2/authorize?client_id={self.client.application_id}&scope=bot"

    def check_intents(self) -> None:
        """Raises ChannelError (forbidden) when this application may not read what people write."""
        flags = self.client.application_flags
        if not (flags.gateway_message_content or flags.gateway_message_content_limited):
            raise missing_intents()

    async def send(
        self,
        chat_id: str,
        text: str,
        *,
        nonce: str = "",
        files: Sequence[Path] = (),
        buttons: Sequence[tuple[str, Button]] = (),
        reply_to: str = "",
    ) -> str:
        """Send one message; its id. `buttons` come with their custom ids.

        A break of the connection is followed by one more try at once: by the nonce Discord knows for some minutes that
        it is the same message.
        """
        nonce = nonce or secrets.token_hex(12)
        try:
            return await self._send(chat_id, text, nonce, files, buttons, reply_to)
        except ChannelError as error:
            if not error.uncertain:
                raise
        return await self._send(chat_id, text, nonce, files, buttons, reply_to)

    async def _send(
        self,
        chat_id: str,
        text: str,
        nonce: str,
        files: Sequence[Path],
        buttons: Sequence[tuple[str, Button]],
        reply_to: str,
    ) -> str:
        import discord

        arguments: dict[str, Any] = {"nonce": nonce, "suppress_embeds": True}
        if files:
            arguments["files"] = await asyncio.to_thread(lambda: [discord.File(path, path.name) for path in files])
        if buttons:
            arguments["view"] = _view(buttons)
        if reply_to.isdigit():
            arguments["reference"] = discord.MessageReference(
                message_id=int(reply_to), channel_id=int(chat_id), fail_if_not_exists=False
            )
        async with translated(), asyncio.timeout(_UPLOAD_SECONDS if files else _CALL_SECONDS):
            message = await self._channel(chat_id).send(text or None, **arguments)
        return str(message.id)

    async def edit(
        self, chat_id: str, message_id: str, text: str, buttons: Sequence[tuple[str, Button]] | None = None
    ) -> None:
        """Replace the text of an own message, and its buttons where some are given."""
        arguments: dict[str, Any] = {"view": _view(buttons)} if buttons else {}
        async with translated(), asyncio.timeout(_CALL_SECONDS):
            await self._message(chat_id, message_id).edit(content=text, **arguments)

    async def remove_buttons(self, chat_id: str, message_id: str) -> None:
        """Leave the text of an own message as it is, and take its buttons away."""
        async with translated(), asyncio.timeout(_CALL_SECONDS):
            await self._message(chat_id, message_id).edit(view=None)

    async def delete(self, chat_id: str, message_id: str) -> None:
        """Remove an own message."""
        async with translated(), asyncio.timeout(_CALL_SECONDS):
            await self._message(chat_id, message_id).delete()

    async def show_typing(self, chat_id: str) -> None:
        """ "… is typing"; Discord shows it for ten seconds or until a message arrives."""
        async with translated(), asyncio.timeout(_CALL_SECONDS):
            await self._channel(chat_id).typing()

    async def react(self, chat_id: str, message_id: str, emoji: str) -> None:
        """Put a reaction on a message."""
        async with translated(), asyncio.timeout(_CALL_SECONDS):
            await self._message(chat_id, message_id).add_reaction(emoji)

    async def take_reaction_back(self, chat_id: str, message_id: str, emoji: str) -> None:
        """Remove an own reaction; none there is no error."""
        try:
            async with translated(), asyncio.timeout(_CALL_SECONDS):
                await self._message(chat_id, message_id).remove_reaction(emoji, self.me)
        except ChannelError as error:
            if error.kind != "not_found":
                raise

    async def after(self, chat_id: str, message_id: int, limit: int, direct: bool) -> AsyncIterator[discord.Message]:
        """The messages of a channel after that one, oldest first.

        Those of a server come with their server: one made of an id alone would look like a direct chat.
        """
        import discord

        async with translated():
            found: Any = self.client.get_channel(int(chat_id))
            if found is None:
                found = self._channel(chat_id) if direct else await self.client.fetch_channel(int(chat_id))
            if not isinstance(found, discord.abc.Messageable):
                raise ChannelError("not_found", "There are no messages in that channel.")
            async for message in found.history(after=discord.Object(message_id), limit=limit, oldest_first=True):
                yield message

    async def open_chat(self, user_id: int) -> tuple[str, int]:
        """The direct chat with a person, and its newest message, or the id that comes before any."""
        import discord

        async with translated(), asyncio.timeout(_CALL_SECONDS):
            chat = await self.client.create_dm(discord.Object(user_id))
            newest = [message.id async for message in chat.history(limit=1)]
        return str(chat.id), newest[0] if newest else chat.id

    async def register(self, commands: list[dict[str, Any]]) -> None:
        """Make these the bot's slash commands, everywhere."""
        async with translated(), asyncio.timeout(_CALL_SECONDS):
            assert self.client.application_id is not None, "logged in"
            await self.client.http.bulk_upsert_global_commands(self.client.application_id, commands)

    async def download(self, url: str) -> AsyncIterator[bytes]:
        """The content of a file that came with a message, in pieces. Only Discord's own servers are asked."""
        import aiohttp

        if not self._is_ours(url):
            raise ChannelError("rejected", "The file is not on a server of Discord.")
        limit = aiohttp.ClientTimeout(total=None, sock_connect=_CALL_SECONDS, sock_read=_CALL_SECONDS)
        async with (
            translated(),
            aiohttp.ClientSession(connector=self._connector, connector_owner=False, timeout=limit) as session,
            session.get(url, proxy=self.client.http.proxy, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ChannelError("not_found", f"The file cannot be fetched ({response.status}).")
            async for piece in response.content.iter_chunked(1 << 16):
                yield piece

    def _is_ours(self, url: str) -> bool:
        asked, known = urlsplit(url), urlsplit(self._settings.api_base)
        if (asked.scheme, asked.netloc) == (known.scheme, known.netloc):
            return True
        return asked.scheme == "https" and f".{asked.hostname or ''}".endswith(_FILE_HOSTS)

    def _channel(self, chat_id: str) -> discord.PartialMessageable:
        return self.client.get_partial_messageable(int(chat_id))

    def _message(self, chat_id: str, message_id: str) -> discord.PartialMessage:
        return self._channel(chat_id).get_partial_message(int(message_id))


def _prepare(settings: DiscordSettings) -> str | None:
    """Import the library, point it at the right servers, and find the proxy to them. Blocks."""
    from urllib.request import getproxies, proxy_bypass

    # It logs what is told to the person in other words, and warns of voice, which is not used.
    logging.getLogger("discord").setLevel(logging.ERROR)
    import discord
    import yarl
    from discord.gateway import DiscordWebSocket
    from discord.http import Route

    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
    api_base, gateway = settings.api_base.rstrip("/"), yarl.URL(settings.gateway_url)
    if api_base != Route.BASE:  # the library knows no other way to name them
        Route.BASE = api_base
    if gateway != DiscordWebSocket.DEFAULT_GATEWAY:
        DiscordWebSocket.DEFAULT_GATEWAY = gateway
    if not api_base.startswith("https:") or is_loopback(api_base):
        return None
    certificates()
    host = urlsplit(api_base).hostname or ""
    proxy = None if proxy_bypass(host) else getproxies().get("https")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _intents() -> discord.Intents:
    import discord

    intents = discord.Intents.none()
    intents.guilds = intents.messages = intents.message_content = True
    return intents


def _view(buttons: Sequence[tuple[str, Button]]) -> discord.ui.View:
    """Buttons that the library does not keep: a press is recognised by its custom id, also after a restart."""
    import discord

    styles = {"": discord.ButtonStyle.secondary, "primary": discord.ButtonStyle.primary}
    view = discord.ui.View(timeout=None)
    for custom_id, button in buttons[:_MOST_BUTTONS]:
        style = styles.get(button.style, discord.ButtonStyle.danger)
        view.add_item(discord.ui.Button(style=style, label=button.label[:_LABEL_CHARS] or "?", custom_id=custom_id))
    view.stop()
    return view
