"""One channel in the settings: its health, the switch that starts and stops it, and its token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QMenu, QWidget

from agent.channels.connectors import OTHER_SECRETS
from agent.errors import ChannelError, SecretError, TrayClawError
from agent.events import ChannelState
from agent.views import ChannelHealth
from desktop import tasks, theme
from desktop.settings.email_form import EmailForm
from desktop.settings.page import words
from desktop.widgets import Button, GlyphButton, Row, SecretField, Status, StatusDot, ToggleSwitch

if TYPE_CHECKING:
    from agent.service import AgentService

STATUS: dict[ChannelState, tuple[Status, str]] = {
    "stopped": ("off", "Stopped"),
    "connecting": ("busy", "Connecting…"),
    "ready": ("ok", "Ready"),
    "degraded": ("warn", "Degraded"),
    "wrong_token": ("bad", "Wrong token"),
}

SETUP = {
    "telegram": "In Telegram, write /newbot to @BotFather; it gives you a token. Paste it here.",
    "email": "Give TrayClaw a mailbox of its own. It answers the addresses that you list here, and nobody else.",
}
"""How to come by a token."""


class ChannelRow(Row):
    """`failed(error)` for what the page should say."""

    failed = Signal(object)
    secret_problem = Signal(object)

    def __init__(self, service: AgentService, health: ChannelHealth, parent: QWidget | None = None) -> None:
        name = health.name
        super().__init__(health.label, object_name=f"channel-{name}", parent=parent)
        self._service = service
        self._health = health
        self._account = ""
        self.set_icon(theme.channel_icon(name))
        self.status = StatusDot("off", "", subject=health.label, object_name=f"channelStatus-{name}")
        self.switch = ToggleSwitch(
            False, object_name=f"channelSwitch-{name}", accessible_name=self.tr("{name} on").format(name=health.label)
        )
        self.set_up = Button(self.tr("Set up"), object_name=f"channelSetUp-{name}")
        self.more = GlyphButton(
            "more", self.tr("More for {name}").format(name=health.label), object_name=f"channelMore-{name}"
        )
        self.confirm = Button(self.tr("Remove"), "danger", object_name=f"channelRemoveConfirm-{name}")
        self.keep = Button(self.tr("Keep"), object_name=f"channelRemoveKeep-{name}")
        self.add_trailing(self.status, self.switch, self.set_up, self.more, self.confirm, self.keep)
        self.field = SecretField(
            placeholder=self.tr("Paste the token here"),
            save_text=self.tr("Save & test"),
            object_name=f"channelToken-{name}",
            accessible_name=self.tr("{name} token").format(name=health.label),
        )
        self.field.hide()
        self.form: EmailForm | None = None
        if name == "email":
            self.form = EmailForm(service)
            self.form.hide()
            self.form.saved.connect(lambda account, trouble: tasks.run(self._form_saved(account, trouble)))
            self.form.closed.connect(self._close_field)
            self.form.secret_problem.connect(self.secret_problem)
        self._entry: QWidget = self.form or self.field
        """Where what the channel needs is entered."""
        self.add_below(self._entry)
        self.switch.toggled.connect(self._switched)
        self.set_up.clicked.connect(self._set_up_or_cancel)
        self.more.clicked.connect(self._open_menu)
        self.field.submitted.connect(lambda token: tasks.run(self._save(token)))
        self.field.cancel.clicked.connect(self._close_field)
        self.confirm.clicked.connect(lambda: tasks.run(self._remove()))
        self.keep.clicked.connect(self._kept)
        self.show_health(health)

    def show_health(self, health: ChannelHealth) -> None:
        """Show how it is; what the person is typing stays."""
        self._health = health
        configured = health.configured
        status, word = STATUS[health.state]
        self.status.set_status(status, self.tr(word))
        self.status.setVisible(configured)
        self.switch.blockSignals(True)
        self.switch.setChecked(health.state not in ("stopped", "wrong_token"))
        self.switch.blockSignals(False)
        self.switch.setVisible(configured)
        self.more.setVisible(configured)
        self.set_up.setVisible(not configured)
        self.set_up.setText(self.tr("Set up") if self._entry.isHidden() else self.tr("Cancel"))
        self.confirm.hide()
        self.keep.hide()
        self.set_tone("")
        if not self._entry.isHidden():
            return
        if not configured:
            self.set_detail(self.tr("Not set up. Needs about two minutes."))
        elif health.state == "wrong_token":
            self.set_detail(health.detail or self.tr("The token is wrong or was revoked."), "bad")
        else:
            self.set_detail(health.detail or self._account or self.tr("Switch it on to start it."))

    def enter_token(self) -> None:
        """Open the field for a (new) token and say where it comes from."""
        self.set_detail(self.tr(SETUP.get(self._health.name, "")))
        self.set_up.setText(self.tr("Cancel"))
        if self.form is not None:
            self.form.open(stored=self._health.configured)
            self.form.show()
            return
        self.field.show()
        self.field.set_stored(self._health.configured)
        if self._health.configured:
            self.field.replace.click()
        self.field.input.setFocus()

    def _set_up_or_cancel(self) -> None:
        if self._entry.isHidden():
            self.enter_token()
        else:
            self._close_field()

    def _close_field(self) -> None:
        self._entry.hide()
        self.show_health(self._health)

    def _open_menu(self) -> None:
        menu = QMenu(self)
        replace, remove = self.tr("Replace token…"), self.tr("Remove token…")
        if self.form is not None:
            replace, remove = self.tr("Change…"), self.tr("Remove password…")
        for text, name, slot in (
            (self.tr("Test"), "test", lambda: tasks.run(self._test())),
            (replace, "replace", self.enter_token),
            (remove, "remove", self._ask_removal),
        ):
            action = menu.addAction(text)
            action.setObjectName(name)
            action.triggered.connect(lambda _checked=False, act=slot: act())
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def _switched(self, on: bool) -> None:
        tasks.run(self._start_or_stop(on))

    async def _start_or_stop(self, on: bool) -> None:
        self.switch.setEnabled(False)
        try:
            await (self._service.start_channel if on else self._service.stop_channel)(self._health.name)
        except TrayClawError as error:
            self.failed.emit(error)
        finally:
            self.switch.setEnabled(True)
        self._show_latest()

    async def _test(self) -> None:
        began = time.monotonic()
        self.set_detail(self.tr("Testing…"))
        try:
            account = await self._service.test_channel(self._health.name)
        except TrayClawError as error:
            self.set_detail(words(error), "bad")
            return
        self._account = account
        seconds = time.monotonic() - began
        self.set_detail(self.tr("Works, {seconds:.1f} s · {account}").format(seconds=seconds, account=account))

    async def _save(self, token: str) -> None:
        """Test first: a wrong token is not kept; one that could not be tested is."""
        self.field.set_busy(True)
        self.set_detail(self.tr("Testing…"))
        name = self._health.name
        trouble = ""
        try:
            try:
                self._account = await self._service.test_channel(name, token)
            except ChannelError as error:
                if not error.retryable:
                    self._token_refused(error)
                    return
                trouble = self.tr("The token is saved, but could not be tested. {why}").format(why=words(error))
            await self._service.set_key(name, token)
            self._close_field()
            await self._service.start_channel(name)
        except TrayClawError as error:
            self._token_refused(error)
            if isinstance(error, SecretError):
                self.secret_problem.emit(error)
            return
        finally:
            self.field.set_busy(False)
        self._show_latest()
        if trouble:
            self.set_detail(trouble, "warn")

    async def _form_saved(self, account: str, trouble: str) -> None:
        self._account = account
        self._close_field()
        await self._start_or_stop(True)
        if trouble:
            self.set_detail(trouble, "warn")

    def _token_refused(self, error: TrayClawError) -> None:
        self.set_detail(words(error), "bad")
        self.field.set_busy(False)
        self.field.set_invalid(True)
        self.field.input.setFocus()

    def _show_latest(self) -> None:
        for health in self._service.channels():
            if health.name == self._health.name:
                self.show_health(health)

    def _ask_removal(self) -> None:
        self.set_tone("amber")
        self.set_detail(self.tr("The channel stops and its token is deleted; it cannot be brought back."))
        for widget in (self.switch, self.more, self.status):
            widget.hide()
        self.confirm.show()
        self.keep.show()
        self.keep.setFocus()

    def _kept(self) -> None:
        self.show_health(self._health)

    async def _remove(self) -> None:
        try:
            await self._service.stop_channel(self._health.name)
            for name in (self._health.name, *(one for one in OTHER_SECRETS if one.startswith(self._health.name))):
                await self._service.delete_key(name)
        except TrayClawError as error:
            self.failed.emit(error)
        self._account = ""
        self._show_latest()
