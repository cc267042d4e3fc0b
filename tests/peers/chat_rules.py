"""What the Chat Completions service refuses, with its own words, types and codes where they are known.

https://platform.openai.com/docs/api-reference/chat/create; local servers (Ollama, LM Studio) are more lenient about
unknown fields, so those are checked only for the `openai` flavour.
"""

import re
from collections.abc import Iterable
from typing import Any

from tests.peers.replies import HttpFault

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
PARAMETERS = {
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
}
MESSAGE_FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "refusal", "tool_calls", "audio", "function_call", "annotations"},
    "tool": {"role", "content", "tool_call_id"},
    "function": {"role", "content", "name"},
}
PARTS = {
    "system": {"text"},
    "developer": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
JSON_TYPES = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    list: "an array",
    dict: "an object",
}


class RefusedError(Exception):
    def __init__(self, fault: HttpFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def check(request: Any, *, strict: bool = True) -> None:
    """Raise `RefusedError` with the 400 the service would send."""
    if not isinstance(request, dict):
        raise _refused("We could not parse the JSON body of your request. The API expects a JSON payload.")
    if "model" not in request:
        raise _refused("you must provide a model parameter")
    _expect(request, "model", str)
    if "messages" not in request:
        raise _refused("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if strict:
        _no_unknown(request, PARAMETERS, "")
    _check_options(request)
    names = _check_tools(request.get("tools"))
    if names is None:
        for option in ("tool_choice", "parallel_tool_calls"):
            if request.get(option) is not None:
                raise _refused(
                    f"Invalid value for '{option}': '{option}' is only allowed when 'tools' are specified.", option
                )
    _check_messages(request["messages"], strict=strict)


def _check_options(request: dict[str, Any]) -> None:
    for name in ("stream", "store", "logprobs", "parallel_tool_calls"):
        _expect(request, name, bool)
    for name in ("max_tokens", "max_completion_tokens", "n", "seed"):
        _expect(request, name, int)
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("presence_penalty", -2, 2),
        ("frequency_penalty", -2, 2),
    ):
        _expect(request, name, float)
        value = request.get(name)
        if value is not None and not low <= value <= high:
            way, bound, edge = ("below minimum", "greater", low) if value < low else ("above maximum", "less", high)
            code = "decimal_" + way.replace(" ", "_") + "_value"
            expected = f"Expected a value {bound} than or equal to {edge}, but got {value} instead."
            raise _refused(f"Invalid '{name}': decimal {way} value. {expected}", name, code)
    for name in ("max_tokens", "max_completion_tokens"):
        if (value := request.get(name)) is not None and value < 1:
            expected = f"Expected a value >= 1, but got {value} instead."
            raise _refused(
                f"Invalid '{name}': integer below minimum value. {expected}", name, "integer_below_min_value"
            )
    if request.get("max_tokens") is not None and request.get("max_completion_tokens") is not None:
        raise _refused(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.", "max_tokens"
        )
    options = request.get("stream_options")
    if options is not None:
        if not request.get("stream"):
            raise _refused("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
        _expect(request, "stream_options", dict)
        _no_unknown(options, {"include_usage", "include_obfuscation"}, "stream_options.")
        _expect(options, "include_usage", bool, "stream_options.")


def _check_tools(tools: Any) -> set[str] | None:
    if tools is None:
        return None
    _expect({"tools": tools}, "tools", list)
    if not tools:
        expected = "Expected an array with minimum length 1, but got an empty array instead."
        raise _refused(f"Invalid 'tools': empty array. {expected}", "tools", "empty_array")
    names: set[str] = set()
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise _wrong_type(where, dict, tool)
        if tool.get("type") != "function":
            raise _missing_or_invalid(tool, "type", where, ("function", "custom"))
        function = tool.get("function")
        if not isinstance(function, dict):
            raise _missing_or_type(tool, "function", where, dict)
        name = _name(function, f"{where}.function")
        if name in names:
            raise _refused(f"Invalid 'tools': duplicate function name '{name}'.", "tools", "invalid_value")
        names.add(name)
        _expect(function, "description", str, f"{where}.function.")
        _expect(function, "strict", bool, f"{where}.function.")
        parameters = function.get("parameters")
        if parameters is not None:
            _expect(function, "parameters", dict, f"{where}.function.")
            if parameters and parameters.get("type") != "object":
                found = "None" if parameters.get("type") is None else parameters["type"]
                problem = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{found}\"'."
                raise _schema(name, problem, where)
            _check_schema(parameters, name, where)
    return names


def _check_schema(schema: Any, name: str, where: str) -> None:
    if isinstance(schema, list):
        for item in schema:
            _check_schema(item, name, where)
    elif isinstance(schema, dict):
        if schema.get("type") == "array" and "items" not in schema:
            raise _schema(name, "array schema missing items.", where)
        properties = schema.get("properties")
        if isinstance(properties, dict):
            for item in properties.values():
                _check_schema(item, name, where)
        for key in ("items", "anyOf", "oneOf", "allOf"):
            _check_schema(schema.get(key), name, where)


def _check_messages(messages: Any, *, strict: bool) -> None:
    _expect({"messages": messages}, "messages", list)
    if not messages:
        expected = "Expected an array with minimum length 1, but got an empty array instead."
        raise _refused(f"Invalid 'messages': empty array. {expected}", "messages", "empty_array")
    waiting: dict[str, None] = {}
    answered: set[str] = set()
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise _wrong_type(where, dict, message)
        role = message.get("role")
        if role not in ROLES:
            raise _missing_or_invalid(message, "role", where, ROLES)
        if strict:
            _no_unknown(message, MESSAGE_FIELDS[role], f"{where}.")
        if role == "tool":
            _check_tool_message(message, where, waiting, answered)
        elif waiting:
            raise _unanswered(waiting, where)
        _check_content(message, where)
        if role == "assistant" and message.get("tool_calls") is not None:
            waiting = dict.fromkeys(_check_tool_calls(message["tool_calls"], where, strict=strict))
            answered = set()
    if waiting:
        raise _unanswered(waiting, f"messages[{len(messages) - 1}]")


def _check_tool_message(message: dict[str, Any], where: str, waiting: dict[str, None], answered: set[str]) -> None:
    if not isinstance(message.get("tool_call_id"), str):
        raise _missing_or_type(message, "tool_call_id", where, str)
    call_id = message["tool_call_id"]
    if call_id in answered:
        problem = f"Duplicate value for 'tool_call_id' of '{call_id}'"
        raise _refused(f"Invalid parameter: {problem}", f"{where}.tool_call_id")
    if call_id not in waiting:
        problem = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
        raise _refused(f"Invalid parameter: {problem}", f"{where}.role")
    del waiting[call_id]
    answered.add(call_id)


def _check_content(message: dict[str, Any], where: str) -> None:
    role, content = message["role"], message.get("content")
    if content is None:
        if role == "assistant" and (
            message.get("tool_calls") or message.get("refusal") or message.get("function_call")
        ):
            return
        if "content" not in message and role != "assistant":
            raise _refused(
                f"Missing required parameter: '{where}.content'.", f"{where}.content", "missing_required_parameter"
            )
        raise _refused("Invalid value for 'content': expected a string, got null.", f"{where}.content")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise _wrong_type(f"{where}.content", str, content)
    if not content:
        raise _refused(f"Invalid '{where}.content': empty array.", f"{where}.content", "empty_array")
    for number, part in enumerate(content):
        here = f"{where}.content[{number}]"
        if not isinstance(part, dict):
            raise _wrong_type(here, dict, part)
        kind, allowed = part.get("type"), PARTS.get(role, {"text"})
        if kind not in allowed:
            raise _missing_or_invalid(part, "type", here, sorted(allowed))
        if kind in ("text", "refusal") and not isinstance(part.get(kind), str):
            raise _missing_or_type(part, kind, here, str)
        if kind == "image_url":
            image = part.get("image_url")
            if not isinstance(image, dict) or not isinstance(image.get("url"), str):
                raise _missing_or_type(part, "image_url", here, dict)


def _check_tool_calls(calls: Any, where: str, *, strict: bool) -> list[str]:
    where = f"{where}.tool_calls"
    if not isinstance(calls, list):
        raise _wrong_type(where, list, calls)
    if not calls:
        expected = "Expected an array with minimum length 1, but got an empty array instead."
        raise _refused(f"Invalid '{where}': empty array. {expected}", where, "empty_array")
    ids = []
    for number, call in enumerate(calls):
        here = f"{where}[{number}]"
        if not isinstance(call, dict):
            raise _wrong_type(here, dict, call)
        if strict:
            _no_unknown(call, {"id", "type", "function", "custom"}, f"{here}.")
        if not isinstance(call.get("id"), str):
            raise _missing_or_type(call, "id", here, str)
        if call.get("type") != "function":
            raise _missing_or_invalid(call, "type", here, ("function",))
        function = call.get("function")
        if not isinstance(function, dict):
            raise _missing_or_type(call, "function", here, dict)
        _name(function, f"{here}.function")
        if not isinstance(function.get("arguments"), str):
            raise _missing_or_type(function, "arguments", f"{here}.function", str)
        ids.append(call["id"])
    return ids


def _name(function: dict[str, Any], where: str) -> str:
    name = function.get("name")
    if not isinstance(name, str):
        raise _missing_or_type(function, "name", where, str)
    if len(name) > 64:
        expected = f"Expected a string with maximum length 64, but got a string with length {len(name)} instead."
        raise _refused(
            f"Invalid '{where}.name': string too long. {expected}", f"{where}.name", "string_above_max_length"
        )
    if not NAME.fullmatch(name):
        expected = "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        raise _refused(
            f"Invalid '{where}.name': string does not match pattern. {expected}", f"{where}.name", "invalid_value"
        )
    return name


def _no_unknown(value: dict[str, Any], known: Iterable[str], prefix: str) -> None:
    for name in value:
        if name not in known:
            raise _refused(f"Unknown parameter: '{prefix}{name}'.", prefix + name, "unknown_parameter")


def _expect(value: dict[str, Any], name: str, kind: type, prefix: str = "") -> None:
    found = value.get(name)
    if found is None:
        return
    fits = isinstance(found, (int, float) if kind is float else kind)
    if not fits or (isinstance(found, bool) and kind is not bool):
        raise _wrong_type(prefix + name, kind, found)


def _wrong_type(where: str, kind: type, found: Any) -> RefusedError:
    expected = JSON_TYPES[kind]
    got = "null" if found is None else JSON_TYPES.get(type(found), "something else")
    return _refused(f"Invalid type for '{where}': expected {expected}, but got {got} instead.", where, "invalid_type")


def _missing_or_type(value: dict[str, Any], name: str, where: str, kind: type) -> RefusedError:
    if name not in value:
        return _refused(
            f"Missing required parameter: '{where}.{name}'.", f"{where}.{name}", "missing_required_parameter"
        )
    return _wrong_type(f"{where}.{name}", kind, value[name])


def _missing_or_invalid(value: dict[str, Any], name: str, where: str, allowed: Iterable[str]) -> RefusedError:
    if name not in value:
        return _refused(
            f"Missing required parameter: '{where}.{name}'.", f"{where}.{name}", "missing_required_parameter"
        )
    names = ", ".join(f"'{item}'" for item in allowed)
    problem = f"Invalid value: '{value[name]}'. Supported values are: {names}."
    return _refused(problem, f"{where}.{name}", "invalid_value")


def _unanswered(waiting: Iterable[str], where: str) -> RefusedError:
    return _refused(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(waiting)}",
        f"{where}.role",
    )


def _schema(name: str, problem: str, where: str) -> RefusedError:
    return _refused(
        f"Invalid schema for function '{name}': In context=(), {problem}",
        f"{where}.function.parameters",
        "invalid_function_parameters",
    )


def _refused(message: str, param: str | None = None, code: str | None = None) -> RefusedError:
    return RefusedError(HttpFault(400, message, "invalid_request_error", code, param))
