"""One MCP server: the task that owns its session, started at need and again with patience after it broke.

The SDK's scopes must be entered and left in the same task, so that one task does both; others only call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent import version
from agent.errors import ToolError, TrayClawError, UnfencedError
from agent.safety.effects import one_line
from agent.safety.hooks import HookGuard
from agent.tools.mcp_listing import ListedTool, OddToolError, listed
from agent.views import McpState

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client._transport import TransportStreams
    from mcp_types import CallToolResult, Tool

log = logging.getLogger(__name__)

CONNECT_SECONDS = 60.0
"""Programs that download themselves at their first start take their time."""
LIST_SECONDS = 30.0
CLOSE_SECONDS = 3.0
RELIST_SECONDS = 0.3
MOST_TOOLS = 2_000
MOST_PAGES = 100
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
MOST_TRIES = 5
"""In a row; then it waits until somebody needs it."""
STEADY_SECONDS = 30.0
"""A connection that lived so long counts as a success."""

Connect = Callable[[Callable[[str], None]], AbstractAsyncContextManager["TransportStreams"]]
"""Opens the transport; what it is given is told why the connection went by itself."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a server is reached. `identity` stands for it in hashes: another program is another server.

    `seconds` is the time of one call. `look` remembers, in a thread, what git would run in the folders that the program
    may write in; after each call it is put back.
    """

    identity: str
    seconds: float
    connect: Connect
    look: Callable[[], HookGuard] | None = None


class McpServer:
    """Lives on the loop. `plan` finds out how to reach it each time, and may raise `TrayClawError`; `prepare` is given
    the tools in a thread before they count."""

    def __init__(
        self,
        name: str,
        plan: Callable[[], Awaitable[Plan]],
        changed: Callable[[], None],
        prepare: Callable[[Sequence[ListedTool]], None] = lambda tools: None,
    ) -> None:
        self.name = name
        self.state: McpState = "idle"
        self.detail = ""
        self.tools: tuple[ListedTool, ...] = ()
        self._plan = plan
        self._changed = changed
        self._prepare = prepare
        self._task: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._current: Plan | None = None
        self._again = asyncio.Event()
        self._settled = asyncio.Event()
        self._gone: asyncio.Future[str] | None = None
        self._relist = asyncio.Event()
        self._closed = False

    def wake(self, *, now: bool = False) -> None:
        """Connect if it is not; `now` also ends a wait between two tries."""
        if self._closed:
            return
        if self._task is None or self._task.done():
            self._settled.clear()
            self._become("connecting")
            self._task = asyncio.create_task(self._run(), name=f"mcp {self.name}")
        elif now and self._client is None and self.state != "connecting":
            self._settled.clear()
            self._again.set()

    async def settled(self) -> None:
        """Wait until it is ready, or failed."""
        await self._settled.wait()

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call one of its tools. Raises `ToolError`; nothing is called twice."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT
        from pydantic import ValidationError

        client, plan = await self._ready()
        gone = self._gone
        guard = await asyncio.to_thread(plan.look) if plan.look is not None else None
        try:
            # The request's own clock starts when it is written; a server that takes no requests is waited for here.
            async with asyncio.timeout(plan.seconds + 1):
                return await client.call_tool(tool, arguments, read_timeout_seconds=plan.seconds)
        except MCPError as error:
            if error.code == REQUEST_TIMEOUT:
                raise ToolError(self._late(plan)) from error
            if error.code == CONNECTION_CLOSED:
                why = f": {gone.result()}" if gone is not None and gone.done() else ""
                raise ToolError(
                    f"The connection to {self.name} broke while the tool ran{why}. Whether it did something is unknown."
                ) from error
            if error.message == "Session terminated":  # it forgot us: https://modelcontextprotocol.io, sessions
                self._lost("it ended the session")
            raise ToolError(f"{self.name} refused the call: {one_line(error.message, 500)}") from error
        except TimeoutError as error:
            raise ToolError(self._late(plan)) from error
        except (RuntimeError, ValidationError) as error:  # the result does not fit what the server said of it
            raise ToolError(f"{self.name} gave a wrong result: {one_line(str(error), 500)}") from error
        finally:
            if guard is not None:
                await asyncio.shield(asyncio.to_thread(guard.restore))

    async def close(self) -> None:
        """End the connection, and the program with all it started."""
        self._closed = True
        task, self._task = self._task, None
        while task is not None and not task.done():
            # Once is enough, but for a server over HTTP that does not answer when its session is ended.
            task.cancel()
            await asyncio.wait({task}, timeout=CLOSE_SECONDS)
        self._settled.set()

    # --- the task ---------------------------------------------------------------------------------------------------
    async def _run(self) -> None:
        tries, pause = 0, FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                await asyncio.to_thread(load_sdk)
                reason = await self._live()
            except UnfencedError as error:
                self._end_as("unfenced", str(error))
                return
            except TrayClawError as error:
                reason = " ".join(filter(None, (str(error), error.hint)))
            except Exception as error:
                reason = _words(error)
                log.info("the MCP server %s: %s", self.name, reason, exc_info=True)
            if time.monotonic() - began > STEADY_SECONDS:
                tries, pause = 0, FIRST_PAUSE
            tries += 1
            if not self._again.is_set():  # else somebody waits for the next try already
                self._end_as("failed", reason)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), pause if tries < MOST_TRIES else None)
                tries, pause = 0, FIRST_PAUSE
            self._again.clear()
            pause = min(pause * 2, LONGEST_PAUSE)
            self._settled.clear()
            self._become("connecting", reason)

    async def _live(self) -> str:
        """Connect, tell the tools, and wait until the connection is gone; why it went."""
        plan = await self._plan()
        self._gone = asyncio.get_running_loop().create_future()
        self._relist.clear()
        try:
            async with self._open(plan) as client:
                self._current = plan
                await self._list(client, plan)
                self._client = client
                self._settled.set()
                return await self._watch(client, plan)
        except BaseException as error:
            # Which of the two comes first is chance: that the connection broke, or why.
            if isinstance(error, Exception) and self._gone.done():
                return self._gone.result()
            raise

    @asynccontextmanager
    async def _open(self, plan: Plan) -> AsyncIterator[Client]:
        from mcp import Client
        from mcp_types import Implementation

        async def hear(message: Any) -> None:
            if getattr(message, "method", "") == "notifications/tools/list_changed":
                self._relist.set()

        client = Client(
            plan.connect(self._lost),
            message_handler=hear,
            client_info=Implementation(name="trayclaw", version=version()),
            read_timeout_seconds=LIST_SECONDS,
            cache=None,
        )
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await stack.enter_async_context(client)
            except TimeoutError:
                raise ToolError(f"it did not answer within {CONNECT_SECONDS:.0f} seconds") from None
            yield client

    async def _watch(self, client: Client, plan: Plan) -> str:
        assert self._gone is not None
        listening = asyncio.create_task(self._listen(client))
        try:
            while True:
                relist = asyncio.create_task(self._relist.wait())
                either: set[asyncio.Future[Any]] = {self._gone, relist}
                try:
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    relist.cancel()
                if self._gone.done():
                    return self._gone.result()
                await asyncio.sleep(RELIST_SECONDS)  # several changes in a row are one
                self._relist.clear()
                await self._list(client, plan)
        finally:
            self._client = None
            listening.cancel()
            await asyncio.wait({listening})

    async def _listen(self, client: Client) -> None:
        """Hear of changes from servers of the protocol of 2026, which tell only who listens."""
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
        from mcp.shared.exceptions import MCPError

        offered = client.server_capabilities.tools
        if offered is None or not offered.list_changed:
            return
        pause = FIRST_PAUSE
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    if pause > FIRST_PAUSE:
                        self._relist.set()  # something may have changed while nobody listened
                    async for _ in changes:
                        self._relist.set()
            except ListenNotSupportedError:
                return
            except (SubscriptionLost, MCPError, TimeoutError) as error:
                log.debug("the MCP server %s: %s", self.name, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _list(self, client: Client, plan: Plan) -> None:
        found: list[Tool] = []
        cursor: str | None = None
        async with asyncio.timeout(LIST_SECONDS):
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += page.tools
                cursor = page.next_cursor
                if not cursor or len(found) > MOST_TOOLS:
                    break
        tools, left_out = await asyncio.to_thread(_understood, plan.identity, found[:MOST_TOOLS])
        if len(found) > MOST_TOOLS or cursor:
            left_out.append(f"it has more than {MOST_TOOLS:,} tools")
        await asyncio.to_thread(self._prepare, tools)
        self.tools = tools
        self._become("ready", f"Left out: {'; '.join(left_out[:3])}" if left_out else "")

    # --- inside -----------------------------------------------------------------------------------------------------
    async def _ready(self) -> tuple[Client, Plan]:
        self.wake(now=True)
        seconds = CONNECT_SECONDS + LIST_SECONDS
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), seconds)
        if self._client is None or self._current is None:
            raise ToolError(f"The MCP server {self.name} is not available: {self.detail or 'it does not answer'}.")
        return self._client, self._current

    def _late(self, plan: Plan) -> str:
        return f"Ended: {self.name} took longer than {plan.seconds:g} seconds. Whether it did something is unknown."

    def _lost(self, reason: str) -> None:
        self._client = None
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(reason)

    def _end_as(self, state: McpState, reason: str) -> None:
        self._client = None
        self._become(state, reason)
        self._settled.set()

    def _become(self, state: McpState, detail: str = "") -> None:
        self.state, self.detail = state, one_line(detail, 300)
        self._changed()


def load_sdk() -> None:
    """Import the SDK (about a second). Blocks: call it in a thread.

    What it logs of a server's misbehaviour quotes the server; the state of the server says it in words.
    """
    for name in ("mcp", "client", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    import mcp.client.client
    import mcp.client.streamable_http  # noqa: F401


def _understood(identity: str, tools: Sequence[Tool]) -> tuple[tuple[ListedTool, ...], list[str]]:
    """The tools that can be shown, and why others cannot. Blocks."""
    made: dict[str, ListedTool] = {}
    left_out: list[str] = []
    for tool in tools:
        try:
            if tool.name not in made:
                words = tool.description or tool.title or ""
                made[tool.name] = listed(identity, tool.name, words, tool.input_schema)
        except OddToolError as error:
            left_out.append(str(error))
    return tuple(made.values()), left_out


def _words(error: BaseException) -> str:
    """An error of the connection for people; groups of errors say what their first one says."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    name = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} is not there"
    if name == "ConnectError":
        return "nothing answers at its address"
    return one_line(str(error), 200) or name
