"""Asks for the passphrase of the encrypted file with the keys, where there is one and a person to ask."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.service import AgentService

TRIES = 3


async def unlock(service: AgentService, model: str = "") -> None:
    """Make the keys readable. Enter alone goes on without; so does a `model` that needs no key, without asking.

    Raises `SecretError` after the last wrong passphrase.
    """
    from agent.errors import SecretError
    from agent.settings import STARTER

    if not service.secrets.needs_passphrase() or model == STARTER or not sys.stdin.isatty():
        return
    from getpass import getpass

    for left in reversed(range(TRIES)):
        passphrase = getpass("Passphrase of the file with the keys (not shown): ")
        if not passphrase:
            return
        try:
            await service.secrets.use_file(passphrase)
        except SecretError as error:
            if not left:
                raise
            print(error, file=sys.stderr)
        else:
            return
