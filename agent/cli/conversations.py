"""`trayclaw conversations`: list, read, search and export what was said."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.app import noun

if TYPE_CHECKING:
    from agent.service import AgentService
    from agent.views import Conversation, TurnView

Which = Annotated[str, typer.Argument(metavar="ID", help="The number, or the title, of a conversation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
EVERYTHING = 1_000_000


class Format(StrEnum):
    """What an export is written as."""

    MARKDOWN = "md"
    JSON = "json"


def group() -> typer.Typer:
    """The commands."""
    app = noun("Read, search and export conversations.")

    @app.command("list")
    def list_(limit: Limit = 30, as_json: AsJson = False) -> int:
        """Print the conversations, the newest first."""
        return _find("", limit, as_json=as_json)

    @app.command()
    def search(
        text: Annotated[str, typer.Argument(help="Looked for in titles and messages.")],
        limit: Limit = 30,
        as_json: AsJson = False,
    ) -> int:
        """Print the conversations that contain a text."""
        return _find(text, limit, as_json=as_json)

    @app.command()
    def show(which: Which, limit: Annotated[int, typer.Option(min=1, help="The last so many turns.")] = 20) -> int:
        """Print the end of a conversation."""
        from agent.cli.session import with_service

        async def work(service: AgentService) -> None:
            from agent.cli.safe import visible
            from agent.cli.transcript import markdown

            conversation = await _resolve(service, which)
            print(visible(markdown(conversation, await service.timeline(conversation.id, limit=limit))))

        return with_service(work)

    @app.command()
    def export(
        which: Which,
        form: Annotated[
            Format, typer.Option("--format", metavar="md|json", help="Markdown or JSON.")
        ] = Format.MARKDOWN,
        output: Annotated[Path | None, typer.Option("--output", "-o", help="A new file instead of stdout.")] = None,
    ) -> int:
        """Print a whole conversation, or write it to a file."""
        from agent.cli.session import with_service

        return with_service(lambda service: _export(service, which, form, output))

    return app


def _find(query: str, limit: int, *, as_json: bool) -> int:
    from agent.cli.session import with_service

    async def work(service: AgentService) -> None:
        from agent.cli.texts import ago, shorten, table

        found = await service.conversations(query, limit)
        if as_json:
            from dataclasses import asdict

            for one in found:
                print(json.dumps(asdict(one), ensure_ascii=False))
        elif found:
            rows = [
                (c.id, c.channel, ago(c.updated_at), shorten(c.title, 40) or "untitled", shorten(c.preview, 50))
                for c in found
            ]
            print(table(rows, ("ID", "WHERE", "WHEN", "TITLE", "LAST")))
        else:
            print(f"No conversation contains {query!r}." if query else "There is no conversation yet.")

    return with_service(work)


async def _resolve(service: AgentService, which: str) -> Conversation:
    from agent.errors import UsageError

    if which.isdigit():
        return await service.conversation(int(which))
    found = [one for one in await service.conversations(which) if one.title == which]
    if len(found) != 1:
        many = "Several conversations are" if found else "No conversation is"
        raise UsageError(f"{many} called {which!r}.", hint="Use the number from `trayclaw conversations list`.")
    return found[0]


async def _export(service: AgentService, which: str, form: Format, output: Path | None) -> None:
    from agent.cli.transcript import as_json, markdown
    from agent.errors import UsageError

    conversation = await _resolve(service, which)
    turns: list[TurnView] = await service.timeline(conversation.id, limit=EVERYTHING)
    text = markdown(conversation, turns) if form is Format.MARKDOWN else as_json(conversation, turns)
    if output is None:
        print(text)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError as error:
        raise UsageError(f"{output} exists.", title="The file exists", hint="Choose another name.") from error
    except OSError as error:
        raise UsageError(
            f"{output}: {error.strerror}.", title="The file cannot be written", hint="Choose another place."
        ) from error
    print(f"{len(turns)} turns written to {output}.")
