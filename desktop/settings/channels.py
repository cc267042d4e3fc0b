"""The page of channels: token, start and stop, health, who asks to be let in and who may talk."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from PySide6.QtGui import QShowEvent

from agent.errors import TrayClawError
from agent.events import ChannelChanged
from agent.views import PairingRequest, Person
from desktop import tasks, theme
from desktop.settings.channel_row import ChannelRow
from desktop.settings.deliveries import GroupsCard, UndeliveredCard
from desktop.settings.keyring import KeyringBanner
from desktop.settings.page import SettingsPage
from desktop.settings.times import clock, day
from desktop.widgets import Button, Card, PageHeader, Row, TextLabel

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge


class ChannelsPage(SettingsPage):
    """Follows the agent's events: what happens while it is open is seen at once."""

    def __init__(self, service: AgentService, bridge: Bridge) -> None:
        header = PageHeader(
            self.tr("Channels"),
            self.tr("Only you and people you pair can talk to TrayClaw. Everyone else is turned away."),
        )
        super().__init__(service, bridge, header, "channelsPage")
        self._channels: dict[str, ChannelRow] = {}
        self._reading: asyncio.Task[None] | None = None
        self._again = False
        self.keyring = KeyringBanner(service.secrets)
        self.add(self.keyring)
        self.card = Card(object_name="channels", accessible_name=self.tr("Channels"))
        self.pairings = Card(object_name="pairings", accessible_name=self.tr("People who ask to be paired"))
        self.undelivered_title = TextLabel(self.tr("Answers that did not arrive"), "heading")
        self.undelivered = UndeliveredCard()
        self.groups_title = TextLabel(self.tr("Groups in which members are answered"), "heading")
        self.groups = GroupsCard()
        self.people_title = TextLabel(self.tr("People who may talk to TrayClaw"), "heading")
        self.people = Card(object_name="people", accessible_name=self.tr("People"))
        people = (self.people_title, self.people, self.groups_title, self.groups)
        for widget in (self.undelivered_title, self.undelivered, self.card, self.pairings, *people):
            self.add(widget)
        for widget in (self.undelivered_title, self.undelivered, self.pairings, *people):
            widget.hide()
        self.undelivered.resend.connect(lambda number: tasks.run(self._done(service.deliveries.resend(number))))
        self.undelivered.drop.connect(lambda number: tasks.run(self._done(service.deliveries.give_up(number))))
        self.groups.left.connect(lambda channel, group: tasks.run(self._done(service.disable_group(channel, group))))
        bridge.delivery_changed.connect(self._something_changed)
        bridge.channel_changed.connect(self._channel_changed)
        bridge.pairing_asked.connect(self._something_changed)
        bridge.pairing_resolved.connect(self._something_changed)
        bridge.settings_changed.connect(self._something_changed)
        self.keyring.usable.connect(self.entered)

    def entered(self) -> None:
        if self._reading is not None and not self._reading.done():
            self._again = True
            return
        self._reading = tasks.run(self._read())

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not event.spontaneous():
            self.service.look_for_tokens()

    def _something_changed(self, _event: object) -> None:
        if self.isVisible():
            self.entered()

    def _channel_changed(self, event: ChannelChanged) -> None:
        for health in self.service.channels():
            if health.name == event.channel and health.name in self._channels:
                self._channels[health.name].show_health(health)

    async def _read(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            await self.keyring.place()
            try:
                asked, people = await self.service.pairing_requests(), await self.service.people()
                undelivered, groups = await self.service.deliveries.undelivered(), await self.service.groups()
            except TrayClawError as error:
                self.show_problem(error)
                return
            self._show_channels()
            self._show_pairings(asked)
            self._show_people(people)
            self.undelivered_title.setVisible(bool(undelivered))
            self.undelivered.show_rows(undelivered)
            self.groups_title.setVisible(bool(groups))
            self.groups.show_rows(groups, {health.name: health.label for health in self.service.channels()})

    async def _done(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except TrayClawError as error:
            self.show_problem(error)
        self.entered()

    def _show_channels(self) -> None:
        for health in self.service.channels():
            row = self._channels.get(health.name)
            if row is None:
                row = ChannelRow(self.service, health)
                row.failed.connect(self.show_problem)
                row.secret_problem.connect(self.keyring.show_error)
                self._channels[health.name] = row
                self.card.append(row)
            else:
                row.show_health(health)

    def _show_pairings(self, asked: list[PairingRequest]) -> None:
        self.pairings.clear()
        self.pairings.setVisible(bool(asked))
        for request in asked:
            self._add_pairing(request)

    def _add_pairing(self, request: PairingRequest) -> None:
        who = request.name or self.tr("Someone new")
        title = self.tr("{who} (id {id}) wants to talk to TrayClaw").format(who=who, id=request.user_id)
        detail = self.tr("Code shown there: {code} · asked {asked} · expires {expires}").format(
            code=request.code, asked=clock(request.asked_at), expires=clock(request.expires_at)
        )
        pair = Button(self.tr("Pair"), "primary", object_name=f"pair-{request.code}")
        deny = Button(self.tr("Deny"), object_name=f"deny-{request.code}")
        for button, approve in ((pair, True), (deny, False)):
            button.setAccessibleName(f"{button.text()} {who} ({request.user_id})")
            button.clicked.connect(lambda _checked=False, yes=approve: tasks.run(self._resolve(request.code, yes)))
        row = self.pairings.add_row(
            title, detail, pair, deny, icon=theme.channel_icon(request.channel), object_name=f"pairing-{request.code}"
        )
        row.set_tone("amber")

    def _show_people(self, people: list[Person]) -> None:
        self.people.clear()
        self.people.setVisible(bool(people))
        self.people_title.setVisible(bool(people))
        for person in people:
            self._add_person(person)

    def _add_person(self, person: Person) -> Row:
        name = person.name or self.tr("id {id}").format(id=person.user_id)
        label = next(
            (health.label for health in self.service.channels() if health.name == person.channel), person.channel
        )
        icon = theme.channel_icon(person.channel)
        if person.role == "owner":
            detail = self.tr("{channel} · id {id} · owner, set in config.toml").format(channel=label, id=person.user_id)
            return self.people.add_row(name, detail, icon=icon)
        detail = self.tr("{channel} · id {id} · paired {day}").format(
            channel=label, id=person.user_id, day=day(person.since)
        )
        revoke = Button(self.tr("Revoke"), "danger", object_name=f"revoke-{person.channel}-{person.user_id}")
        revoke.setAccessibleName(self.tr("Revoke {name}").format(name=name))
        revoke.clicked.connect(lambda: tasks.run(self._revoke(person)))
        return self.people.add_row(name, detail, revoke, icon=icon)

    async def _resolve(self, code: str, approve: bool) -> None:
        try:
            await self.service.resolve_pairing(code, approve)
        except TrayClawError as error:
            self.show_problem(error)
        self.entered()

    async def _revoke(self, person: Person) -> None:
        try:
            await self.service.revoke(person.channel, person.user_id)
        except TrayClawError as error:
            self.show_problem(error)
        self.entered()
