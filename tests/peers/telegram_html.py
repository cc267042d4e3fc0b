"""Telegram's HTML mode: text and entities, or the error the service gives. https://core.telegram.org/bots/api#html-style"""

import html
import re
from typing import Any

TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "tg-emoji": "custom_emoji",
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
}
REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});")
ATTRIBUTE = re.compile(r"""\s+([a-zA-Z-]+)(?:\s*=\s*("[^"]*"|'[^']*'|[a-zA-Z0-9.:/_-]+))?""")
Entity = dict[str, Any]


class EntityError(ValueError):
    """The text after "can't parse entities: " in the description."""


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parse(source: str) -> tuple[str, list[Entity]]:
    """Return the visible text and its entities (offset and length in UTF-16 units); raise `EntityError`."""
    text: list[str] = []
    position = length = 0
    opened: list[tuple[str, int, Entity]] = []
    entities: list[Entity] = []
    while position < len(source):
        character = source[position]
        if character == "<":
            offset = len(source[:position].encode())
            end = source.find(">", position)
            if source.startswith("</", position):
                if end < 0:
                    raise EntityError(f"Unclosed end tag at byte offset {offset}")
                _close(source[position + 2 : end].strip().lower(), offset, opened, length, entities)
            else:
                name, entity, end = _open(source, position, offset)
                opened.append((name, length, entity))
            position = end + 1
            continue
        reference = REFERENCE.match(source, position) if character == "&" else None
        piece = html.unescape(reference.group()) if reference else character
        position = reference.end() if reference else position + 1
        text.append(piece)
        length += utf16_length(piece)
    if opened:
        raise EntityError(f'Can\'t find end tag corresponding to start tag "{opened[-1][0]}"')
    return _trimmed("".join(text), entities)


def trim(text: str) -> str:
    return _trimmed(text, [])[0]


def _open(source: str, position: int, offset: int) -> tuple[str, Entity, int]:
    match = re.compile(r"<([^\s>]*)").match(source, position)
    assert match is not None
    name, cursor = match.group(1).lower(), match.end()
    if cursor == len(source):
        raise EntityError(f"Unclosed start tag at byte offset {offset}")
    if name not in TAGS:
        raise EntityError(f'Unsupported start tag "{name}" at byte offset {offset}')
    attributes: dict[str, str] = {}
    while attribute := ATTRIBUTE.match(source, cursor):
        attributes[attribute.group(1).lower()] = html.unescape((attribute.group(2) or "").strip("\"'"))
        cursor = attribute.end()
    rest = re.compile(r"\s*").match(source, cursor)
    assert rest is not None
    if source[rest.end() : rest.end() + 1] != ">":
        if rest.end() == len(source):
            raise EntityError(f"Unclosed start tag at byte offset {offset}")
        raise EntityError(f'Empty attribute name in the tag "{name}" at byte offset {offset}')
    entity: Entity = {"type": TAGS[name]}
    if name == "span" and attributes.get("class") != "tg-spoiler":
        raise EntityError(f'Tag "span" must have class "tg-spoiler" at byte offset {offset}')
    if name == "a":
        entity["url"] = attributes.get("href", "")
    elif name == "tg-emoji":
        if not attributes.get("emoji-id", "").isdecimal():
            raise EntityError("Invalid custom emoji identifier specified")
        entity["custom_emoji_id"] = attributes["emoji-id"]
    elif name == "blockquote" and "expandable" in attributes:
        entity["type"] = "expandable_blockquote"
    elif name == "code" and attributes.get("class", "").startswith("language-"):
        entity["language"] = attributes["class"].removeprefix("language-")
    return name, entity, rest.end()


def _close(name: str, offset: int, opened: list[tuple[str, int, Entity]], length: int, entities: list[Entity]) -> None:
    if not opened:
        raise EntityError(f"Unexpected end tag at byte offset {offset}")
    expected, start, entity = opened.pop()
    if name and name != expected:
        raise EntityError(f'Unmatched end tag at byte offset {offset}, expected "</{expected}>", found "</{name}>"')
    if length == start:
        return
    if expected == "code" and opened and opened[-1][0] == "pre":
        opened[-1][2].update({key: value for key, value in entity.items() if key == "language"})
        return
    if expected == "code":
        entity.pop("language", None)
    if entity["type"] == "text_link" and not entity["url"]:
        return
    entities.append({**entity, "offset": start, "length": length - start})


def _trimmed(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    start = utf16_length(text) - utf16_length(text.lstrip())
    text = text.strip()
    end = utf16_length(text)
    kept = []
    for entity in sorted(entities, key=lambda one: (one["offset"], -one["length"])):
        first = max(0, entity["offset"] - start)
        last = min(end, entity["offset"] - start + entity["length"])
        if last > first:
            kept.append({**entity, "offset": first, "length": last - first})
    return text, kept
