"""Times, amounts and kinds of failure in the words of the chat window."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QLocale

from desktop.settings.times import clock
from desktop.state import model_label

if TYPE_CHECKING:
    from agent.providers.types import Usage

SETTINGS_KINDS = frozenset(
    {"auth", "permission", "config", "usage", "not_found", "quota", "secret", "keyring_locked", "no_keyring"}
)
"""Failures that trying again does not mend: what is wrong is found in the settings."""

_DAY = 86_400.0
SHORTEST = 0.05  # s; less is not worth a number


def tr(text: str) -> str:
    """The person's language for a text of this module."""
    return QCoreApplication.translate("chat", text)


def when(moment: float, now: float | None = None) -> str:
    """A Unix time in a list: "now", the time of day, the day of the week, the date."""
    now = time.time() if now is None else now
    if now - moment < 60:
        return tr("now")
    then, today = time.localtime(moment), time.localtime(now)
    locale = QLocale()
    if then[:3] == today[:3]:
        return clock(moment)
    if now - moment < 6 * _DAY:
        return locale.dayName(then.tm_wday + 1, QLocale.FormatType.ShortFormat)
    month = locale.monthName(then.tm_mon, QLocale.FormatType.ShortFormat)
    return f"{then.tm_mday} {month}" if then.tm_year == today.tm_year else f"{month} {then.tm_year}"


def duration(seconds: float) -> str:
    """0.8 s, 12 s, 2 min 5 s."""
    if seconds < 9.95:
        return tr("{n} s").format(n=f"{seconds:.1f}")
    if seconds < 60:
        return tr("{n} s").format(n=round(seconds))
    minutes, rest = divmod(round(seconds), 60)
    return tr("{m} min {s} s").format(m=minutes, s=rest)


def money(usd: float) -> str:
    """$0.018; with more digits the smaller it is."""
    if usd >= 1:
        return f"${usd:.2f}"
    if usd >= 0.0005:
        return f"${usd:.3f}"
    return "<$0.001"


def receipt(seconds: float, usage: Usage, cost_usd: float, model: str) -> str:
    """The foot of an answer: time, tokens, cost, model."""
    tokens = usage.input_tokens + usage.output_tokens
    facts = [duration(seconds)] if seconds >= SHORTEST else []
    if tokens:
        facts.append(tr("{n} tokens").format(n=f"{tokens:,}"))
    if cost_usd > 0:
        facts.append(money(cost_usd))
    if model and facts:
        facts.append(model_label(model))
    return " · ".join(facts)
