"""The list of models to answer with: those that the providers named, and anything typed as provider/model."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QComboBox, QCompleter, QWidget

from desktop import theme
from desktop.state import model_label
from desktop.widgets import identify


class ModelChoice(QComboBox):
    """`chosen(reference)`: "starter" or "provider/model". With `nothing`, the words for no choice, "" as well."""

    chosen = Signal(str)

    def __init__(
        self, object_name: str, accessible_name: str, *, nothing: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        identify(self, object_name, accessible_name)
        self._nothing = nothing
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumWidth(theme.px(280))
        self.setMaxVisibleItems(16)
        self._current = ""
        self._labels: dict[str, str] = {}
        completer = self.completer()
        if isinstance(completer, QCompleter):
            completer.setFilterMode(Qt.MatchFlag.MatchContains)
            completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
            completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.activated.connect(self._picked)
        line = self.lineEdit()
        if line is not None:
            line.editingFinished.connect(self._typed)
            line.setAccessibleName(self.tr("{name}, provider/model").format(name=accessible_name))

    def offer(self, providers: dict[str, str], models: dict[str, list[str]]) -> None:
        """Fill the list: labels of providers by name, and the models that each named."""
        self._labels = providers
        self.blockSignals(True)
        self.clear()
        if self._nothing:
            self.addItem(self._nothing, "")
        self.addItem(model_label("starter"), "starter")
        for provider, names in models.items():
            for name in names:
                self.addItem(f"{providers.get(provider, provider)} · {name}", f"{provider}/{name}")
        self.blockSignals(False)
        self.show_current(self._current)

    def show_current(self, reference: str) -> None:
        """What answers now."""
        self._current = reference
        index = self.findData(reference)
        self.blockSignals(True)
        self.setCurrentIndex(index)
        if index < 0:
            provider, _, name = reference.partition("/")
            self.setEditText(f"{self._labels.get(provider, provider)} · {name}" if name else reference)
        self.blockSignals(False)
        line = self.lineEdit()
        if line is not None:
            line.setCursorPosition(0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()  # who scrolls the page does not mean to change the model

    def _picked(self, index: int) -> None:
        self._choose(str(self.itemData(index)))

    def _typed(self) -> None:
        text = self.currentText().strip()
        index = self.findText(text)
        if index >= 0:
            self._choose(str(self.itemData(index)))
        elif text and text != self._shown():
            self._choose(text.replace(" ", ""))
        else:
            self.show_current(self._current)

    def _shown(self) -> str:
        if not self._current:
            return self._nothing
        provider, _, name = self._current.partition("/")
        return f"{self._labels.get(provider, provider)} · {name}" if name else model_label(self._current)

    def _choose(self, reference: str) -> None:
        if reference != self._current:
            self._current = reference
            self.chosen.emit(reference)
