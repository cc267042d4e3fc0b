"""What the fake Discord accepts: messages, buttons, commands, reactions. All else is refused in the service's words."""

import json
import re
from typing import Any

from aiohttp import web

from tests.peers.discord_world import ApiError, Channel, invalid

TEXT_LIMIT = 2000
UPLOAD_LIMIT = 10 * 1024 * 1024
NONCE_LIMIT = 25
KNOWN_FLAGS = 1 << 2 | 1 << 12
COMMAND_NAME = re.compile(r"[-_\w]{1,32}")
REACTION = re.compile(r"[\u2190-\U0010ffff\ufe0f\u200d]{1,8}")

Upload = tuple[str, bytes]
"""Name and content."""


async def read(request: web.Request) -> tuple[Any, list[Upload]]:
    """The JSON of a request and the files beside it. The content type is taken at its word."""
    content_type = request.headers.get("Content-Type", "")
    if content_type == "application/json":
        try:
            return json.loads(await request.read()), []
        except ValueError:
            raise ApiError(400, 50109, "The request body contains invalid JSON.") from None
    if not content_type.startswith("multipart/form-data; boundary="):
        one_of = '{"application/json", "multipart/form-data"}'
        raise ApiError(400, 50035, f'Expected "Content-Type" header to be one of {one_of}.')
    form = await request.post()
    body = json.loads(str(form["payload_json"]))
    uploads: list[Upload] = []
    declared = {str(one["id"]) for one in body.get("attachments", ())}
    for name, part in form.items():
        if name == "payload_json":
            continue
        found = re.fullmatch(r"files\[(\d+)\]", name)
        if found is None or not isinstance(part, web.FileField) or found[1] not in declared:
            raise invalid("attachments", "ATTACHMENT_NOT_FOUND", f"{name} is not an attachment")
        uploads.append((part.filename, part.file.read()))
    if sum(len(data) for _, data in uploads) > UPLOAD_LIMIT:
        raise ApiError(413, 40005, "Request entity too large")
    return body, uploads


def check_message(body: dict[str, Any], uploads: list[Upload], *, edit: bool = False) -> None:
    """Raise what the service says to a message that it does not take."""
    text = body.get("content")
    if text is not None and len(text) > TEXT_LIMIT:
        raise invalid("content", "BASE_TYPE_MAX_LENGTH", f"Must be {TEXT_LIMIT} or fewer in length.")
    if not edit and not (text or "").strip() and not uploads and not body.get("embeds"):
        raise ApiError(400, 50006, "Cannot send an empty message")
    if edit and "content" in body and not (text or "").strip():
        raise ApiError(400, 50006, "Cannot send an empty message")
    nonce = body.get("nonce")
    if nonce is not None and len(str(nonce)) > NONCE_LIMIT:
        raise invalid("nonce", "NONCE_TYPE_TOO_LONG", f"Must be {NONCE_LIMIT} or fewer in length.")
    if int(body.get("flags") or 0) & ~KNOWN_FLAGS:
        raise invalid("flags", "MESSAGE_FLAGS_INVALID", "Unknown flags")
    mentions = body.get("allowed_mentions") or {}
    if set(mentions.get("parse", ())) - {"roles", "users", "everyone"}:
        raise invalid("allowed_mentions", "BASE_TYPE_CHOICES", "Value is not one of the choices")
    check_components(body.get("components") or [])


def check_components(rows: list[dict[str, Any]]) -> None:
    """Up to five rows of up to five buttons."""
    if len(rows) > 5:
        raise invalid("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    seen: set[str] = set()
    for row in rows:
        buttons = row.get("components", [])
        if row.get("type") != 1 or not 1 <= len(buttons) <= 5:
            raise invalid("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
        for button in buttons:
            if button.get("type") != 2 or button.get("style") not in (1, 2, 3, 4):
                raise invalid("components", "UNION_TYPE_CHOICES", "Value of field type is unknown")
            if not 1 <= len(button.get("label") or "") <= 80:
                raise invalid("components", "BASE_TYPE_BAD_LENGTH", "Label must be between 1 and 80 in length.")
            custom_id = button.get("custom_id") or ""
            if not 1 <= len(custom_id) <= 100:
                raise invalid("components", "BASE_TYPE_BAD_LENGTH", "custom_id must be between 1 and 100 in length.")
            if custom_id in seen:
                raise invalid("components", "COMPONENT_CUSTOM_ID_DUPLICATED", "Custom id cannot be duplicated")
            seen.add(custom_id)


def check_commands(commands: Any) -> list[dict[str, Any]]:
    """The slash commands of an application."""
    if not isinstance(commands, list) or len(commands) > 100:
        raise ApiError(400, 30032, "Maximum number of application commands reached (100).")
    names = [str(one.get("name", "")) for one in commands]
    if len(set(names)) < len(names):
        raise invalid("name", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
    for one in commands:
        if one.get("type", 1) != 1:
            raise invalid("type", "BASE_TYPE_CHOICES", "Only chat input here")
        for entry in (one, *one.get("options", ())):
            name = str(entry.get("name", ""))
            if not COMMAND_NAME.fullmatch(name) or name != name.lower():
                raise invalid("name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
            if not 1 <= len(str(entry.get("description", ""))) <= 100:
                raise invalid("description", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
        if any(option.get("type") != 3 for option in one.get("options", ())):
            raise invalid("options", "BASE_TYPE_CHOICES", "Only text options here")
    return commands


def check_reaction(emoji: str, channel: Channel) -> None:
    if not REACTION.fullmatch(emoji):
        raise ApiError(400, 10014, "Unknown Emoji")
    if channel.reactions_closed:
        raise ApiError(403, 50013, "Missing Permissions")
