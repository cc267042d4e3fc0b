"""One provider in the settings: whether it works, its key (typed, replaced, removed, never read back), and "Use"."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction, QIcon
from PySide6.QtWidgets import QMenu, QWidget

from agent.errors import TrayClawError
from agent.views import ProviderView
from desktop import tasks, theme
from desktop.settings import key_test
from desktop.settings.page import words
from desktop.widgets import Button, GlyphButton, Row, SecretField, StatusDot

if TYPE_CHECKING:
    from agent.providers.types import ModelInfo
    from agent.service import AgentService

GROUNDS = ("#A4502F", "#1E7A5C", "#3D5A80", "#6A4C93", "#8A5A00", "#5F6B2D", "#9C3D63", "#2F6F7E")
"""Grounds of the letter badges; white reads on each."""


def provider_icon(view: ProviderView) -> QIcon:
    """A letter badge; a name has the same colour at every start."""
    letter = next((character for character in view.label if character.isalnum()), "?").upper()
    return theme.badge(letter, GROUNDS[zlib.crc32(view.name.encode()) % len(GROUNDS)])


class ProviderRow(Row):
    """`models_found(name, models)` after a test that worked, `changed` when a key came or went."""

    models_found = Signal(str, object)
    changed = Signal()
    use_requested = Signal(str)
    secret_problem = Signal(object)

    def __init__(
        self, service: AgentService, view: ProviderView, *, removable: bool, parent: QWidget | None = None
    ) -> None:
        super().__init__(view.label, object_name=f"provider-{view.name}", parent=parent)
        self._service = service
        self._view = view
        self._removable = removable
        name = view.name
        self.set_icon(provider_icon(view))
        self.status = StatusDot("off", "", subject=view.label, object_name=f"providerStatus-{name}")
        self.test_button = Button(self.tr("Test"), object_name=f"providerTest-{name}")
        self.test_button.setAccessibleName(self.tr("Test {name}").format(name=view.label))
        self.use_button = Button(self.tr("Use"), object_name=f"providerUse-{name}")
        self.use_button.setAccessibleName(self.tr("Answer with {name}").format(name=view.label))
        self.more = GlyphButton(
            "more", self.tr("More for {name}").format(name=view.label), object_name=f"providerMore-{name}"
        )
        self.confirm = Button(self.tr("Remove"), "danger", object_name=f"providerRemoveConfirm-{name}")
        self.keep = Button(self.tr("Keep"), object_name=f"providerRemoveKeep-{name}")
        self.add_trailing(self.status, self.test_button, self.use_button, self.more, self.confirm, self.keep)
        self.field = SecretField(
            placeholder=self.tr("Paste the key here"),
            save_text=self.tr("Save & test"),
            object_name=f"providerKey-{name}",
            accessible_name=self.tr("{name} key").format(name=view.label),
        )
        self.add_below(self.field)
        self.test_button.clicked.connect(lambda: tasks.run(self._test()))
        self.use_button.clicked.connect(lambda: self.use_requested.emit(name))
        self.more.clicked.connect(self._open_menu)
        self.confirm.clicked.connect(lambda: tasks.run(self._remove()))
        self.keep.clicked.connect(self.show_view)
        self.field.submitted.connect(lambda key: tasks.run(self._save(key)))
        self.field.cancel.clicked.connect(self.show_view)
        self.show_view()

    @property
    def view(self) -> ProviderView:
        """What is shown."""
        return self._view

    def update_view(self, view: ProviderView) -> None:
        """Another state of the same provider; what the person is typing stays."""
        typing = self.field.isVisible() and bool(self.field.input.text())
        self._view = view
        if not typing:
            self.show_view()

    def show_view(self) -> None:
        """The row at rest: the field only where a key is missing."""
        view = self._view
        needs_key = view.needs_key and not view.has_key
        self.field.set_stored(view.has_key)
        self.field.setVisible(needs_key)
        self.set_tone("")
        self.set_detail(self._facts())
        self.status.setVisible(bool(self.status.text()))
        self._set_controls(test=not needs_key, use=not needs_key, more=True)

    def show_found(self, note: str) -> None:
        """Answers on this computer."""
        self.status.set_status("ok", self.tr("Running"))
        self.status.show()
        self.set_detail(note)

    def set_in_use(self, in_use: bool) -> None:
        """Whether it answers already."""
        self.use_button.setEnabled(not in_use)
        self.use_button.setText(self.tr("In use") if in_use else self.tr("Use"))

    def _facts(self) -> str:
        view = self._view
        if view.needs_key and not view.has_key:
            return self.tr("Make a key at {url} and paste it here.").format(url=view.key_url) if view.key_url else ""
        parts = [self.tr("Key stored") if view.has_key else self.tr("No key needed"), view.note or view.base_url]
        return " · ".join(part for part in parts if part)

    def _set_controls(
        self, *, test: bool = False, use: bool = False, more: bool = False, confirm: bool = False
    ) -> None:
        self.test_button.setVisible(test)
        self.use_button.setVisible(use)
        self.more.setVisible(more)
        self.confirm.setVisible(confirm)
        self.keep.setVisible(confirm)

    def _open_menu(self) -> None:
        menu = QMenu(self)
        for text, name, slot in (
            (self.tr("Replace key…") if self._view.has_key else self.tr("Enter a key…"), "replace", self.enter_key),
            (self.tr("Remove…"), "remove", self._ask_removal),
        ):
            action = QAction(text, menu)
            action.setObjectName(name)
            action.triggered.connect(slot)
            menu.addAction(action)
        menu.actions()[-1].setEnabled(self._view.has_key or self._removable)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def enter_key(self) -> None:
        """Open the field for a new key."""
        self.field.show()
        self._set_controls(more=True)
        if self._view.has_key:
            self.field.replace.click()
        self.field.input.setFocus()

    def _ask_removal(self) -> None:
        self.set_tone("amber")
        what = self.tr("The key is deleted from the keyring and cannot be brought back.")
        self.set_detail(what if self._view.has_key else self.tr("The address is forgotten."))
        self._set_controls(confirm=True)
        self.keep.setFocus()

    async def _remove(self) -> None:
        try:
            if self._view.has_key:
                await self._service.delete_key(self._view.name)
            if self._removable:
                await self._service.change_settings({f"providers.{self._view.name}": None})
        except TrayClawError as error:
            self._refused(self.tr("Not removed"), words(error))
            return
        self.changed.emit()

    async def _test(self) -> None:
        self._testing(True)
        outcome, _error = await key_test.test(self._service, self._view.name)
        self._testing(False)
        self.show_outcome(outcome)

    async def _save(self, key: str) -> None:
        self._testing(True)
        try:
            outcome = await key_test.save_and_test(self._service, self._view.name, key)
        except TrayClawError as error:  # the keyring said no: the page says how to go on
            self._testing(False)
            self._refused(self.tr("Not saved"), words(error))
            self.secret_problem.emit(error)
            return
        self._testing(False)
        if outcome.saved:
            self.field.input.clear()
            self.changed.emit()
        else:
            self.field.set_invalid(True)
            self.field.input.setFocus()
        self.show_outcome(outcome)

    def _testing(self, busy: bool) -> None:
        self.field.set_busy(busy)
        self.test_button.setEnabled(not busy)
        if busy:
            self.status.set_status("busy", self.tr("Testing…"))
            self.status.show()

    def show_outcome(self, outcome: key_test.Outcome) -> None:
        """What a test found."""
        if outcome.works:
            self.status.set_status("ok", outcome.word)
            self.set_detail(self._facts())
            self.models_found.emit(self._view.name, outcome.models)
            return
        self._refused(outcome.word, outcome.text)

    def _refused(self, word: str, text: str) -> None:
        self.status.set_status("bad", word)
        self.status.show()
        self.set_detail(text, "bad")


def model_names(models: tuple[ModelInfo, ...]) -> list[str]:
    """The ids of models as a person may choose them."""
    return [model.id for model in models]
