"""Run inside a private D-Bus session: uses a SecretStore the way the app does and prints what happened, as JSON."""

import asyncio
import json
import sys
from pathlib import Path

from agent.errors import TrayClawError
from agent.keys import SecretStore


async def main(actions: list[str]) -> None:
    store = SecretStore(Path(sys.argv[1]))
    for action in actions:
        verb, _, rest = action.partition("=")
        try:
            if verb == "set":
                user, _, secret = rest.partition(",")
                result = await store.set(user, secret)
            elif verb == "get":
                result = await store.get(rest)
            elif verb == "delete":
                result = await store.delete(rest)
            else:
                result = await store.backend_name()
            print(json.dumps({"action": verb, "result": result}))
        except TrayClawError as error:
            print(json.dumps({"action": verb, "error": error.kind, "message": str(error), "hint": error.hint}))


asyncio.run(main(sys.argv[2:]))
