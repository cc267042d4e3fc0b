"""Drives nanobot through its own Python interface; runs in nanobot's environment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nanobot import Nanobot  # type: ignore[import-not-found]

from tests.bench import driving


class NanobotTalker:
    def __init__(self, bot: Any) -> None:
        self.bot = bot

    async def ask(self, conversation: str, text: str) -> str:
        run = await self.bot.run_streamed(text, session_key=f"bench:{conversation}", chat_id=conversation)
        async for _ in run.stream_events():
            pass
        return str((await run.wait()).content)


@asynccontextmanager
async def open_nanobot(url: str, home: Path) -> AsyncIterator[NanobotTalker]:
    del url  # in its config.json
    yield NanobotTalker(Nanobot.from_config(home / "config.json"))


if __name__ == "__main__":
    driving.main(open_nanobot)
