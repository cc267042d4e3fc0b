"""Where keys are kept: says so, and when the keyring is locked or absent, what the person can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLineEdit, QVBoxLayout, QWidget

from agent.errors import NoKeyringError, SecretError, TrayClawError
from desktop import tasks
from desktop.settings.page import words
from desktop.widgets import Banner, TextLabel, identify

if TYPE_CHECKING:
    from agent.keys import SecretStore

SHORTEST_PASSPHRASE = 8  # characters


class KeyringBanner(Banner):
    """Hidden while all is well; `usable` when keys can be kept (again)."""

    usable = Signal()

    def __init__(self, secrets: SecretStore, parent: QWidget | None = None) -> None:
        super().__init__("warn", object_name="keyringBanner", parent=parent)
        self._secrets = secrets
        self._error: SecretError | None = None
        self.dialog: PassphraseDialog | None = None
        self.hide()
        self.action_triggered.connect(self._act)

    async def place(self) -> str:
        """Where keys are kept, in words; "" when they cannot be kept (the banner then says why)."""
        try:
            name = await self._secrets.backend_name()
        except SecretError as error:
            self.show_error(error)
            return ""
        self._error = None
        self.hide()
        return name

    def show_error(self, error: TrayClawError) -> None:
        """Say what is wrong with the keyring and offer the next step."""
        if not isinstance(error, SecretError):
            return
        self._error = error
        if self._secrets.needs_passphrase():
            action = self.tr("Unlock…")
        elif isinstance(error, NoKeyringError):
            action = self.tr("Use an encrypted file…")
        else:
            action = self.tr("Try again")
        self.set_message("warn", error.title, words(error), action)
        self.show()

    def _act(self) -> None:
        new = isinstance(self._error, NoKeyringError)
        if not new and not self._secrets.needs_passphrase():
            tasks.run(self._try_again())
            return
        self.dialog = PassphraseDialog(new=new, parent=self)
        self.dialog.given.connect(lambda passphrase: tasks.run(self._use_file(passphrase)))
        self.dialog.open()

    async def _try_again(self) -> None:
        if await self.place():
            self.usable.emit()

    async def _use_file(self, passphrase: str) -> None:
        dialog = self.dialog
        try:
            await self._secrets.use_file(passphrase)
        except SecretError as error:
            if dialog is not None:
                dialog.show_mistake(words(error))
            return
        if dialog is not None:
            dialog.accept()
        if await self.place():
            self.usable.emit()


class PassphraseDialog(QDialog):
    """Asks for the passphrase of the encrypted file: twice, with what it means, when the file is new."""

    given = Signal(str)

    def __init__(self, *, new: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._new = new
        identify(self, "passphraseDialog")
        self.setWindowTitle(self.tr("Keep keys in an encrypted file") if new else self.tr("Unlock the keys"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(440)
        explanation = (
            self.tr(
                "This computer has no keyring. TrayClaw can keep your keys in a file that this passphrase encrypts. "
                "You are asked for it at every start. Without it the keys are lost: nobody can bring them back."
            )
            if new
            else self.tr("The keys are in an encrypted file. Its passphrase opens it until TrayClaw ends.")
        )
        self.first = self._field("passphrase", self.tr("Passphrase"))
        self.second = self._field("passphraseAgain", self.tr("The same once more"))
        self.second.setVisible(new)
        self.mistake = TextLabel("", "bad", wrap=True, object_name="passphraseMistake")
        self.mistake.hide()
        self.buttons = QDialogButtonBox()
        word = self.tr("Create the file") if new else self.tr("Unlock")
        self.ok = self.buttons.addButton(word, QDialogButtonBox.ButtonRole.AcceptRole)
        self.ok.setObjectName("passphraseOk")
        self.ok.setProperty("kind", "primary")
        self.buttons.addButton(self.tr("Cancel"), QDialogButtonBox.ButtonRole.RejectRole)
        self.buttons.accepted.connect(self._give)
        self.buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 20, 20, 20)
        column.setSpacing(12)
        column.addWidget(TextLabel(explanation, "", wrap=True))
        column.addWidget(self.first)
        column.addWidget(self.second)
        column.addWidget(self.mistake)
        column.addWidget(self.buttons)

    @staticmethod
    def _field(name: str, label: str) -> QLineEdit:
        field = QLineEdit()
        field.setObjectName(name)
        field.setEchoMode(QLineEdit.EchoMode.Password)
        field.setPlaceholderText(label)
        field.setAccessibleName(label)
        return field

    def show_mistake(self, text: str) -> None:
        """Why it did not work; the dialog stays."""
        self.mistake.setText(text)
        self.mistake.show()
        self.first.setFocus()

    def _give(self) -> None:
        passphrase = self.first.text()
        if self._new and len(passphrase) < SHORTEST_PASSPHRASE:
            self.show_mistake(self.tr("Use at least {n} characters.").format(n=SHORTEST_PASSPHRASE))
        elif self._new and passphrase != self.second.text():
            self.show_mistake(self.tr("The two are not the same."))
        elif passphrase:
            self.given.emit(passphrase)
