"""The mailbox of the e-mail channel: servers, login, who may write, and the switch that lets mails be answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLineEdit, QSizePolicy, QWidget

from agent.errors import ChannelError, SecretError, TrayClawError
from agent.settings import EmailSettings
from desktop import tasks
from desktop.settings.page import words
from desktop.widgets import Button, ComboBox, SpinBox, StatusDot, TextLabel, ToggleSwitch, identify

if TYPE_CHECKING:
    from agent.service import AgentService

_PORTS = {"imap": {"tls": 993, "starttls": 143, "none": 143}, "smtp": {"tls": 465, "starttls": 587, "none": 25}}


class EmailForm(QWidget):
    """`saved(account, trouble)` when it is stored: what the test found, or why it could not be made."""

    saved = Signal(str, str)
    closed = Signal()
    secret_problem = Signal(object)

    def __init__(self, service: AgentService, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "emailForm", self.tr("E-mail"))
        self._service = service
        self._grid = QGridLayout(self)
        self._labels: dict[QWidget, TextLabel] = {}
        self._lay_out_grid()

        self.username = self._line("emailUser", self.tr("User name"), "agent@example.org")
        self.auth = self._choice(
            "emailAuth", self.tr("Login"), ((self.tr("Password"), "password"), (self.tr("OAuth2 token"), "xoauth2"))
        )
        self.password = self._line("emailPassword", self.tr("Password"))
        self.password.setEchoMode(QLineEdit.EchoMode.Password)
        self.password.setInputMethodHints(Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText)
        self.token_url = self._line("emailTokenUrl", self.tr("Token address"), "https://…/token")
        self.client_id = self._line("emailClientId", self.tr("Client id"))
        self.imap_host, self.imap_port, self.imap_security = self._server("imap", self.tr("Incoming mail (IMAP)"))
        self.smtp_host, self.smtp_port, self.smtp_security = self._server("smtp", self.tr("Outgoing mail (SMTP)"))
        self.owners = self._line("emailOwners", self.tr("Your addresses"), "me@example.org, me@work.example.org")
        self.allowed = self._line(
            "emailAllowed", self.tr("Others who may write"), self.tr("Nobody else, or addresses with commas")
        )
        self.provider = self._line(
            "emailProvider", self.tr("Confirmed by"), self.tr("Your provider's name, such as mx.google.com")
        )
        self._hint(
            self.tr(
                "The first word after “Authentication-Results:” in the source of a mail that you received. Mails whose"
                " sender your provider does not confirm are left alone."
            )
        )
        self.consent = ToggleSwitch(
            object_name="emailConsent", accessible_name=self.tr("Answer mails from these addresses")
        )
        self._consent_row()
        self.save = Button(self.tr("Save & test"), "primary", object_name="emailSave")
        self.cancel = Button(self.tr("Cancel"), "quiet", object_name="emailCancel")
        self.status = StatusDot("off", "", object_name="emailStatus")
        self.message = TextLabel("", "bad", wrap=True, selectable=True, object_name="emailMessage")
        self._buttons()

        self.auth.currentIndexChanged.connect(self._show_login)
        self.save.clicked.connect(lambda: tasks.run(self._save()))
        self.password.returnPressed.connect(self.save.click)
        self.cancel.clicked.connect(self.closed)
        for field in (self.username, self.imap_host, self.smtp_host, self.password, self.owners):
            field.textChanged.connect(self._check)

    def open(self, *, stored: bool) -> None:
        """Show the settings as they are; `stored`: a password is kept already."""
        email = self._service.settings.channels.email
        for field, text in (
            (self.username, email.username),
            (self.token_url, email.oauth_token_url),
            (self.client_id, email.oauth_client_id),
            (self.imap_host, email.imap_host),
            (self.smtp_host, email.smtp_host),
            (self.owners, ", ".join(email.owners)),
            (self.allowed, ", ".join(email.allowed_senders)),
            (self.provider, email.authentication_results),
            (self.password, ""),
        ):
            field.setText(text)
        for combo, value in (
            (self.auth, email.auth),
            (self.imap_security, email.imap_security),
            (self.smtp_security, email.smtp_security),
        ):
            combo.blockSignals(True)
            combo.setCurrentIndex(combo.findData(value))
            combo.blockSignals(False)
        self.imap_port.setValue(email.imap_port)
        self.smtp_port.setValue(email.smtp_port)
        self.consent.setChecked(email.consent)
        self._stored_auth = email.auth if stored else ""
        self.cancel.setVisible(stored)  # before, the row has a button for it
        self._show_login()
        (self.password if email.username else self.username).setFocus()

    # --- lay-out ----------------------------------------------------------------------------------------------------
    def _lay_out_grid(self) -> None:
        self._stored_auth = ""
        self._grid.setContentsMargins(0, 4, 0, 4)
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(8)
        self._grid.setColumnStretch(1, 1)

    def _add(self, label: str, field: QWidget, *more: QWidget) -> None:
        row = self._grid.rowCount()
        shown = TextLabel(label)
        shown.setBuddy(field)
        self._labels[field] = shown
        self._grid.addWidget(shown, row, 0)
        if more:
            line = QHBoxLayout()
            line.setSpacing(8)
            line.addWidget(field, 1)
            for widget in more:
                line.addWidget(widget)
            self._grid.addLayout(line, row, 1)
        else:
            self._grid.addWidget(field, row, 1)

    def _line(self, name: str, label: str, placeholder: str = "") -> QLineEdit:
        field = QLineEdit()
        identify(field, name, label)
        field.setPlaceholderText(placeholder)
        self._add(label, field)
        return field

    def _choice(self, name: str, label: str, items: tuple[tuple[str, str], ...]) -> ComboBox:
        combo = ComboBox(object_name=name, accessible_name=label)
        for text, key in items:
            combo.addItem(text, key)
        self._add(label, combo)
        return combo

    def _server(self, kind: str, label: str) -> tuple[QLineEdit, SpinBox, ComboBox]:
        host = QLineEdit()
        identify(host, f"email{kind.title()}Host", label)
        host.setPlaceholderText(f"{kind}.example.org")
        port = SpinBox(1, 65535, object_name=f"email{kind.title()}Port", accessible_name=self.tr("Port"))
        security = ComboBox(object_name=f"email{kind.title()}Security", accessible_name=self.tr("Encryption"))
        for text, key in (("TLS", "tls"), ("STARTTLS", "starttls"), (self.tr("None"), "none")):
            security.addItem(text, key)
        port.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        security.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        security.currentIndexChanged.connect(lambda _: port.setValue(_PORTS[kind][str(security.currentData())]))
        self._add(label, host, port, security)
        return host, port, security

    def _hint(self, text: str) -> None:
        self._grid.addWidget(TextLabel(text, "secondary", wrap=True), self._grid.rowCount(), 1)

    def _consent_row(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(12)
        line.addWidget(self.consent, 0, Qt.AlignmentFlag.AlignTop)
        text = self.tr("TrayClaw reads the mails of these addresses and answers them by itself. Off: it does neither.")
        line.addWidget(TextLabel(text, "secondary", wrap=True), 1)
        row = self._grid.rowCount()
        label = TextLabel(self.tr("Answer mails"))
        label.setBuddy(self.consent)
        self._grid.addWidget(label, row, 0, Qt.AlignmentFlag.AlignTop)
        self._grid.addLayout(line, row, 1)

    def _buttons(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self.save)
        line.addWidget(self.cancel)
        line.addStretch(1)
        line.addWidget(self.status)
        row = self._grid.rowCount()
        self._grid.addLayout(line, row, 1)
        self._grid.addWidget(self.message, row + 1, 1)

    # --- behaviour --------------------------------------------------------------------------------------------------
    def _show_login(self) -> None:
        oauth = self.auth.currentData() == "xoauth2"
        self._labels[self.password].setText(self.tr("Refresh token") if oauth else self.tr("Password"))
        self.password.setAccessibleName(self._labels[self.password].text())
        kept = self._stored_auth == self.auth.currentData()
        usual = self.tr("Paste the token here") if oauth else self.tr("Many providers want an app password")
        self.password.setPlaceholderText(self.tr("Stored; type a new one to replace it") if kept else usual)
        for field in (self.token_url, self.client_id):
            field.setVisible(oauth)
            self._labels[field].setVisible(oauth)
        self._say("off", "", "")
        self._check()

    def _check(self) -> None:
        has_secret = bool(self.password.text()) or self._stored_auth == self.auth.currentData()
        given = all(field.text().strip() for field in (self.username, self.imap_host, self.smtp_host, self.owners))
        self.save.setEnabled(has_secret and given)
        self.save.setToolTip("" if self.save.isEnabled() else self.tr("Servers, login and your addresses are needed."))

    def _say(self, status: str, word: str, text: str) -> None:
        self.status.set_status("bad" if status == "bad" else "busy" if status == "busy" else "off", word)
        self.status.setVisible(bool(word))
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _values(self) -> dict[str, Any]:
        """What differs from the settings."""
        typed: dict[str, Any] = {
            "username": self.username.text().strip(),
            "auth": self.auth.currentData(),
            "oauth_token_url": self.token_url.text().strip(),
            "oauth_client_id": self.client_id.text().strip(),
            "imap_host": self.imap_host.text().strip(),
            "imap_port": self.imap_port.value(),
            "imap_security": self.imap_security.currentData(),
            "smtp_host": self.smtp_host.text().strip(),
            "smtp_port": self.smtp_port.value(),
            "smtp_security": self.smtp_security.currentData(),
            "owners": _addresses(self.owners.text()),
            "allowed_senders": _addresses(self.allowed.text()),
            "authentication_results": self.provider.text().strip(),
            "consent": self.consent.isChecked(),
        }
        now: EmailSettings = self._service.settings.channels.email
        return {f"channels.email.{key}": value for key, value in typed.items() if value != getattr(now, key)}

    async def _save(self) -> None:
        """The settings first: the test uses them. A refused password is not kept; one that could not be tested is."""
        if not self.save.isEnabled():
            return
        self.setEnabled(False)
        self._say("busy", self.tr("Testing…"), "")
        try:
            account, trouble = await self._store(self.password.text().strip())
        except TrayClawError as error:
            self._say("bad", self.tr("Does not work"), words(error))
            if isinstance(error, SecretError):
                self.secret_problem.emit(error)
            return
        finally:
            self.setEnabled(True)
        self.password.clear()
        self.saved.emit(account, trouble)

    async def _store(self, secret: str) -> tuple[str, str]:
        oauth = self.auth.currentData() == "xoauth2"
        await self._service.change_settings(self._values())
        if secret and oauth:
            await self._service.set_key("email-oauth", secret)
        account = trouble = ""
        try:
            account = await self._service.test_channel("email", secret if secret and not oauth else None)
        except ChannelError as error:
            if not error.retryable:
                raise
            trouble = self.tr("It is saved, but could not be tested. {why}").format(why=words(error))
        if secret and not oauth:
            await self._service.set_key("email", secret)
        return account, trouble


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(one.lower() for one in re.split(r"[,;\s]+", text) if one)
