"""The window of the first run: three ways to think, then "say hello", then whoever wants goes on to Telegram."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from agent.errors import TrayClawError
from agent.settings import STARTER
from desktop import tasks, theme
from desktop.onboarding.choice_card import ChoiceCard
from desktop.onboarding.hello import Hello
from desktop.onboarding.key_form import KeyForm
from desktop.settings.page import words
from desktop.widgets import Button, TextLabel, identify

if TYPE_CHECKING:
    from agent.service import AgentService
    from agent.views import ProviderView
    from desktop.bridge import Bridge

EDGE = 64  # px


class WelcomeWindow(QWidget):
    """`finished(conversation)` when the person is through or skipped (0); it is never shown again after that."""

    finished = Signal(int)
    channels_requested = Signal()

    def __init__(self, service: AgentService, bridge: Bridge) -> None:
        super().__init__()
        identify(self, "welcomeWindow", self.tr("Welcome"))
        self.setWindowTitle(self.tr("Welcome"))
        self.setWindowIcon(theme.app_icon())
        self.setProperty("ground", "bg")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.resize(1030, 620)
        self._service = service
        self._left = False
        self._looking: asyncio.Task[None] | None = None
        self._mark = QLabel()
        self._mark.setAccessibleName("TrayClaw")
        self.title = TextLabel(self.tr("Your own agent, in your tray"), "display", wrap=True)
        self.subtitle = TextLabel(
            self.tr("Where should the thinking happen? You can change this at any time."), "dim", wrap=True
        )
        self.cards = self._make_cards()
        self.local = QComboBox()
        identify(self.local, "welcomeLocalModel", self.tr("Model on this computer"))
        self.key_form = KeyForm(service)
        self.message = TextLabel("", "bad", wrap=True, selectable=True, object_name="welcomeMessage")
        self.hello = Hello(service, bridge)
        self.skip = Button(self.tr("Skip"), "quiet", object_name="welcomeSkip")
        self.back = Button(self.tr("Back"), "quiet", object_name="welcomeBack")
        self.telegram = Button(self.tr("Connect Telegram"), object_name="welcomeTelegram")
        self.go = Button(self.tr("Continue"), "primary", object_name="welcomeContinue")
        self.steps = QStackedWidget()
        self._lay_out()
        self._draw_mark()
        theme.on_change(self._restyle)
        for name, card in self.cards.items():
            card.toggled.connect(lambda on, way=name: self._chosen(way) if on else None)
        self.key_form.changed.connect(self._check)
        self.local.currentIndexChanged.connect(self._check)
        self.skip.clicked.connect(lambda: self._leave(0))
        self.back.clicked.connect(lambda: self._show_step(0))
        self.go.clicked.connect(self._go_on)
        self.telegram.clicked.connect(self._connect_telegram)
        self.hello.answered.connect(self._first_answer)
        self.cards["starter" if _has_starter() else "key"].setChecked(True)
        tasks.run(self.key_form.offer())
        self._show_step(0)
        self.go.setFocus()  # Enter goes on with what is chosen

    def _make_cards(self) -> dict[str, ChoiceCard]:
        budget = self._service.settings.budget.daily_usd
        starter = ChoiceCard(
            self.tr("Try it now"),
            self.tr(
                "A tiny model inside TrayClaw. Offline, free, no account. Good for a look around, not for real work."
            ),
            self.tr("Ready in seconds"),
            object_name="wayStarter",
        )
        if not _has_starter():
            starter.setEnabled(False)
            starter.set_fact(self.tr("Not part of this installation"))
        local = ChoiceCard(
            self.tr("On this computer"),
            self.tr("Ollama or LM Studio, where they run. Private and free; speed depends on your machine."),
            self.tr("Looks for them when chosen"),
            object_name="wayLocal",
        )
        key = ChoiceCard(
            self.tr("With my key"),
            self.tr("Anthropic, OpenAI, Gemini, OpenRouter and more. Best answers. You set the spending limit."),
            self.tr("${limit:.2f} a day unless you change it").format(limit=budget),
            object_name="wayKey",
        )
        return {"starter": starter, "local": local, "key": key}

    def _lay_out(self) -> None:
        cards = QHBoxLayout()
        cards.setSpacing(14)
        for card in self.cards.values():
            cards.addWidget(card, 1)
        choose = QWidget()
        column = QVBoxLayout(choose)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(16)
        column.addLayout(cards)
        column.addWidget(self.local, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.key_form)
        column.addWidget(self.message)
        column.addStretch(1)
        area = QScrollArea()  # large letters in a small window need more than there is
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(choose)
        bar = area.verticalScrollBar()
        bar.rangeChanged.connect(lambda _low, high: bar.setValue(high if self._said() else bar.value()))
        self.steps.addWidget(area)
        self.steps.addWidget(self.hello)
        foot = QHBoxLayout()
        foot.setSpacing(8)
        for widget in (self.skip, self.back):
            foot.addWidget(widget)
        foot.addStretch(1)
        for widget in (self.telegram, self.go):
            foot.addWidget(widget)
        page = QVBoxLayout(self)
        page.setContentsMargins(EDGE, 40, EDGE, 36)
        page.setSpacing(0)
        page.addWidget(self._mark)
        page.addSpacing(16)
        page.addWidget(self.title)
        page.addSpacing(8)
        page.addWidget(self.subtitle)
        page.addSpacing(24)
        page.addWidget(self.steps, 1)
        page.addSpacing(16)
        page.addLayout(foot)

    def _restyle(self, _palette: object) -> None:
        self._draw_mark()

    def _draw_mark(self) -> None:
        self._mark.setPixmap(theme.mark_pixmap(theme.px(48), "accent", self.devicePixelRatioF()))

    # --- first step ---------------------------------------------------------------------------------------------------

    def _way(self) -> str:
        return next((name for name, card in self.cards.items() if card.isChecked()), "starter")

    def _chosen(self, way: str) -> None:
        self.message.hide()
        self.key_form.setVisible(way == "key")
        self.local.setVisible(way == "local" and self.local.count() > 0)
        if way == "local" and not self.local.count() and (self._looking is None or self._looking.done()):
            self._looking = tasks.run(self._look())
        if way == "key" and self.isVisible():
            self.key_form.key.setFocus()
        self._check()

    async def _look(self) -> None:
        card = self.cards["local"]
        card.set_fact(self.tr("Looking…"), "busy")
        found = await self._service.find_local_models()
        self.local.clear()
        for view in found:
            for model in await self._models_of(view):
                self.local.addItem(f"{view.label} · {model}", f"{view.name}/{model}")
        if not found:
            card.set_text(
                self.tr("Neither Ollama nor LM Studio answers. Start one (ollama.com is free) and choose again.")
            )
            card.set_fact(self.tr("Not found"), "off")
        elif not self.local.count():
            card.set_text(self.tr("{name} runs here, but has no models yet.").format(name=found[0].label))
            card.set_fact(self.tr("No models"), "warn")
        else:
            names = self.tr(" and ").join(view.label for view in found)
            text = self.tr("{name} is running here with {n} models. Private and free; speed depends on your machine.")
            card.set_text(text.format(name=names, n=self.local.count()))
            card.set_fact(self.local.currentText(), "ok")
        self.local.setVisible(self._way() == "local" and self.local.count() > 0)
        self._check()

    async def _models_of(self, view: ProviderView) -> list[str]:
        try:
            return [model.id for model in await self._service.list_models(view.name)]
        except TrayClawError:
            return []

    def _said(self) -> bool:
        """Whether below the cards stands something to read."""
        return not self.message.isHidden() or (self._way() == "key" and not self.key_form.message.isHidden())

    def _check(self) -> None:
        way = self._way()
        enough = {"starter": True, "local": self.local.count() > 0, "key": self.key_form.ready}[way]
        self.go.setEnabled(enough or self.steps.currentIndex() == 1)

    def _go_on(self) -> None:
        if self.steps.currentIndex() == 1:
            self._leave(self.hello.conversation)
        else:
            tasks.run(self._use_way())

    async def _use_way(self) -> None:
        self.go.setEnabled(False)
        self.message.hide()
        try:
            reference = await self._reference()
            if reference:
                await self._service.change_settings({"model.default": reference})
                self._show_step(1)
        except TrayClawError as error:
            self.message.setText(words(error))
            self.message.show()
        finally:
            self._check()

    async def _reference(self) -> str:
        way = self._way()
        if way == "starter":
            return STARTER
        if way == "local":
            return str(self.local.currentData())
        return await self.key_form.save()

    # --- second step --------------------------------------------------------------------------------------------------

    def _show_step(self, step: int) -> None:
        self.steps.setCurrentIndex(step)
        self.back.setVisible(step == 1)
        self.telegram.setVisible(step == 1 and bool(self.hello.conversation))
        if step == 0:
            self.title.setText(self.tr("Your own agent, in your tray"))
            self.subtitle.setText(self.tr("Where should the thinking happen? You can change this at any time."))
            self.go.setText(self.tr("Continue"))
            self._chosen(self._way())
        else:
            self.title.setText(self.tr("Say hello"))
            self.subtitle.setText(self.tr("One message, and you have seen how it works."))
            self.go.setText(self.tr("Open TrayClaw"))
            self.hello.enter()
        self._check()

    def _first_answer(self) -> None:
        self.telegram.show()
        self.skip.hide()
        self.go.setFocus()

    def _connect_telegram(self) -> None:
        self._leave(self.hello.conversation)
        self.channels_requested.emit()

    def _leave(self, conversation: int) -> None:
        if not self._left:
            self._left = True
            tasks.run(self._remember(conversation))

    async def _remember(self, conversation: int) -> None:
        try:
            await self._service.change_settings({"desktop.welcomed": True})
        except TrayClawError:
            pass  # it is asked again at the next start; nothing is lost, and the window says it when settings are used
        self.finished.emit(conversation)

    def closeEvent(self, event: QCloseEvent) -> None:
        event.ignore()
        self._leave(self.hello.conversation)


def _has_starter() -> bool:
    return find_spec("xllamacpp") is not None
