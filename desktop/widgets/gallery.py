"""Every shared widget in one window, to look at while working on the theme: `python -m desktop.widgets.gallery`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QListWidget,
    QPlainTextEdit,
    QProgressBar,
    QRadioButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from desktop import theme
from desktop import widgets as w


def _line(*members: QWidget) -> QWidget:
    holder = QWidget()
    line = QHBoxLayout(holder)
    line.setContentsMargins(0, 0, 0, 0)
    for member in members:
        line.addWidget(member)
    line.addStretch(1)
    return holder


def _models() -> w.Card:
    card = w.Card(accessible_name="Models")
    choice = w.ComboBox(["Anthropic · claude-sonnet", "OpenAI · gpt-mini", "Starter model"], accessible_name="Model")
    card.add_row("Answer with", "Used for conversations unless one has its own model", choice)
    card.add_row(
        "Anthropic",
        "key ····7f3a · 9 models",
        w.StatusDot("ok", "Works, 0.6 s", subject="Anthropic"),
        w.Button("Test"),
        w.GlyphButton("more", "More about Anthropic"),
        icon=theme.badge("A", "#C96A4B"),
    )
    refused = card.add_row(
        "OpenAI",
        "The key was refused (401). Make a new one at platform settings and paste it here.",
        w.StatusDot("bad", "Key refused"),
        icon=theme.badge("O", "#1F8F6F"),
    )
    field = w.SecretField(placeholder="Paste a key", save_text="Save & test", accessible_name="OpenAI key")
    field.input.setText("sk-proj-0123456789")
    field.set_invalid(True)
    refused.add_below(field)
    stored = w.SecretField(accessible_name="Mistral key")
    stored.set_stored(True, "7f3a")
    card.add_row("Mistral", "Stored in the keyring", icon=theme.badge("M", "#6B4FA0")).add_below(stored)
    card.add_widget(w.Button("Add a provider", "link", glyph="plus"))
    return card


def _channels() -> w.Card:
    card = w.Card(accessible_name="Channels")
    card.add_row(
        "Telegram", "@my_claw_bot · 2 people · last message 9:41", w.StatusDot("ok", "Ready"),
        w.ToggleSwitch(True, accessible_name="Telegram"), icon=theme.channel_icon("telegram"),
    )  # fmt: skip
    card.add_row(
        "Someone new (id 88210934) wants to talk to TrayClaw",
        "Code shown there: QK7M-2XPD · asked 9:38 · expires 10:38",
        w.Button("Pair", "primary"), w.Button("Deny"),
    ).set_tone("amber")  # fmt: skip
    card.add_row(
        "Discord", "Reconnecting in 4 s: the network was away. 1 answer waits to be delivered.",
        w.StatusDot("warn", "Degraded"), w.ToggleSwitch(True, accessible_name="Discord"),
        icon=theme.channel_icon("discord"),
    )  # fmt: skip
    slack = card.add_row(
        "Slack", "The app token is wrong or was revoked.", w.StatusDot("bad", "Stopped"),
        w.ToggleSwitch(False, accessible_name="Slack"), icon=theme.channel_icon("slack"),
    )  # fmt: skip
    slack.add_below(w.Button("Enter a new one", "link"))
    off = w.ToggleSwitch(False, accessible_name="E-mail")
    off.setEnabled(False)
    card.add_row(
        "E-mail", "Not set up. Needs about two minutes.", w.StatusDot("off", "Not set up"), off, w.Button("Set up"),
        icon=theme.channel_icon("email"),
    ).set_tone("rose")  # fmt: skip
    return card


def _controls() -> list[QWidget]:
    disabled = w.Button("Disabled")
    disabled.setEnabled(False)
    disabled_primary = w.Button("Disabled", "primary")
    disabled_primary.setEnabled(False)
    partial, checked, radio = QCheckBox("Partly"), QCheckBox("Start at login"), QRadioButton("Balanced")
    spin = w.SpinBox(0, 500, suffix=" USD", accessible_name="A day")
    checked.setChecked(True)
    partial.setTristate(True)
    partial.setCheckState(partial.checkState().PartiallyChecked)
    radio.setChecked(True)
    search = QLineEdit()
    search.setPlaceholderText("Search everything")
    inactive = w.ComboBox(["Not available"], accessible_name="Nothing")
    inactive.setEnabled(False)
    progress = QProgressBar()
    progress.setValue(40)
    progress.setTextVisible(False)
    return [
        _line(
            w.Button("Allow once", "primary"), w.Button("Always in this folder"), w.Button("Deny", "quiet"),
            w.Button("Forget", "danger", glyph="trash"), w.Button("Receipt", "link"), disabled, disabled_primary,
        ),
        _line(
            w.PillButton("claude-sonnet", chevron=True), w.PillButton("Balanced", chevron=True),
            w.PillButton("$0.42 of $5.00 today"), w.GlyphButton("plus", "New", kind="default"),
            w.GlyphButton("settings", "Settings"), w.Button("Stop", "primary", glyph="stop"),
        ),
        _line(search, spin, inactive),
        _line(checked, QCheckBox("Close to tray"), partial, radio, QRadioButton("Careful")),
        w.StatusDot("busy", "Working"),
        progress,
    ]  # fmt: skip


def _lists() -> list[QWidget]:
    entries = QListWidget()
    entries.ensurePolished()
    entries.addItems(["Clean up the invoices folder", "Family", "#release"])
    entries.setCurrentRow(0)
    entries.setFixedHeight(theme.px(110))
    table = QTableWidget(3, 3)
    table.setHorizontalHeaderLabels(["Model", "Calls", "Cost"])
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(theme.px(31))
    table.horizontalHeader().setDefaultAlignment(table.horizontalHeader().defaultAlignment().AlignLeft)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.setShowGrid(False)
    table.setFixedHeight(theme.px(140))
    spent = (("claude-sonnet", "212", "$9.84"), ("gpt-mini", "540", "$1.23"), ("qwen3:8b", "77", "$0.00"))
    for row, cells in enumerate(spent):
        for column, text in enumerate(cells):
            item = QTableWidgetItem(text)
            item.setFont(theme.ui_font(tabular=True))
            table.setItem(row, column, item)
    editor = QPlainTextEdit()
    editor.setPlaceholderText("Message TrayClaw…")
    editor.setFixedHeight(theme.px(70))
    empty = w.EmptyState("No jobs yet", "Ask TrayClaw to do something every morning.", "Add a job", glyph="clock")
    return [entries, table, editor, empty]


class Gallery(QWidget):
    """A settings-like window: the side bar switches between pages of widgets."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Gallery")
        self.setWindowIcon(theme.app_icon())
        self.setProperty("ground", "bg")
        self.side = w.SideBar(object_name="pages", accessible_name="Pages")
        self.pages: dict[str, w.Page] = {}
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(0)
        line.addWidget(self.side)
        for key, title, subtitle, members in (
            ("models", "Models", "Keys are kept in your system's keyring.", [_models()]),
            ("channels", "Channels", "Only you and people you pair can talk to TrayClaw.", [_channels()]),
            ("controls", "Controls", "Buttons, inputs, choices.", _controls()),
            ("lists", "Lists", "Lists, tables, nothing yet.", _lists()),
            ("messages", "Messages", "Said where the thing is.", [
                w.Banner("info", "A new version is ready", "It is installed at the next start.", closable=True),
                w.Banner("warn", "The spending limit is near", "$4.80 of $5.00 today.", "Change"),
                w.Banner("error", "The model did not answer", "Connection refused at 127.0.0.1:11434.", "Try again"),
            ]),
        ):  # fmt: skip
            page = w.Page(w.PageHeader(title, subtitle))
            for member in members:
                page.add(member)
            self.pages[key] = page
            self.side.add(key, title, trailing="3" if key == "messages" else "")
            line.addWidget(page, 1)
            page.setVisible(key == "models")
        self.side.add("dark", "Light or dark", footer=True)
        self.side.selected.connect(self._show)

    def _show(self, key: str) -> None:
        if key == "dark":
            app = QApplication.instance()
            if isinstance(app, QApplication):
                theme.apply(app, "light" if theme.current().dark else "dark")
            return
        for name, page in self.pages.items():
            page.setVisible(name == key)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--save", type=Path, help="save a picture of each page into this folder and leave")
    parser.add_argument("--size", default="1030x690")
    options = parser.parse_args()
    app = QApplication(sys.argv[:1])
    theme.apply(app, "dark" if options.dark else "light", text_scale=options.scale)
    gallery = Gallery()
    gallery.resize(*(int(part) for part in options.size.split("x")))
    gallery.show()
    if options.save is None:
        return app.exec()
    for key in gallery.pages:
        gallery.side.select(key)
        for _ in range(3):
            app.processEvents()
        gallery.grab().save(str(options.save / f"{key}-{theme.current().name}-{round(options.scale * 100)}.png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
