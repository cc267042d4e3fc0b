"""`trayclaw models`: what can be chosen as a model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.providers.types import ModelInfo
    from agent.service import AgentService

SECONDS = 15.0
"""A provider that has not answered by then is skipped."""


def register(app: typer.Typer) -> None:
    """Add `models`."""

    @app.command()
    def models(
        provider: Annotated[str, typer.Option(metavar="NAME", help="Only this provider.")] = "",
        download: Annotated[
            str, typer.Option(metavar="NAME", help="Download a model for the built-in runtime; “list” shows them.")
        ] = "",
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    ) -> int:
        """List the models that can be used now."""
        from agent.cli.session import with_service

        if download == "list":
            return with_service(_downloads)
        if download:
            return with_service(lambda service: _download(service, download))
        return with_service(lambda service: _list(service, provider, as_json=as_json))


async def _list(service: AgentService, provider: str, *, as_json: bool) -> int:
    import asyncio

    from agent.cli.unlock import unlock
    from agent.errors import TrayClawError

    await unlock(service)
    if provider:
        _print(provider, await service.list_models(provider), as_json=as_json)
        return 0
    usable = [one for one in await service.providers() if (one.has_key or not one.needs_key) and not one.local]
    asked = {one.name: one for one in (*usable, *await service.find_local_models())}
    configured = service.settings.providers
    asked |= {one.name: one for one in await service.providers() if one.name in configured or one.name == "starter"}
    answers = await asyncio.gather(
        *(asyncio.wait_for(service.list_models(name), SECONDS) for name in asked), return_exceptions=True
    )
    failed = 0
    for name, answer in zip(asked, answers, strict=True):
        if isinstance(answer, TrayClawError | TimeoutError):
            failed += 1
            print(f"{name}: {str(answer) or f'no answer within {SECONDS:.0f} s'}", file=sys.stderr)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            _print(name, answer, as_json=as_json)
    if not any(one.has_key for one in asked.values()) and not as_json:
        print("More with a key: trayclaw keys set openai", file=sys.stderr)
    return 4 if failed and failed == len(asked) else 0


async def _downloads(service: AgentService) -> None:
    from agent.cli.texts import table

    rows = [
        (
            one.name,
            f"{one.size / 1e9:.1f} GB",
            f"{one.memory / 1e9:.0f} GB",
            one.license,
            "downloaded" if one.ready else f"{one.have / max(one.size, 1):.0%}" if one.have else "",
            one.note,
        )
        for one in await service.model_files.list()
    ]
    print(table(rows, ("NAME", "SIZE", "MEMORY", "LICENCE", "", "")))


async def _download(service: AgentService, name: str) -> int:
    from agent.events import DownloadChanged, Event

    shown = sys.stderr.isatty()
    last: list[DownloadChanged] = []

    def heard(event: Event) -> None:
        if isinstance(event, DownloadChanged):
            last.append(event)
            if shown and event.state == "running":
                print(f"\r{name}: {event.have / 1e6:,.0f} of {event.size / 1e6:,.0f} MB", end="", file=sys.stderr)

    unsubscribe = service.events.subscribe(heard)
    try:
        await service.model_files.wait(name)
    finally:
        unsubscribe()
        if shown:
            print(file=sys.stderr)
        if last and last[-1].state == "failed":
            print(last[-1].detail, file=sys.stderr)
    print(f"{name} is downloaded: trayclaw config set starter.model_path {service.model_files.path(name)}")
    return 0


def _print(provider: str, models: list[ModelInfo], *, as_json: bool) -> None:
    from agent.cli.safe import visible
    from agent.cli.wire import line

    for model in models:
        if as_json:
            document = {"provider": provider, "id": model.id, "name": model.name}
            print(line({"model": f"{provider}/{model.id}", **document, "context_length": model.context_length}))
        else:
            size = f"  ({model.context_length // 1000}k tokens)" if model.context_length else ""
            print(visible(f"{provider}/{model.id}{size}", one_line=True))
