"""The page "Safety": how much happens unasked, the fence around programs, folders, permissions, the search engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QLineEdit

from agent.errors import TrayClawError
from agent.events import SettingsChanged
from agent.safety.grants import Grant
from agent.settings import Settings
from agent.views import SandboxView
from desktop import tasks
from desktop.settings.page import SettingsPage
from desktop.settings.times import day
from desktop.widgets import Button, Card, ComboBox, PageHeader, SecretField, TextLabel, identify

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge

NEEDS_KEY = ("brave", "tavily")


class SafetyCard(Card):
    """`changed({dotted key: value})` for a setting that the person changed, `prove` to try the fence out."""

    changed = Signal(dict)
    prove = Signal()

    def __init__(self) -> None:
        super().__init__(object_name="safety", accessible_name="")
        self.setAccessibleName(self.tr("Safety"))
        self.mode = ComboBox(object_name="safetyMode", accessible_name=self.tr("Safety mode"))
        self._explained = {
            "careful": (self.tr("Careful"), self.tr("Asks before every command, change and web page.")),
            "balanced": (
                self.tr("Balanced"),
                self.tr("Reads the workspace and the web and runs fenced commands; asks before everything else."),
            ),
            "autonomous": (
                self.tr("Autonomous"),
                self.tr("Changes files in the workspace too. Asks for what leaves the fence or cannot be undone."),
            ),
        }
        for key, (name, text) in self._explained.items():
            self.mode.addItem(name, key)
            self.mode.setItemData(self.mode.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
        self.mode_row = self.add_row(self.tr("Safety mode"), "", self.mode, object_name="safetyRow")
        self.try_out = Button(self.tr("Try it out"), object_name="sandboxProve")
        self.fence_row = self.add_row(self.tr("Fence around commands"), "", self.try_out, object_name="sandboxRow")
        self.proof = TextLabel("", "secondary", wrap=True, object_name="sandboxProof")
        self.fence_row.add_below(self.proof)
        self.proof.hide()
        self.mode.activated.connect(lambda _index: self.changed.emit({"safety.mode": self.mode.currentData()}))
        self.try_out.clicked.connect(self.prove)

    def show_settings(self, settings: Settings) -> None:
        """The mode that holds now."""
        self.mode.setCurrentIndex(self.mode.findData(settings.safety.mode))
        self.mode_row.set_detail(self._explained[settings.safety.mode][1])

    def show_fence(self, fence: SandboxView) -> None:
        """The one in force, and what was found when it was tried."""
        named = self.tr("{name}: {detail}").format(name=fence.name, detail=fence.detail) if fence.name else fence.detail
        self.fence_row.set_detail(named, "secondary" if fence.name else "warn")
        self.try_out.setVisible(bool(fence.name))
        self.try_out.setEnabled(True)
        if fence.proof:
            self.proof.setText("\n".join(f"{'✓' if ok else '✗'} {words}" for words, ok in fence.proof))
            self.proof.set_role("secondary" if all(ok for _, ok in fence.proof) else "bad")
            self.proof.show()


class FoldersCard(Card):
    """Folders besides the workspace. `changed` carries the whole new list as tables of the settings."""

    changed = Signal(dict)
    add_requested = Signal()

    def __init__(self) -> None:
        super().__init__(object_name="folders")
        self.setAccessibleName(self.tr("Folders"))
        self.add_button = Button(self.tr("Add a folder…"), object_name="folderAdd")
        self._folders: list[dict[str, object]] = []

    def show_settings(self, settings: Settings) -> None:
        """The folders that hold now."""
        self._folders = [{"path": one.path, "write": one.write} for one in settings.safety.folders]
        self.clear()
        for index, folder in enumerate(self._folders):
            access = ComboBox(object_name=f"folderAccess{index}", accessible_name=self.tr("What is allowed there"))
            access.addItem(self.tr("Read only"), False)
            access.addItem(self.tr("Read and change"), True)
            access.setCurrentIndex(1 if folder["write"] else 0)
            remove = Button(self.tr("Remove"), "danger", object_name=f"folderRemove{index}")
            remove.setAccessibleName(self.tr("Remove {folder}").format(folder=folder["path"]))
            self.add_row(str(folder["path"]), "", access, remove, object_name=f"folderRow{index}")
            access.activated.connect(lambda choice, at=index: self._set(at, write=bool(choice)))
            remove.clicked.connect(lambda _on=False, at=index: self._remove(at))
        self.add_button = Button(self.tr("Add a folder…"), object_name="folderAdd")
        self.add_button.clicked.connect(self.add_requested)
        empty = self.tr("Besides the workspace, tools and commands reach only the folders that you add here.")
        self.add_row(self.tr("Other folders"), empty, self.add_button, object_name="folderAddRow")

    def add(self, path: str) -> None:
        """One more, to be read only."""
        if all(folder["path"] != path for folder in self._folders):
            self._tell([*self._folders, {"path": path, "write": False}])

    def _set(self, index: int, *, write: bool) -> None:
        self._tell([{**one, "write": write} if at == index else one for at, one in enumerate(self._folders)])

    def _remove(self, index: int) -> None:
        self._tell([one for at, one in enumerate(self._folders) if at != index])

    def _tell(self, folders: list[dict[str, object]]) -> None:
        self.changed.emit({"safety.folders": folders or None})


class GrantsCard(Card):
    """What was permitted beyond one call. `revoked(id)`."""

    revoked = Signal(int)

    def __init__(self) -> None:
        super().__init__(object_name="grants")
        self.setAccessibleName(self.tr("Standing permissions"))

    def show_grants(self, grants: list[Grant]) -> None:
        """The newest first."""
        self.clear()
        if not grants:
            none = self.tr("None. A question offers “Always” where an exact permission is possible.")
            self.add_row(self.tr("Standing permissions"), none, object_name="grantsNone")
        for grant in grants:
            where = self.tr("everywhere") if grant.conversation_id is None else self.tr("in one conversation")
            since = self.tr("since {time}").format(time=day(grant.created_at))
            revoke = Button(self.tr("Revoke"), "danger", object_name=f"grantRevoke{grant.id}")
            revoke.setAccessibleName(self.tr("Revoke {what}").format(what=grant.rule.words))
            revoke.clicked.connect(lambda _on=False, number=grant.id: self.revoked.emit(number))
            words = grant.rule.words[:1].upper() + grant.rule.words[1:]
            self.add_row(words, f"{where}, {since}", revoke, object_name=f"grant{grant.id}")


class SearchCard(Card):
    """The search engine. `changed({dotted key: value})`, `key_given(engine, key)`, `key_removed(engine)`."""

    changed = Signal(dict)
    key_given = Signal(str, str)
    key_removed = Signal(str)

    def __init__(self) -> None:
        super().__init__(object_name="webSearch")
        self.setAccessibleName(self.tr("Web search"))
        self.engine = ComboBox(object_name="searchEngine", accessible_name=self.tr("Search engine"))
        for key, name in (
            ("ddgs", self.tr("DuckDuckGo and others, without a key")),
            ("brave", "Brave"),
            ("tavily", "Tavily"),
            ("searxng", self.tr("My own SearXNG server")),
        ):
            self.engine.addItem(name, key)
        self.row = self.add_row(self.tr("Web search"), "", self.engine, object_name="searchRow")
        self.key = SecretField(
            placeholder=self.tr("Key of the search engine"),
            object_name="searchKey",
            accessible_name=self.tr("Key of the search engine"),
        )
        self.key_row = self.add_widget(self.key)
        self.address = QLineEdit()
        self.address.setPlaceholderText("https://search.example.org")
        identify(self.address, "searxngUrl", self.tr("Address of the SearXNG server"))
        self.address_row = self.add_widget(self.address)
        self.engine.activated.connect(lambda _index: self.changed.emit({"web.search": self.engine.currentData()}))
        self.address.editingFinished.connect(self._address_given)
        self.key.submitted.connect(lambda key: self.key_given.emit(self.engine.currentData(), key))
        self.key.remove_requested.connect(lambda: self.key_removed.emit(self.engine.currentData()))
        self._known = ""

    def show_settings(self, settings: Settings, stored: list[str]) -> None:
        """The engine that is asked now, and whether its key is there."""
        name = settings.web.search
        self._known = settings.web.searxng_url
        self.engine.setCurrentIndex(self.engine.findData(name))
        self.key_row.setVisible(name in NEEDS_KEY)
        self.address_row.setVisible(name == "searxng")
        self.key.set_stored(name in stored)
        if not self.address.hasFocus():
            self.address.setText(self._known)

    def _address_given(self) -> None:
        if self.address.text().strip() != self._known:
            self.changed.emit({"web.searxng_url": self.address.text().strip() or None})


class SafetyPage(SettingsPage):
    """Applied at once."""

    def __init__(self, service: AgentService, bridge: Bridge) -> None:
        subtitle = self.tr("TrayClaw acts freely inside a fence, asks at the fence, and can take back what it did.")
        super().__init__(service, bridge, PageHeader(self.tr("Safety"), subtitle), "safetyPage")
        self.safety = SafetyCard()
        self.folders = FoldersCard()
        self.grants = GrantsCard()
        self.search = SearchCard()
        self.dialog: QFileDialog | None = None
        for card in (self.safety, self.folders, self.grants, self.search):
            self.add(card)
        for changing in (self.safety, self.folders, self.search):
            changing.changed.connect(self.change)
        self.safety.prove.connect(lambda: tasks.run(self._prove()))
        self.folders.add_requested.connect(self._choose_folder)
        self.grants.revoked.connect(lambda number: tasks.run(self._revoke(number)))
        self.search.key_given.connect(lambda name, key: tasks.run(self._set_key(name, key)))
        self.search.key_removed.connect(lambda name: tasks.run(self._set_key(name, "")))
        bridge.settings_changed.connect(self._settings_changed)

    def entered(self) -> None:
        tasks.run(self._read())

    def _settings_changed(self, _event: SettingsChanged) -> None:
        self.safety.show_settings(self.service.settings)
        if self.isVisible():
            self.entered()

    async def _read(self) -> None:
        settings = self.service.settings
        self.safety.show_settings(settings)
        self.folders.show_settings(settings)
        try:
            self.grants.show_grants(await self.service.grants())
            stored = await self.service.stored_keys() if settings.web.search in NEEDS_KEY else []
            self.search.show_settings(settings, stored)
            self.safety.show_fence(await self.service.sandbox_state())
        except TrayClawError as error:
            self.show_problem(error)

    async def _prove(self) -> None:
        self.safety.try_out.setEnabled(False)
        self.safety.show_fence(await self.service.sandbox_state(with_proof=True))

    async def _revoke(self, number: int) -> None:
        try:
            await self.service.revoke_grant(number)
        except TrayClawError as error:
            self.show_problem(error)

    async def _set_key(self, name: str, key: str) -> None:
        try:
            if key:
                await self.service.set_key(name, key)
            else:
                await self.service.delete_key(name)
        except TrayClawError as error:
            self.show_problem(error)

    def _choose_folder(self) -> None:
        self.dialog = QFileDialog(self, self.tr("Choose a folder"))
        self.dialog.setFileMode(QFileDialog.FileMode.Directory)
        self.dialog.fileSelected.connect(self.folders.add)
        self.dialog.finished.connect(self.dialog.deleteLater)
        self.dialog.open()
