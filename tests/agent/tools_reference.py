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
from agent.safety.web_client import WebClient
from agent.safety.workspace import Workspace
from agent.settings import NetworkSettings, Settings
from agent.skills import folder, front_matter, library, skill
from agent.skills.library import Skills
from agent.storage.database import Database
from agent.tools import documents, enclosures, files, reading, searching, send_message, textfile, web_search
from agent.tools.ask_user import LONGEST_CHOICE, LONGEST_QUESTION, MOST_CHOICES, ask_tool
from agent.tools.builtin import built_in_toolbox
from agent.tools.send_message import Recipient, send_tool
from agent.tools.skills import skill_tools
from agent.tools.tool import Outcome, ToolContext
from agent.tools.toolbox import Toolbox
from agent.tools.web import web_tools

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tools.md"


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
    return built_in_toolbox((*web, ask_tool(questions.ask), send_tool(Nobody(), Nobody()), *skill_tools(skills)))


def _tools() -> Iterator[str]:
    for spec in toolbox().specs():
        yield from _one(spec)
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
    ):
        yield f"| {what} | {most} |"
    yield from ("", "## What asks", "", *inspect.cleandoc(policy.decide.__doc__ or "").splitlines(), "")


def _one(spec: ToolSpec) -> Iterator[str]:
    yield from (f"## `{spec.name}`", "", spec.description, "")
    required = spec.parameters.get("required", [])
    for name, schema in spec.parameters.get("properties", {}).items():
        kind = schema.get("type", "any")
        words = f"{kind if isinstance(kind, str) else ' or '.join(kind)}{'' if name in required else ', optional'}"
        yield f"- `{name}` ({words}): {schema.get('description', '')}"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
