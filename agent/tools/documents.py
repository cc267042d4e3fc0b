"""The text of PDF, Word, Excel and PowerPoint files, taken out by a child process that has little time and memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

KINDS = ("pdf", "docx", "xlsx", "pptx")
SECONDS = 30.0
MEMORY = 1_000_000_000
LARGEST = 50_000_000
"""Bytes of a document."""
LARGEST_TEXT = 2_000_000
"""Characters that are taken out of one."""


async def document_text(data: bytes, kind: str) -> str:
    """The text of a document of one of `KINDS`. Raises `ToolError`."""
    from agent.errors import ToolError
    from agent.tools.environment import child_environment

    if kind not in KINDS:
        raise ToolError(f"{kind!r} is not a kind of document that can be read.")
    if len(data) > LARGEST:
        raise ToolError(f"The document has {len(data):,} bytes; more than {LARGEST:,} are not read.")
    frozen = bool(getattr(sys, "frozen", False))
    argv = ["_extract"] if frozen else ["-m", "agent.tools.documents"]
    flags: dict[str, Any] = {"creationflags": 0x08000000} if os.name == "nt" else {}  # CREATE_NO_WINDOW
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        kind,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(),
        cwd=None if frozen else Path(__file__).parents[2],
        **flags,
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, _ = await process.communicate(data)
    except TimeoutError:
        raise ToolError(f"The document could not be read within {SECONDS:.0f} seconds.") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    text = out.decode("utf-8", "replace")
    if process.returncode == 0:
        return text
    raise ToolError(
        text[:500] if process.returncode == 3 and text else "The document needs too much memory or is damaged."
    )


def main(arguments: list[str]) -> int:
    """The child: the document comes through stdin, its text or a reason goes to stdout."""
    _limit()
    data = sys.stdin.buffer.read(LARGEST + 1)
    code = 0
    try:
        from agent.tools.document_kinds import extract

        text = extract(data, arguments[0], LARGEST_TEXT)
    except MemoryError:
        return 4
    except ValueError as error:
        text, code = str(error), 3
    except Exception as error:  # noqa: BLE001 - whatever a parser says about a damaged file
        text, code = f"The document is damaged or not of this kind ({type(error).__name__}).", 3
    sys.stdout.buffer.write(text[: LARGEST_TEXT + 100].encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
    return code


def _limit() -> None:
    if sys.platform == "win32":  # the parent's time limit is all there is
        return
    import resource

    for name, most in (("RLIMIT_AS", MEMORY), ("RLIMIT_CPU", int(SECONDS)), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
        with contextlib.suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (most, most))


if __name__ == "__main__":
    # os._exit: nothing is left to clean up, and a parser's threads or files must not hold the end up.
    os._exit(main(sys.argv[1:]))
