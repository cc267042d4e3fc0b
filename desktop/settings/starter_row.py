"""The built-in model in the settings: tiny and labelled so; another GGUF file can take its place."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from agent.events import DownloadChanged
from agent.views import ModelFile
from desktop import theme
from desktop.widgets import Button, GlyphButton, Row, StatusDot


class StarterRow(Row):
    """`file_chosen("")` goes back to the built-in file. `download_requested`, `stop_requested` and `model_requested`
    carry the name of a larger model: fetch it, stop fetching it, answer with it."""

    file_chosen = Signal(str)
    use_requested = Signal()
    download_requested = Signal(str)
    stop_requested = Signal(str)
    model_requested = Signal(str)
    menu_opening = Signal()

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
        self._models: Sequence[ModelFile] = ()
        self._running: dict[str, DownloadChanged] = {}
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

    def show_models(self, models: Sequence[ModelFile]) -> None:
        """The larger models that can be had."""
        self._models = models

    def show_download(self, event: DownloadChanged) -> None:
        """A download went on, or ended."""
        label = next((model.label for model in self._models if model.name == event.name), event.name)
        if event.state in ("running", "checking"):
            self._running[event.name] = event
            share = event.have / max(event.size, 1)
            text = self.tr("{model}: {share:.0%} of {size:.1f} GB").format(
                model=label, share=share, size=event.size / 1e9
            )
            self.status.set_status("busy", text if event.state == "running" else self.tr("Checking…"))
        else:
            self._running.pop(event.name, None)
            words = {"ready": self.tr("{model} is here"), "stopped": self.tr("{model}: stopped")}
            text = words.get(event.state, self.tr("{model}: the download failed")).format(model=label)
            self.status.set_status({"ready": "ok", "stopped": "off"}.get(event.state, "bad"), text)  # type: ignore[arg-type]
            if event.detail:
                self.set_detail(event.detail, "bad")
        self.status.show()

    def menu(self) -> QMenu:
        """What can be done, as of now."""
        menu = QMenu(self)
        larger = menu.addMenu(self.tr("Larger models"))
        larger.setToolTipsVisible(True)
        for model in self._models:
            self._offer(larger, model)
        larger.setEnabled(bool(self._models))
        menu.addSeparator()
        choose = menu.addAction(self.tr("Choose another model file…"))
        choose.setObjectName("chooseFile")
        choose.triggered.connect(self._choose)
        back = menu.addAction(self.tr("Use the built-in file"))
        back.setEnabled(bool(self._path))
        back.triggered.connect(lambda: self.file_chosen.emit(""))
        return menu

    def _offer(self, menu: QMenu, model: ModelFile) -> None:
        size = f"{model.size / 1e9:.1f} GB"
        if model.name in self._running:
            text, signal = self.tr("Stop downloading {model}"), self.stop_requested
        elif model.ready:
            text, signal = self.tr("Use {model}"), self.model_requested
        elif model.have:
            text, signal = self.tr("Go on downloading {model} ({size}, {license})"), self.download_requested
        else:
            text, signal = self.tr("Download {model} ({size}, {license})"), self.download_requested
        action = menu.addAction(text.format(model=model.label, size=size, license=model.license))
        action.setObjectName(f"model-{model.name}")
        memory = self.tr("Needs about {n:.0f} GB of memory.").format(n=model.memory / 1e9)
        action.setToolTip(f"{model.note} {memory}")
        action.triggered.connect(lambda: signal.emit(model.name))

    def _open_menu(self) -> None:
        self.menu_opening.emit()
        menu = self.menu()
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def _choose(self) -> None:
        folder = str(Path(self._path).parent) if self._path else str(Path.home())
        self.dialog = QFileDialog(self, self.tr("Choose a model file"), folder, self.tr("Models (*.gguf)"))
        self.dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        self.dialog.fileSelected.connect(self.file_chosen)
        self.dialog.finished.connect(self.dialog.deleteLater)
        self.dialog.open()
