"""How long a provider wants a client to wait: from headers, from the error's fields, from its words."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

_SPOKEN = re.compile(
    r"(?:try again|retry|wait)(?: again)?(?: in| after)?\s+((?:\d+(?:\.\d+)?\s*(?:ms|h|m|s)[a-z]*\s*)+)", re.I
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|h|m|s)", re.I)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def retry_after(headers: Mapping[str, str], text: str, error: Mapping[str, Any]) -> float | None:
    """Seconds, or None where nothing is said.

    Sources: RFC 9110, section 10.2.3; google.rpc.RetryInfo; sentences such as "try again in 15m37.44s".
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    header = headers.get("retry-after")
    if header:
        seconds = _number(header)
        return seconds if seconds is not None else _until(header)
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping) and isinstance(detail.get("retryDelay"), str):
            return _duration(detail["retryDelay"])
    spoken = _SPOKEN.search(text)
    return _duration(spoken[1]) if spoken else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None


def _until(date: str) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _duration(text: str) -> float | None:
    parts = _DURATION.findall(text)
    return round(sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts), 6) if parts else None
