"""On the page of channels: answers that did not arrive, and the groups in which members are answered."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Signal

from agent.views import Group, Undelivered
from desktop import theme
from desktop.settings.times import clock, day
from desktop.widgets import Button, Card

MOST_ROWS = 20
SHOWN_CHARS = 90


class UndeliveredCard(Card):
    """`resend(outbox id)`, `drop(outbox id)`."""

    resend = Signal(int)
    drop = Signal(int)

    def __init__(self) -> None:
        super().__init__(object_name="undelivered")
        self.setAccessibleName(self.tr("Answers that did not arrive"))

    def show_rows(self, rows: list[Undelivered]) -> None:
        """The newest first."""
        self.clear()
        self.setVisible(bool(rows))
        for row in rows[:MOST_ROWS]:
            text = " ".join(row.text.split())
            shown = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
            detail = self.tr("{who}, {time}: {error}").format(
                who=row.conversation, time=clock(row.created_at), error=row.error
            )
            again = Button(self.tr("Send again"), object_name=f"resend{row.outbox_id}")
            leave = Button(self.tr("Dismiss"), object_name=f"dismiss{row.outbox_id}")
            for button, signal in ((again, self.resend), (leave, self.drop)):
                button.setAccessibleName(f"{button.text()}: {shown}")
                button.clicked.connect(lambda _on=False, signal=signal, number=row.outbox_id: signal.emit(number))
            line = self.add_row(
                shown or self.tr("(a file)"),
                detail,
                again,
                leave,
                icon=theme.channel_icon(row.channel),
                object_name=f"undelivered{row.outbox_id}",
            )
            line.set_tone("amber")


class GroupsCard(Card):
    """`left(channel, group id)` when one is to be answered no more."""

    left = Signal(str, str)

    def __init__(self) -> None:
        super().__init__(object_name="groups")
        self.setAccessibleName(self.tr("Groups"))

    def show_rows(self, rows: list[Group], labels: Mapping[str, str]) -> None:
        """The first one first; `labels` are the names of the channels."""
        self.clear()
        self.setVisible(bool(rows))
        for row in rows:
            leave = Button(self.tr("Stop answering"), "danger", object_name=f"leave-{row.channel}-{row.group_id}")
            leave.setAccessibleName(self.tr("Stop answering in {group}").format(group=row.title or row.group_id))
            leave.clicked.connect(lambda _on=False, one=row: self.left.emit(one.channel, one.group_id))
            detail = self.tr("{channel} · since {day} · members may have files and web pages read").format(
                channel=labels.get(row.channel, row.channel), day=day(row.since)
            )
            self.add_row(row.title or row.group_id, detail, leave, icon=theme.channel_icon(row.channel))
