"""The page "Usage & limits": what was spent, on what, and how much may be."""

from __future__ import annotations

import asyncio
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from agent.errors import StorageError, TrayClawError
from agent.events import SettingsChanged, TurnFinished
from agent.views import LimitView, UsageDay
from desktop import tasks
from desktop.settings.limits import LimitsCard
from desktop.settings.page import SettingsPage
from desktop.settings.usage_chart import MOST_SERIES, Day, UsageChart, amount
from desktop.settings.usage_table import Figure, Legend, UsageTable
from desktop.widgets import Button, ComboBox, EmptyState, PageHeader

if TYPE_CHECKING:
    from agent.service import AgentService
    from desktop.bridge import Bridge

RANGES = (14, 30, 90)
NEAR = 0.8


class UsagePage(SettingsPage):
    """Reads again after each turn while it is shown."""

    def __init__(self, service: AgentService, bridge: Bridge) -> None:
        subtitle = self.tr("A call is made only if its estimate still fits. At the limit TrayClaw stops and asks.")
        self.range = ComboBox(object_name="usageRange", accessible_name=self.tr("Days that are shown"))
        super().__init__(service, bridge, PageHeader(self.tr("Usage & limits"), subtitle, self.range), "usagePage")
        for days in RANGES:
            self.range.addItem(self.tr("{n} days").format(n=days), days)
        month = QLocale().standaloneMonthName(date.today().month)  # noqa: DTZ011 - the person's own day
        self.today = Figure(self.tr("Today"), object_name="usageToday")
        self.month = Figure(month, object_name="usageMonth")
        self.background = Figure(self.tr("In the background"), object_name="usageBackground")
        self.chart = UsageChart(object_name="usageChart")
        self.legend = Legend()
        self.export = Button(self.tr("Export CSV"), "link", object_name="usageExport")
        self.table = UsageTable()
        self.empty = EmptyState(
            self.tr("Nothing was used yet"),
            self.tr("Once you talk to a model, each day and each model appears here with what it cost."),
            object_name="usageEmpty",
        )
        self.limits = LimitsCard()
        self.dialog: QFileDialog | None = None
        self._reading: asyncio.Task[None] | None = None
        self._lay_out()
        self.range.activated.connect(lambda _index: self.entered())
        self.export.clicked.connect(self._choose_file)
        self.limits.changed.connect(self.change)
        bridge.turn_finished.connect(self._turn_finished)
        bridge.settings_changed.connect(self._settings_changed)

    def _lay_out(self) -> None:
        figures = QWidget()
        line = QHBoxLayout(figures)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(14)
        for figure in (self.today, self.month, self.background):
            line.addWidget(figure, 1)
        foot = QWidget()
        below = QHBoxLayout(foot)
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(self.legend, 1)
        below.addWidget(self.export)
        self._record = (self.chart, foot, self.table)
        for widget in (figures, *self._record, self.empty, self.limits):
            self.add(widget)
        for widget in (*self._record, self.empty):
            widget.hide()

    # --- reading ------------------------------------------------------------------------------------------------------

    def entered(self) -> None:
        self.limits.show_settings(self.service.settings)
        if self._reading is None or self._reading.done():
            self._reading = tasks.run(self._read())

    def _turn_finished(self, _event: TurnFinished) -> None:
        if self.isVisible():
            self.entered()

    def _settings_changed(self, _event: SettingsChanged) -> None:
        if self.isVisible():
            self.entered()

    async def _read(self) -> None:
        shown = int(self.range.currentData() or RANGES[0])
        first = datetime.now().astimezone().date() - timedelta(days=shown - 1)
        since = datetime(first.year, first.month, first.day).astimezone().timestamp()
        spending = self.service.spending
        try:
            limits = await spending.limits()
            days = await spending.days(since)
            rows = await spending.totals(since, "model")
            purposes = await spending.totals(_month_start(), "purpose")
        except TrayClawError as error:
            self.show_problem(error)
            return
        self._show_limit(self.today, limits[0])
        self._show_limit(self.month, limits[1])
        background = sum(row.cost_usd for row in purposes if row.group != "chat")
        self.background.show_figure(amount(background), "" if background else self.tr("idle costs nothing"))
        self.limits.show_spent(limits[0].spent, limits[1].spent)
        series, bars = _bars(days, first, shown, self.tr("others"))
        self.chart.show_days(bars, series)
        self.legend.show_series(series)
        self.table.show_rows(rows)
        for widget in self._record:
            widget.setVisible(bool(rows))
        self.empty.setVisible(not rows)

    def _show_limit(self, figure: Figure, limit: LimitView) -> None:
        text = self.tr("of {limit}").format(limit=f"${limit.limit:.2f}")
        role = "secondary"
        if limit.raised:
            text += self.tr(", raised for now")
        if limit.spent >= limit.limit:
            text, role = text + self.tr(" · the limit is reached"), "bad"
        elif limit.spent >= limit.limit * NEAR:
            text, role = text + self.tr(" · the limit is near"), "warn"
        figure.show_figure(amount(limit.spent), text, role)

    # --- export -------------------------------------------------------------------------------------------------------

    def _choose_file(self) -> None:
        self.dialog = QFileDialog(self, self.tr("Export usage"), str(Path.home() / "trayclaw-usage.csv"))
        self.dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        self.dialog.setNameFilter(self.tr("CSV files (*.csv)"))
        self.dialog.setDefaultSuffix("csv")
        self.dialog.fileSelected.connect(lambda name: tasks.run(self.export_to(Path(name))))
        self.dialog.finished.connect(self.dialog.deleteLater)
        self.dialog.open()

    async def export_to(self, path: Path) -> None:
        """Write everything on the record; what goes wrong is shown."""
        from agent.cli.usage_export import write_csv

        try:
            lines = await self.service.spending.lines(0.0, by_conversation=True)

            def write() -> None:
                with path.open("w", encoding="utf-8", newline="") as file:
                    write_csv(lines, file)

            await asyncio.to_thread(write)
        except OSError as error:
            problem = StorageError(f"{path}: {error.strerror}.", title="The file could not be written")
            problem.hint = "Choose another folder."
            self.show_problem(problem)
        except TrayClawError as error:
            self.show_problem(error)
        else:
            self.problem.hide()


def _bars(days: list[UsageDay], first: date, count: int, others: str) -> tuple[list[str], list[Day]]:
    """The names of the series and a bar for each day; the dearest models have a series of their own."""
    by_model: dict[str, float] = {}
    for row in days:
        by_model[row.model] = by_model.get(row.model, 0.0) + row.cost_usd
    paid = sorted((model for model, cost in by_model.items() if cost), key=lambda model: -by_model[model])
    series = paid[:MOST_SERIES]
    more = len(paid) > MOST_SERIES
    costs = {first + timedelta(days=n): [0.0] * (len(series) + more) for n in range(count)}
    for row in days:
        found = costs.get(date.fromisoformat(row.day))
        if found is not None and row.cost_usd:
            found[series.index(row.model) if row.model in series else -1] += row.cost_usd
    return [*series, *([others] if more else [])], [Day(day, tuple(values)) for day, values in costs.items()]


def _month_start() -> float:
    now = time.localtime()
    return time.mktime((now.tm_year, now.tm_mon, 1, 0, 0, 0, 0, 0, -1))
