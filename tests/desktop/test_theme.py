"""Colours can be read, text sizes hold, and every standard control shows where the focus is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontInfo, QFontMetricsF
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QListWidget,
    QPlainTextEdit,
    QRadioButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from pytestqt.qtbot import QtBot

import resources
from desktop import theme, widgets
from desktop.theme import fonts, motion

TEXT = ("text", "dim", "faint", "link", "ok", "warn", "bad")
GROUNDS = ("bg", "panel", "side", "hover", "bubble", "code", "amber", "rose")
ON_SELECTED_ROW = ("text", "dim", "link", "bad")
PAIRS = [(role, ground) for role in TEXT for ground in GROUNDS] + [(role, "selection") for role in ON_SELECTED_ROW]


@pytest.mark.parametrize("p", [theme.LIGHT, theme.DARK], ids=lambda p: p.name)
@pytest.mark.parametrize(("role", "ground"), PAIRS)
def test_text_can_be_read_on_every_ground(p: theme.Palette, role: str, ground: str) -> None:
    assert theme.contrast(p.color(role), p.color(ground)) >= 4.5


@pytest.mark.parametrize("p", [theme.LIGHT, theme.DARK], ids=lambda p: p.name)
def test_the_primary_button_and_the_outlines_can_be_seen(p: theme.Palette) -> None:
    assert theme.contrast(p.on_accent, p.accent) >= 4.5
    assert theme.contrast(p.on_accent, p.accent_hover) >= 4.5
    for ground in ("bg", "panel", "side", "amber", "rose", "selection"):
        assert theme.contrast(p.focus, p.color(ground)) >= 3, ground
    for ground in ("bg", "panel"):
        assert theme.contrast(p.edge, p.color(ground)) >= 3, ground
    assert theme.contrast(p.panel, p.focus) >= 4.5, "selected text in an input"


def test_contrast_of_known_pairs() -> None:
    assert theme.contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert theme.contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)
    with pytest.raises(KeyError):
        theme.LIGHT.color("name")


def test_primary_button_has_the_accent(palette: theme.Palette, qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    button = widgets.Button("Go", "primary", parent=window)
    window.show()
    image = window.grab(button.geometry()).toImage()
    assert image.pixelColor(6, image.height() // 2) == QColor(palette.accent)
    assert image.pixelColor(0, 0) == QColor(palette.bg), "corners are round"


def test_dark_and_back_restyles_what_is_open(qapp: QApplication, qtbot: QtBot) -> None:
    theme.apply(qapp, "light", text_scale=1.0)
    label = QLabel("text")
    label.setProperty("ground", "bg")
    qtbot.addWidget(label)
    label.show()
    with qtbot.waitSignal(theme.theme.changed) as caught:
        theme.apply(qapp, "dark")
    assert caught.args == [theme.DARK]
    assert label.palette().windowText().color() == QColor(theme.DARK.text)
    with qtbot.assertNotEmitted(theme.theme.changed):
        theme.apply(qapp, "dark")
    theme.apply(qapp, "light")
    assert label.palette().windowText().color() == QColor(theme.LIGHT.text)


def test_follows_the_system(qapp: QApplication, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    dark = [False]
    monkeypatch.setattr(theme.Theme, "system_is_dark", lambda _self: dark[0])
    assert theme.apply(qapp, "system") is theme.LIGHT
    dark[0] = True
    with qtbot.waitSignal(theme.theme.changed):
        qapp.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    assert theme.current() is theme.DARK
    theme.apply(qapp, "light")
    qapp.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    assert theme.current() is theme.LIGHT, "a chosen appearance does not follow"


def test_shipped_fonts_carry_their_licence(qapp: QApplication) -> None:
    theme.load_fonts()
    assert all(number >= 0 for number in fonts._loaded)
    families = {family for number in fonts._loaded for family in QFontDatabase.applicationFontFamilies(number)}
    assert {fonts.SANS, fonts.MONO} <= families
    folder = resources.path("fonts")
    assert len(list(folder.glob("*-OFL.txt"))) == 2
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 2_500_000


def test_weights_and_tabular_figures(qapp: QApplication) -> None:
    theme.load_fonts()
    assert QFontInfo(theme.ui_font()).family() == fonts.SANS
    assert QFontInfo(theme.mono_font()).family() == fonts.MONO
    normal, strong = QFontMetricsF(theme.ui_font()), QFontMetricsF(theme.ui_font(weight=600))
    assert strong.horizontalAdvance("TrayClaw") > normal.horizontalAdvance("TrayClaw")
    assert normal.horizontalAdvance("1111") < normal.horizontalAdvance("0000")
    tabular = QFontMetricsF(theme.ui_font(tabular=True))
    assert tabular.horizontalAdvance("1111") == tabular.horizontalAdvance("0000")
    assert theme.ui_font(weight=600).weight() == QFont.Weight.DemiBold


def test_text_size(qapp: QApplication, palette: theme.Palette, qtbot: QtBot) -> None:
    title, body = widgets.TextLabel("Models", "title"), QLabel("Models")
    for label in (title, body):
        qtbot.addWidget(label)
        label.show()
    before = title.fontMetrics().height(), body.fontMetrics().height()
    theme.apply(qapp, palette.name, text_scale=2.0)
    assert title.fontMetrics().height() >= 1.9 * before[0]
    assert body.fontMetrics().height() >= 1.9 * before[1]
    theme.apply(qapp, palette.name, text_scale=9)
    assert fonts.scale() == 2.0
    theme.apply(qapp, palette.name, text_scale=0.2)
    assert fonts.scale() == 1.0


@pytest.mark.parametrize("name", ["light", "dark"])
def test_pictures_of_the_style_sheet_match_the_tokens(name: str) -> None:
    p = theme.LIGHT if name == "light" else theme.DARK
    files = sorted(resources.path("icons/style").glob(f"*-{name}.svg"))
    assert len(files) == 6
    for file in files:
        color = p.on_accent if file.stem.startswith(("check", "dash")) else p.dim
        assert color in file.read_text(encoding="utf-8"), file.name


def _focusable() -> dict[str, QWidget]:
    combo = QComboBox()
    combo.addItem("one")
    entries = QListWidget()
    entries.addItem("one")
    entries.setCurrentRow(0)
    made = {kind: widgets.Button("Go", kind) for kind in ("primary", "default", "quiet", "danger", "link", "nav")}
    return {
        **made,
        "pill": widgets.PillButton("model", chevron=True),
        "glyph": widgets.GlyphButton("plus", "Add"),
        "toggle": widgets.ToggleSwitch(),
        "line": QLineEdit("text"),
        "text": QPlainTextEdit("text"),
        "combo": combo,
        "spin": QSpinBox(),
        "check": QCheckBox("on"),
        "radio": QRadioButton("one"),
        "list": entries,
    }


def test_every_control_shows_the_focus(palette: theme.Palette, qtbot: QtBot) -> None:
    window, column = QWidget(), None
    qtbot.addWidget(window)
    column = QVBoxLayout(window)
    controls = _focusable()
    for control in controls.values():
        column.addWidget(control)
    window.show()
    qtbot.waitExposed(window)
    window.activateWindow()
    ring = QColor(palette.focus).rgb()
    for name, control in controls.items():
        window.setFocus()
        sizes = control.sizeHint()
        assert not _has(control, ring), f"{name} shows a ring without the focus"
        control.setFocus(Qt.FocusReason.TabFocusReason)
        qtbot.waitUntil(control.hasFocus)
        assert _has(control, ring), f"{name} shows no focus"
        assert control.sizeHint() == sizes, f"{name} changes its size with the focus"


def _has(widget: QWidget, color: int) -> bool:
    image = widget.grab().toImage()
    return any(image.pixel(x, y) == color for y in range(image.height()) for x in range(image.width()))


def test_less_motion_is_read_from_the_desktop(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    settings = Path(os.environ["XDG_CONFIG_HOME"]) / "gtk-3.0/settings.ini"
    settings.parent.mkdir(parents=True)
    motion._system_prefers_reduced.cache_clear()
    assert not theme.reduced_motion()
    for text, reduced in (("[Settings]\ngtk-enable-animations=0\n", True), ("broken [", False)):
        settings.write_text(text)
        motion._system_prefers_reduced.cache_clear()
        assert theme.reduced_motion() is reduced
    theme.set_reduced_motion(True)
    assert theme.reduced_motion()
    theme.set_reduced_motion(None)
    motion._system_prefers_reduced.cache_clear()


def test_import_is_light() -> None:
    code = "import sys, desktop.theme; print([m for m in ('PySide6.QtSvg', 'PySide6.QtNetwork') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_resources_stay_inside() -> None:
    assert resources.path("icons/trayclaw.svg").is_file()
    with pytest.raises(FileNotFoundError):
        resources.path("icons/nothing.svg")
    with pytest.raises(ValueError, match="not inside"):
        resources.path("../pyproject.toml")
