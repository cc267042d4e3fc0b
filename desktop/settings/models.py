"""The page of models: which one answers, the providers with their keys, what runs on this computer, the starter."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QLineEdit

from agent.errors import SecretError, TrayClawError
from agent.events import DownloadChanged, SettingsChanged
from agent.settings import STARTER
from agent.views import ProviderView
from desktop import tasks, theme
from desktop.settings import key_test
from desktop.settings.add_provider import AddProvider
from desktop.settings.keyring import KeyringBanner
from desktop.settings.model_choice import ModelChoice
from desktop.settings.page import SettingsPage, words
from desktop.settings.provider_row import ProviderRow, model_names
from desktop.settings.starter_row import StarterRow
from desktop.widgets import Button, Card, PageHeader, Row, identify

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge


class ModelsPage(SettingsPage):
    """Applied at once; what a test found is kept while the window lives."""

    def __init__(self, service: AgentService, bridge: Bridge) -> None:
        header = PageHeader(self.tr("Models"), self.tr("Keys never leave this computer except to the provider."))
        super().__init__(service, bridge, header, "modelsPage")
        self._views: dict[str, ProviderView] = {}
        self._rows: dict[str, ProviderRow] = {}
        self._models: dict[str, list[str]] = {}
        self._found: dict[str, ProviderView] = {}
        self._reading: asyncio.Task[None] | None = None
        self._stale = False
        self._mistake = ""
        self.keyring = KeyringBanner(service.secrets)
        self.add(self.keyring)
        self.choice = ModelChoice("defaultModel", self.tr("Answer with"))
        self.fallback = QLineEdit()
        identify(self.fallback, "fallbackModels", self.tr("If that fails"))
        self.fallback.setPlaceholderText(self.tr("none"))
        self.fallback.setMinimumWidth(theme.px(280))
        self.background = ModelChoice(
            "backgroundModel", self.tr("In the background"), nothing=self.tr("The model of the conversation")
        )
        self.titles = ModelChoice("titlesModel", self.tr("Titles"), nothing=self.tr("The first words, free"))
        answer = Card(accessible_name=self.tr("Answers"))
        self.answer_row = answer.add_row(
            self.tr("Answer with"), self._answer_words(), self.choice, object_name="answerWith"
        )
        answer.add_row(
            self.tr("If that fails"),
            self.tr("Asked in this order: provider/model, separated by commas"),
            self.fallback,
            object_name="ifThatFails",
        )
        answer.add_row(
            self.tr("In the background"),
            self.tr("Sums up conversations that have become too long"),
            self.background,
            object_name="inTheBackground",
        )
        answer.add_row(self.tr("Titles"), self.tr("Names new conversations"), self.titles, object_name="titlesRow")
        self.add(answer)
        self.card = Card(object_name="providers", accessible_name=self.tr("Providers"))
        self.add(self.card)
        self.starter = StarterRow()
        self.add_button = Button(self.tr("Add a provider"), "link", glyph="plus", object_name="addProviderOpen")
        self.look_button = Button(self.tr("Look on this computer"), "link", glyph="search", object_name="findLocal")
        self.form = AddProvider(service)
        self._buttons_ready(False)
        self._foot = Card(object_name="moreProviders", accessible_name=self.tr("More providers"))
        self._form_row = self._foot.add_widget(self.form)
        self._form_row.hide()
        self._buttons_row = self._foot.add_row(
            self.tr("More models"), self._look_words(), self.look_button, self.add_button
        )
        self.add(self._foot)
        self._connect()

    def _connect(self) -> None:
        self.choice.chosen.connect(lambda reference: tasks.run(self._answer_with(reference)))
        self.fallback.editingFinished.connect(self._fallback_typed)
        self.background.chosen.connect(lambda reference: self.change({"model.background": reference or None}))
        self.titles.chosen.connect(lambda reference: self.change({"model.titles": reference or None}))
        files = self.service.model_files
        self.starter.download_requested.connect(files.start)
        self.starter.stop_requested.connect(lambda name: tasks.run(files.cancel(name)))
        self.starter.model_requested.connect(lambda name: tasks.run(self._use_file(name)))
        self.bridge.download_changed.connect(self._download_changed)
        self.starter.use_requested.connect(lambda: tasks.run(self._answer_with(STARTER)))
        self.starter.file_chosen.connect(lambda path: self.change({"starter.model_path": path or None}))
        self.add_button.clicked.connect(self._open_form)
        self.look_button.clicked.connect(lambda: tasks.run(self._look()))
        self.form.added.connect(self._added)
        self.form.closed.connect(self._close_form)
        self.form.secret_problem.connect(self.keyring.show_error)
        self.keyring.usable.connect(self.entered)
        self.bridge.settings_changed.connect(self._settings_changed)

    def _answer_words(self) -> str:
        return self.tr("Used for conversations unless one has its own model")

    def _look_words(self) -> str:
        return self.tr("Hosted ones by key; Ollama, LM Studio, llama.cpp and vLLM when they run here.")

    def _buttons_ready(self, ready: bool) -> None:
        """Only once it is known which providers there are."""
        self.add_button.setEnabled(ready)
        self.look_button.setEnabled(ready)

    # --- reading ------------------------------------------------------------------------------------------------------

    def entered(self) -> None:
        self._stale = True
        if self._reading is None or self._reading.done():
            self._reading = tasks.run(self._read_until_fresh())

    def _settings_changed(self, _event: SettingsChanged) -> None:
        if self.isVisible():
            self.entered()

    async def _read_until_fresh(self) -> None:
        """What changes while it is being read is read again."""
        while self._stale:
            self._stale = False
            await self._read()
        await self._list_unknown()

    async def _read(self) -> None:
        place = await self.keyring.place()
        if place:
            text = self.tr("Keys are kept in {place}. They never leave this computer except to the provider.")
            self.header.set_subtitle(text.format(place=place))
        try:
            views = await self.service.providers()
        except TrayClawError as error:
            self.show_problem(error)
            return
        self._views = {view.name: view for view in views if view.name != STARTER}  # has a row of its own
        await self._read_files()
        self._show_rows()
        self._buttons_ready(True)

    def _shown_names(self) -> list[str]:
        """With a key, set up by the person, found here, or answering now."""
        settings = self.service.settings
        answering = settings.model.default.partition("/")[0]
        return [
            name
            for name, view in self._views.items()
            if view.has_key or name in settings.providers or name in self._found or name == answering
        ]

    def _show_rows(self) -> None:
        names = self._shown_names()
        for name in [name for name in self._rows if name not in names]:
            self.card.remove_row(self._rows.pop(name))
        if self.starter not in self.card.rows():
            self.card.append(self.starter)
        for name in names:
            if name in self._rows:
                self._rows[name].update_view(self._views[name])
            else:
                self._add_row(name)
            if name in self._found:
                self._rows[name].show_found(self._found[name].note)
        self._show_answering()

    def _add_row(self, name: str) -> None:
        row = ProviderRow(self.service, self._views[name], removable=name in self.service.settings.providers)
        row.models_found.connect(self._models_found)
        row.changed.connect(self.entered)
        row.use_requested.connect(lambda provider: tasks.run(self._use(provider)))
        row.secret_problem.connect(self.keyring.show_error)
        self._rows[name] = row
        self.card.append(row)
        self.card.append(self.starter)  # stays the last

    def _show_answering(self) -> None:
        settings = self.service.settings
        reference = settings.model.default
        provider = reference.partition("/")[0] if "/" in reference else ""
        model = self.service.settings.model
        labels = {name: view.label for name, view in self._views.items()}
        for choice, chosen in ((self.background, model.background), (self.titles, model.titles)):
            choice.offer(labels, self._models)
            choice.show_current(chosen)
        if not self.fallback.hasFocus():
            self.fallback.setText(", ".join(model.fallback))
        self.choice.offer(labels, self._models)
        self.choice.show_current(reference)
        self._show_answer_words(provider)
        for name, row in self._rows.items():
            row.set_in_use(name == provider)
        self.starter.show_path(settings.starter.model_path, in_use=not provider)

    def _show_answer_words(self, provider: str) -> None:
        view = self._views.get(provider)
        if self._mistake:
            self.answer_row.set_detail(self._mistake, "bad")
        elif provider and view is None:
            text = self.tr("There is no provider “{name}” any more. Choose another model.")
            self.answer_row.set_detail(text.format(name=provider), "bad")
        elif view is not None and view.needs_key and not view.has_key:
            self.answer_row.set_detail(self.tr("{name} has no key yet.").format(name=view.label), "bad")
        else:
            self.answer_row.set_detail(self._answer_words())

    async def _list_unknown(self) -> None:
        """Ask those with a key for their models, so that they can be chosen; silence is no error here."""
        names = [name for name in self._rows if name not in self._models and self._views[name].has_key]

        async def ask(name: str) -> None:
            try:
                self._models[name] = model_names(tuple(await self.service.list_models(name)))
            except (TrayClawError, SecretError):
                return

        await asyncio.gather(*(ask(name) for name in names))
        if names:
            self._show_answering()

    def _models_found(self, name: str, models: object) -> None:
        if isinstance(models, tuple):
            self._models[name] = model_names(models)
            self._show_answering()

    # --- changing -----------------------------------------------------------------------------------------------------

    def _download_changed(self, event: DownloadChanged) -> None:
        self.starter.show_download(event)
        if event.state not in ("running", "checking"):
            tasks.run(self._read_files())

    async def _read_files(self) -> None:
        self.starter.show_models(await self.service.model_files.list())

    async def _use_file(self, name: str) -> None:
        try:
            await self.service.model_files.use(name)
        except TrayClawError as error:
            self.show_problem(error)

    def _fallback_typed(self) -> None:
        chosen = tuple(text.strip() for text in self.fallback.text().split(",") if text.strip())
        if chosen != self.service.settings.model.fallback:
            self.change({"model.fallback": list(chosen) or None})

    async def _answer_with(self, reference: str) -> None:
        provider, _, model = reference.partition("/")
        if reference != STARTER and (provider not in self._views or not model):
            text = self.tr("There is no provider “{name}”. Write it as provider/model, such as openai/gpt-5.")
            self._mistake = text.format(name=provider)
            self._show_answering()
            return
        self._mistake = ""
        try:
            await self.service.change_settings({"model.default": reference})
        except TrayClawError as error:
            self.show_problem(error)
        self._show_answering()

    async def _use(self, provider: str) -> None:
        """Answer with this provider: with its first model, which the list above can change."""
        if not self._models.get(provider):
            try:
                self._models[provider] = model_names(tuple(await self.service.list_models(provider)))
            except TrayClawError as error:
                self._rows[provider].set_detail(words(error), "bad")
                return
        if self._models[provider]:
            await self._answer_with(f"{provider}/{self._models[provider][0]}")
        else:
            self._rows[provider].set_detail(self.tr("It has no models yet."), "bad")

    async def _look(self) -> None:
        self.look_button.setEnabled(False)
        self._buttons_row.set_detail(self.tr("Looking…"))
        try:
            found = await self.service.find_local_models()
        except TrayClawError as error:
            self._buttons_row.set_detail(words(error), "bad")
            return
        finally:
            self.look_button.setEnabled(True)
        self._found = {view.name: view for view in found}
        self._views.update({view.name: self._views.get(view.name, view) for view in found})
        names = ", ".join(view.label for view in found)
        nothing = self.tr("Neither Ollama nor LM Studio answers on this computer. Start one, then look again.")
        self._buttons_row.set_detail(self.tr("Found: {names}").format(names=names) if found else nothing)
        self._show_rows()

    def _open_form(self) -> None:
        self.form.offer([view for view in self._views.values() if view.needs_key and not view.has_key])
        self._form_row.show()
        self._buttons_row.hide()
        self.ensureWidgetVisible(self._form_row)

    def _close_form(self) -> None:
        self._form_row.hide()
        self._buttons_row.show()
        self.add_button.setFocus()

    def _added(self, name: str, outcome: key_test.Outcome) -> None:
        self._close_form()
        tasks.run(self._show_added(name, outcome))

    async def _show_added(self, name: str, outcome: key_test.Outcome) -> None:
        if outcome.works:
            self._models[name] = model_names(outcome.models)
        self.entered()
        if self._reading is not None:
            await asyncio.wait([self._reading])
        if name in self._rows:
            self._rows[name].show_outcome(outcome)

    def rows(self) -> list[Row]:
        """The providers and the starter, as shown."""
        return self.card.rows()
