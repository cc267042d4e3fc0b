"""What a turn did, below its answer: files, commands, hosts, what it read, and what undo did about it."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from agent.views import CommandRun, Receipt, UndoReport
from desktop.widgets import TextLabel, identify

MOST_LINES = 30


class ReceiptPanel(QFrame):
    """Filled by `show_receipt` or `show_undo`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        identify(self, "receipt", self.tr("Receipt"))
        self.setProperty("card", "plain")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(14, 12, 14, 12)
        self._column.setSpacing(4)

    def lines(self) -> list[str]:
        """The words that stand in it."""
        return [label.text() for label in self.findChildren(TextLabel) if not label.isHidden()]

    def show_receipt(self, receipt: Receipt) -> None:
        """Everything that one turn did."""
        self._clear()
        words = {"created": self.tr("created"), "changed": self.tr("changed"), "removed": self.tr("removed")}
        self._section(
            self.tr("Files"),
            [
                self.tr("{path}: {what}").format(path=file.path, what=words[file.change])
                + ("" if file.covered else self.tr(" (too large to be undone)"))
                for file in receipt.files
            ],
        )
        self._section(self.tr("Commands"), [_command(self, run) for run in receipt.commands])
        self._section(self.tr("Hosts"), list(receipt.hosts))
        self._section(self.tr("Messages"), list(receipt.messages))
        self._section(self.tr("Outside tools"), list(receipt.outside))
        self._section(self.tr("Untrusted texts that were read"), list(receipt.sources))
        self._section(self.tr("Denied"), list(receipt.denied))
        self._section(self.tr("Not covered by undo"), list(receipt.gaps))
        seal = self.tr("Sealed as {hash}").format(hash=receipt.hash[:12]) if receipt.hash else ""
        broken = "" if receipt.intact else self.tr("The record was changed after the turn.")
        undone = self.tr("This turn was undone.") if receipt.undone else ""
        for text, role in ((undone, "ok"), (broken, "bad"), (seal, "faint")):
            if text:
                self._add(text, role)

    def show_undo(self, report: UndoReport) -> None:
        """What came of an undo."""
        self._clear()
        if report.done:
            self._add(self.tr("✓ Undone"), "ok")
        else:
            self._add(self.tr("✗ Not undone, and nothing was touched"), "bad")
        words = {
            "restored": self.tr("restored"),
            "removed": self.tr("removed"),
            "conflict": self.tr("in the way"),
            "not covered": self.tr("not covered"),
            "cannot be taken back": self.tr("cannot be taken back"),
            "nothing to do": self.tr("nothing to do"),
        }
        for step in report.steps[:MOST_LINES]:
            detail = f" ({step.detail})" if step.detail else ""
            self._add(": ".join(part for part in (step.what, words[step.outcome]) if part) + detail, "secondary")

    def show_problem(self, words: str) -> None:
        """It could not be done at all."""
        self._clear()
        self._add(words, "bad")

    def _section(self, title: str, lines: list[str]) -> None:
        if not lines:
            return
        if self._column.count():
            self._column.addSpacing(6)
        self._add(title, "faint")
        for line in lines[:MOST_LINES]:
            self._add(line, "")
        if len(lines) > MOST_LINES:
            self._add(self.tr("and {n} more").format(n=len(lines) - MOST_LINES), "secondary")

    def _add(self, text: str, role: str) -> None:
        self._column.addWidget(TextLabel(text, role, wrap=True, selectable=True))

    def _clear(self) -> None:
        while (item := self._column.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()


def _command(panel: ReceiptPanel, run: CommandRun) -> str:
    if run.background:
        ended = panel.tr("goes on in the background")
    elif run.exit_code is None:
        ended = panel.tr("ended by force")
    else:
        ended = panel.tr("exit code {n}").format(n=run.exit_code)
    fence = panel.tr("behind {name}").format(name=run.sandbox) if run.sandbox else panel.tr("without a fence")
    return f"{run.command}: {ended}, {fence}"
