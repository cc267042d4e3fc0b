"""The menu with the options of one conversation: what a message does that comes while the agent works, and how much it
does without asking."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Signal, SignalInstance
from PySide6.QtGui import QActionGroup
from PySide6.QtWidgets import QMenu, QWidget

from agent.settings import Settings
from agent.views import Conversation


class OptionsMenu(QMenu):
    """`queue_chosen(mode)` and `safety_chosen(mode)`, "" for what the settings say."""

    queue_chosen = Signal(str)
    safety_chosen = Signal(str)

    def __init__(self, conversation: Conversation, settings: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("optionsMenu")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        queue = {
            "queue": self.tr("Waits for its turn"),
            "steer": self.tr("Is taken into account at the next step"),
            "collect": self.tr("Is answered together with the others"),
            "interrupt": self.tr("Ends what runs"),
        }
        safety = {
            "careful": self.tr("Careful: asks before every effect"),
            "balanced": self.tr("Balanced: acts inside the fence"),
            "autonomous": self.tr("Autonomous: changes files too"),
        }
        self._section(
            self.tr("A message that comes while I work"),
            {"": self._default(queue[settings.turn.queue]), **queue},
            conversation.queue_mode,
            self.queue_chosen,
            "queue",
        )
        self._section(
            self.tr("Without asking"),
            {"": self._default(safety[settings.safety.mode]), **safety},
            conversation.safety_mode,
            self.safety_chosen,
            "safety",
        )

    def _default(self, words: str) -> str:
        return self.tr("As in the settings ({what})").format(what=words.partition(":")[0])

    def _section(self, title: str, choices: dict[str, str], current: str, chosen: SignalInstance, name: str) -> None:
        heading = self.addAction(title)
        heading.setEnabled(False)
        group = QActionGroup(self)
        for value, words in choices.items():
            action = self.addAction(words, partial(chosen.emit, value))
            action.setObjectName(f"{name}-{value or 'default'}")
            action.setCheckable(True)
            action.setChecked(value == current)
            group.addAction(action)
        self.addSeparator()
