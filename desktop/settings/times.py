"""Moments in the words of the person's locale. Arguments are Unix times in seconds."""

from __future__ import annotations

from PySide6.QtCore import QDateTime, QLocale


def clock(moment: float) -> str:
    """The time of day, such as 9:41."""
    return QLocale().toString(_local(moment).time(), QLocale.FormatType.ShortFormat)


def day(moment: float) -> str:
    """The date, such as 22 Nov 2026."""
    locale, date = QLocale(), _local(moment).date()
    if locale.language() == QLocale.Language.C:  # its short form has only numbers, the day first
        return locale.toString(date, "d MMM yyyy")
    return locale.toString(date, QLocale.FormatType.ShortFormat)


def _local(moment: float) -> QDateTime:
    return QDateTime.fromSecsSinceEpoch(int(moment))
