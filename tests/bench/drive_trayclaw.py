"""Drives TrayClaw through AgentService, as the window and the command line do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.events import TurnFinished
from agent.paths import Paths
from agent.service import AgentService
from tests.bench import driving


class TrayClawTalker:
    def __init__(self, service: AgentService) -> None:
        self.service = service

    async def ask(self, conversation: str, text: str) -> str:
        conversation_id = await self.service.local_conversation(conversation)
        answer = ""
        async for event in self.service.converse(conversation_id, text):
            if isinstance(event, TurnFinished):
                answer = event.failure.title if event.failure else event.text
        return answer


@asynccontextmanager
async def open_trayclaw(url: str, home: Path) -> AsyncIterator[TrayClawTalker]:
    del url  # in its config.toml
    service = await AgentService.start(Paths.locate({"TRAYCLAW_HOME": str(home)}))
    yield TrayClawTalker(service)
    await service.stop()


if __name__ == "__main__":
    driving.main(open_trayclaw)
