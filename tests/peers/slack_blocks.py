"""What Slack refuses of blocks; see https://docs.slack.dev/reference/block-kit. Only the types that are in use here."""

from collections.abc import Callable
from typing import Any

from tests.peers.slack_chats import ApiError

BLOCKS = 50
SECTION_TEXT = 3000
CONTEXT_ELEMENTS = 10
ACTION_ELEMENTS = 25
BUTTON_TEXT = 75
BUTTON_VALUE = 2000
IDENTIFIER = 255
HEADER_TEXT = 150
ALL_TEXT = 13_200
"""Not written down by Slack, but found by many: then the answer is msg_blocks_too_long."""


def length(text: str) -> int:
    """In UTF-16 units, the way of counting that allows least."""
    return len(text.encode("utf-16-le")) // 2


def check(blocks: Any) -> None:
    """Raise `ApiError` for what chat.postMessage and chat.update refuse."""
    _must(isinstance(blocks, list), "blocks must be a list")
    _must(len(blocks) <= BLOCKS, "no more than 50 items allowed")
    seen: set[str] = set()
    actions: set[str] = set()
    total = 0
    for block in blocks:
        _must(isinstance(block, dict), "must be an object")
        kind = block.get("type")
        _must(kind in _KINDS, f"unsupported type: {kind}")
        if "block_id" in block:
            identifier = block["block_id"]
            _must(isinstance(identifier, str) and 0 < len(identifier) <= IDENTIFIER, "block_id")
            _must(identifier not in seen, "block_id must be unique")
            seen.add(identifier)
        total += _KINDS[kind](block, actions)
    if total > ALL_TEXT:
        raise ApiError("msg_blocks_too_long")


def _must(right: bool, why: str) -> None:
    if not right:
        raise ApiError("invalid_blocks", response_metadata={"messages": [f"[ERROR] {why}"]})


def _only(element: dict[str, Any], *names: str) -> None:
    unknown = set(element) - set(names) - {"type", "block_id"}
    _must(not unknown, f"invalid additional property: {', '.join(sorted(unknown))}")


def _text(element: Any, limit: int, *kinds: str) -> int:
    _must(isinstance(element, dict), "missing text")
    _must(element.get("type") in kinds, f"must be {' or '.join(kinds)}")
    _only(element, "text", *(("emoji",) if element["type"] == "plain_text" else ("verbatim",)))
    text = element.get("text")
    _must(isinstance(text, str) and bool(text), "must be more than 0 characters")
    _must(length(text) <= limit, f"must be less than {limit + 1} characters")
    return length(text)


def _section(block: dict[str, Any], _actions: set[str]) -> int:
    _only(block, "text", "expand")
    _must(isinstance(block.get("expand", False), bool), "expand")
    return _text(block.get("text"), SECTION_TEXT, "mrkdwn", "plain_text")


def _context(block: dict[str, Any], _actions: set[str]) -> int:
    _only(block, "elements")
    elements = block.get("elements")
    _must(isinstance(elements, list) and 1 <= len(elements) <= CONTEXT_ELEMENTS, "elements")
    return sum(_text(element, SECTION_TEXT, "mrkdwn", "plain_text") for element in elements)


def _header(block: dict[str, Any], _actions: set[str]) -> int:
    _only(block, "text")
    return _text(block.get("text"), HEADER_TEXT, "plain_text")


def _divider(block: dict[str, Any], _actions: set[str]) -> int:
    _only(block)
    return 0


def _buttons(block: dict[str, Any], actions: set[str]) -> int:
    _only(block, "elements")
    elements = block.get("elements")
    _must(isinstance(elements, list) and 1 <= len(elements) <= ACTION_ELEMENTS, "elements")
    total = 0
    for element in elements:
        _must(element.get("type") == "button", "only buttons are known here")
        _only(element, "text", "action_id", "value", "style", "url")
        total += _text(element.get("text"), BUTTON_TEXT, "plain_text")
        identifier = element.get("action_id")
        _must(isinstance(identifier, str) and 0 < len(identifier) <= IDENTIFIER, "action_id")
        _must(identifier not in actions, "action_id must be unique")
        actions.add(identifier)
        _must(len(element.get("value", "")) <= BUTTON_VALUE, "value must be less than 2001 characters")
        _must(element.get("style") in (None, "primary", "danger"), "style")
    return total


_KINDS: dict[Any, Callable[[dict[str, Any], set[str]], int]] = {
    "section": _section,
    "context": _context,
    "header": _header,
    "divider": _divider,
    "actions": _buttons,
}
