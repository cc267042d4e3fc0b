"""The field of a key or token: typed masked, replaced or removed, never read back."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QWidget

from desktop.theme.style import set_property
from desktop.widgets.buttons import Button
from desktop.widgets.labels import TextLabel
from desktop.widgets.naming import identify

_MASK = "•" * 12


class SecretField(QWidget):
    """Shows a mask while a secret is stored. `submitted(str)` carries a newly typed one; the field keeps it, masked,
    until the owner calls `set_stored`, so that a refused key can be corrected.
    """

    submitted = Signal(str)
    remove_requested = Signal()
    edited = Signal()

    def __init__(
        self,
        *,
        placeholder: str = "",
        save_text: str = "",
        object_name: str = "",
        accessible_name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        identify(self, object_name, accessible_name)
        self._stored = False
        self._name = accessible_name
        self.input = QLineEdit()
        self.input.setEchoMode(QLineEdit.EchoMode.Password)
        self.input.setPlaceholderText(placeholder)
        self.input.setMaxLength(4096)
        self.input.setInputMethodHints(Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText)
        self.stored_mask = TextLabel("", "code")
        self.save = Button(save_text or self.tr("Save"), "primary")
        self.cancel = Button(self.tr("Cancel"), "quiet")
        self.replace = Button(self.tr("Replace"))
        self.remove = Button(self.tr("Remove"), "danger")
        for widget, part in (
            (self.input, "input"), (self.stored_mask, "mask"), (self.save, "save"), (self.cancel, "cancel"),
            (self.replace, "replace"), (self.remove, "remove"),
        ):  # fmt: skip
            identify(widget, f"{object_name}_{part}" if object_name else "")
        if accessible_name:
            self.input.setAccessibleName(accessible_name)
            self.replace.setAccessibleName(self.tr("Replace {name}").format(name=accessible_name))
            self.remove.setAccessibleName(self.tr("Remove {name}").format(name=accessible_name))
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        line.addWidget(self.input, 1)
        line.addWidget(self.stored_mask, 1)
        for button in (self.save, self.cancel, self.replace, self.remove):
            line.addWidget(button)
        self.setFocusProxy(self.input)
        self.input.textChanged.connect(self._text_changed)
        self.input.returnPressed.connect(self._submit)
        self.save.clicked.connect(self._submit)
        self.cancel.clicked.connect(self._show_stored)
        self.replace.clicked.connect(self._start_replacing)
        self.remove.clicked.connect(self.remove_requested)
        self._show(editing=True)

    @property
    def stored(self) -> bool:
        """Whether a secret is stored, as the owner last said."""
        return self._stored

    def set_stored(self, stored: bool, hint: str = "") -> None:
        """Forgets what was typed and shows the mask (with `hint`, such as the last four characters) or the input."""
        self._stored = stored
        self.input.clear()
        self.stored_mask.setText(f"{_MASK}{hint}")
        self.stored_mask.setAccessibleName(self.tr("{name}, stored").format(name=self._name or self.tr("Secret")))
        self._show(editing=not stored)

    def set_busy(self, busy: bool) -> None:
        """While the owner checks the secret nothing can be changed."""
        for widget in (self.input, self.cancel, self.replace, self.remove):
            widget.setEnabled(not busy)
        self.save.setEnabled(not busy and bool(self.input.text()))

    def set_invalid(self, invalid: bool) -> None:
        """Outlines the input after the secret was refused, until the next key stroke."""
        set_property(self.input, "invalid", invalid)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._stored and self.cancel.isVisible():
            self._show_stored()
            return
        super().keyPressEvent(event)

    def _text_changed(self, text: str) -> None:
        self.save.setEnabled(bool(text.strip()))
        self.set_invalid(False)
        self.edited.emit()

    def _submit(self) -> None:
        typed = self.input.text().strip()
        if typed and self.save.isEnabled():
            self.submitted.emit(typed)

    def _start_replacing(self) -> None:
        self._show(editing=True)
        self.input.setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_stored(self) -> None:
        self.input.clear()
        self._show(editing=False)
        self.replace.setFocus(Qt.FocusReason.OtherFocusReason)

    def _show(self, *, editing: bool) -> None:
        self.setFocusProxy(self.input if editing else self.replace)
        self.input.setVisible(editing)
        self.save.setVisible(editing)
        self.cancel.setVisible(editing and self._stored)
        self.stored_mask.setVisible(not editing)
        self.replace.setVisible(not editing)
        self.remove.setVisible(not editing)
        self.save.setEnabled(bool(self.input.text()))
