"""Writes docs/tools.md from the code: `python -m tests.agent.tools_reference`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.core.questions import QuestionDesk
from agent.errors import ToolError
from agent.providers.types import ToolSpec
from agent.safety import policy, web_client
from agent.safety.sandbox import Fence
from agent.safety.web_client import WebClient
from agent.safety.workspace import Workspace
from agent.settings import NetworkSettings, Settings
from agent.skills import folder, front_matter, library, skill
from agent.skills.library import Skills
from agent.storage.database import Database
from agent.tools import (
    documents,
    enclosures,
    files,
    finding,
    full_output,
    mcp_http,
    mcp_listing,
    mcp_program,
    mcp_results,
    mcp_server,
    reading,
    searching,
    send_message,
    sessions,
    shell,
    textfile,
    web_search,
)
from agent.tools.ask_user import LONGEST_CHOICE, LONGEST_QUESTION, MOST_CHOICES, ask_tool
from agent.tools.builtin import built_in_toolbox
from agent.tools.finding import Finder
from agent.tools.send_message import Recipient, send_tool
from agent.tools.skills import skill_tools
from agent.tools.tool import Outcome, ToolContext
from agent.tools.toolbox import Toolbox
from agent.tools.web import web_tools

_GIB, _PROCESSES = Fence(()).memory >> 30, Fence(()).processes
PAGE = Path(__file__).resolve().parents[2] / "docs" / "tools.md"


_OTHERS = """\
MCP servers bring tools of their own: programs, which run behind the fence, or addresses. Add them under Settings >
Tools, by `trayclaw mcp add`, or in config.toml:

```toml
[mcp.calendar]
command = "uvx"
args = ["some-calendar-server"]
env = { TOKEN = "keyring:calendar" }   # stored by `trayclaw keys set calendar`
network = true                         # without it, the program has no network
[mcp.issues]
url = "https://example.com/mcp"
headers = { Authorization = "keyring:issues" }
seconds = 60                           # of one call
enabled = true
```

Models call them `mcp_SERVER_TOOL` and find them by `tool_search`. Each call asks; the first one shows what the server
says about the tool, and a changed description is asked about again with the difference. Accepted tools, up to 12, are
in the prompt. Results are texts of others: quoted, and they taint the turn."""


def page() -> str:
    """Every tool with its parameters, then the limits."""
    return "\n".join(["# Tools", "", "What a model can call. This page is generated from the code.", "", *_tools()])


class Nobody:
    """Knows nobody and carries nothing."""

    def find(self, wanted: str, context: ToolContext) -> Recipient:
        raise ToolError(wanted)

    async def send(self, context: ToolContext, to: Recipient, text: str, files: Sequence[Path]) -> Outcome:
        raise ToolError(text)


def toolbox() -> Toolbox:
    """With the tools that the service adds."""

    async def key(name: str) -> str | None:
        return None

    async def keep(*_: object) -> None: ...

    skills = Skills(Database(Path()), lambda: Workspace(Path()), lambda event: None)
    questions = QuestionDesk(lambda event: None, lambda: 1.0, keep, keep)
    web = web_tools(Settings, key, WebClient(NetworkSettings))
    finder = Finder(tuple, lambda: ("NAME",))
    tools = (*web, ask_tool(questions.ask), send_tool(Nobody(), Nobody()), *skill_tools(skills))
    return built_in_toolbox(tools, finder.tools)


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
        ("A question to the person", f"{LONGEST_QUESTION:,} characters, {MOST_CHOICES} choices of {LONGEST_CHOICE}"),
        ("A message", f"{send_message.LONGEST:,} characters, {enclosures.MOST} files of {enclosures.LARGEST:,} bytes"),
        ("A search", f"{searching.SECONDS:.0f} seconds"),
        ("Skills in one place of the workspace", f"{skill.MOST_SKILLS}"),
        ("A skill's folder", f"{folder.MOST_FILES} files, {folder.MOST_BYTES:,} bytes"),
        (
            "A SKILL.md; its front matter",
            f"{skill.LARGEST_TEXT:,} bytes; {front_matter.LARGEST:,} characters",
        ),
        ("The list of skills in the prompt", f"{library.PROMPT_BYTES} bytes"),
        ("Tools that one `tool_search` finds", f"{finding.MOST_FOUND}"),
        ("Found tools that stay in a conversation's prompt", f"{finding.MOST_REVEALED}"),
        ("Tools of an MCP server", f"{mcp_server.MOST_TOOLS:,}"),
        (
            "What an MCP server says about a tool",
            f"{mcp_listing.LONGEST_DESCRIPTION:,} characters, its parameters {mcp_listing.LARGEST_SCHEMA:,}",
        ),
        ("A message of an MCP server", f"{min(mcp_program.LONGEST_LINE, mcp_http.LARGEST_ANSWER):,} bytes"),
        (
            "Pictures of one MCP result",
            f"{mcp_results.MOST_PICTURES}, {mcp_results.LARGEST_PICTURE:,} bytes each",
        ),
    ):
        yield f"| {what} | {most} |"
    yield from ("", "## Tools of others", "", *_OTHERS.splitlines())
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
