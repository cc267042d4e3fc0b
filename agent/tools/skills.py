"""The tool by which a model gets a skill: its instructions, once a person has accepted them as they are."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

from agent.errors import ToolError
from agent.safety.effects import Effect, visible
from agent.skills.front_matter import split
from agent.skills.library import Loaded, Skills
from agent.skills.skill import text_of
from agent.tools.tool import Outcome, Tool, ToolContext, tool

MOST_NAMED = 60
"""Files of a skill's folder that are named with it."""
_FOLDER = re.compile(r"\{baseDir\}|\{skillDir\}|\$\{CLAUDE_SKILL_DIR\}")
"""How skills made for OpenClaw and others write the place of their own folder."""


def skill_tools(skills: Skills) -> tuple[Tool, ...]:
    """The tool."""

    def describe(context: ToolContext, name: str = "") -> Effect:
        if not name.strip():
            return Effect("follow", "List the skills", vouched="shipped")
        loaded = skills.load(context.workspace.root, name, context.sender_role)
        skill = loaded.skill
        effect = Effect("follow", f"Use the skill {skill.name}", digest=skill.digest, vouched=loaded.vouched)
        if loaded.vouched:
            return effect
        changed = loaded.accepted is not None
        return replace(
            effect,
            title="Accept the changes of a skill?" if changed else "Accept a new skill?",
            action=loaded.question,
        )

    @tool("follow", describe)
    async def use_skill(context: ToolContext, name: str = "") -> Outcome:
        """Get the instructions of a skill.

        Args:
            name: Which; a list of all if left out.
        """
        root, role = context.workspace.root, context.sender_role
        if not name.strip():
            return Outcome(await asyncio.to_thread(skills.described, root, role))
        loaded = await asyncio.to_thread(skills.load, root, name, role)
        if context.effect is None or loaded.skill.digest != context.effect.digest:
            raise ToolError("The skill changed meanwhile. Call again.")
        if not loaded.vouched:
            await skills.accept(loaded)
        detail = {"skill": loaded.skill.name, "digest": loaded.skill.digest}
        return Outcome(_instructions(loaded, context.max_chars - 600), detail=detail)

    return (use_skill,)


def _instructions(loaded: Loaded, room: int) -> str:
    """What is followed, and where its files are."""
    skill = loaded.skill
    place = skill.folder.as_posix() if skill.shipped else skill.shown
    others = [file for file in skill.files if file.path != "SKILL.md"]
    lines = [f"Skill {skill.name}"]
    if others or not skill.shipped:
        lines.append(f"Its folder is {place}; paths in it are relative to that.")
    if others:
        named = (visible(one.path) + ("" if one.target else f" ({one.size:,} bytes)") for one in others)
        lines.append(f"Files beside it: {', '.join(list(named)[:MOST_NAMED])}")
        if len(others) > MOST_NAMED:
            lines.append(f"(and {len(others) - MOST_NAMED} more; see list_dir)")
    head, body = split(text_of(loaded.contents))
    text = _FOLDER.sub(lambda _: place, body)
    if len(text) > room:
        line = head.count("\n") + 3 + text.count("\n", 0, room)
        text = f"{text[:room]}\n\n(it goes on; read the rest in {place}/SKILL.md, about from line {line} on)"
    return "\n".join([*lines, "", text])
