"""`trayclaw keys`: keys of providers and tokens of channels. A key is never an argument: those end up in histories."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.app import noun
from agent.cli.unlock import unlock

if TYPE_CHECKING:
    from agent.cli.session import Work
    from agent.service import AgentService

SHORTEST_PASSPHRASE = 8
Name = Annotated[str, typer.Argument(help="A provider or a channel, for example openai or telegram.")]


def group() -> typer.Typer:
    """The commands."""
    app = noun("Store and remove keys of providers and tokens of channels.")

    @app.command("set")
    def set_(name: Name) -> int:
        """Store a key, typed without echo or piped in."""
        return _run(lambda service: _set(service, name))

    @app.command("list")
    def list_() -> int:
        """Print the names that have a key, and where keys are kept."""
        return _run(_list)

    @app.command()
    def delete(name: Name) -> int:
        """Remove a key."""

        async def work(service: AgentService) -> None:
            await unlock(service)
            if name not in await service.stored_keys():
                from agent.errors import UsageError

                raise UsageError(f"There is no key for {name}.", hint="`trayclaw keys list` shows what there is.")
            await service.delete_key(name)
            if name in await service.stored_keys():
                print(f"The stored key of {name} is removed; the environment variable still gives one.")
            else:
                print(f"The key of {name} is removed.")

        return _run(work)

    return app


def _run(work: Work) -> int:
    from agent.cli.session import with_service

    return with_service(work)


async def _list(service: AgentService) -> None:
    import os

    from agent.cli.texts import table
    from agent.errors import SecretError
    from agent.keys import variable

    await unlock(service)
    names = await service.stored_keys()
    rows = [(name, "environment" if os.environ.get(variable(f"provider:{name}")) else "stored") for name in names]
    print(table(rows) if rows else "There is no key yet. Add one with: trayclaw keys set openai")
    try:
        print(f"Keys are kept in {await service.secrets.backend_name()}.", file=sys.stderr)
    except SecretError as error:
        print(f"{error} {error.hint}", file=sys.stderr)


async def _set(service: AgentService, name: str) -> None:
    from agent.channels.connectors import OTHER_SECRETS
    from agent.errors import NoKeyringError, UsageError
    from agent.service import SEARCH_KEYS

    known = {provider.name for provider in await service.providers()} | {one.name for one in service.channels()}
    known |= {*SEARCH_KEYS, *OTHER_SECRETS}
    if name not in known:
        raise UsageError(
            f"There is no provider, channel or search engine called {name}.",
            hint=f"There is: {', '.join(sorted(known))}. For another one, first set providers.{name}.base_url.",
        )
    await unlock(service)
    key = _read_key(name)
    try:
        await service.set_key(name, key)
    except NoKeyringError as error:
        if not sys.stdin.isatty():
            raise
        await _agree_to_file(service, error)
        await service.set_key(name, key)
    print(f"The key of {name} is kept in {await service.secrets.backend_name()}.")


def _read_key(name: str) -> str:
    from agent.errors import UsageError

    if sys.stdin.isatty():
        from getpass import getpass

        key = getpass(f"Key of {name} (not shown): ")
    else:
        key = sys.stdin.readline()
    key = key.strip()
    if not key:
        raise UsageError("No key was given.", title="The key is empty", hint="Paste it at the prompt, or pipe it in.")
    return key


async def _agree_to_file(service: AgentService, reason: Exception) -> None:
    from getpass import getpass

    print(f"{reason}\nThe key can be kept in a file that a passphrase of yours encrypts: {service.paths.secrets_file}")
    print("TrayClaw asks for the passphrase after each start. Lost, it cannot be recovered.")
    if not typer.confirm("Use such a file?", default=False):
        raise reason
    while True:
        passphrase = getpass("New passphrase, at least 8 characters (not shown): ")
        if len(passphrase) < SHORTEST_PASSPHRASE:
            print("That is too short.")
        elif passphrase != getpass("Once more: "):
            print("The two are not the same.")
        else:
            break
    await service.secrets.use_file(passphrase)
