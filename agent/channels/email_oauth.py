"""Access tokens of OAuth2 for mail servers (XOAUTH2): the provider gives them for a refresh token (RFC 6749, 6)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from agent.errors import ChannelError
from agent.providers.http import Timeouts, is_loopback, open_client
from agent.settings import EmailSettings, NetworkSettings

EARLY_SECONDS: Final = 120.0
"""A token is not used so shortly before its end."""
_HINT = "Allow TrayClaw again at your provider and enter the new refresh token in Settings > Channels."


class AccessTokens:
    """`secret` gives the refresh token by the name `email-oauth`, and the client's own secret, where the provider wants
    one, after a space: providers ask for it from desktop programs too, though it is none there."""

    def __init__(
        self, settings: EmailSettings, network: NetworkSettings, secret: Callable[[str], Awaitable[str | None]]
    ) -> None:
        self._settings = settings
        self._network = network
        self._secret = secret
        self._token = ""
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def get(self) -> str:
        """A token that is valid now. Raises ChannelError (wrong_token, network, rejected)."""
        async with self._asking:
            if not self._token or time.monotonic() >= self._until:
                self._token, seconds = await self._refresh()
                self._until = time.monotonic() + max(0.0, seconds - EARLY_SECONDS)
            return self._token

    def forget(self) -> None:
        """A server refused it: ask for a new one at the next `get`."""
        self._token = ""

    async def _refresh(self) -> tuple[str, float]:
        settings = self._settings
        stored = await self._secret("email-oauth")
        if not stored:
            raise ChannelError("wrong_token", "There is no refresh token for the mailbox yet.", hint=_HINT)
        url = settings.oauth_token_url
        if not (url.startswith("https://") or (url.startswith("http://") and is_loopback(url))):
            words = "The address for access tokens must begin with https://."
            raise ChannelError("rejected", words, hint="Set channels.email.oauth_token_url.")
        refresh_token, _, client_secret = stored.partition(" ")
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": settings.oauth_client_id}
        form |= {"client_secret": client_secret} if client_secret else {}
        form |= {"scope": settings.oauth_scope} if settings.oauth_scope else {}
        client = await open_client(url, Timeouts(idle=20.0), self._network)
        import httpx

        try:
            async with client:
                answer = await client.post(url, data=form, headers={"Accept": "application/json"})
                found = answer.json() if len(answer.content) < 100_000 else {}
        except httpx.HTTPError:
            # not chained: the request, which carries the token, hangs on these
            raise ChannelError("network", "The provider's address for access tokens cannot be reached.") from None
        except ValueError:
            found = {}
        return _read(answer.status_code, found if isinstance(found, dict) else {})


def _read(status: int, found: dict[str, object]) -> tuple[str, float]:
    token = found.get("access_token")
    if status == 200 and isinstance(token, str) and token:
        seconds = found.get("expires_in", 3600)
        return token, float(seconds) if isinstance(seconds, int | float | str) and str(seconds).isdigit() else 3600.0
    reason = str(found.get("error", ""))[:60]
    if reason in ("invalid_grant", "invalid_client", "unauthorized_client"):
        words = f"The provider does not accept the refresh token ({reason})."
        raise ChannelError("wrong_token", words, hint=_HINT)
    if status == 429 or status >= 500:
        raise ChannelError("network", f"The provider gives no access token at the moment ({status}).")
    raise ChannelError("rejected", f"The provider gives no access token ({reason or status}).", hint=_HINT)
