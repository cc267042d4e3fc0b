"""A process that takes messages and then runs until it is killed: `python -m tests.agent.doomed TEXT ...`."""

from __future__ import annotations

import asyncio
import sys

from agent.events import ApprovalAsked, Event
from agent.paths import Paths
from agent.service import AgentService


async def main() -> None:
    service = await AgentService.start(Paths.locate(), resident=True)

    def allow(event: Event) -> None:
        if isinstance(event, ApprovalAsked):
            approvals.append(asyncio.create_task(service.resolve_approval(event.approval.id, "allow", "test")))

    approvals: list[asyncio.Task[bool]] = []
    service.events.subscribe(allow)
    conversation = await service.local_conversation("test")
    for text in sys.argv[1:]:
        await service.send(conversation, text)
    print("committed", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
