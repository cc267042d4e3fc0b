"""Answers one message a line through nanobot; runs in nanobot's environment. `drive_nanobot CONFIG`."""

import asyncio
import sys

from nanobot import Nanobot  # type: ignore[import-not-found]


async def main() -> None:
    bot = Nanobot.from_config(sys.argv[1])
    print("ready", flush=True)
    for number in range(1_000_000):
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            return
        session = f"case-{number}"
        try:
            run = await bot.run_streamed(line.strip(), session_key=session, chat_id=session)
            async for _ in run.stream_events():
                pass
            await run.wait()
        except Exception as error:
            print(f"failed: {type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr, flush=True)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
