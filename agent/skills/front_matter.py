"""The front matter of a SKILL.md: YAML between two lines of dashes. It comes from anywhere and is read without trust.

The fields are those of https://agentskills.io/specification; what OpenClaw and nanobot add stands below `metadata`, as
a mapping or as JSON in a string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import SkillError

LARGEST = 16_000
"""Characters of front matter that are parsed."""
_DEEPEST = 12
_MOST_WORDS = 32
_MOST_CHARS = 1024
"""Of a description, as the specification says; a longer one is cut."""
_BLOCK = re.compile(r"\s*---[ \t]*\n((?:[^\n]*\n)*?)---[ \t]*(?:\n|\Z)")
_LINE = re.compile(r"^([A-Za-z][\w-]*):[ \t]+(.+)$", re.MULTILINE)
_MAKERS = ("trayclaw", "openclaw", "nanobot", "clawdbot")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """What a skill says of itself.

    `name` is what it calls itself, empty if it does not. `systems`, `programs`, `any_program`, `variables` and
    `settings` are what it needs: one of these systems, all of these programs, one of those, these environment
    variables, these settings of another agent. `always` skips all of them but the system, and names it first. A
    `hidden` one is not named to the model. `allowed_tools` is shown and permits nothing.
    """

    name: str
    description: str
    license: str = ""
    compatibility: str = ""
    allowed_tools: tuple[str, ...] = ()
    always: bool = False
    hidden: bool = False
    systems: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    any_program: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def split(text: str) -> tuple[str, str]:
    """(front matter, what follows it). Raises `SkillError` when there is none."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    found = _BLOCK.match(text)
    if found is None:
        raise SkillError("SKILL.md does not begin with front matter: lines between two lines of ---")
    return found[1], text[found.end() :].strip("\n")


def parse(text: str) -> FrontMatter:
    """The front matter of a whole SKILL.md. Raises `SkillError` with what to correct."""
    block, _ = split(text)
    if len(block) > LARGEST:
        raise SkillError(f"its front matter has {len(block):,} characters; more than {LARGEST:,} are not read")
    fields = _fields(block)
    description = fields.get("description")
    if not isinstance(description, str) or not description.strip():
        raise SkillError("its front matter has no description")
    more = _made_for_us(fields.get("metadata"))
    needs = more.get("requires")
    needs = needs if isinstance(needs, Mapping) else {}
    return FrontMatter(
        name=_text(fields.get("name"))[:64],
        description=_text(description)[:_MOST_CHARS],
        license=_text(fields.get("license"))[:200],
        compatibility=_text(fields.get("compatibility"))[:500],
        allowed_tools=_words(fields.get("allowed-tools"), split_text=True),
        always=more.get("always") is True or fields.get("always") is True,
        hidden=fields.get("disable-model-invocation") is True,
        systems=_words(more.get("os")),
        programs=_words(needs.get("bins")),
        any_program=_words(needs.get("anyBins")),
        variables=_words(needs.get("env")),
        settings=_words(needs.get("config")),
    )


def _fields(block: str) -> Mapping[str, Any]:
    """The mapping in a block of YAML; where it is no YAML because of a colon in a sentence, line by line."""
    import yaml

    try:
        _check(block)
        found = yaml.safe_load(block)
    except SkillError:
        raise
    except yaml.reader.ReaderError as error:
        raise SkillError("its front matter holds control characters") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: a date that does not exist
        lines = _LINE.findall(block)
        if any(name == "description" for name, _ in lines) and len({name for name, _ in lines}) == len(lines):
            return {name: value.strip().strip("\"'") for name, value in lines}
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 2})" if mark is not None else ""
        raise SkillError(f"its front matter is not valid YAML{place}") from error
    if not isinstance(found, dict):
        raise SkillError("its front matter is no list of fields (name: value)")
    return {str(key): value for key, value in found.items()}


def _check(block: str) -> None:
    """Refuse what could grow or hide: references ("billion laughs"), types, deep nesting, a field that stands twice."""
    import yaml

    depth = 0
    for event in yaml.parse(block, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise SkillError("its front matter uses references (& and *), which are not followed")
        if getattr(event, "tag", None):
            raise SkillError("its front matter uses types (words that begin with !), which are not understood")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise SkillError("its front matter is nested too deeply")
    waiting = [yaml.compose(block, Loader=yaml.SafeLoader)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            names = [str(key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise SkillError(f"its front matter says {twice!r} twice")
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _made_for_us(metadata: Any) -> Mapping[str, Any]:
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except (ValueError, RecursionError):
            return {}
    if not isinstance(metadata, Mapping):
        return {}
    found = (metadata.get(maker) for maker in _MAKERS)
    return next((one for one in found if isinstance(one, Mapping)), {})


def _text(value: Any) -> str:
    """On one line; halves of characters ("\\ud800"), which cannot be written anywhere, become question marks."""
    text = " ".join(str(value).split()) if isinstance(value, str | int | float) else ""
    return text.encode("utf-8", "replace").decode()


def _words(value: Any, *, split_text: bool = False) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split() if split_text else [value]
    if not isinstance(value, list):
        return ()
    return tuple(_text(word)[:100] for word in value if isinstance(word, str) and word.strip())[:_MOST_WORDS]
