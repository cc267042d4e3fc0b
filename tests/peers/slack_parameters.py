"""How a call of the Web API must look: its content type, its token, its parameters."""

import json
from typing import Any, NamedTuple

from aiohttp import web

from tests.peers.slack_chats import ApiError


class Rule(NamedTuple):
    needed: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    takes_json: bool = False
    """Methods that read take no JSON: they would see no parameter at all."""


WINDOW = ("cursor", "inclusive", "latest", "limit", "oldest")
RULES = {
    "auth.test": Rule(),
    "apps.connections.open": Rule(),
    "chat.postMessage": Rule(
        ("channel",), ("text", "blocks", "thread_ts", "unfurl_links", "unfurl_media", "mrkdwn"), True
    ),
    "chat.update": Rule(("channel", "ts"), ("text", "blocks"), True),
    "chat.delete": Rule(("channel", "ts"), (), True),
    "reactions.add": Rule(("channel", "timestamp", "name"), (), True),
    "reactions.remove": Rule(("name",), ("channel", "timestamp"), True),
    "users.info": Rule(("user",), ("include_locale",)),
    "users.conversations": Rule((), ("cursor", "exclude_archived", "limit", "types", "user")),
    "conversations.open": Rule((), ("users", "channel", "return_im"), True),
    "conversations.info": Rule(("channel",), ("include_locale", "include_num_members")),
    "conversations.history": Rule(("channel",), WINDOW),
    "conversations.replies": Rule(("channel", "ts"), WINDOW),
    "files.info": Rule(("file",), ()),
    "files.getUploadURLExternal": Rule(("filename", "length"), ("alt_txt", "snippet_type")),
    "files.completeUploadExternal": Rule(("files",), ("channel_id", "thread_ts", "initial_comment"), True),
    "assistant.threads.setStatus": Rule(("channel_id", "thread_ts", "status"), ("loading_messages",), True),
}


async def read(request: web.Request, method: str, token: str) -> dict[str, Any]:
    """The parameters of a call. Raises `ApiError` as Slack refuses it."""
    rule = RULES.get(method)
    if rule is None:
        raise ApiError("unknown_method", req_method=method)
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not given:
        raise ApiError("not_authed")
    if given != token:
        raise ApiError("not_allowed_token_type" if given[:5] != token[:5] else "invalid_auth")
    found: dict[str, Any] = dict(request.query)
    if request.can_read_body and (body := await request.read()):
        match request.content_type:
            case "application/json" if not rule.takes_json:
                raise ApiError("invalid_arguments")
            case "application/json":
                if (request.charset or "utf-8").lower() != "utf-8":
                    raise ApiError("invalid_charset")
                found |= _object(body)
            case "application/x-www-form-urlencoded":
                found |= dict(await request.post())
            case _:
                raise ApiError("invalid_post_type")
    if "token" in found:
        raise ApiError("invalid_auth")  # a token in an address ends up in logs
    if missing := [name for name in rule.needed if found.get(name) in (None, "") and name != "status"]:
        raise ApiError("invalid_arguments", response_metadata={"messages": [f"missing: {missing}"]})
    if unknown := set(found) - set(rule.needed) - set(rule.known):
        raise ApiError("invalid_arguments", response_metadata={"messages": [f"unknown: {sorted(unknown)}"]})
    if isinstance(found.get("blocks"), str):
        found["blocks"] = _array(found["blocks"])
    if isinstance(found.get("files"), str):
        found["files"] = _array(found["files"])
    return found


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        raise ApiError("invalid_json") from None
    if not isinstance(found, dict):
        raise ApiError("json_not_object")
    return found


def _array(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError:
        raise ApiError("invalid_array_arg") from None
    if not isinstance(found, list):
        raise ApiError("invalid_array_arg")
    return found
