"""The built-in model, for real: it loads, streams, stops, and gives its memory back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from agent.errors import ProviderError
from agent.providers import ChatRequest, Finished, Notice, TextDelta, assistant, starter, system, user
from agent.providers.starter import Starter

needs_model = pytest.mark.skipif(
    not starter.installed() or starter.bundled_model() is None, reason="the extra `starter` is not installed"
)


def ask(text: str, **options: int) -> ChatRequest:
    return ChatRequest("", [system("You are a helpful assistant."), user(text)], **options)


async def until(condition: object, seconds: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it never happened"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


@needs_model
async def test_it_answers_in_pieces_stops_and_unloads() -> None:
    model = Starter(idle_seconds=0.2, context_tokens=2048)
    events = [event async for event in model.stream(ask("What is the sea?", max_tokens=40))]
    pieces = [event.text for event in events if isinstance(event, TextDelta)]
    end = events[-1]
    assert isinstance(events[0], Notice)
    assert "tiny" in events[0].text
    assert len(pieces) > 5
    assert isinstance(end, Finished)
    assert end.completion.text == "".join(pieces)
    assert end.completion.usage.output_tokens >= len(pieces) - 1
    assert end.completion.model == "SmolLM2-135M-Instruct"
    assert model.loaded

    # Stopped in the middle: at once for who asked, and the machine works no longer.
    began = time.monotonic()
    async with aclosing(model.stream(ask("Tell me a very long story about everything."))) as stream:
        async for event in stream:
            assert not isinstance(event, Notice), "it is loaded already"
            began = time.monotonic()
            break
    assert time.monotonic() - began < 1
    await until(lambda: not model._jobs, 1)

    # Stopped while it still reads the question.
    task = asyncio.create_task(model.complete(ask("word " * 1200)))
    await until(lambda: model._jobs, 1)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 1
    await until(lambda: not model._jobs, 5)

    await until(lambda: not model.loaded, 5)
    await model.aclose()


@needs_model
async def test_questions_at_the_same_time_are_answered_one_after_the_other() -> None:
    model = Starter(context_tokens=1024)
    answers = await asyncio.gather(*(model.complete(ask(f"Say {word}.", max_tokens=8)) for word in ("one", "two")))
    await model.aclose()
    assert all(answer.text for answer in answers)
    assert not model.loaded


@needs_model
async def test_a_conversation_longer_than_its_memory_is_shortened() -> None:
    model = Starter(context_tokens=512)
    history = [message for _ in range(30) for message in (user("Tell me more. " * 20), assistant("Well. " * 20))]
    completion = await model.complete(ChatRequest("", [system("Be brief."), *history, user("Thanks!")], max_tokens=8))
    await model.aclose()
    assert completion.text
    assert completion.usage.input_tokens < 512


@needs_model
def test_the_process_ends_cleanly_in_the_middle_of_an_answer() -> None:
    code = (
        "import asyncio\n"
        "from agent.providers import ChatRequest, user\n"
        "from agent.providers.starter import Starter\n"
        "async def main():\n"
        "    global stream\n"
        "    stream = Starter().stream(ChatRequest('', [user('Tell me a very long story.')], max_tokens=500))\n"
        "    await anext(stream); print((await anext(stream)).text != '')\n"
        "asyncio.run(main())"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert time.monotonic() - began < 10


@needs_model
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no /proc")
def test_it_listens_on_no_port() -> None:
    if not Path("/proc/self/net/tcp").exists():
        pytest.skip("needs /proc")
    code = (
        "import asyncio, os\n"
        "from agent.providers import ChatRequest, user\n"
        "from agent.providers.starter import Starter\n"
        "async def main():\n"
        "    model = Starter()\n"
        "    await model.complete(ChatRequest('', [user('hi')], max_tokens=2))\n"
        "    fds = [f'/proc/self/fd/{fd}' for fd in os.listdir('/proc/self/fd')]\n"
        "    mine = {os.readlink(fd) for fd in fds if os.path.islink(fd)}\n"
        "    rows = [r.split() for f in ('tcp', 'tcp6') for r in open(f'/proc/self/net/{f}').readlines()[1:]]\n"
        "    print([r[1] for r in rows if r[3] == '0A' and f'socket:[{r[9]}]' in mine])\n"
        "    await model.aclose()\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "installed", lambda: False)
    for attempt in (Starter().complete(ask("hi")), Starter().list_models()):
        with pytest.raises(ProviderError) as caught:
            await attempt
        assert (caught.value.kind, caught.value.title) == ("not_found", "The built-in model is not installed")
        assert "uv sync --extra starter" in caught.value.hint
        assert "Ollama" in caught.value.hint


@needs_model
async def test_model_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ProviderError) as caught:
        await Starter(tmp_path / "gone.gguf").complete(ask("hi"))
    assert (caught.value.kind, caught.value.title) == ("not_found", "The model file is missing")
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF garbage" * 100)
    with pytest.raises(ProviderError) as caught:
        await Starter(bad).complete(ask("hi"))
    assert caught.value.title == "The model could not be loaded"
    assert caught.value.hint
