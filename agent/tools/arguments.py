"""The arguments of a tool call: read as JSON, harmlessly repaired, fitted to the schema, validated.

Harmless means that nobody has to guess what the model wanted: a missing bracket, Python's quotes, a code fence, "5" for
5. Text that was cut off is never completed into a call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, overload

from agent.errors import ToolArgumentsError
from agent.tools.coerce import coerce
from agent.tools.schema_check import problems

_LONGEST_REPAIR = 100_000  # characters; the repair is slow, and longer texts are files that must not be guessed at
_MOST_PROBLEMS = 5
_FENCED = re.compile(r"\s*```\w*\s*\n?(.*?)\n?\s*```\s*", re.S)


@overload
def parse(
    raw: str, schema: Mapping[str, Any], truncated: bool = False, also: Mapping[str, str] = ...
) -> dict[str, Any]: ...
@overload
def parse(raw: str, schema: None, truncated: bool = False, also: Mapping[str, str] = ...) -> Any: ...
def parse(
    raw: str,
    schema: Mapping[str, Any] | None,
    truncated: bool = False,
    also: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """The arguments as an object that fits `schema`, a JSON schema of type object.

    `truncated` says that the answer ran into its length limit; `also` maps other names of arguments to those of the
    schema. Without a schema any JSON value is given back, repaired
    where it must be. Raises `ToolArgumentsError` with words the model can act on. Valid arguments take microseconds; a
    repair or an unusual schema imports a library first (about 0.1 s).
    """
    if truncated:
        raise ToolArgumentsError(
            "The arguments were cut off by the length limit, so nothing was run. Call again with less text, "
            "for example in several smaller calls."
        )
    value = _read(raw, repair_open_strings=schema is None)
    if schema is None:
        return value
    schema = schema.get("parameters", schema) if "type" not in schema else schema
    if value is None:
        value = {}
    if isinstance(value, str):  # encoded twice
        value = _loads(value, value)
    if not isinstance(value, dict):
        raise ToolArgumentsError(f"The arguments must be a JSON object, not {_brief(value)}.")
    value = coerce(_renamed(value, also), schema)
    found = problems(value, schema)
    if found:
        raise ToolArgumentsError("; ".join(found[:_MOST_PROBLEMS]) + ".")
    return value


def _renamed(value: dict[str, Any], also: Mapping[str, str]) -> dict[str, Any]:
    for other, name in also.items():
        if other in value and name not in value:
            value[name] = value.pop(other)
    return value


def _read(raw: str, *, repair_open_strings: bool) -> Any:
    text = raw.strip()
    if not text:
        return {}
    try:
        # Not strict: a line break inside a string is what the model means.
        value = json.loads(text, strict=False)
    except RecursionError:
        raise ToolArgumentsError("The arguments are nested too deeply.") from None
    except ValueError as error:
        value = _repair(text, error, repair_open_strings)
    if "\\u" in text or not text.isascii():
        _refuse_half_characters(value)
    return value


def _repair(text: str, error: ValueError, repair_open_strings: bool) -> Any:
    complaint = ToolArgumentsError(f"The arguments are not valid JSON: {error}. Call again with valid JSON.")
    if "Invalid \\" in str(error):
        raise ToolArgumentsError(
            f"The arguments are not valid JSON: {error}. Write a backslash in a string as two backslashes."
        )
    fenced = _FENCED.fullmatch(text)
    if fenced:
        value = _loads(fenced[1], complaint)
        if value is not complaint:
            return value
    documents = _documents(text)
    if documents:
        objects = [document for document in documents if document not in ([], {})] or documents[:1]
        if all(document == objects[0] for document in objects):
            return objects[0]
        if not repair_open_strings:
            raise ToolArgumentsError("The arguments hold more than one JSON value. Make one call for each.")
    if len(text) > _LONGEST_REPAIR or (not repair_open_strings and "{" not in text):
        raise complaint
    if not repair_open_strings and _is_cut_off(text):
        raise ToolArgumentsError(
            "The arguments end in the middle of a value, so nothing was run. Call again, complete."
        )
    import json_repair

    try:
        return json_repair.loads(text, skip_json_loads=True)
    except (RecursionError, ValueError):
        raise complaint from None


def _loads(text: str, default: Any) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return default


def _documents(text: str) -> list[Any]:
    """The values of a text that is several JSON documents in a row; empty when it is anything else."""
    decoder = json.JSONDecoder(strict=False)
    found: list[Any] = []
    at = 0
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        found.append(value)
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
    return found


def _is_cut_off(text: str) -> bool:
    """Whether the text stops inside a string, number or word: more of the value may have been meant."""
    inside, escaped = "", False
    for character in text:
        if escaped:
            escaped = False
        elif inside:
            if character == "\\":
                escaped = True
            elif character == inside:
                inside = ""
        elif character in "\"'":
            inside = character
    return bool(inside) or text[-1].isalnum() or text[-1] in ":,.-_"


def _refuse_half_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ToolArgumentsError(
            "The arguments hold half a character (a lone surrogate such as \\ud83d). Write the character itself."
        ) from None


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "…"
