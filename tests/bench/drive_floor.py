"""The floor: a bare httpx streaming request, SSE parsing by httpx-sse and one SQLite commit a turn."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import httpx_sse

from tests.bench import driving


class Floor:
    def __init__(self, client: httpx.AsyncClient, database: sqlite3.Connection, url: str) -> None:
        self.client = client
        self.database = database
        self.url = url

    async def ask(self, conversation: str, text: str) -> str:
        body = {"model": "fake-1", "messages": [{"role": "user", "content": text}], "stream": True}
        answer = ""
        async with httpx_sse.aconnect_sse(self.client, "POST", f"{self.url}/chat/completions", json=body) as source:
            async for event in source.aiter_sse():
                if event.data == "[DONE]":
                    break
                for choice in json.loads(event.data)["choices"]:
                    answer += choice["delta"].get("content") or ""
        with self.database:
            self.database.execute("INSERT INTO turn VALUES (?, ?, ?)", (conversation, text, answer))
        return answer


@asynccontextmanager
async def open_floor(url: str, home: Path) -> AsyncIterator[Floor]:
    home.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(home / "floor.db")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE IF NOT EXISTS turn (conversation TEXT, question TEXT, answer TEXT)")
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:
        yield Floor(client, database, url)
    database.close()


if __name__ == "__main__":
    driving.main(open_floor)
