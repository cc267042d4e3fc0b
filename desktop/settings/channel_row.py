"""One channel in the settings: its health, the switch that starts and stops it, and its tokens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu, QWidget

from agent.channels.connectors import KEYS
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
    "discord": (
        "At discord.com/developers/applications, make an application. On its page Bot, switch on “Message Content"
        " Intent” and press Reset Token. Paste the token here."
    ),
    "slack": "Copy the manifest, make an app from it at api.slack.com/apps and install it. Its bot token (xoxb-) is"
    " under OAuth & Permissions. Paste it here.",
    "slack-app": "Now the app-level token (xapp-): under Basic Information, generate one with connections:write.",
    "email": "Give TrayClaw a mailbox of its own. It answers the addresses that you list here, and nobody else.",
}
"""How to come by a token, by the name of its key."""
NAMES = {"slack": "Slack bot token", "slack-app": "Slack app-level token"}
"""What the tokens of a channel with several are called."""


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
        # It may hold an address to copy: where a bot is invited, where its token comes from.
        self.detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.status = StatusDot("off", "", subject=health.label, object_name=f"channelStatus-{name}")
        self.switch = ToggleSwitch(
            False, object_name=f"channelSwitch-{name}", accessible_name=self.tr("{name} on").format(name=health.label)
        )
        self.manifest: Button | None = None
        if name == "slack":
            self.manifest = Button(self.tr("Copy app manifest"), object_name="channelManifest-slack")
            self.manifest.clicked.connect(self._copy_manifest)
            self.add_trailing(self.manifest)
            self.manifest.hide()
        self.set_up = Button(self.tr("Set up"), object_name=f"channelSetUp-{name}")
        self.more = GlyphButton(
            "more", self.tr("More for {name}").format(name=health.label), object_name=f"channelMore-{name}"
        )
        self.confirm = Button(self.tr("Remove"), "danger", object_name=f"channelRemoveConfirm-{name}")
        self.keep = Button(self.tr("Keep"), object_name=f"channelRemoveKeep-{name}")
        self.add_trailing(self.status, self.switch, self.set_up, self.more, self.confirm, self.keep)
        self.fields = {key: self._make_field(key) for key in KEYS[name]}
        self.field = self.fields[name]
        self.form: EmailForm | None = None
        if name == "email":
            self.form = EmailForm(service)
            self.form.hide()
            self.form.saved.connect(lambda account, trouble: tasks.run(self._form_saved(account, trouble)))
            self.form.closed.connect(self._close_field)
            self.form.secret_problem.connect(self.secret_problem)
            self.add_below(self.form)
        self._entry: QWidget = self.form or self.field
        """Where what the channel needs is entered."""
        self.switch.toggled.connect(self._switched)
        self.set_up.clicked.connect(self._set_up_or_cancel)
        self.more.clicked.connect(self._open_menu)
        self.confirm.clicked.connect(lambda: tasks.run(self._remove()))
        self.keep.clicked.connect(self._kept)
        self.show_health(health)

    def _make_field(self, key: str) -> SecretField:
        several = len(KEYS[self._health.name]) > 1
        label = self.tr(NAMES[key]) if key in NAMES else self.tr("{name} token").format(name=self._health.label)
        field = SecretField(
            placeholder=self.tr("Paste the {name} here").format(name=label)
            if several
            else self.tr("Paste the token here"),
            save_text=self.tr("Save & test"),
            object_name=f"channelToken-{key}",
            accessible_name=label,
        )
        field.hide()
        self.add_below(field)
        field.submitted.connect(lambda token: tasks.run(self._save(key, token)))
        if several:
            field.remove_requested.connect(lambda: tasks.run(self._remove_one(key)))
        else:
            field.cancel.clicked.connect(self._close_field)
        return field

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
        several = self.form is None and len(self.fields) > 1
        self.set_up.setVisible(not configured or (several and not self.field.isHidden()))
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
        """Open the field for a (new) token, or for each where there are several, and say where it comes from."""
        self.set_detail(self.tr(SETUP.get(self._health.name, "")))
        if self.form is not None:
            self.set_up.setText(self.tr("Cancel"))
            self.form.open(stored=self._health.configured)
            self.form.show()
            return
        for field in self.fields.values():
            field.show()
            field.set_stored(self._health.configured)
        if self.manifest is not None:
            self.manifest.show()
        self.set_up.setText(self.tr("Cancel"))
        if len(self.fields) > 1:
            self.set_up.setVisible(True)
            tasks.run(self._show_stored())
        elif self._health.configured:
            self.field.replace.click()
        self.field.setFocus()

    async def _show_stored(self) -> None:
        """Of several tokens, which are there; the next one is asked for when those before it are."""
        try:
            stored = await self._service.stored_keys()
        except TrayClawError as error:
            self.failed.emit(error)
            return
        missing = [key for key in self.fields if key not in stored]
        for key, field in self.fields.items():
            field.set_stored(key in stored, f"  {self.tr(NAMES[key])}")
            field.setEnabled(key in stored or key == missing[0])
        if missing:
            self.set_detail(self.tr(SETUP[missing[0]]))
            self.fields[missing[0]].input.setFocus()

    def _copy_manifest(self) -> None:
        from agent.channels.slack_manifest import manifest

        QGuiApplication.clipboard().setText(manifest())
        self.set_detail(
            self.tr("The manifest is in the clipboard. At api.slack.com/apps: Create New App > From a manifest.")
        )

    def _set_up_or_cancel(self) -> None:
        if self._entry.isHidden():
            self.enter_token()
        else:
            self._close_field()

    def _close_field(self) -> None:
        for field in self.fields.values():
            field.hide()
        if self.manifest is not None:
            self.manifest.hide()
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

    async def _save(self, key: str, token: str) -> None:
        """Test first: a wrong token is not kept; one that could not be tested is."""
        field = self.fields[key]
        field.set_busy(True)
        self.set_detail(self.tr("Testing…"))
        name = self._health.name
        trouble = ""
        try:
            try:
                self._account = await self._service.test_channel(name, token, key=key)
            except ChannelError as error:
                if not error.retryable:
                    self._token_refused(field, error)
                    return
                trouble = self.tr("The token is saved, but could not be tested. {why}").format(why=words(error))
            await self._service.set_key(key, token)
            if not set(self.fields) <= set(await self._service.stored_keys()):
                field.set_busy(False)
                await self._show_stored()
                return
            self._close_field()
            await self._service.start_channel(name)
        except TrayClawError as error:
            self._token_refused(field, error)
            if isinstance(error, SecretError):
                self.secret_problem.emit(error)
            return
        finally:
            field.set_busy(False)
        self._show_latest()
        if trouble:
            self.set_detail(trouble, "warn")

    async def _form_saved(self, account: str, trouble: str) -> None:
        self._account = account
        self._close_field()
        await self._start_or_stop(True)
        if trouble:
            self.set_detail(trouble, "warn")

    def _token_refused(self, field: SecretField, error: TrayClawError) -> None:
        self.set_detail(words(error), "bad")
        field.set_busy(False)
        field.set_invalid(True)
        field.input.setFocus()

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

    async def _remove_one(self, key: str) -> None:
        """One token of several: the channel cannot go on without it."""
        try:
            if self._health.configured:
                await self._service.stop_channel(self._health.name)
            await self._service.delete_key(key)
        except TrayClawError as error:
            self.failed.emit(error)
        await self._show_stored()

    async def _remove(self) -> None:
        try:
            await self._service.stop_channel(self._health.name)
            for key in self.fields:
                await self._service.delete_key(key)
        except TrayClawError as error:
            self.failed.emit(error)
        self._account = ""
        self._close_field()
        self._show_latest()
