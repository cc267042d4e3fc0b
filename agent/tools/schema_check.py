"""What is wrong with a tool's arguments, in words for the model.

The schemas of tools are simple nearly always; those are checked here. The rest goes to jsonschema, whose import alone
takes 70-150 ms.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from agent.tools.coerce import has_type

Check = Callable[[Any], list[str]]

_NOTES = frozenset({"title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated"})
_CHECKED = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"}
    | {"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "format"}
)
_TYPES = frozenset({"string", "boolean", "integer", "number", "array", "object", "null"})
_MOST_SCHEMAS = 512

_checks: dict[int, tuple[Mapping[str, Any], Check]] = {}


def problems(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """Everything that does not fit; empty when all is well. Raises nothing for any value."""
    known = _checks.get(id(schema))
    if known is None or known[0] is not schema:
        if len(_checks) >= _MOST_SCHEMAS:
            _checks.clear()
        known = _checks[id(schema)] = (schema, _compile(schema))
    return known[1](value)


def _compile(schema: Mapping[str, Any]) -> Check:
    if _is_simple(schema):

        def check(value: Any) -> list[str]:
            found: list[str] = []
            _check(value, schema, "", found)
            return found

        return check
    return _full(schema)


def _is_simple(schema: Any) -> bool:
    if not isinstance(schema, Mapping) or not schema.keys() <= _CHECKED | _NOTES:
        return False
    declared = schema.get("type", [])
    if not set([declared] if isinstance(declared, str) else declared) <= _TYPES:
        return False
    if not isinstance(schema.get("additionalProperties", True), bool):
        return False
    members = schema.get("properties", {})
    if "items" in schema and not _is_simple(schema["items"]):
        return False
    if not all(_is_simple(branch) for branch in schema.get("anyOf", ())):
        return False
    return isinstance(members, Mapping) and all(_is_simple(member) for member in members.values())


def _check(value: Any, schema: Mapping[str, Any], path: str, found: list[str]) -> None:
    declared = schema.get("type")
    if declared:
        types = [declared] if isinstance(declared, str) else declared
        if not any(has_type(value, name) for name in types):
            found.append(f"{path or 'the arguments'} must be of type {' or '.join(types)}, not {_brief(value)}")
            return
    if "anyOf" in schema:
        _check_branches(value, schema["anyOf"], path, found)
    if "enum" in schema and not any(_same(value, choice) for choice in schema["enum"]):
        choices = ", ".join(json.dumps(choice, ensure_ascii=False) for choice in schema["enum"])
        found.append(f"{path} must be one of {choices}, not {_brief(value)}")
    if "const" in schema and not _same(value, schema["const"]):
        found.append(f"{path} must be {_brief(schema['const'])}, not {_brief(value)}")
    if isinstance(value, dict):
        _check_members(value, schema, path, found)
    elif isinstance(value, list):
        _check_range(len(value), schema, "minItems", "maxItems", f"the number of items in {path}", found)
        items = schema.get("items")
        if items:
            for index, item in enumerate(value):
                _check(item, items, f"{path}[{index}]", found)
    elif isinstance(value, str):
        _check_range(len(value), schema, "minLength", "maxLength", f"the length of {path}", found)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_range(value, schema, "minimum", "maximum", path, found)


def _check_branches(value: Any, branches: Any, path: str, found: list[str]) -> None:
    """Nothing to say when one branch fits; otherwise what the branch of the value's type says, or of all."""
    complaints: list[list[str]] = []
    for branch in branches:
        said: list[str] = []
        _check(value, branch, path, said)
        if not said:
            return
        declared = branch.get("type", "")
        if isinstance(declared, str) and has_type(value, declared or "null"):
            found.extend(said)
            return
        complaints.append(said)
    types = [branch["type"] for branch in branches if isinstance(branch.get("type"), str)]
    if len(types) == len(complaints):
        found.append(f"{path} must be of type {' or '.join(types)}, not {_brief(value)}")
    else:
        found.extend(said[0] for said in complaints)


def _check_members(value: dict[str, Any], schema: Mapping[str, Any], path: str, found: list[str]) -> None:
    members = schema.get("properties", {})
    prefix = f"{path}." if path else ""
    found.extend(f"{prefix}{name} is required and missing" for name in schema.get("required", ()) if name not in value)
    for name, member in value.items():
        if name in members:
            _check(member, members[name], prefix + name, found)
        elif schema.get("additionalProperties") is False:
            allowed = ", ".join(members) or "none"
            found.append(f"there is no argument {prefix}{name}; there are: {allowed}")


def _check_range(size: float, schema: Mapping[str, Any], least: str, most: str, what: str, found: list[str]) -> None:
    if least in schema and size < schema[least]:
        found.append(f"{what} must be at least {schema[least]}, not {size}")
    if most in schema and size > schema[most]:
        found.append(f"{what} must be at most {schema[most]}, not {size}")


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _full(schema: Mapping[str, Any]) -> Check:
    jsonschema: Any = importlib.import_module("jsonschema")
    import referencing
    import referencing.exceptions

    validator_class = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    # The default registry would fetch a reference to an address: schemas may come from strangers.
    validator = validator_class(schema, registry=referencing.Registry())

    def check(value: Any) -> list[str]:
        found = []
        try:
            errors = list(validator.iter_errors(value))
        except (referencing.exceptions.Unresolvable, RecursionError, TypeError, ValueError):
            return ["the arguments cannot be checked against the schema of this tool"]
        for error in errors:
            path = ".".join(str(step) for step in error.absolute_path)
            message = error.message if len(error.message) <= 300 else error.message[:300] + "…"
            found.append(f"{path}: {message}" if path else message)
        return found

    return check


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:60] + "…"
