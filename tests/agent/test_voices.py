"""A voice message is heard: its words reach the model, it costs what it costs, and what cannot be heard is said."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web

from agent.channels.channel import Attachment, Inbound
from agent.events import TurnFinished
from agent.service import AgentService
from agent.storage import usage
from tests.agent.conftest import Heard
from tests.peers.model_server import ModelServer
from tests.peers.replies import Reply


@dataclass
class Ear:
    """An audio endpoint as OpenAI's API reference describes it."""

    port: int = 0
    status: int = 200
    answer: dict[str, object] = field(default_factory=lambda: {"text": " Buy milk tomorrow. "})
    heard: list[tuple[str, str, bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer sk-ear"
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField) and form["response_format"] == "json"
        self.heard.append((str(form["model"]), file.filename, file.file.read()))
        if self.status != 200:
            return web.json_response({"error": {"message": "Unsupported format."}}, status=self.status)
        return web.json_response(self.answer)


@pytest.fixture
async def ear(service: AgentService, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ear]:
    found = Ear()
    app = web.Application()
    app.router.add_post("/v1/audio/transcriptions", found.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("TRAYCLAW_KEY_EAR", "sk-ear")
    await service.change_settings(
        {
            "providers.ear.base_url": f"http://127.0.0.1:{runner.addresses[0][1]}/v1",
            "audio.transcribe": "ear/whisper-1",
        }
    )
    yield found
    await runner.cleanup()


def spoken(folder: Path, name: str = "voice message.ogg") -> Inbound:
    path = folder / name
    path.write_bytes(b"OggS" + b"\0" * 4000)
    file = Attachment(name, "audio/ogg", path, 4004)
    return Inbound("telegram", "1", "7", "7", "Ada", "", files=(file,))


async def test_what_was_spoken_reaches_the_model_as_words(
    service: AgentService, ear: Ear, model: ModelServer, heard: Heard, tmp_path: Path
) -> None:
    model.script = Reply("Noted.")
    await service._take_in(spoken(tmp_path), "owner")
    await heard.wait(TurnFinished)
    assert ear.heard == [("whisper-1", "voice message.ogg", b"OggS" + b"\0" * 4000)]
    assert re.match(
        r"Buy milk tomorrow\.\n\n\[file: .*voice message\.ogg \(audio/ogg, 4 kB\)\]", model.chats[0].last_text
    )
    lines = await service._database.read(lambda db: usage.lines(db, 0, by_conversation=False))
    assert {line.purpose for line in lines} == {"chat", "transcription"}


async def test_what_the_provider_says_it_used_is_on_the_record(
    service: AgentService, ear: Ear, model: ModelServer, heard: Heard, tmp_path: Path
) -> None:
    model.script = Reply("Noted.")
    ear.answer = {"text": "Hello.", "usage": {"input_tokens": 14, "output_tokens": 3}}
    await service._take_in(spoken(tmp_path), "owner")
    await heard.wait(TurnFinished)
    lines = await service._database.read(lambda db: usage.lines(db, 0, by_conversation=False))
    [line] = [line for line in lines if line.purpose == "transcription"]
    assert (line.usage.input_tokens, line.usage.output_tokens) == (14, 3)


async def test_what_cannot_be_heard_is_said_and_nothing_is_lost(
    service: AgentService, ear: Ear, model: ModelServer, heard: Heard, tmp_path: Path
) -> None:
    model.script = Reply("I could not hear it.")
    ear.status = 400
    await service._take_in(spoken(tmp_path), "owner")
    await heard.wait(TurnFinished)
    assert "[a voice message that could not be heard: " in model.chats[0].last_text
    assert "sk-ear" not in model.chats[0].last_text


async def test_other_recordings_and_those_of_no_model_are_only_stored(
    service: AgentService, ear: Ear, model: ModelServer, heard: Heard, tmp_path: Path
) -> None:
    model.script = Reply("A song.")
    await service._take_in(spoken(tmp_path, "podcast.mp3"), "owner")
    await heard.wait(TurnFinished)
    await service.change_settings({"audio.transcribe": None})
    again = spoken(tmp_path)
    await service._take_in(Inbound("telegram", "2", "7", "7", "Ada", "", files=again.files), "owner")
    await heard.wait(TurnFinished, 2)
    assert ear.heard == []


async def test_what_is_delivered_once_more_or_edited_is_not_heard_again(
    service: AgentService, ear: Ear, model: ModelServer, heard: Heard, tmp_path: Path
) -> None:
    model.script = Reply("Noted.")
    message = spoken(tmp_path)
    await service._take_in(message, "owner")
    await heard.wait(TurnFinished)
    assert await service._take_in(message, "owner") is None
    await service._take_in(replace(message, transport_id="1:99", edits="1", text="with a caption"), "owner")
    await heard.wait(TurnFinished, 2)
    assert len(ear.heard) == 1
    assert model.chats[-1].last_text.startswith("with a caption")
    assert model.chats[-1].last_text.count("[file: ") == 1
