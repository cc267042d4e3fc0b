"""A conversation as the strictest provider accepts it. The stored messages are left as they are.

After it: system text only in one message at the front; then people and models in turns, beginning and ending with a
person or a tool; after each call exactly one result, in the order of the calls; nothing empty, no broken characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from agent.providers.pieces import without_surrogates
from agent.providers.types import Message, Part, Reasoning, Text, ToolCall, ToolResult, user

NO_RESULT: Final = "No result: this call was interrupted before it ran."
BEFORE: Final = "(The beginning of this conversation is left out.)"
GO_ON: Final = "Go on."
_NAMELESS = "unknown_tool"


def prepared(history: Sequence[Message]) -> list[Message]:
    """The messages put in order; those that are right already are passed on as they are."""
    system: list[Message] = []
    said: list[Message] = []
    for message in history:
        clean = _clean(message)
        if clean is None:
            continue
        if clean.role == "system":
            system.append(clean)
        else:
            said.append(clean)
    out = _in_turns(_paired(_in_turns(said)))  # calls that came in two messages are answered together
    if not out or out[0].role != "user":
        out.insert(0, user(BEFORE))
    if out[-1].role == "assistant":
        out.append(user(GO_ON))
    if len(system) > 1:
        system = [Message("system", (Text("\n\n".join(message.text for message in system)),))]
    return [*system, *out]


def _clean(message: Message) -> Message | None:
    """Without empty parts and broken characters; None when nothing is left."""
    parts = message.parts
    if len(parts) == 1 and isinstance(parts[0], Text):  # nearly all
        text = parts[0].text
        if message.role == "notice" or not text.strip():
            return None
        if text.isascii() or _encodes(text):
            return message if message.role != "tool" else None
    if message.role == "notice":
        return None
    kept = tuple(_mended(part) for part in parts if _counts(part, message.role))
    if not kept or (message.role == "assistant" and all(isinstance(part, Reasoning) for part in kept)):
        return None
    return message if _same(kept, parts) else replace(message, parts=kept)


def _counts(part: Part, role: str) -> bool:
    match part:
        case Text(text):
            return role != "tool" and bool(text.strip())
        case ToolCall():
            return role == "assistant"
        case ToolResult():
            return role == "tool"
        case Reasoning():
            return role == "assistant" and bool(part.text or part.signature)
        case _:
            return role == "user"


def _mended(part: Part) -> Part:
    match part:
        case Text(text):
            return part if _encodes(text) else Text(without_surrogates(text))
        case Reasoning():
            return part if _encodes(part.text) else replace(part, text=without_surrogates(part.text))
        case ToolResult():
            if _encodes(part.text) and _encodes(part.call_id) and _encodes(part.name):
                return part
            return replace(
                part,
                text=without_surrogates(part.text),
                call_id=without_surrogates(part.call_id),
                name=without_surrogates(part.name),
            )
        case ToolCall():
            arguments = _mended_value(part.arguments)
            if part.name and part.id and arguments is part.arguments and _encodes(part.id + part.name):
                return part
            name = without_surrogates(part.name) or _NAMELESS
            return replace(part, id=without_surrogates(part.id), name=name, arguments=arguments)
        case _:
            return part


def _mended_value(value: Any) -> Any:
    """A JSON value with whole characters; the same object where nothing had to be done."""
    if isinstance(value, str):
        return value if _encodes(value) else without_surrogates(value)
    if isinstance(value, list):
        items = [_mended_value(item) for item in value]
        return value if _same(items, value) else items
    if isinstance(value, dict):
        pairs = {_mended_value(key): _mended_value(item) for key, item in value.items()}
        same = _same(pairs.values(), value.values()) and _same(pairs, value)
        return value if same else pairs
    return value


def _paired(said: Sequence[Message]) -> list[Message]:
    """Exactly one result for each call, right after the calls and in their order; ids are used once."""
    out: list[Message] = []
    open_calls: dict[str, tuple[ToolCall, ToolResult | None]] = {}
    used: set[str] = set()

    def close() -> None:
        for call, result in open_calls.values():
            if result is None:
                result = ToolResult(call.id, call.name, NO_RESULT, ok=False)
            elif (result.call_id, result.name) != (call.id, call.name):
                result = replace(result, call_id=call.id, name=call.name)
            out.append(Message("tool", (result,)))
        open_calls.clear()

    for message in said:
        if message.role == "tool":
            for part in message.parts:
                if isinstance(part, ToolResult) and (known := open_calls.get(part.call_id)) and known[1] is None:
                    open_calls[part.call_id] = known[0], part
            continue
        close()
        if message.role == "assistant" and message.tool_calls:
            message = _with_ids(message, used, open_calls)
        out.append(message)
    close()
    return out


def _with_ids(message: Message, used: set[str], open_calls: dict[str, tuple[ToolCall, ToolResult | None]]) -> Message:
    """Register the calls; one whose id was used before gets another one, and so does its result."""
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            heard = part.id
            number = 2
            while not part.id or part.id in used:
                part = replace(part, id=f"{heard or 'call'}_{number}")
                number += 1
            used.add(part.id)
            if heard in open_calls:  # twice in one answer: the first one gets the result
                heard = part.id
            open_calls[heard] = part, None
        parts.append(part)
    return message if _same(parts, message.parts) else replace(message, parts=tuple(parts))


def _in_turns(said: Sequence[Message]) -> list[Message]:
    """People and models in turns: neighbours of the same kind become one message, unless calls are between."""
    out: list[Message] = []
    for message in said:
        last = out[-1] if out else None
        if last is not None and message.role == last.role and message.role in ("user", "assistant"):
            out[-1] = replace(last, parts=_both(last.parts, message.parts))
        else:
            out.append(message)
    return out


def _both(one: tuple[Part, ...], two: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts of two messages; texts that meet are kept apart by an empty line."""
    if isinstance(last := one[-1], Text) and isinstance(first := two[0], Text):
        return (*one[:-1], Text(f"{last.text}\n\n{first.text}"), *two[1:])
    return (*one, *two)


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _same(one: Iterable[Any], two: Iterable[Any]) -> bool:
    return all(a is b for a, b in zip(one, two, strict=False)) and len(list(one)) == len(list(two))
