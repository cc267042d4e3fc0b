"""A process that takes messages and then runs until it is killed: `python -m tests.agent.doomed TEXT ...`.

With --silent as the first word nobody answers its questions."""

from __future__ import annotations

import asyncio
import sys

from agent.events import ApprovalAsked, Event
from agent.paths import Paths
from agent.service import AgentService


async def main() -> None:
    service = await AgentService.start(Paths.locate(), resident=True)

    def allow(event: Event) -> None:
        if isinstance(event, ApprovalAsked) and silent:
            print(event.approval.id, flush=True)
        elif isinstance(event, ApprovalAsked):
            approvals.append(asyncio.create_task(service.resolve_approval(event.approval.id, "allow", "test")))

    texts = sys.argv[1:]
    silent = texts[:1] == ["--silent"]
    approvals: list[asyncio.Task[bool]] = []
    service.events.subscribe(allow)
    conversation = await service.local_conversation("test")
    for text in texts[silent:]:
        await service.send(conversation, text)
    print("committed", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
