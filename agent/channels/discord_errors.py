"""What goes wrong at Discord, as ChannelError. The originals are not chained: their requests carry the token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agent.errors import ChannelError

if TYPE_CHECKING:
    from discord import HTTPException

INTENTS_AGAIN_SECONDS = 300.0
"""Discord allows 1,000 sessions a day and revokes the token of a bot that begins more."""

_REFUSED_SESSION = (4010, 4011, 4012)
"""Close codes that are about shards and versions: https://discord.com/developers/docs/topics/opcodes-and-status-codes."""


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turns the errors of discord.py and of its HTTP client into `ChannelError`."""
    import aiohttp
    import discord

    try:
        yield
    except discord.LoginFailure:
        raise wrong_token() from None
    except discord.RateLimited as error:
        words = f"Discord asks to wait {error.retry_after:.0f} s."
        raise ChannelError("rate_limit", words, retry_after=error.retry_after) from None
    except discord.ConnectionClosed as error:
        raise _closed(error.code) from None
    except discord.GatewayNotFound:
        raise ChannelError("network", "Discord cannot be reached.") from None
    except discord.HTTPException as error:
        raise _refused(error) from None
    except aiohttp.ClientConnectorError:
        raise ChannelError("network", "Discord cannot be reached.") from None
    except (aiohttp.ClientError, TimeoutError, OSError):
        raise ChannelError("network", "The connection to Discord broke.", uncertain=True) from None
    except RuntimeError as error:
        if "closed" not in str(error).lower():  # "Session is closed": it was, while the call waited its turn
            raise
        raise ChannelError("network", "Discord is not connected.") from None


def wrong_token() -> ChannelError:
    """The token is not (or no longer) that of a bot."""
    return ChannelError(
        "wrong_token",
        "Discord does not accept the bot token.",
        hint="Copy it again from discord.com/developers/applications > Bot into Settings > Channels.",
    )


def missing_intents() -> ChannelError:
    """The switch that lets a bot read what people write is off."""
    return ChannelError(
        "forbidden",
        "This Discord bot may not read messages.",
        retry_after=INTENTS_AGAIN_SECONDS,
        hint="Switch on “Message Content Intent” at discord.com/developers/applications > Bot, then start it again.",
    )


def _closed(code: int) -> ChannelError:
    if code == 4004:
        return wrong_token()
    if code in (4013, 4014):
        return missing_intents()
    if code in _REFUSED_SESSION:
        return ChannelError("network", f"Discord refuses the connection ({code}).", retry_after=INTENTS_AGAIN_SECONDS)
    return ChannelError("network", "The connection to Discord is lost.")


def _refused(error: HTTPException) -> ChannelError:
    said = " ".join(error.text.split())[:300] or f"status {error.status}"
    match error.status:
        case 401:
            return wrong_token()
        case 403:
            return ChannelError("forbidden", f"Discord refuses it: {said}.")
        case 404:
            return ChannelError("not_found", f"Discord says: {said}.")
        case 429:
            seconds = _seconds(error.response.headers.get("Retry-After"))
            return ChannelError("rate_limit", f"Discord asks to wait {seconds:.0f} s.", retry_after=seconds)
        case status if status >= 500:
            return ChannelError("network", f"Discord has trouble at the moment ({status}).")
        case _:
            return ChannelError("rejected", f"Discord says: {said}.")


def _seconds(retry_after: str | None) -> float:
    try:
        return max(1.0, float(retry_after or 5.0))
    except ValueError:
        return 5.0
