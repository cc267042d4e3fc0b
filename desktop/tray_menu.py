"""What the tray's menu says for a state: a pure list of entries, each with the name that its action is found by."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from agent.events import ChannelState
from agent.views import ChannelHealth
from desktop.state import AppState, count

CHANNEL_PREFIX = "trayChannel-"

_HEALTH: dict[ChannelState, str] = {
    "stopped": "off",
    "connecting": "connecting…",
    "ready": "ready",
    "degraded": "reconnecting…",
    "wrong_token": "wrong token",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu. `checked` None: it has no check mark. An empty name is a separator."""

    name: str = ""
    text: str = ""
    enabled: bool = True
    checked: bool | None = None
    detail: str = ""


SEPARATOR = Entry()


def entries(state: AppState) -> list[Entry]:
    """The menu from top to bottom."""
    running = state.phase == "running"
    lines = [Entry("trayState", state.words, enabled=False)]
    if running:
        lines.append(Entry("trayMoney", state.money, enabled=False))
        lines += _section(_waiting(state))
        lines += _section([_channel(channel) for channel in state.channels])
    lines += [SEPARATOR, Entry("trayOpen", tr("Open TrayClaw"))]
    if running:
        lines.append(Entry("trayStopAll", tr("Stop all now"), enabled=bool(state.busy)))
        lines += [SEPARATOR, Entry("traySettings", tr("Settings…"))]
    else:
        lines.append(SEPARATOR)
    lines.append(Entry("trayQuit", tr("Quit"), enabled=state.phase != "stopping"))
    return lines


def health(channel: ChannelHealth) -> str:
    """A channel's health in one or two words."""
    return tr(_HEALTH[channel.state]) if channel.configured else tr("not set up")


def is_on(channel: ChannelHealth) -> bool:
    """Whether a click stops it."""
    return channel.configured and channel.state not in ("stopped", "wrong_token")


def tr(text: str) -> str:
    """The person's language for a text of this module."""
    return QCoreApplication.translate("tray", text)


def _section(lines: list[Entry]) -> list[Entry]:
    return [SEPARATOR, *lines] if lines else []


def _waiting(state: AppState) -> list[Entry]:
    lines = []
    if state.approvals:
        text = count(len(state.approvals), tr("1 approval waits… Show"), tr("{n} approvals wait… Show"))
        lines.append(Entry("trayApprovals", text))
    if state.questions:
        text = count(len(state.questions), tr("1 question waits… Show"), tr("{n} questions wait… Show"))
        lines.append(Entry("trayQuestions", text))
    if state.pairings:
        one, many = tr("1 person asks to be paired… Show"), tr("{n} people ask to be paired… Show")
        text = count(len(state.pairings), one, many)
        lines.append(Entry("trayPairings", text))
    if state.undelivered:
        one, many = tr("1 answer did not arrive… Show"), tr("{n} answers did not arrive… Show")
        lines.append(Entry("trayUndelivered", count(len(state.undelivered), one, many)))
    return lines


def _channel(channel: ChannelHealth) -> Entry:
    return Entry(
        CHANNEL_PREFIX + channel.name,
        f"{channel.label}: {health(channel)}",
        checked=is_on(channel) if channel.configured else None,
        detail=channel.detail,
    )
