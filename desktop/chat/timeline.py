"""The turns of a conversation under each other. Stays at the end only for who is there."""

from __future__ import annotations

from PySide6.QtCore import QRect, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from desktop import theme
from desktop.chat.turn_box import TurnBox
from desktop.widgets import Button, TextLabel, identify

EDGE = 20  # px beside and above the turns
RING = 2  # px of the outline that shows the focus
TURN_GAP = 22  # px
WIDEST = 820  # px of text; a wider window gets wider edges
NEAR = 8  # px from the end that count as the end
EARLY = 400  # px from the top at which older turns are asked for


class Timeline(QScrollArea):
    """`older_wanted` when the person comes near the top."""

    older_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "timeline", self.tr("Conversation"))
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._at_end = True
        self._from_end: int | None = None  # the distance to keep while older turns come in above
        self._boxes: list[TurnBox] = []
        self._body = QWidget()
        self._body.setProperty("ground", "bg")
        self._column = QVBoxLayout(self._body)
        self._column.setSpacing(TURN_GAP)
        self.older = TextLabel(self.tr("Loading messages…"), "faint", object_name="loadingOlder")
        self.older.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._column.addWidget(self.older)
        self._column.addStretch(1)
        self.older.hide()
        self.setWidget(self._body)
        self.pill = Button(self.tr("New messages"), glyph="chevron-down", object_name="newMessages", parent=self)
        self.pill.hide()
        self.pill.clicked.connect(self.go_to_end)
        bar = self.verticalScrollBar()
        bar.valueChanged.connect(self._moved)
        bar.rangeChanged.connect(self._grown)
        self._restyle()
        self._fit_edges()
        theme.on_change(self._restyle)

    @property
    def boxes(self) -> list[TurnBox]:
        """Oldest first."""
        return self._boxes

    def clear(self) -> None:
        """Take all turns away."""
        for box in self._boxes:
            self._column.removeWidget(box)
            box.hide()
            box.deleteLater()
        self._boxes = []
        self._at_end = True
        self.pill.hide()
        self.older.hide()

    def append(self, box: TurnBox) -> None:
        """A new turn, below the others."""
        self._boxes.append(box)
        self._column.insertWidget(self._column.count() - 1, box)
        self.tell_new()

    def prepend(self, box: TurnBox) -> None:
        """An older turn, above the others."""
        self._boxes.insert(0, box)
        self._column.insertWidget(1, box)

    def hold(self, holding: bool) -> None:
        """Keep what is in sight where it is while older turns come in above."""
        bar = self.verticalScrollBar()
        self._from_end = bar.maximum() - bar.value() if holding and not self._at_end else None

    def tell_new(self) -> None:
        """There is something new at the end."""
        if not self._at_end:
            self.pill.show()
            self.pill.raise_()
            self._place_pill()

    def go_to_end(self) -> None:
        """Show the end and stay there."""
        self._at_end = True
        self.pill.hide()
        bar = self.verticalScrollBar()
        bar.setValue(bar.maximum())

    def show_place(self, widget: QWidget, place: QRect, margin: int = 60) -> None:
        """Scroll so that a place in a widget of a turn is in sight."""
        top = widget.mapTo(self._body, place.topLeft()).y()
        bar = self.verticalScrollBar()
        room = self.viewport().height() - margin - place.height()
        if not bar.value() + margin <= top <= bar.value() + room:
            bar.setValue(max(0, top - self.viewport().height() // 3))

    def edge(self) -> int:
        """What is free at either side of the turns, for what stands below them in the same column."""
        return self._side()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        bar = self.verticalScrollBar()
        match event.key():
            case Qt.Key.Key_Home:
                bar.setValue(0)
            case Qt.Key.Key_End:
                self.go_to_end()
            case _:
                super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_edges()
        self._place_pill()

    def _restyle(self, *_: object) -> None:
        """A visible focus; and one line of text is lower than an input, for which the application's style is made."""
        self.setStyleSheet(
            "QTextBrowser, QPlainTextEdit { min-height: 0; }"
            f"QScrollArea#timeline {{ border: {RING}px solid transparent; }}"
            f"QScrollArea#timeline:focus {{ border-color: {theme.current().focus}; }}"
        )

    def _fit_edges(self) -> None:
        """The column keeps its place when the scroll bar comes and goes."""
        side = self._side()
        bar = self.width() - self.viewport().width() - 2 * RING
        right, side = max(0, side - bar - RING), side - RING
        margins = self._column.contentsMargins()
        near, far = (right, side) if self.layoutDirection() == Qt.LayoutDirection.RightToLeft else (side, right)
        if (margins.left(), margins.right()) != (near, far):
            self._column.setContentsMargins(near, EDGE, far, EDGE)

    def _side(self) -> int:
        return max(EDGE, (self.width() - theme.px(WIDEST)) // 2)

    def _place_pill(self) -> None:
        size = self.pill.sizeHint()
        self.pill.resize(size)
        self.pill.move((self.viewport().width() - size.width()) // 2, self.height() - size.height() - 12)

    def _moved(self, value: int) -> None:
        bar = self.verticalScrollBar()
        self._at_end = value >= bar.maximum() - NEAR
        if self._at_end:
            self.pill.hide()
        if value < EARLY and bar.maximum() > 0:
            self.older_wanted.emit()

    def _grown(self, _low: int, high: int) -> None:
        bar = self.verticalScrollBar()
        if self._from_end is not None:
            bar.setValue(high - self._from_end)
        elif self._at_end:
            bar.setValue(high)
