"""The connection to Slack's Web API through slack_sdk; errors come out as ChannelError, without the tokens.

The library takes a quarter of a second to import: that, and the certificates, happen in a thread.
"""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from agent.channels.slack_errors import translated
from agent.channels.slack_text import Piece
from agent.errors import ChannelError
from agent.providers.http import certificates, is_loopback

if TYPE_CHECKING:
    from ssl import SSLContext

    import aiohttp
    from slack_sdk.web.async_client import AsyncWebClient

_ANSWER_SECONDS = 20.0
_CONNECT_SECONDS = 10.0
_FILE_SECONDS = 300.0
_CLOSE_SECONDS = 1.0
_PIECE_BYTES = 64 * 1024
_MOST_CONVERSATIONS = 200
_MOST_PAGES = 5
_MOST_NAMES = 5000
_PAGE_MESSAGES = 200
_SLACK: Final = "slack.com"

Event = dict[str, Any]


class SlackBot:
    """One app in one workspace. Messages are identified by their `ts` as text, threads by that of their first one."""

    def __init__(self, session: aiohttp.ClientSession, client: AsyncWebClient, app_token: str, api_base: str) -> None:
        self._session = session
        self._client = client
        self._app_token = app_token
        self._api_base = api_base
        self._names: dict[str, str] = {}
        self._direct: dict[str, str] = {}
        self._silent: set[str] = set()
        self.user_id = ""
        self.bot_id = ""
        self.address = ""
        """"@name in workspace"."""
        self.now = 0.0
        """Slack's clock when the bot logged in."""

    @classmethod
    async def connect(cls, token: str, app_token: str, api_base: str) -> SlackBot:
        """Log in. Raises ChannelError (wrong_token, network)."""
        context, proxy = await asyncio.to_thread(_prepare, api_base)
        import aiohttp
        from slack_sdk.web.async_client import AsyncWebClient

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=32),
            timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS, sock_connect=_CONNECT_SECONDS),
            proxy=proxy,
        )
        # Without handlers of its own the client sends nothing twice: by default it repeats after a broken connection.
        client = AsyncWebClient(token, base_url=api_base, session=session, retry_handlers=[])
        client.proxy = None  # it would take the one of the environment, also for this computer
        self = cls(session, client, app_token, api_base)
        try:
            async with translated():
                answer = await client.auth_test()
        except BaseException:
            await self.close()
            raise
        self.user_id, self.bot_id = str(answer["user_id"]), str(answer.get("bot_id") or "")
        self.address = f"@{answer.get('user') or self.user_id} in {answer.get('team') or 'Slack'}"
        stamp = email.utils.parsedate_to_datetime(answer.headers["Date"]) if "Date" in answer.headers else None
        self.now = stamp.timestamp() if stamp is not None else 0.0
        return self

    async def close(self) -> None:
        """Close the connections; gives up after a second."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._session.close()
        except TimeoutError:
            pass  # nothing depends on a farewell

    async def open_socket(self) -> aiohttp.ClientWebSocketResponse:
        """A new connection for events. Raises ChannelError (wrong_token, forbidden: Socket Mode is off)."""
        import aiohttp

        try:
            async with translated():
                answer = await self._client.apps_connections_open(app_token=self._app_token)
        except ChannelError as error:
            if error.kind == "wrong_token":
                raise ChannelError(
                    "wrong_token",
                    "Slack does not accept the app-level token.",
                    hint="Make one with connections:write at api.slack.com/apps > Basic Information (it begins with"
                    " xapp-) and enter it in Settings > Channels.",
                ) from None
            raise
        try:
            async with translated():
                return await self._session.ws_connect(
                    str(answer["url"]),
                    autoping=False,
                    timeout=aiohttp.ClientWSTimeout(ws_close=0.3),
                    max_msg_size=16 * 1024 * 1024,
                )
        except ChannelError as error:
            error.uncertain = False
            raise

    async def post(self, channel: str, thread: str, piece: Piece) -> str:
        """Send one message and return its `ts`. Never with previews: Slack would fetch what a model wrote, unasked."""
        async with translated():
            answer = await self._client.chat_postMessage(
                channel=channel,
                thread_ts=thread or None,
                text=piece.text,
                blocks=piece.blocks,
                unfurl_links=False,
                unfurl_media=False,
            )
            return str(answer["ts"])

    async def edit(self, channel: str, ts: str, text: str, blocks: Sequence[dict[str, Any]]) -> None:
        """Replace a message. Repeating it is harmless. `not_found`: somebody deleted it."""
        try:
            async with translated():
                await self._client.chat_update(channel=channel, ts=ts, text=text, blocks=blocks)
        except ChannelError as error:
            error.uncertain = False
            raise

    async def delete(self, channel: str, ts: str) -> None:
        """Take a message back."""
        async with translated():
            await self._client.chat_delete(channel=channel, ts=ts)

    async def react(self, channel: str, ts: str, name: str, *, add: bool) -> None:
        """Put a reaction on a message or take it off. Where the app may not, it is not tried again."""
        call = self._client.reactions_add if add else self._client.reactions_remove
        await self._optional("reactions", call(channel=channel, timestamp=ts, name=name))

    async def show_status(self, channel: str, thread: str, words: str) -> None:
        """What an assistant thread shows below its last message; Slack removes it when an answer is posted."""
        call = self._client.assistant_threads_setStatus(channel_id=channel, thread_ts=thread, status=words)
        await self._optional("status", call)

    async def name_of(self, user_id: str) -> str:
        """What people see as the name of a user; the id where it cannot be found out."""
        if len(self._names) > _MOST_NAMES:
            self._names.clear()
        if user_id not in self._names:
            try:
                async with translated():
                    user = (await self._client.users_info(user=user_id))["user"]
            except ChannelError as error:
                if error.retryable:
                    return user_id
                self._names[user_id] = user_id
            else:
                profile = user.get("profile") or {}
                shown = profile.get("display_name") or profile.get("real_name") or user.get("real_name")
                self._names[user_id] = str(shown or user.get("name") or user_id)
        return self._names[user_id]

    async def name_of_channel(self, channel: str) -> str:
        """ "#general"; empty where it cannot be found out."""
        if channel not in self._names:
            try:
                async with translated():
                    found = (await self._client.conversations_info(channel=channel))["channel"]
            except ChannelError as error:
                if error.retryable:
                    return ""
                self._names[channel] = ""
            else:
                self._names[channel] = f"#{found['name']}" if found.get("name") else ""
        return self._names[channel]

    async def direct_chat(self, user_id: str) -> str:
        """The conversation with one person."""
        if user_id not in self._direct:
            async with translated():
                answer = await self._client.conversations_open(users=user_id)
                self._direct[user_id] = str(answer["channel"]["id"])
        return self._direct[user_id]

    async def conversations(self) -> list[str]:
        """Direct chats and channels that the bot is in, the first two hundred."""
        async with translated():
            answer = await self._client.users_conversations(
                types="im,mpim,public_channel,private_channel", exclude_archived=True, limit=_MOST_CONVERSATIONS
            )
            return [str(one["id"]) for one in answer["channels"]]

    async def messages(self, channel: str, thread: str, oldest: str) -> list[Event]:
        """What was written after `oldest` in a conversation or a thread, in order; of very much the latest."""
        found: list[Event] = []
        cursor = ""
        for _ in range(_MOST_PAGES):
            window: dict[str, Any] = {"channel": channel, "oldest": oldest, "limit": _PAGE_MESSAGES}
            if cursor:
                window["cursor"] = cursor
            async with translated():
                if thread:
                    answer = await self._client.conversations_replies(ts=thread, **window)
                else:
                    answer = await self._client.conversations_history(**window)
            found += answer["messages"]
            cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                break
        return sorted((one for one in found if float(one["ts"]) > float(oldest)), key=lambda one: float(one["ts"]))

    async def file_info(self, file_id: str) -> dict[str, Any]:
        """All about a file of which an event told only the id (of another workspace)."""
        async with translated():
            return dict((await self._client.files_info(file=file_id))["file"])

    @asynccontextmanager
    async def download(self, url: str) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """The media type and the content of a private file. The token goes to Slack's own hosts only, and redirects
        are not followed: they lead elsewhere. Raises ChannelError."""
        import aiohttp

        if not self.is_own_host(url):
            raise ChannelError("rejected", "The file does not lie at Slack.")
        headers = {"Authorization": f"Bearer {self._client.token}"}
        timeout = aiohttp.ClientTimeout(total=_FILE_SECONDS, sock_connect=_CONNECT_SECONDS)
        async with translated():
            answer = await self._session.get(url, headers=headers, allow_redirects=False, timeout=timeout)
        async with answer:
            if answer.status != 200:
                raise ChannelError("rejected", f"Slack does not give the file out (status {answer.status}).")
            yield answer.content_type, _pieces(answer)

    def is_own_host(self, url: str) -> bool:
        """Whether Slack itself serves this address."""
        try:
            asked, own = urlsplit(url), urlsplit(self._api_base)
            same = (asked.scheme, asked.hostname, asked.port) == (own.scheme, own.hostname, own.port)
        except ValueError:
            return False
        host = asked.hostname or ""
        at_slack = own.hostname == _SLACK and asked.scheme == "https" and asked.port in (None, 443)
        return same or (at_slack and (host == _SLACK or host.endswith(f".{_SLACK}")))

    async def upload(self, channel: str, thread: str, path: Path) -> str:
        """Send a file and return its id. Raises ChannelError (uncertain only when it was being shown in the chat)."""
        import aiohttp

        file, size = await asyncio.to_thread(_open, path)
        timeout = aiohttp.ClientTimeout(total=_FILE_SECONDS, sock_connect=_CONNECT_SECONDS)
        try:
            with file:
                async with translated():
                    slot = await self._client.files_getUploadURLExternal(filename=path.name, length=size)
                    # The address carries its own permission; the token is not sent.
                    async with self._session.post(
                        str(slot["upload_url"]),
                        data=file,
                        headers={"Content-Type": "application/octet-stream"},
                        timeout=timeout,
                        allow_redirects=False,
                    ) as answer:
                        if answer.status != 200:
                            raise ChannelError("network", f"Slack did not take the file (status {answer.status}).")
        except ChannelError as error:
            error.uncertain = False
            raise
        async with translated():
            await self._client.files_completeUploadExternal(
                files=[{"id": str(slot["file_id"]), "title": path.name}], channel_id=channel, thread_ts=thread or None
            )
        return str(slot["file_id"])

    async def _optional(self, what: str, call: Any) -> None:
        """What is nice to have: nothing is told when it fails, and nothing is tried again that is not allowed."""
        if what in self._silent:
            call.close()
            return
        try:
            async with translated():
                await call
        except ChannelError as error:
            if error.kind in ("forbidden", "wrong_token"):
                self._silent.add(what)


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with translated():
        async for piece in answer.content.iter_chunked(_PIECE_BYTES):
            yield piece


def _prepare(api_base: str) -> tuple[SSLContext | bool, str | None]:
    """Import what is large, read the certificates and the proxy of the system. Blocks. Raises ChannelError."""
    import slack_sdk.web.async_client  # noqa: F401 - imported here, in a thread

    return certificates() if api_base.startswith("https:") else True, _proxy(api_base)


def _proxy(api_base: str) -> str | None:
    """The system's proxy (environment, Windows registry, macOS), none for this computer."""
    import urllib.request

    parts = urlsplit(api_base)
    if is_loopback(api_base) or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not proxy.startswith(("http://", "https://")):
        raise ChannelError("network", f"The system's proxy {proxy.partition('://')[0]}:// cannot be used for Slack.")
    return proxy


def _open(path: Path) -> tuple[IO[bytes], int]:
    try:
        return path.open("rb"), path.stat().st_size
    except OSError as error:
        raise ChannelError("rejected", f"The file {path.name} cannot be read: {error.strerror}.") from error
