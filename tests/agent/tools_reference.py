"""Writes docs/tools.md from the code: `python -m tests.agent.tools_reference`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from agent.providers.types import ToolSpec
from agent.safety import policy, web_client
from agent.safety.sandbox import Fence
from agent.safety.web_client import WebClient
from agent.settings import NetworkSettings, Settings
from agent.tools import documents, files, full_output, reading, searching, sessions, shell, textfile, web_search
from agent.tools.builtin import built_in_toolbox
from agent.tools.toolbox import Toolbox
from agent.tools.web import web_tools

_GIB, _PROCESSES = Fence(()).memory >> 30, Fence(()).processes
PAGE = Path(__file__).resolve().parents[2] / "docs" / "tools.md"


def page() -> str:
    """Every tool with its parameters, then the limits."""
    return "\n".join(["# Tools", "", "What a model can call. This page is generated from the code.", "", *_tools()])


def toolbox() -> Toolbox:
    """With the tools that the service adds."""

    async def key(name: str) -> str | None:
        return None

    return built_in_toolbox(web_tools(Settings, key, WebClient(NetworkSettings)))


def _tools() -> Iterator[str]:
    for tool in toolbox().tools():
        yield from _one(tool.spec, deferred=tool.deferred)
    yield from ("## Limits", "", "| What | At most |", "| --- | --- |")
    for what, most in (
        ("A text file read or edited as a whole", f"{textfile.LARGEST:,} bytes (larger ones are read in parts)"),
        ("A line that `read_file` shows", f"{reading.LONGEST_LINE:,} characters"),
        ("A picture", f"{reading.LARGEST_PICTURE:,} bytes"),
        (
            "A document",
            f"{documents.LARGEST:,} bytes, {documents.SECONDS:.0f} seconds, {documents.MEMORY:,} bytes used",
        ),
        ("Text taken out of a document", f"{documents.LARGEST_TEXT:,} characters"),
        ("A command", f"{shell.LONGEST_SECONDS:.0f} seconds, {_GIB} GiB of data a process, {_PROCESSES} processes"),
        ("Hosts that a command names", f"{shell.MOST_HOSTS}"),
        (
            "A command in the background",
            f"{sessions.MOST_HERE} a conversation, {sessions.MOST} in all, {sessions.LIFE_SECONDS:.0f} seconds",
        ),
        ("Text written to one at once", f"{shell.MOST_WRITTEN:,} characters"),
        (
            "Long outputs that are kept in `.trayclaw/output`",
            f"{full_output.MOST_CHARS:,} characters, {full_output.MOST_FILES} files, {full_output.MOST_BYTES:,} bytes,"
            f" {full_output.DAYS} days",
        ),
        ("Entries of `list_dir`", f"{files.MOST_ENTRIES}"),
        ("Files of `find_files`", f"{searching.MOST_FOUND}"),
        ("Matches of `search_text`", f"{searching.MOST_MATCHES}"),
        ("A file that is searched", f"{searching.LARGEST_SEARCHED:,} bytes"),
        (
            "A web page",
            f"{web_client.MOST_BYTES:,} bytes, {web_client.SECONDS:.0f} seconds, {web_client.MOST_HOPS} hops",
        ),
        ("A question to a search engine", f"{web_search.SECONDS:.0f} seconds"),
        ("A search", f"{searching.SECONDS:.0f} seconds"),
    ):
        yield f"| {what} | {most} |"
    yield from ("", "## What asks", "", *inspect.cleandoc(policy.decide.__doc__ or "").splitlines(), "")


def _one(spec: ToolSpec, *, deferred: bool) -> Iterator[str]:
    yield from (f"## `{spec.name}`", "", spec.description, "")
    if deferred:
        yield from ("Not in the prompt: it is offered where it is of use.", "")
    required = spec.parameters.get("required", [])
    for name, schema in spec.parameters.get("properties", {}).items():
        kind = schema.get("type", "any")
        words = f"{kind if isinstance(kind, str) else ' or '.join(kind)}{'' if name in required else ', optional'}"
        yield f"- `{name}` ({words}): {schema.get('description', '')}"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
