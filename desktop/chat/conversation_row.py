"""Draws a row of the conversation list: badge, title, time, and what happens there."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QAbstractItemView, QLineEdit, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from agent.views import Conversation
from desktop import theme
from desktop.chat.conversation_model import CONVERSATION, STATE
from desktop.chat.texts import when

Index = QModelIndex | QPersistentModelIndex
PADDING_X, PADDING_Y = 10, 9
BADGE, BADGE_GAP = 18, 10


class ConversationRow(QStyledItemDelegate):
    """Also gives the field in which a title is edited."""

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(120, theme.px(20) + theme.px(17) + 3 + 2 * PADDING_Y)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row = index.data(CONVERSATION)
        if not isinstance(row, Conversation):
            return
        palette = theme.current()
        rect: QRect = option.rect.adjusted(0, 1, 0, -1)
        state: QStyle.StateFlag = option.state
        selected = bool(state & QStyle.StateFlag.State_Selected)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = palette.selection if selected else palette.hover if state & QStyle.StateFlag.State_MouseOver else ""
        focused = selected and bool(state & QStyle.StateFlag.State_HasFocus)
        painter.setPen(QPen(QColor(palette.focus), 2) if focused else Qt.PenStyle.NoPen)
        painter.setBrush(QColor(ground) if ground else Qt.BrushStyle.NoBrush)
        if ground or focused:
            edge = 1 if focused else 0
            painter.drawRoundedRect(rect.adjusted(edge, edge, -edge, -edge), theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)
        view = option.widget
        if isinstance(view, QAbstractItemView) and view.isPersistentEditorOpen(index):
            painter.restore()
            return  # the field in which its title is edited stands there
        self._write(painter, rect.adjusted(PADDING_X, PADDING_Y - 1, -PADDING_X, 1 - PADDING_Y), row, index, option)
        painter.restore()

    def createEditor(self, parent: QWidget, _option: QStyleOptionViewItem, _index: Index) -> QWidget:
        field = QLineEdit(parent)
        field.setObjectName("renameField")
        field.setAccessibleName(self.tr("Title"))
        parent.update()  # the row behind it is not drawn meanwhile
        return field

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, _index: Index) -> None:
        rect: QRect = option.rect
        height = min(editor.sizeHint().height(), rect.height() - 4)
        editor.setGeometry(rect.x() + 2, rect.y() + (rect.height() - height) // 2, rect.width() - 4, height)

    def _write(
        self, painter: QPainter, box: QRect, row: Conversation, index: Index, option: QStyleOptionViewItem
    ) -> None:
        palette = theme.current()
        direction = option.direction

        def place(x: int, y: int, width: int, height: int) -> QRect:
            return QStyle.visualRect(direction, box, QRect(box.x() + x, box.y() + y, width, height))

        badge, line, below = theme.px(BADGE), theme.px(20), theme.px(17)
        theme.channel_icon(row.channel).paint(painter, place(0, (line - badge) // 2, badge, badge))
        left = badge + BADGE_GAP
        room = box.width() - left
        moment = when(row.updated_at)
        painter.setFont(theme.ui_font("secondary", tabular=True))
        wide = painter.fontMetrics().horizontalAdvance(moment) + 2
        painter.setPen(QColor(palette.dim))
        trailing = Qt.AlignmentFlag.AlignTrailing | Qt.AlignmentFlag.AlignVCenter
        leading = Qt.AlignmentFlag.AlignLeading | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(place(left + room - wide, 0, wide, line), _visual(direction, trailing), moment)
        painter.setFont(theme.ui_font(weight=500))
        painter.setPen(QColor(palette.text))
        title = painter.fontMetrics().elidedText(str(index.data()), Qt.TextElideMode.ElideRight, room - wide - 8)
        painter.drawText(place(left, 0, room - wide - 8, line), _visual(direction, leading), title)
        painter.setFont(theme.ui_font("secondary"))
        painter.setPen(QColor(palette.dim))
        words = painter.fontMetrics().elidedText(str(index.data(STATE) or ""), Qt.TextElideMode.ElideRight, room)
        painter.drawText(place(left, line + 3, room, below), _visual(direction, leading), words)


def _visual(direction: Qt.LayoutDirection, alignment: Qt.AlignmentFlag) -> int:
    return int(QStyle.visualAlignment(direction, alignment))
