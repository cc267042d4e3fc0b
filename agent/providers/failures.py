"""What went wrong between TrayClaw and a provider, as a `ProviderError` a person can act on.

Providers agree on little: the kind is read from the HTTP status, the error's own code and type, and, where they say
nothing useful, from its words.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from agent.errors import ProviderError, ProviderErrorKind
from agent.providers.http import is_loopback
from agent.providers.retry_after import retry_after

RETRYABLE: Final = frozenset({"rate_limit", "overloaded", "server", "timeout", "network"})
_LONGEST_QUOTE = 300
_SHORTEST_KEY = 6
"""A shorter one is no secret, and may well be a part of a word."""

_CONTEXT = re.compile(
    r"context[ _](?:length|window|size|limit)|maximum context|exceed_context|prompt is too long|input is too long"
    r"|token limit|too many tokens|maximum (?:prompt|input) length|input token count|reduce the length",
    re.I,
)
_QUOTA = re.compile(
    r"insufficient[_ ](?:quota|balance|credits|funds)|billing|payment|credit balance|out of credits", re.I
)
_FILTERED = re.compile(
    r"content[_ ](?:filter|policy|management)|responsibleai|safety (?:system|filter)|moderation", re.I
)
_BAD_KEY = re.compile(
    r"invalid[_ ]api[_ ]?key|api key not valid|incorrect api key|authentication_error|invalid x-api-key", re.I
)
_OVERLOADED = re.compile(r"overloaded|loading model|unavailable_error|over capacity|no capacity|server is busy", re.I)
_NO_MODEL = re.compile(r"model[_ ]not[_ ]found|model .*(?:does not exist|not found)|no such model|unknown model", re.I)
_GARBLED = re.compile(r"tool_use_failed|empty_response|failed_generation", re.I)

_TITLES: Mapping[ProviderErrorKind, str] = {
    "auth": "The key was refused",
    "permission": "The key may not do this",
    "quota": "The account is out of credit",
    "rate_limit": "Too many requests",
    "overloaded": "The provider is overloaded",
    "context_length": "The conversation is too long for this model",
    "invalid_request": "The provider refused the request",
    "not_found": "The model was not found",
    "too_large": "The message is too large",
    "content_filter": "The provider's filter stopped the answer",
    "server": "The provider has a problem",
    "timeout": "The provider did not answer in time",
    "network": "The provider could not be reached",
    "bad_response": "The answer could not be understood",
}
_AGAIN = "Try again, or choose another model."
_HINTS: Mapping[ProviderErrorKind, str] = {
    "permission": "Choose another model, or allow it in your account with the provider.",
    "quota": "Add credit to the account, or choose another model.",
    "rate_limit": "Wait a little, or choose another model.",
    "overloaded": "Try again in a moment, or choose another model.",
    "context_length": "Start a new conversation, or choose a model that reads more.",
    "invalid_request": "Choose another model, or check the provider in Settings > Models.",
    "not_found": "Choose a model from the list in Settings > Models.",
    "too_large": "Send less at once.",
    "content_filter": "Say it in other words, or choose another model.",
    "server": "Try again in a moment, or choose another model.",
    "timeout": "Try again, or choose another model.",
    "network": "Check the internet connection and try again.",
    "bad_response": "Try again, or choose another model.",
}


class Failures:
    """Makes the errors of one provider. `label` is its name for people; the key appears in no message."""

    key: str | None = None
    """The key in use, to be kept out of messages."""

    def __init__(self, name: str, label: str, base_url: str, *, key_url: str = "") -> None:
        self._name = name
        self.host = _host(base_url)
        self._loopback = is_loopback(base_url)
        self._label = label or name or self.host or "The provider"
        login = _login(base_url)
        self.address = base_url.replace(f"{login}@", "", 1) if login else base_url
        """The base URL as people may see it: without a password in it."""
        self._key_url = key_url

    def status(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """An answer with an HTTP status that is not a success."""
        error = _error_object(body)
        words = _words(error)
        kind = _kind_of_status(status, words)
        said = _message(error) or ("" if b"<" in body[:200] else body[:_LONGEST_QUOTE].decode("utf-8", "replace"))
        if 300 <= status < 400:
            said = "It points to another address."
        hint = ""
        if kind == "not_found" and not _message(error):
            hint = f"Check the address {self.address} in Settings > Models; most end in /v1."
        wait = retry_after(headers, _message(error), error) if kind in RETRYABLE else None
        return self._make(kind, self._sentence(kind, said, status), status=status, wait=wait, hint=hint)

    def in_stream(self, error: Any) -> ProviderError:
        """An error object in the middle of an answer that began well."""
        if not isinstance(error, Mapping):
            error = {"message": str(error)}
        status = next((int(code) for key in ("code", "status_code") if _is_status(code := error.get(key))), 0)
        words = _words(error)
        kind = _kind_of_status(status, words) if status else _kind_of_words(words) or "server"
        wait = retry_after({}, _message(error), error) if kind in RETRYABLE else None
        return self._make(kind, self._sentence(kind, _message(error), status), status=status or None, wait=wait)

    def broke_off(self) -> ProviderError:
        """The stream ended before the answer did."""
        return self._make("network", f"The answer of {self._label} broke off.", title="The answer broke off")

    def silent(self) -> ProviderError:
        """A success without an answer in it."""
        return self._make("bad_response", f"{self._label} sent an empty answer.", title="The answer was empty")

    def fell_silent(self) -> ProviderError:
        """Nothing but signs of life for too long."""
        return self._make("timeout", f"{self._label} fell silent.")

    def cannot_unpack(self) -> ProviderError:
        """A compressed body that is damaged, or of a kind that was not asked for."""
        return self._make("bad_response", f"{self._label} sent an answer that could not be unpacked.")

    def garbage(self, body: bytes) -> ProviderError:
        """A success that is not an answer of this protocol."""
        what = "a web page" if body.lstrip()[:1] == b"<" else "something that is not an answer of a model"
        hint = f"Check the address {self.address} in Settings > Models; most end in /v1."
        return self._make("bad_response", f"{self._label} sent {what}.", hint=hint)

    def too_big(self, limit: int) -> ProviderError:
        """The answer has more bytes than anything sensible."""
        return self._make("bad_response", f"{self._label} sent more than {limit // 2**20} MB; the rest was not read.")

    def no_key(self) -> ProviderError:
        """A key is needed and none is stored."""
        return self._make("auth", f"No key for {self._label} is stored.")

    def bad_key(self) -> ProviderError:
        """The key cannot even be sent."""
        return self._make("auth", "The stored key contains characters that no key has.")

    def bad_address(self) -> ProviderError:
        """The base URL is not one."""
        hint = "Correct the address in Settings > Models; it begins with http:// or https://."
        return self._make("invalid_request", f"“{self.address}” is not a usable address.", hint=hint)

    def transport(self, error: Exception) -> ProviderError:
        """httpx could not connect, or the connection failed later."""
        import httpx

        if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
            return self._make("timeout", f"No connection to {self.host} could be made in time.")
        if isinstance(error, httpx.TimeoutException):
            silent = self.fell_silent()
            silent.reached = isinstance(error, httpx.ReadTimeout)
            return silent
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
            return self.bad_address()
        if isinstance(error, httpx.DecodingError):
            return self.cannot_unpack()
        if isinstance(error, httpx.ConnectError):
            return self._no_connection(error)
        if isinstance(error, httpx.ProxyError):
            return self._make("network", "The proxy refused the connection.", hint="Check the proxy settings.")
        return self._make("network", f"The connection to {self.host} broke.", title="The connection broke")

    def _no_connection(self, error: Exception) -> ProviderError:
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                message = f"The certificate of {self.host} cannot be trusted: {cause.verify_message}."
                hint = (
                    "Check the clock of this computer, and whether a proxy or virus scanner opens secure connections."
                )
                return self._make("network", message, retryable=False, hint=hint)
            if isinstance(cause, ssl.SSLError):
                hint = f"Check the address {self.address}: it may be plain http://."
                return self._make("network", f"{self.host} does not speak TLS.", retryable=False, hint=hint)
            if isinstance(cause, socket.gaierror):
                hint = "Check the internet connection, and the address in Settings > Models."
                return self._make("network", f"The address {self.host} was not found.", hint=hint)
        if self._loopback:
            what = f"Is {self._label} running?" if self._label != self.host else "Is the model server running?"
            return self._make(
                "network", f"Nothing answers at {self.host}. {what}", hint="Start it, or choose another model."
            )
        return self._make("network", f"{self.host} cannot be reached.")

    def _sentence(self, kind: ProviderErrorKind, said: str, status: int) -> str:
        number = f" ({status})" if status else ""
        if kind == "auth":
            return f"{self._label} refused the key{number}." if self.key else f"{self._label} wants a key{number}."
        said = " ".join(self._redacted(said).split())
        if len(said) > _LONGEST_QUOTE:
            said = said[:_LONGEST_QUOTE].rstrip() + "…"
        return f"{self._label} says{number}: {said}" if said else f"{self._label} gave no reason{number}."

    def _make(
        self,
        kind: ProviderErrorKind,
        message: str,
        *,
        status: int | None = None,
        wait: float | None = None,
        retryable: bool | None = None,
        title: str = "",
        hint: str = "",
    ) -> ProviderError:
        if kind == "auth" and not hint:
            hint = f"{'Check' if self.key else 'Enter'} the key in Settings > Models."
            if self._key_url:
                hint = (
                    f"Make a {'new key' if self.key else 'key'} at {self._key_url} and paste it in Settings > Models."
                )
        if kind == "network" and not hint and (self._loopback or not self.address):
            hint = "Try again; if it happens again, look at what the model server reports." if self.address else _AGAIN
        if kind == "auth" and not self.key:
            title = title or "A key is missing"
        return ProviderError(
            kind,
            self._redacted(message),
            retryable=kind in RETRYABLE if retryable is None else retryable,
            retry_after=wait,
            status=status,
            provider=self._name,
            title=title or _TITLES[kind],
            hint=hint or _HINTS.get(kind, ""),
        )

    def _redacted(self, text: str) -> str:
        return text.replace(self.key, "•••") if self.key and len(self.key) >= _SHORTEST_KEY else text


def _kind_of_status(status: int, words: str) -> ProviderErrorKind:
    """The HTTP status decides where it is precise; the words where providers use one status for many things."""
    if status in (401, 407):
        return "auth"
    if status == 402:
        return "quota"
    if status == 403:
        return "auth" if _BAD_KEY.search(words) else "permission"
    if status == 404:
        return "not_found"
    if status == 408:
        return "timeout"
    if status == 429:
        if "perminute" in words.lower():  # Gemini speaks of quota and billing there too
            return "rate_limit"
        return "quota" if _QUOTA.search(words) or "perday" in words.lower() else "rate_limit"
    if status in (498, 503, 529):
        return "overloaded"
    by_words = _kind_of_words(words)
    if by_words:
        return by_words
    if status == 413:
        return "too_large"
    return "server" if status >= 500 else "invalid_request"


def _kind_of_words(words: str) -> ProviderErrorKind | None:
    """The kind that the words give away; the order matters where several fit."""
    tests: tuple[tuple[re.Pattern[str], ProviderErrorKind], ...] = (
        (_GARBLED, "bad_response"),
        (_BAD_KEY, "auth"),
        (_CONTEXT, "context_length"),
        (_FILTERED, "content_filter"),
        (_QUOTA, "quota"),
        (re.compile("rate_limit", re.I), "rate_limit"),
        (_OVERLOADED, "overloaded"),
        (_NO_MODEL, "not_found"),
        (re.compile("invalid_request_error", re.I), "invalid_request"),
    )
    return next((kind for pattern, kind in tests if pattern.search(words)), None)


def _error_object(body: bytes) -> Mapping[str, Any]:
    """The error in a body: `{"error": {...}}`, `{"error": "..."}`, a bare object, or Google's list of one."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, Mapping):
        return {}
    error = found.get("error", found)
    return error if isinstance(error, Mapping) else {"message": str(error)}


def _message(error: Mapping[str, Any]) -> str:
    for key in ("message", "detail", "error"):
        value = error.get(key)
        if isinstance(value, str) and value:
            metadata = error.get("metadata")
            raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
            return f"{value}: {raw}" if isinstance(raw, str) and raw else value
        if isinstance(value, list | Mapping) and value:
            return json.dumps(value, ensure_ascii=False)
    return ""


def _words(error: Mapping[str, Any]) -> str:
    """Everything in an error that tells its kind."""
    quotas = ""
    if isinstance(error.get("details"), list):
        quotas = json.dumps(error["details"])
    return (
        " ".join(str(error.get(key) or "") for key in ("code", "type", "status", "message", "detail", "error")) + quotas
    )


def _host(base_url: str) -> str:
    """Host and port, without a user's name."""
    try:
        return urlsplit(base_url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _login(base_url: str) -> str:
    try:
        return urlsplit(base_url).netloc.rpartition("@")[0]
    except ValueError:
        return ""


def _is_status(code: Any) -> bool:
    return str(code).isdigit() and 400 <= int(code) < 600


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything behind it, groups included."""
    seen: list[BaseException] = [error]
    while seen:
        current = seen.pop()
        yield current
        if isinstance(current, BaseExceptionGroup):
            seen.extend(current.exceptions)
        seen.extend(cause for cause in (current.__cause__, current.__context__) if cause is not None)
