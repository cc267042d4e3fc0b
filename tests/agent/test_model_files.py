"""Models that are downloaded: resumed, checked, stopped, used, over a real server that behaves badly."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agent.errors import UsageError
from agent.events import DownloadChanged, Event
from agent.providers.model_files import MOST_TRIES, ModelFiles
from agent.providers.starter_catalog import MODELS, ModelSpec, calls_tools
from agent.settings import Settings, StarterSettings

BODY = bytes(range(256)) * 40_000  # ten megabytes
SPEC = ModelSpec(
    "tiny", "Tiny", "org/tiny", "tiny.gguf", hashlib.sha256(BODY).hexdigest(), len(BODY), 1, "MIT", "", "no", ""
)


@dataclass
class Server:
    """Serves `body` with ranges; breaks after `breaks_after` bytes as often as it says."""

    body: bytes = BODY
    tag: str = '"one"'
    breaks: int = 0
    stuck: bool = False
    status: int = 200
    asked: list[str] = field(default_factory=list)
    hold: asyncio.Event | None = None
    redirect: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.redirect and not request.path.startswith("/cdn"):
            raise web.HTTPFound(self.redirect)
        self.asked.append(request.headers.get("Range", "whole"))
        if self.status != 200:
            return web.Response(status=self.status)
        start = 0
        if "Range" in request.headers and request.headers.get("If-Range") == self.tag:
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.body):
                return web.Response(status=416)
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": self.tag})
        response.content_length = len(self.body) - start
        await response.prepare(request)
        middle = start if self.stuck else start + (len(self.body) - start) // 2
        await response.write(self.body[start:middle])
        if self.hold is not None:
            await self.hold.wait()
        if self.breaks:
            self.breaks -= 1
            assert request.transport is not None
            request.transport.abort()
            return response
        with contextlib.suppress(ConnectionResetError):  # the client was stopped
            await response.write(self.body[middle:])
        return response


@dataclass
class World:
    files: ModelFiles
    server: Server
    folder: Path
    events: list[Event]
    applied: dict[str, Any]
    settings: Settings = field(default_factory=Settings)

    @property
    def end(self) -> DownloadChanged:
        last = self.events[-1]
        assert isinstance(last, DownloadChanged)
        return last

    async def run(self) -> DownloadChanged:
        self.files.start("tiny")
        await asyncio.wait([self.files._running["tiny"]])
        return self.end


@asynccontextmanager
async def world(tmp_path: Path, server: Server) -> AsyncIterator[World]:
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    if server.redirect:
        server.redirect = server.redirect.replace("HOST", host)
    events: list[Event] = []
    applied: dict[str, Any] = {}

    async def apply(values: Mapping[str, Any]) -> None:
        applied.update(values)

    async def at_once(_: float) -> None:
        pass

    made = Settings()
    found = World(None, server, tmp_path / "models", events, applied, made)  # type: ignore[arg-type]
    models = {"tiny": SPEC}
    found.files = ModelFiles(
        tmp_path / "models", lambda: found.settings, apply, events.append, host=host, models=models, sleep=at_once
    )
    try:
        yield found
    finally:
        await found.files.aclose()
        await runner.cleanup()


async def test_a_model_is_downloaded_checked_and_used(tmp_path: Path) -> None:
    async with world(tmp_path, Server()) as here:
        [before] = await here.files.list()
        assert (before.ready, before.have) == (False, 0)
        with pytest.raises(UsageError, match="not downloaded"):
            await here.files.use("tiny")
        end = await here.run()
        assert (end.state, end.have, end.size) == ("ready", len(BODY), len(BODY))
        assert {event.state for event in here.events if isinstance(event, DownloadChanged)} >= {"running", "checking"}
        assert (here.folder / "tiny.gguf").read_bytes() == BODY
        await here.files.use("tiny")
        assert here.applied == {"starter.model_path": str(here.folder / "tiny.gguf"), "model.default": "starter"}
        [after] = await here.files.list()
        assert after.ready


async def test_it_goes_on_where_the_connection_broke(tmp_path: Path) -> None:
    async with world(tmp_path, Server(breaks=3)) as here:
        assert (await here.run()).state == "ready"
        assert here.server.asked[0] == "whole"
        assert len(here.server.asked) == 4
        assert all(asked.startswith("bytes=") for asked in here.server.asked[1:])


async def test_stop_keeps_what_came_and_the_next_time_goes_on(tmp_path: Path) -> None:
    server = Server(hold=asyncio.Event())
    async with world(tmp_path, server) as here:
        here.files.start("tiny")
        here.files.start("tiny")  # the same download
        while not any(isinstance(event, DownloadChanged) for event in here.events):
            await asyncio.sleep(0.01)
        await asyncio.wait_for(here.files.cancel("tiny"), 1)
        assert here.end.state == "stopped"
        [view] = await here.files.list()
        assert 0 < view.have < len(BODY)
        assert server.hold is not None
        server.hold.set()
        assert (await here.run()).state == "ready"
        assert server.asked == ["whole", f"bytes={view.have}-"]


async def test_a_file_that_changed_meanwhile_is_begun_anew(tmp_path: Path) -> None:
    server = Server(breaks=1)
    async with world(tmp_path, server) as here:
        (here.folder).mkdir()
        (here.folder / "tiny.part").write_bytes(b"old" * 1000)
        (here.folder / "tiny.tag").write_text('"zero"')
        assert (await here.run()).state == "ready"


async def test_a_wrong_checksum_deletes_it_and_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, Server(body=BODY[:-1] + b"!")) as here:
        end = await here.run()
        assert end.state == "failed"
        assert "deleted" in end.detail
        assert list(here.folder.glob("*.gguf")) == list(here.folder.glob("*.part")) == []


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_a_refusal_is_said_with_the_next_step(tmp_path: Path, status: int) -> None:
    async with world(tmp_path, Server(status=status)) as here:
        end = await here.run()
        assert (end.state, str(status) in end.detail) == ("failed", True)


async def test_a_connection_that_never_holds_is_given_up(tmp_path: Path) -> None:
    async with world(tmp_path, Server(breaks=1000, stuck=True)) as here:
        end = await here.run()
        assert (end.state, len(here.server.asked)) == ("failed", MOST_TRIES)
        assert "goes on where it stopped" in end.detail


async def test_redirects_are_followed(tmp_path: Path) -> None:
    async with world(tmp_path, Server(redirect="HOST/cdn/file")) as here:
        assert (await here.run()).state == "ready"


async def test_redirects_in_circles_are_not(tmp_path: Path) -> None:
    async with world(tmp_path, Server(redirect="HOST/again")) as here:
        end = await here.run()
        assert "circles" in end.detail


async def test_removing_the_one_in_use_goes_back_to_the_built_in(tmp_path: Path) -> None:
    async with world(tmp_path, Server()) as here:
        await here.run()
        here.settings = Settings(starter=StarterSettings(model_path=str(here.folder / "tiny.gguf")))
        await here.files.remove("tiny")
        assert here.applied == {"starter.model_path": None}
        assert not (here.folder / "tiny.gguf").exists()


async def test_too_little_space_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    async with world(tmp_path, Server()) as here:
        end = await here.run()
        assert "GB" in end.detail
        assert here.server.asked == []


def test_the_list_is_complete() -> None:
    for spec in MODELS.values():
        assert len(spec.sha256) == 64
        assert int(spec.sha256, 16)
        assert spec.url.endswith(".gguf")
        assert spec.license and spec.license_url.startswith("https://")
        assert calls_tools(spec.file) == (spec.tools != "no")
        assert ("unreliable" in spec.note.lower()) == (spec.tools == "unreliable")
