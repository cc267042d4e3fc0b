"""What an MCP server says about its tools, made harmless: nobody vouches for a word of it.

A description goes into the prompt and before the eyes of the person who decides, so nothing in it may hide, play
another role, or be endless. What cannot be shown truthfully is left out. Nothing here needs the SDK.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.safety.effects import one_line, visible
from agent.safety.quoting import harmless

LONGEST_DESCRIPTION = 1_000
LONGEST_NOTE = 300
"""Of one parameter."""
LARGEST_SCHEMA = 20_000
"""Of all parameters, as JSON."""
_DEEPEST = 12
_LONGEST_NAME = 64
_INVALID = re.compile(r"[^a-zA-Z0-9_-]")
_DROPPED = frozenset(("$schema", "$id", "$comment", "title", "examples", "default", "pattern", "patternProperties"))
"""Nothing that a model or a check needs; a title mostly says the name again."""
_COMBINING = ("allOf", "anyOf", "oneOf")
_NOT_AT_THE_TOP = frozenset((*_COMBINING, "not", "if", "then", "else", "enum", "const", "$ref"))


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as its server describes it. `name` is the server's own; `description` and `parameters` are harmless.

    `said` is what a person is shown of both, `digest` the hash of the whole, with the server's identity: when a word
    of it changes it is another tool.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    said: str
    digest: str


class OddToolError(ValueError):
    """A tool that cannot be shown truthfully; the words say why."""


def listed(identity: str, name: str, description: str, schema: Mapping[str, Any]) -> ListedTool:
    """A tool of the server of that identity. Raises `OddToolError`. Blocks for a millisecond."""
    if not name or len(name) > 200 or visible(name) != name or "\n" in name:
        raise OddToolError(f"the name {one_line(name, 40)!r} cannot be shown")
    try:
        whole = json.dumps([identity, name, description, schema], sort_keys=True)
        if len(json.dumps(schema)) > LARGEST_SCHEMA:
            raise OddToolError(f"{name}: its parameters are more than {LARGEST_SCHEMA:,} characters")
        parameters = _parameters(schema)
    except RecursionError:
        raise OddToolError(f"{name}: its parameters are nested too deep") from None
    except (TypeError, ValueError) as error:
        raise OddToolError(f"{name}: {error}") from None
    _check(name, parameters)
    words = shown(description, LONGEST_DESCRIPTION)
    said = "\n".join([words, "", *_lines(parameters)]).strip()
    return ListedTool(name, words, parameters, said, hashlib.sha256(whole.encode()).hexdigest())


def _lines(parameters: Mapping[str, Any]) -> Iterator[str]:
    """All of a schema with a line for each parameter: easy to read, and to compare."""
    parts = {key: value for key, value in parameters.items() if key not in ("type", "properties")}
    for key, value in (*parameters["properties"].items(), *parts.items()):
        yield f"{key}: {json.dumps(value, ensure_ascii=False)}"


def shown(text: str, limit: int) -> str:
    """A text of the server as prompts and people are shown it: nothing hides in it, nothing plays a role."""
    cut = text[:limit]
    more = f" […{len(text) - limit:,} more characters]" if len(text) > limit else ""
    return harmless(visible(cut)).strip() + more


def call_names(tools: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The name by which models call each (server, tool): valid with every provider, unique, and the same whatever else
    there is."""
    plain = {key: _INVALID.sub("_", f"mcp_{key[0]}_{key[1]}") for key in tools}
    taken = Counter(name.lower() for name in plain.values())
    return {
        key: name if taken[name.lower()] == 1 and len(name) <= _LONGEST_NAME else _marked(name, key)
        for key, name in plain.items()
    }


def _marked(name: str, key: tuple[str, str]) -> str:
    mark = hashlib.sha256("\0".join(key).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}_{mark}"


def _parameters(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that every provider takes: of type object, nothing combined at the top. What is lost by that the
    server checks itself."""
    cleaned = _cleaned(_flat(schema), 0)
    if cleaned.get("type", "object") != "object":
        raise OddToolError("its parameters are no object")
    properties = cleaned.get("properties", {})
    return {**cleaned, "type": "object", "properties": properties if isinstance(properties, dict) else {}}


def _flat(schema: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in schema.items() if key not in _NOT_AT_THE_TOP}
    parts = [(key, part) for key in _COMBINING for part in schema.get(key) or ()]
    reference = schema.get("$ref")
    if isinstance(reference, str) and (found := re.fullmatch(r"#/(\$defs|definitions)/([^/]+)", reference)):
        parts.append(("allOf", schema.get(found[1], {}).get(found[2], {})))
    for key, part in parts:
        if isinstance(part, Mapping):
            flat["properties"] = {**part.get("properties", {}), **flat.get("properties", {})}
            if key == "allOf" and isinstance(part.get("required"), list):
                flat["required"] = [*flat.get("required", ()), *part["required"]]
    return flat


def _cleaned(value: Any, depth: int, *, names: bool = False) -> Any:
    """A part of a schema. `names`: the keys are names of parameters or definitions, not words of JSON schema."""
    if depth > _DEEPEST:
        raise OddToolError("its parameters are nested too deep")
    if isinstance(value, Mapping):
        return _cleaned_object(value, depth, names=names)
    if isinstance(value, list):
        return [_cleaned(item, depth + 1) for item in value]
    if isinstance(value, str):
        return _exact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    raise OddToolError("its parameters are no JSON")


def _cleaned_object(value: Mapping[str, Any], depth: int, *, names: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, item in value.items():
        if names:
            made[_exact(key)] = _cleaned(item, depth + 1)
        elif key == "description" and isinstance(item, str):
            made[key] = shown(item, LONGEST_NOTE)
        elif key == "$ref" and not str(item).startswith("#"):
            raise OddToolError("its parameters refer to another document")
        elif key not in _DROPPED:
            made[_exact(key)] = _cleaned(
                item, depth + 1, names=key in ("properties", "$defs", "definitions", "dependentSchemas")
            )
    if not names and "pattern" in value:
        # Never run here: a stranger's pattern can take for ever. The model reads it, the server checks it.
        note = f"pattern: {shown(str(value['pattern']), 100)}"
        made["description"] = "; ".join(filter(None, (made.get("description", ""), note)))
    return made


def _exact(text: str) -> str:
    """A text that must stay as it is; it is refused where it cannot be shown as it is."""
    if visible(text) != text or harmless(text) != text or len(text) > LONGEST_NOTE:
        raise OddToolError(f"its parameters hold {one_line(text, 40)!r}, which cannot be shown")
    return text


def _check(name: str, parameters: Mapping[str, Any]) -> None:
    jsonschema: Any = importlib.import_module("jsonschema")
    try:
        jsonschema.Draft202012Validator.check_schema(parameters)
    except (jsonschema.SchemaError, RecursionError) as error:
        words = getattr(error, "message", "")
        raise OddToolError(f"{name}: its parameters are no valid JSON schema: {one_line(words)}") from None
