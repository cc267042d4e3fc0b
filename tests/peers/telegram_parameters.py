"""The parameters of a Bot API call: read from a query, a form or JSON, checked and parsed."""

import json
import re
from typing import Any

from aiohttp import web

from tests.peers import telegram_html
from tests.peers.telegram_chats import bad_request
from tests.peers.telegram_html import Entity

Parameters = dict[str, Any]


async def read(request: web.Request) -> Parameters:
    parameters: Parameters = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except ValueError:
            raise bad_request("can't parse JSON object") from None
        parameters.update(body)
    elif request.method == "POST":
        parameters.update(await request.post())
    return parameters


def integer(parameters: Parameters, name: str, default: int) -> int:
    value = parameters.get(name)
    if value in (None, ""):
        return default
    if isinstance(value, float) or (isinstance(value, str) and not re.fullmatch(r"-?[0-9]+", value)):
        raise bad_request(f"parameter {name} must be an integer, not {value!r}")
    return int(value)


def boolean(parameters: Parameters, name: str) -> bool:
    return str(parameters.get(name, "")).lower() in ("true", "1", "yes", "y")


def json_object(parameters: Parameters, name: str, kind: type) -> Any:
    value = parameters.get(name)
    if value in (None, ""):
        return None
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parsed = None
    if not isinstance(parsed, kind):
        raise bad_request(f"can't parse {name} JSON object")
    return parsed


def formatted(parameters: Parameters, name: str, entities_name: str) -> tuple[str, list[Entity]]:
    text = parameters.get(name, "")
    if not isinstance(text, str):
        raise bad_request(f"parameter {name} must be a string")
    mode = str(parameters.get("parse_mode") or "").lower()
    if mode == "html":
        try:
            return telegram_html.parse(text)
        except telegram_html.EntityError as error:
            raise bad_request(f"can't parse entities: {error}") from None
    if mode:
        raise bad_request("unsupported parse_mode")
    entities = json_object(parameters, entities_name, list) or []
    for entity in entities:
        if not isinstance(entity, dict) or not all(isinstance(entity.get(key), int) for key in ("offset", "length")):
            raise bad_request("can't parse entities: expected an Object with offset and length")
    return telegram_html.trim(text), entities


def markup(parameters: Parameters) -> dict[str, Any] | None:
    markup: dict[str, Any] | None = json_object(parameters, "reply_markup", dict)
    for row in (markup or {}).get("inline_keyboard", ()):
        for button in row:
            if not button.get("text"):
                raise bad_request("inline keyboard button text is empty")
            data = button.get("callback_data")
            if data is None and "url" not in button:
                raise bad_request("Text buttons are unallowed in the inline keyboard")
            if data is not None and not 1 <= len(data.encode()) <= 64:
                raise bad_request("BUTTON_DATA_INVALID")
    return markup
