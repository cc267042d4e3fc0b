"""The built-in model in the settings: tiny and labelled so; another GGUF file can take its place."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from desktop import theme
from desktop.widgets import Button, GlyphButton, Row, StatusDot


class StarterRow(Row):
    """`file_chosen("")` goes back to the built-in file."""

    file_chosen = Signal(str)
    use_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Starter model"), object_name="starterRow", parent=parent)
        self.set_icon(QIcon(theme.mark_pixmap(64)))
        self.status = StatusDot("off", "", subject=self.tr("Starter model"), object_name="starterStatus")
        self.use_button = Button(self.tr("Use"), object_name="starterUse")
        self.use_button.setAccessibleName(self.tr("Answer with the starter model"))
        self.more = GlyphButton("more", self.tr("More for the starter model"), object_name="starterMore")
        self.add_trailing(self.status, self.use_button, self.more)
        self.dialog: QFileDialog | None = None
        self._path = ""
        self.use_button.clicked.connect(self.use_requested)
        self.more.clicked.connect(self._open_menu)

    def show_path(self, path: str, *, in_use: bool) -> None:
        """The file that is set, "" for the one that comes along."""
        self._path = path
        self.use_button.setEnabled(not in_use)
        self.use_button.setText(self.tr("In use") if in_use else self.tr("Use"))
        if find_spec("xllamacpp") is None:
            self.status.set_status("bad", self.tr("Not installed"))
            self.set_detail(self.tr("Install TrayClaw with its “starter” extra, or use a key or Ollama instead."))
        elif path and not Path(path).is_file():
            self.status.set_status("bad", self.tr("File is missing"))
            self.set_detail(path, "bad")
        elif path:
            self.status.set_status("off", "")
            self.set_detail(self.tr("{file} · runs on this computer, free").format(file=Path(path).name))
        else:
            self.status.set_status("off", "")
            self.set_detail(self.tr("Built in, offline, tiny: for trying TrayClaw. Cannot use tools."))
        self.status.setVisible(bool(self.status.text()))

    def _open_menu(self) -> None:
        menu = QMenu(self)
        choose = menu.addAction(self.tr("Choose another model file…"))
        choose.setObjectName("chooseFile")
        choose.triggered.connect(self._choose)
        back = menu.addAction(self.tr("Use the built-in file"))
        back.setEnabled(bool(self._path))
        back.triggered.connect(lambda: self.file_chosen.emit(""))
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def _choose(self) -> None:
        folder = str(Path(self._path).parent) if self._path else str(Path.home())
        self.dialog = QFileDialog(self, self.tr("Choose a model file"), folder, self.tr("Models (*.gguf)"))
        self.dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        self.dialog.fileSelected.connect(self.file_chosen)
        self.dialog.finished.connect(self.dialog.deleteLater)
        self.dialog.open()
