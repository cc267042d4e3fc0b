"""Downloads models for the built-in runtime: resumable, checked, one at a time for each model.

They lie beside the database, not in the cache: two gigabytes are not fetched again because a cache was cleaned.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agent.errors import DownloadError, UsageError
from agent.events import DownloadChanged, Event
from agent.providers.http import certificates, load_httpx
from agent.providers.starter_catalog import MODELS, ModelSpec
from agent.views import ModelFile

if TYPE_CHECKING:
    import httpx

    from agent.settings import Settings

log = logging.getLogger(__name__)

HOST: Final = "https://huggingface.co"
MOST_TRIES: Final = 5
_TELL_SECONDS = 0.25
_PIECE = 1 << 20
_SPARE_BYTES = 200_000_000
_MOST_REDIRECTS = 5

Apply = Callable[[Mapping[str, Any]], Awaitable[object]]


class ModelFiles:
    """What can be downloaded and what is there. `host` is another one in tests."""

    def __init__(
        self,
        folder: Path,
        settings: Callable[[], Settings],
        apply: Apply,
        publish: Callable[[Event], None],
        *,
        host: str = HOST,
        models: Mapping[str, ModelSpec] = MODELS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._apply = apply
        self._publish = publish
        self._host = host
        self._models = models
        self._sleep = sleep
        self._running: dict[str, asyncio.Task[None]] = {}

    async def list(self) -> list[ModelFile]:
        """All that can be had, the smallest first."""
        return await asyncio.to_thread(lambda: [self._view(spec) for spec in self._models.values()])

    def start(self, name: str) -> None:
        """Download in the background, from where it stopped last time; told by `DownloadChanged`.

        Raises `UsageError` for a model that is not in the list.
        """
        spec = self._spec(name)
        if name not in self._running:
            task = asyncio.create_task(self._told(spec))
            self._running[name] = task
            task.add_done_callback(lambda _: self._running.pop(name, None))

    async def wait(self, name: str) -> None:
        """Until the download of that model has ended, however it does. Raises `DownloadError`, `UsageError`."""
        self.start(name)
        await asyncio.shield(self._running[name])
        if not self.path(name).is_file():
            raise DownloadError("The download did not finish.", hint="Start it again: it goes on where it stopped.")

    async def cancel(self, name: str) -> None:
        """Stop within a second; what has come is kept for the next time."""
        task = self._running.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def remove(self, name: str) -> None:
        """Take it off the disk; the built-in model stands in where it was in use."""
        await self.cancel(name)
        path = self.path(name)
        if self._settings().starter.model_path == str(path):
            await self._apply({"starter.model_path": None})

        def unlink() -> None:
            for file in (path, _part(path)):
                file.unlink(missing_ok=True)

        await asyncio.to_thread(unlink)

    async def use(self, name: str) -> None:
        """Answer with it from now on. Raises `UsageError` while it is not there."""
        path = self.path(name)
        if not path.is_file():
            raise UsageError(f"{name} is not downloaded.", hint=f"`trayclaw models --download {name}` fetches it.")
        await self._apply({"starter.model_path": str(path), "model.default": "starter"})

    async def aclose(self) -> None:
        """Stop all downloads."""
        for name in list(self._running):
            await self.cancel(name)

    def path(self, name: str) -> Path:
        """Where the finished file lies. Raises `UsageError`."""
        return self._folder / self._spec(name).file

    def _spec(self, name: str) -> ModelSpec:
        if name not in self._models:
            raise UsageError(f"There is no model {name} to download.", hint=f"There is: {', '.join(self._models)}.")
        return self._models[name]

    def _view(self, spec: ModelSpec) -> ModelFile:
        path = self._folder / spec.file
        ready = path.is_file()
        have = path.stat().st_size if ready else _size(_part(path))
        return ModelFile(
            spec.name,
            spec.label,
            spec.size,
            spec.license,
            spec.license_url,
            spec.memory,
            have,
            ready,
            spec.tools,
            spec.note,
        )

    # --- downloading ------------------------------------------------------------------------------------------------
    async def _told(self, spec: ModelSpec) -> None:
        path = self._folder / spec.file
        try:
            if not path.is_file():
                await self._download(spec, path)
            size = path.stat().st_size
            self._publish(DownloadChanged(spec.name, "ready", size, size))
        except asyncio.CancelledError:
            self._publish(DownloadChanged(spec.name, "stopped", _size(_part(path)), spec.size))
            raise
        except DownloadError as error:
            words = f"{error} {error.hint}".strip()
            self._publish(DownloadChanged(spec.name, "failed", _size(_part(path)), spec.size, words))

    async def _download(self, spec: ModelSpec, path: Path) -> None:
        """Raises `DownloadError` when it cannot be had."""
        part = _part(path)
        try:
            await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            if shutil.disk_usage(path.parent).free < spec.size - _size(part) + _SPARE_BYTES:
                raise DownloadError(
                    f"{spec.label} needs {spec.size / 1e9:.1f} GB in {path.parent}.",
                    title="There is not enough space",
                    hint="Free some space and start the download again.",
                )
            client = await asyncio.to_thread(self._client)
            async with client:
                await self._fetch(client, spec, part)
            self._publish(DownloadChanged(spec.name, "checking", _size(part), _size(part)))
            if await asyncio.to_thread(_sha256, part) != spec.sha256:
                part.unlink(missing_ok=True)
                raise DownloadError(
                    f"What came for {spec.label} is not the file that was published: it was deleted.",
                    title="The checksum is wrong",
                    hint="Try again later; if it happens again, a proxy may change downloads on the way.",
                )
            part.replace(path)
        except OSError as error:
            raise DownloadError(
                f"{path} could not be written: {error.strerror}.",
                title="The model could not be saved",
                hint="Free some space, or make the folder writable, and start the download again.",
            ) from error

    async def _fetch(self, client: httpx.AsyncClient, spec: ModelSpec, part: Path) -> None:
        """All of the file, over as many connections as it takes. Raises `DownloadError`, `OSError`."""
        import httpx

        tried = 0
        while True:
            before = _size(part)
            try:
                await self._fetch_on(client, spec, part)
                return
            except httpx.HTTPError as error:
                # Only tries in a row that bring nothing count.
                tried = 1 if _size(part) > before else tried + 1
                if tried >= MOST_TRIES:
                    raise DownloadError(
                        f"The connection to {httpx.URL(self._host).host} broke.",
                        hint="Check the internet connection and start the download again: it goes on where it stopped.",
                    ) from error
                log.info("the download of %s broke: %s", spec.name, error)
            await self._sleep(min(2.0**tried, 30.0))

    async def _fetch_on(self, client: httpx.AsyncClient, spec: ModelSpec, part: Path) -> None:
        """From where it stopped; anew where the file is another one by now. Raises `httpx.HTTPError`."""
        have = _size(part)
        tag = _tag(part)
        headers = {"range": f"bytes={have}-", "if-range": tag} if have and tag else {}
        url = self._host + spec.url
        for _ in range(_MOST_REDIRECTS):
            async with client.stream("GET", url, headers=headers) as response:
                if response.has_redirect_location:
                    url = self._next(response)
                    continue
                if response.status_code == 416:  # nothing is missing, or it is not the same file: the checksum tells
                    return
                if response.status_code not in (200, 206):
                    raise _refused(spec, response.status_code)
                await self._save(response, spec, part, have if response.status_code == 206 else 0)
                return
        raise DownloadError("The address leads in circles.", hint="Try again later.")

    def _next(self, response: httpx.Response) -> str:
        """Where a redirect leads: to another host of the same kind, encrypted as this one is."""
        following = response.next_request
        if following is None or (following.url.scheme != "https" and self._host.startswith("https:")):
            raise DownloadError("The download was led to an address that is not encrypted.", hint="Try again later.")
        return str(following.url)

    async def _save(self, response: httpx.Response, spec: ModelSpec, part: Path, have: int) -> None:
        size = have + int(response.headers.get("content-length") or spec.size)
        tag = response.headers.get("etag", "")
        await asyncio.to_thread(part.with_suffix(".tag").write_text, tag)
        told = 0.0
        with part.open("r+b" if have else "wb") as file:
            file.seek(have)
            file.truncate()
            async for piece in response.aiter_raw(_PIECE):
                await asyncio.to_thread(file.write, piece)
                have += len(piece)
                if have > size + _PIECE:
                    raise DownloadError("More came than was announced.", hint="Try again later.")
                if time.monotonic() - told >= _TELL_SECONDS:
                    told = time.monotonic()
                    self._publish(DownloadChanged(spec.name, "running", have, size))

    def _client(self) -> httpx.AsyncClient:
        """Blocks: call it in a thread."""
        load_httpx()
        import httpx

        network = self._settings().network
        return httpx.AsyncClient(
            verify=certificates(network.ca_file) if self._host.startswith("https:") else False,
            proxy=network.proxy or None,
            timeout=httpx.Timeout(30.0),
            follow_redirects=False,
            headers={"user-agent": "TrayClaw", "accept-encoding": "identity"},
        )


def _refused(spec: ModelSpec, status: int) -> DownloadError:
    hint = "Try again later." if status >= 500 or status == 429 else "Choose another model."
    return DownloadError(f"{spec.label} cannot be had: the server says {status}.", hint=hint)


def _part(path: Path) -> Path:
    return path.with_suffix(".part")


def _tag(part: Path) -> str:
    """The version of the file that was begun, as the server named it."""
    try:
        return part.with_suffix(".tag").read_text()
    except OSError:
        return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
