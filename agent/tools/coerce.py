"""Fits JSON values to a schema where the model used the wrong type for the right value."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_INTEGER = re.compile(r"\s*[+-]?\d{1,300}\s*")
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_FAILED = object()


def coerce(value: Any, schema: Any) -> Any:
    """`value`, or what it obviously stands for; unchanged where nothing is obvious. Never raises."""
    if not isinstance(schema, Mapping):
        return value
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches and "type" not in schema:
        return _branch(value, branches)
    types = _types(schema)
    if types and not _is_any(value, types):
        for wanted in types:
            changed = _to(value, wanted, schema)
            if changed is not _FAILED:
                value = changed
                break
    if isinstance(value, dict):
        return _members(value, schema)
    if isinstance(value, list):
        items = schema.get("items")
        return [coerce(item, items) for item in value] if isinstance(items, Mapping) else value
    if isinstance(value, float) and "integer" in types and "number" not in types and value.is_integer():
        return int(value)
    return value


def has_type(value: Any, name: str) -> bool:
    """Whether a JSON value is of a JSON schema type. Infinity and NaN, which JSON lacks, are of none."""
    match name:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case "number":
            return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case "null":
            return value is None
    return True


def _types(schema: Mapping[str, Any]) -> list[str]:
    declared = schema.get("type")
    if isinstance(declared, str):
        return [declared]
    return list(declared) if isinstance(declared, list) else []


def _is_any(value: Any, types: list[str]) -> bool:
    return any(has_type(value, name) for name in types)


def _branch(value: Any, branches: Any) -> Any:
    fitting = [branch for branch in branches if isinstance(branch, Mapping)]
    for branch in fitting:
        types = _types(branch)
        if not types or _is_any(value, types):
            return coerce(value, branch)
    for branch in fitting:
        changed = coerce(value, branch)
        if _is_any(changed, _types(branch)):
            return changed
    return value


def _members(value: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    members = schema.get("properties")
    if not isinstance(members, Mapping):
        return value
    required = schema.get("required") or ()
    made: dict[str, Any] = {}
    for name, member in value.items():
        wanted = members.get(name)
        if member is None and isinstance(wanted, Mapping) and name not in required and not _takes_null(wanted):
            continue  # "not given", spelled out
        made[name] = member if wanted is None else coerce(member, wanted)
    return made


def _takes_null(schema: Mapping[str, Any]) -> bool:
    types = _types(schema)
    if types:
        return "null" in types
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return any(isinstance(branch, Mapping) and _takes_null(branch) for branch in branches)
    return "enum" not in schema or None in schema["enum"]


def _to(value: Any, wanted: str, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        changed = _from_text(value, wanted)
        if changed is not _FAILED:
            return changed
    if wanted == "string" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if wanted == "array" and value is not None and not isinstance(value, list):
        items = schema.get("items")
        single = coerce(value, items) if isinstance(items, Mapping) else value
        types = _types(items) if isinstance(items, Mapping) else []
        if not types or _is_any(single, types):
            return [single]
    return _FAILED


def _from_text(text: str, wanted: str) -> Any:
    match wanted:
        case "integer":
            return int(text) if _INTEGER.fullmatch(text) else _FAILED
        case "number":
            if _INTEGER.fullmatch(text):
                return int(text)
            return float(text) if _NUMBER.fullmatch(text) and math.isfinite(float(text)) else _FAILED
        case "boolean":
            return {"true": True, "false": False}.get(text.strip().lower(), _FAILED)
        case "null":
            return None if text.strip().lower() == "null" else _FAILED
        case "array" | "object":
            try:
                value = json.loads(text, strict=False)
            except (ValueError, RecursionError):
                return _FAILED
            return value if has_type(value, wanted) else _FAILED
    return _FAILED
