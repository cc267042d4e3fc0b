"""The card of the settings: rows with a title, a detail and controls, separated by lines."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QIcon, QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from desktop.theme.fonts import px
from desktop.theme.style import set_property
from desktop.widgets.labels import TextLabel
from desktop.widgets.naming import identify

_TEXT_WIDTH = 200  # px at 100 %: text narrower than this moves the controls below it


class Row(QFrame):
    """One line of a card. Long text wraps; where it would get too narrow, the controls move below it."""

    def __init__(self, title: str, detail: str = "", *, object_name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("row", True)
        identify(self, object_name, title)
        self.title = TextLabel(title, "strong", wrap=True)
        self.detail = TextLabel(detail, "secondary", wrap=True)
        self.detail.setProperty("small", True)  # whatever its role
        self._icon = QLabel()
        self._icon_source: QIcon | None = None
        self._trailing = QWidget()
        self._controls = QHBoxLayout(self._trailing)
        self._controls.setContentsMargins(0, 0, 0, 0)
        self._controls.setSpacing(12)
        self._texts = QVBoxLayout()
        self._texts.setSpacing(2)
        self._texts.addStretch(1)
        self._texts.addWidget(self.title)
        self._texts.addWidget(self.detail)
        self._texts.addStretch(1)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(14, 12, 14, 12)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(8)
        self._grid.addWidget(self._icon, 0, 0, Qt.AlignmentFlag.AlignVCenter)
        self._grid.addLayout(self._texts, 0, 1)
        self._grid.addWidget(self._trailing, 0, 2, Qt.AlignmentFlag.AlignVCenter)
        self._grid.setColumnStretch(1, 1)
        self._stacked = False
        self._below: list[QWidget] = []
        self.title.setVisible(bool(title))
        self.detail.setVisible(bool(detail))
        self._icon.hide()
        self._trailing.hide()

    def set_title(self, title: str) -> None:
        self.title.setText(title)
        self.title.setVisible(bool(title))
        self.setAccessibleName(title)

    def set_detail(self, detail: str, role: str = "secondary") -> None:
        """The second line; "" hides it."""
        self.detail.setText(detail)
        self.detail.setVisible(bool(detail))
        self.detail.set_role(role)

    def set_icon(self, icon: QIcon | None) -> None:
        """A picture before the text, 18 px at 100 %."""
        self._icon_source = icon
        self._icon.setVisible(icon is not None)
        self._draw_icon()

    def set_tone(self, tone: str) -> None:
        """Either "amber" for what waits for the person, "rose" for an error, or "" for neither."""
        set_property(self, "tone", tone)

    def add_trailing(self, *widgets: QWidget) -> None:
        """Controls at the end of the row."""
        for widget in widgets:
            self._controls.addWidget(widget)
        self._trailing.setVisible(self._controls.count() > 0)

    def add_below(self, widget: QWidget) -> None:
        """A wide control under the text, such as an input; links keep to the start of the line."""
        if widget.property("kind") == "link":
            self._texts.insertWidget(self._texts.count() - 1, widget, 0, Qt.AlignmentFlag.AlignLeft)
        else:
            self._grid.addWidget(widget, 2 + len(self._below), 1, 1, 2)  # row 1 is for controls that found no room
            self._below.append(widget)

    def minimumSizeHint(self) -> QSize:
        margins = self._grid.contentsMargins()
        icon = px(18) + 12 if self._icon_source is not None else 0
        trailing = self._trailing.minimumSizeHint().width() if self._controls.count() else 0
        texts = self._texts.minimumSize().width()
        below = max((widget.minimumSizeHint().width() for widget in self._below if not widget.isHidden()), default=0)
        width = max(texts, trailing, below) + icon + margins.left() + margins.right()
        return QSize(width, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange) and hasattr(self, "_stacked"):
            self._draw_icon()
            self._arrange()

    def _draw_icon(self) -> None:
        if self._icon_source is not None:
            size = px(18)
            self._icon.setPixmap(self._icon_source.pixmap(QSize(size, size), self.devicePixelRatioF()))

    def _arrange(self) -> None:
        if not self._controls.count():
            return
        margins = self._grid.contentsMargins()
        icon = px(18) + 12 if self._icon_source is not None else 0
        room = self.width() - margins.left() - margins.right() - icon - self._trailing.sizeHint().width() - 12
        natural = max(self._natural_width(self.title), self._natural_width(self.detail))
        wanted = max(natural, self._texts.minimumSize().width())
        stacked = room < min(px(_TEXT_WIDTH), wanted)
        if stacked != self._stacked:
            self._stacked = stacked
            self._grid.removeWidget(self._trailing)
            if stacked:
                self._grid.addWidget(self._trailing, 1, 1, 1, 2, Qt.AlignmentFlag.AlignLeft)
            else:
                self._grid.addWidget(self._trailing, 0, 2, Qt.AlignmentFlag.AlignVCenter)

    @staticmethod
    def _natural_width(label: QLabel) -> int:
        return 0 if label.isHidden() else label.fontMetrics().horizontalAdvance(label.text())


class Card(QFrame):
    """A stack of rows with lines between them; `add_widget` takes anything else as a row of its own."""

    def __init__(self, *, object_name: str = "", accessible_name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", "plain")
        identify(self, object_name, accessible_name)
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(1, 1, 1, 1)
        self._rows.setSpacing(0)

    def add_row(
        self, title: str, detail: str = "", *trailing: QWidget, icon: QIcon | None = None, object_name: str = ""
    ) -> Row:
        """Appends a row and returns it."""
        row = Row(title, detail, object_name=object_name)
        if icon is not None:
            row.set_icon(icon)
        row.add_trailing(*trailing)
        self._append(row)
        return row

    def add_widget(self, widget: QWidget) -> Row:
        """Appends a row that holds only `widget`."""
        row = Row("")
        row.add_below(widget)
        self._append(row)
        return row

    def append(self, row: Row) -> None:
        """Adds a row that was made elsewhere, or moves one that is here, to the end."""
        self._rows.removeWidget(row)
        self._append(row)

    def rows(self) -> list[Row]:
        return [row for row in (self._at(i) for i in range(self._rows.count())) if row is not None]

    def remove_row(self, row: Row) -> None:
        """Takes a row out and deletes it."""
        self._rows.removeWidget(row)
        row.hide()
        row.deleteLater()
        self._draw_lines()

    def clear(self) -> None:
        for row in self.rows():
            self.remove_row(row)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.ShowToParent, QEvent.Type.HideToParent):
            self._draw_lines()
        return super().eventFilter(watched, event)

    def _append(self, row: Row) -> None:
        self._rows.addWidget(row)
        row.installEventFilter(self)
        self._draw_lines()

    def _at(self, index: int) -> Row | None:
        item = self._rows.itemAt(index)
        widget = item.widget() if item is not None else None
        return widget if isinstance(widget, Row) else None

    def _draw_lines(self) -> None:
        rows = [row for row in self.rows() if not row.isHidden()]
        for index, row in enumerate(rows):
            set_property(row, "rule", index > 0)
            set_property(row, "first", index == 0)
            set_property(row, "last", index == len(rows) - 1)
