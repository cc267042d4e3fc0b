"""What Slack refuses, and how connections break, as ChannelError. None of them carries a token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from agent.errors import ChannelError, ChannelErrorKind

if TYPE_CHECKING:
    from slack_sdk.errors import SlackApiError

_CODES: Final[Mapping[ChannelErrorKind, str]] = {
    "wrong_token": "not_authed invalid_auth token_revoked token_expired account_inactive not_allowed_token_type"
    " org_login_required app_uninstalled",
    "rate_limit": "ratelimited rate_limited message_limit_exceeded",
    "not_found": "channel_not_found message_not_found thread_not_found user_not_found cant_update_message"
    " edit_window_closed file_not_found file_deleted",
    "forbidden": "not_in_channel is_archived restricted_action access_denied no_permission missing_scope cannot_dm_bot"
    " user_disabled messages_tab_disabled restricted_action_read_only_channel restricted_action_thread_only_channel",
    "network": "internal_error fatal_error service_unavailable request_timeout",
}
"""Anything else is "rejected": the same message would be refused again."""
_KINDS: Final = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
_MAY_HAVE_WORKED = ("internal_error", "fatal_error")
"""Slack says of these that a part of the request may have been done."""
_REASONS: Final = {
    "channel_not_found": "the conversation does not exist, or the app is not in it",
    "not_in_channel": "the app is not in the channel; invite it there",
    "is_archived": "the channel is archived",
    "msg_too_long": "the message is too long",
    "msg_blocks_too_long": "the message is too long",
    "account_inactive": "the app was removed from the workspace",
    "token_revoked": "the token was revoked",
}
_AGAIN_SECONDS = 30.0


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Errors of the library and of its HTTP client come out as ChannelError."""
    import aiohttp
    from slack_sdk.errors import SlackApiError, SlackClientError

    try:
        yield
    except SlackApiError as error:
        # Not chained: the original holds the headers of the request, and so the token.
        raise _refused(error) from None
    except SlackClientError as error:
        raise ChannelError("rejected", f"Slack's library refuses the request: {type(error).__name__}.") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ChannelError("network", "Slack cannot be reached.", uncertain=may_have_arrived(error)) from None


def may_have_arrived(error: Exception) -> bool:
    """Whether the request was on its way when the connection broke."""
    import aiohttp

    return not isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL))


def code_of(error: SlackApiError) -> str:
    """Slack's word for it, empty where it gave none."""
    data = error.response.data if hasattr(error.response, "data") else error.response
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def _refused(error: SlackApiError) -> ChannelError:
    code = code_of(error)
    response = error.response
    status = int(getattr(response, "status_code", 200))
    kind = _KINDS.get(code, "rejected")
    if status == 429 or kind == "rate_limit":
        return rate_limited(getattr(response, "headers", {}))
    if not code and status >= 500:
        return ChannelError("network", f"Slack is in trouble ({status}).", uncertain=status != 503)
    if code == "missing_scope":
        needed = str(response.get("needed") or "a permission")
        return ChannelError(
            "forbidden",
            f"The Slack app lacks the permission {needed}.",
            hint="Add it at api.slack.com/apps > OAuth & Permissions and install the app again.",
        )
    if kind == "wrong_token":
        why = f": {_REASONS[code]}" if code in _REASONS else ""
        return ChannelError(
            "wrong_token",
            f"Slack does not accept the bot token{why}.",
            hint="Copy it again from api.slack.com/apps > OAuth & Permissions into Settings > Channels.",
        )
    if kind == "network":
        return ChannelError("network", f"Slack is in trouble ({code}).", uncertain=code in _MAY_HAVE_WORKED)
    return ChannelError(kind, f"Slack says: {_REASONS.get(code, code or f'status {status}')}.")


def rate_limited(headers: Mapping[str, str]) -> ChannelError:
    """A 429, or the same in a body."""
    try:
        seconds = float(headers.get("Retry-After", _AGAIN_SECONDS))
    except ValueError:
        seconds = _AGAIN_SECONDS
    return ChannelError("rate_limit", f"Slack asks to wait {seconds:.0f} s.", retry_after=seconds)
