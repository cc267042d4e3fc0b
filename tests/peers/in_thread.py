"""Runs a peer on an event loop of its own in a thread, for tests that are not asynchronous or block their own loop."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Generic, TypeVar

P = TypeVar("P")
R = TypeVar("R")


class PeerThread(Generic[P]):
    """The peer, and `call` to run one of its coroutines from the outside."""

    def __init__(self, peer: P, loop: asyncio.AbstractEventLoop) -> None:
        self.peer = peer
        self.loop = loop

    def call(self, coroutine: Coroutine[Any, Any, R], timeout: float = 10.0) -> R:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)


@contextmanager
def in_thread(manager: AbstractAsyncContextManager[P]) -> Iterator[PeerThread[P]]:
    """Enter `manager` in a new thread; leave it and join the thread at the end of the block."""
    started = threading.Event()
    state: dict[str, Any] = {}

    async def main() -> None:
        stop = asyncio.Event()
        async with manager as peer:
            state.update(peer=peer, loop=asyncio.get_running_loop(), stop=stop)
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            state["error"] = error
        finally:
            started.set()

    thread = threading.Thread(target=run, name="peer", daemon=True)
    thread.start()
    started.wait()
    if "error" in state:
        thread.join()
        raise state["error"]
    try:
        yield PeerThread(state["peer"], state["loop"])
    finally:
        if thread.is_alive():
            state["loop"].call_soon_threadsafe(state["stop"].set)
        thread.join(10)
        if "error" in state:
            raise state["error"]
