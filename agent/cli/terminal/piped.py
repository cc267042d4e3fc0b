"""The chat without a terminal: every line of stdin is a message, the answers go to stdout."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from typing import TYPE_CHECKING

from agent.cli.failures import STOPPED, report_failure
from agent.cli.stream import PlainView
from agent.cli.talk import talk

if TYPE_CHECKING:
    from agent.service import AgentService


async def run(service: AgentService, conversation: str, model: str) -> int:
    """Until stdin ends. Returns the exit code of the last turn; questions about tools are answered with no."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, "")

    # Not asyncio.to_thread: a thread that waits for a pipe would keep the program from ending on Ctrl+C.
    threading.Thread(target=read, name="stdin", daemon=True).start()
    place = await service.local_conversation(conversation) if conversation else await service.new_conversation()
    code = 0
    while message := await lines.get():
        if not message.strip():
            continue
        if message.strip().lower() in ("/quit", "/exit"):
            break
        finished = await talk(service, place, message.strip(), PlainView("deny"), model=model)
        if finished is None or finished.status == "stopped":
            return STOPPED
        code = report_failure(finished.failure, finished.model) if finished.failure else 0
    return code
