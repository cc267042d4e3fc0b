"""JSON schemas from signatures: compact, without titles, in the dialect that all providers take."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

_PLAIN: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def parameters_of(function: Callable[..., Any], documented: Mapping[str, str]) -> dict[str, Any]:
    """The schema of all parameters but the first. Words come from `Annotated[..., "words"]` or `documented`."""
    hints = get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
        schema = schema_of(hints[name])
        if name in documented:
            schema["description"] = documented[name]
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
        elif parameter.default not in (None, "", False, ()):
            schema["default"] = parameter.default
        properties[name] = schema
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def schema_of(hint: Any) -> dict[str, Any]:
    """The schema of one type. Raises `TypeError` for what JSON cannot carry."""
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        words = next((extra for extra in arguments[1:] if isinstance(extra, str)), None)
        return {**schema_of(arguments[0]), **({"description": words} if words else {})}
    if origin is Literal:
        return {"type": _PLAIN[type(arguments[0])], "enum": list(arguments)}
    if origin in (list, tuple) and arguments:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin in (dict, Mapping) or origin is getattr(Mapping, "__origin__", None):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if origin in (Union, types.UnionType):
        choices = [schema_of(choice) for choice in arguments]
        if all(list(choice) == ["type"] for choice in choices):
            return {"type": [choice["type"] for choice in choices]}
        return {"anyOf": choices}
    if hint is Any:
        return {}
    return _from_pydantic(hint)


def _from_pydantic(hint: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        schema: dict[str, Any] = _untitled(TypeAdapter(hint).json_schema())
    except PydanticUserError as error:
        raise TypeError(f"{hint!r} cannot be a tool's parameter: {error}") from error
    return schema


def _untitled(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: {name: _untitled(value) for name, value in entry.items()} if key == "properties" else _untitled(entry)
            for key, entry in schema.items()
            if key != "title"
        }
    return [_untitled(entry) for entry in schema] if isinstance(schema, list) else schema
