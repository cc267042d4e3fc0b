"""The Fusion palette and the style sheet of every standard control, generated from the tokens."""

from __future__ import annotations

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QWidget

import resources
from desktop.theme.fonts import MONO, SIZES, Size, points, px
from desktop.theme.tokens import RADIUS_CARD, RADIUS_CONTROL, Palette


def set_property(widget: QWidget, name: str, value: str | bool) -> None:
    """Sets a dynamic property that the style sheet selects on, and restyles the widget when it changed."""
    if widget.property(name) != value:
        widget.setProperty(name, value)
        widget.style().unpolish(widget)
        widget.style().polish(widget)
        widget.update()


def set_kind(button: QWidget, kind: str) -> None:
    """Gives a button its look: primary, default, quiet, link, danger, pill or nav."""
    set_property(button, "kind", kind)


def qt_palette(p: Palette) -> QPalette:
    """The tokens as Qt's palette, for what Fusion draws itself and for text documents."""
    role = QPalette.ColorRole
    colors = {
        role.Window: p.bg,
        role.WindowText: p.text,
        role.Base: p.panel,
        role.AlternateBase: p.side,
        role.Text: p.text,
        role.Button: p.panel,
        role.ButtonText: p.text,
        role.BrightText: p.bad,
        role.ToolTipBase: p.panel,
        role.ToolTipText: p.text,
        role.PlaceholderText: p.faint,
        role.Highlight: p.focus,
        role.HighlightedText: p.panel,
        role.Accent: p.accent,
        role.Link: p.link,
        role.LinkVisited: p.link,
        role.Light: p.panel,
        role.Midlight: p.line,
        role.Mid: p.line,
        role.Dark: p.edge,
        role.Shadow: p.edge,
    }
    palette = QPalette()
    for name, color in colors.items():
        palette.setColor(name, QColor(color))
    for name in (role.WindowText, role.Text, role.ButtonText, role.PlaceholderText):
        palette.setColor(QPalette.ColorGroup.Disabled, name, QColor(p.disabled))
    return palette


def stylesheet(p: Palette) -> str:
    """The application's style sheet for one palette at the current text size."""
    return "\n".join((_base(p), _labels(p), _buttons(p), _inputs(p), _choices(p), _views(p), _frames(p)))


def _image(name: str, p: Palette) -> str:
    return f'url("{resources.path(f"icons/style/{name}-{p.name}.svg").as_posix()}")'


def _base(p: Palette) -> str:
    return f"""
QWidget[ground="bg"] {{ background: {p.bg}; }}
QWidget[ground="panel"] {{ background: {p.panel}; }}
QWidget[ground="side"] {{ background: {p.side}; }}
QWidget[ground="code"] {{ background: {p.code}; }}
QWidget[ground="bubble"] {{ background: {p.bubble}; }}
QToolTip {{ background: {p.panel}; color: {p.text}; border: 1px solid {p.edge}; padding: 4px 8px; }}
QMenu {{ background: {p.panel}; color: {p.text}; border: 1px solid {p.edge}; padding: 6px; }}
QMenu::item {{ padding: 6px 24px 6px 12px; border-radius: {RADIUS_CONTROL}px; background: transparent; }}
QMenu::item:selected {{ background: {p.selection}; }}
QMenu::item:disabled {{ color: {p.dim}; background: transparent; }}
QMenu::item:checked {{ font-weight: 600; }}
QMenu::separator {{ height: 1px; background: {p.line}; margin: 6px 4px; }}
QMenu::icon {{ padding-left: 8px; }}
QMenu::indicator {{ width: {px(16)}px; height: {px(16)}px; margin-left: 6px; }}
QMenu::indicator:checked {{ image: {_image("tick", p)}; }}
QMenu::right-arrow {{ image: {_image("chevron-right", p)}; width: {px(14)}px; height: {px(14)}px; margin-right: 6px; }}
QSplitter::handle {{ background: {p.line}; }}
QSplitter::handle:horizontal {{ width: 1px; }}
QSplitter::handle:vertical {{ height: 1px; }}
QProgressBar {{ background: {p.selection}; border: none; border-radius: 3px; max-height: 6px; min-height: 6px; }}
QProgressBar::chunk {{ background: {p.accent}; border-radius: 3px; }}
"""


def _labels(p: Palette) -> str:
    def size(name: Size) -> str:
        return f"font-size: {points(SIZES[name])}pt;"

    names = ("link", "ok", "warn", "bad")
    colored = "\n".join(f'QLabel[role="{name}"] {{ color: {p.color(name)}; }}' for name in names)
    return f"""
QLabel {{ background: transparent; color: {p.text}; }}
QLabel:disabled {{ color: {p.disabled}; }}
QLabel[role="display"] {{ {size("display")} font-weight: 600; }}
QLabel[role="title"] {{ {size("title")} font-weight: 600; }}
QLabel[role="heading"] {{ {size("heading")} font-weight: 600; }}
QLabel[role="strong"] {{ font-weight: 600; }}
QLabel[role="dim"] {{ color: {p.dim}; }}
QLabel[role="secondary"] {{ {size("secondary")} color: {p.dim}; }}
QLabel[role="faint"] {{ {size("secondary")} color: {p.faint}; }}
QLabel[role="code"] {{ {size("code")} font-family: "{MONO}"; }}
{colored}
QLabel[small="true"] {{ {size("secondary")} }}
"""


def _buttons(p: Palette) -> str:
    both = "QPushButton, QToolButton"
    return f"""
{both} {{ background: {p.panel}; color: {p.text}; border: 1px solid {p.line}; border-radius: {RADIUS_CONTROL}px;
  padding: 7px 12px; font-weight: 500; min-height: {px(18)}px; }}
{_each(":hover")} {{ background: {p.hover}; }}
{_each(":pressed")} {{ background: {p.selection}; }}
{_each(":focus")} {{ border: 2px solid {p.focus}; padding: 6px 11px; }}
{_each(":disabled")} {{ color: {p.disabled}; background: transparent; }}
QToolButton {{ padding: 7px 8px; }}
QToolButton:focus {{ padding: 6px 7px; }}
QPushButton::menu-indicator, QToolButton::menu-indicator {{ image: {_image("chevron-down", p)};
  width: {px(12)}px; height: {px(12)}px; subcontrol-position: right center; right: 8px; }}

{_each('[kind="primary"]')} {{ background: {p.accent}; color: {p.on_accent}; border-color: {p.accent}; }}
{_each('[kind="primary"]:hover')} {{ background: {p.accent_hover}; border-color: {p.accent_hover}; }}
{_each('[kind="primary"]:pressed')} {{ background: {p.accent}; }}
{_each('[kind="primary"]:focus')} {{ border: 2px solid {p.focus}; }}
{_each('[kind="primary"]:disabled')} {{ background: {p.selection}; color: {p.disabled};
  border-color: {p.selection}; }}

{_each('[kind="danger"]')} {{ color: {p.bad}; }}
{_each('[kind="danger"]:disabled')} {{ color: {p.disabled}; }}

{_each('[kind="quiet"]')} {{ background: transparent; border-color: transparent; color: {p.dim}; }}
{_each('[kind="quiet"]:hover')} {{ background: {p.hover}; color: {p.text}; }}
{_each('[kind="quiet"]:pressed')} {{ background: {p.selection}; }}
{_each('[kind="quiet"]:focus')} {{ border-color: {p.focus}; }}
{_each('[kind="quiet"]:disabled')} {{ color: {p.disabled}; background: transparent; }}

{_each('[kind="link"]')} {{ background: transparent; border: none; border-bottom: 2px solid transparent;
  border-radius: 0; color: {p.link}; padding: 2px 0 0 0; font-weight: 400; min-height: {px(18)}px; text-align: left; }}
{_each('[kind="link"]:hover')} {{ text-decoration: underline; background: transparent; }}
{_each('[kind="link"]:focus')} {{ border: none; border-bottom: 2px solid {p.focus}; padding: 2px 0 0 0; }}
{_each('[kind="link"]:disabled')} {{ color: {p.disabled}; }}

{_each('[small="true"]')} {{ font-size: {points(SIZES["secondary"])}pt; }}

{_each('[kind="pill"]')} {{ border-radius: {px(16) // 2 + 4}px; padding: 3px 10px; color: {p.dim};
  font-size: {points(SIZES["secondary"])}pt; font-weight: 400; min-height: {px(16)}px; }}
{_each('[kind="pill"]:hover')} {{ color: {p.text}; }}
{_each('[kind="pill"]:focus')} {{ padding: 2px 9px; }}
{_each('[kind="pill"][chevron="true"]')} {{ padding-right: {px(22)}px; }}
{_each('[kind="pill"][chevron="true"]:focus')} {{ padding-right: {px(22) - 1}px; }}

{_each('[kind="nav"]')} {{ background: transparent; border-color: transparent; color: {p.dim}; text-align: left;
  padding: 7px 9px; font-weight: 400; min-height: {px(20)}px; }}
{_each('[kind="nav"]:hover')} {{ background: {p.hover}; }}
{_each('[kind="nav"]:checked')} {{ background: {p.selection}; color: {p.text}; font-weight: 500; }}
{_each('[kind="nav"]:focus')} {{ border-color: {p.focus}; padding: 6px 8px; }}
"""


def _each(suffix: str) -> str:
    return f"QPushButton{suffix}, QToolButton{suffix}"


def _inputs(p: Palette) -> str:
    editors = ("QLineEdit", "QPlainTextEdit", "QTextEdit", "QSpinBox", "QDoubleSpinBox", "QTimeEdit", "QComboBox")
    every = ", ".join(editors)
    focus = ", ".join(f"{name}:focus" for name in editors)
    disabled = ", ".join(f"{name}:disabled" for name in editors)
    spins = ("QSpinBox", "QDoubleSpinBox", "QTimeEdit")
    up, down = (", ".join(f"{name}::{side}" for name in spins) for side in ("up-button", "down-button"))
    up_arrow, down_arrow = (", ".join(f"{name}::{side}" for name in spins) for side in ("up-arrow", "down-arrow"))
    return f"""
{every} {{ background: {p.panel}; color: {p.text}; border: 1px solid {p.edge}; border-radius: {RADIUS_CONTROL}px;
  padding: 7px 10px; min-height: {px(18)}px; selection-background-color: {p.focus}; selection-color: {p.panel};
  placeholder-text-color: {p.faint}; }}
{focus} {{ border: 2px solid {p.focus}; padding: 6px 9px; }}
{disabled} {{ color: {p.disabled}; background: transparent; border-color: {p.line}; }}
QLineEdit {{ lineedit-password-character: 8226; }}
QLineEdit[invalid="true"] {{ border-color: {p.bad}; }}
QLineEdit[readOnly="true"] {{ background: {p.code}; }}
QTextEdit[bare="true"], QPlainTextEdit[bare="true"], QTextBrowser {{ border: none; background: transparent;
  padding: 0; }}
QComboBox {{ font-weight: 500; border-color: {p.line}; padding-right: {px(28)}px; combobox-popup: 0; }}
QComboBox:focus, QComboBox:on {{ border: 2px solid {p.focus}; padding-right: {px(28) - 1}px; }}
QComboBox:hover {{ background: {p.hover}; }}
QComboBox::drop-down {{ border: none; width: {px(28)}px; subcontrol-origin: border;
  subcontrol-position: right center; }}
QComboBox::down-arrow {{ image: {_image("chevron-down", p)}; width: {px(14)}px; height: {px(14)}px; }}
QComboBox QLineEdit {{ border: none; padding: 0; background: transparent; min-height: 0; }}
QAbstractSpinBox QLineEdit {{ border: none; padding: 0; background: transparent; min-height: 0; }}
QSpinBox, QDoubleSpinBox, QTimeEdit {{ padding-right: {px(24)}px; }}
QSpinBox:focus, QDoubleSpinBox:focus, QTimeEdit:focus {{ padding-right: {px(24) - 1}px; }}
QComboBox QAbstractItemView {{ background: {p.panel}; color: {p.text}; border: 1px solid {p.edge}; border-radius: 0;
  padding: 4px; outline: none; selection-background-color: {p.selection}; selection-color: {p.text}; }}
QComboBox QAbstractItemView::item {{ min-height: {px(28)}px; padding: 0 8px; border-radius: 5px; }}
QComboBox QAbstractItemView::item:hover, QComboBox QAbstractItemView::item:selected {{ background: {p.selection};
  color: {p.text}; }}
{up}, {down} {{ border: none; background: transparent; width: {px(22)}px; subcontrol-origin: border; }}
{up} {{ subcontrol-position: top right; }}
{down} {{ subcontrol-position: bottom right; }}
{up_arrow} {{ image: {_image("chevron-up", p)}; width: {px(12)}px; height: {px(12)}px; }}
{down_arrow} {{ image: {_image("chevron-down", p)}; width: {px(12)}px; height: {px(12)}px; }}
"""


def _choices(p: Palette) -> str:
    box = px(16)
    return f"""
QCheckBox, QRadioButton {{ color: {p.text}; spacing: 8px; background: transparent; padding: 2px;
  border: 2px solid transparent; border-radius: 6px; }}
QCheckBox:focus, QRadioButton:focus {{ border-color: {p.focus}; }}
QCheckBox:disabled, QRadioButton:disabled {{ color: {p.disabled}; }}
QCheckBox::indicator, QRadioButton::indicator {{ width: {box}px; height: {box}px; border: 1px solid {p.edge};
  background: {p.panel}; }}
QCheckBox::indicator {{ border-radius: 4px; }}
QRadioButton::indicator {{ border-radius: {(box + 2) // 2}px; }}
QCheckBox::indicator:hover, QRadioButton::indicator:hover {{ border-color: {p.text}; }}
QCheckBox::indicator:checked {{ background: {p.accent}; border-color: {p.accent}; image: {_image("check", p)}; }}
QCheckBox::indicator:indeterminate {{ background: {p.accent}; border-color: {p.accent}; image: {_image("dash", p)}; }}
QRadioButton::indicator:checked {{ width: {box - 8}px; height: {box - 8}px; border: 5px solid {p.accent};
  background: {p.on_accent}; }}
QCheckBox::indicator:disabled, QRadioButton::indicator:disabled {{ border-color: {p.line}; background: transparent; }}
QCheckBox::indicator:checked:disabled {{ background: {p.disabled}; border-color: {p.disabled}; }}
"""


def _views(p: Palette) -> str:
    return f"""
QAbstractItemView {{ background: transparent; color: {p.text}; border: none; outline: none;
  selection-background-color: {p.selection}; selection-color: {p.text}; alternate-background-color: {p.side}; }}
QListView::item {{ border: 2px solid transparent; border-radius: {RADIUS_CONTROL}px; padding: 6px 8px; }}
QListView::item:hover {{ background: {p.hover}; }}
QListView::item:selected {{ background: {p.selection}; color: {p.text}; }}
QListView:focus::item:selected, QListView::item:focus {{ border-color: {p.focus}; }}
QTableView {{ gridline-color: transparent; }}
QTableView::item {{ border: none; border-bottom: 1px solid {p.line}; padding: 5px 8px; }}
QTableView::item:selected {{ background: {p.selection}; color: {p.text}; }}
QTableView::item:focus {{ border: 2px solid {p.focus}; }}
QHeaderView {{ background: transparent; border: none; }}
QHeaderView::section {{ background: transparent; color: {p.dim}; border: none; border-bottom: 1px solid {p.line};
  padding: 6px 8px; font-weight: 500; }}
QTableCornerButton::section {{ background: transparent; border: none; }}
QScrollArea {{ background: transparent; border: none; }}
QAbstractScrollArea::corner {{ background: transparent; border: none; }}
QScrollBar {{ background: transparent; border: none; margin: 0; }}
QScrollBar:vertical {{ width: 12px; }}
QScrollBar:horizontal {{ height: 12px; }}
QScrollBar::handle {{ background: {p.edge}; }}
QScrollBar::handle:vertical {{ min-height: 32px; margin: 2px 3px; border: none; border-radius: 3px; }}
QScrollBar::handle:horizontal {{ min-width: 32px; margin: 3px 2px; border: none; border-radius: 3px; }}
QScrollBar::handle:hover, QScrollBar::handle:pressed {{ background: {p.dim}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; border: none; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
"""


def _frames(p: Palette) -> str:
    card = f"border-radius: {RADIUS_CARD}px;"
    return f"""
QFrame[card="plain"] {{ background: {p.panel}; border: 1px solid {p.line}; {card} }}
QFrame[card="amber"] {{ background: {p.amber}; border: 1px solid {p.warn}; {card} }}
QFrame[card="rose"] {{ background: {p.rose}; border: 1px solid {p.bad}; {card} }}
QFrame[card="info"] {{ background: {p.code}; border: 1px solid {p.line}; {card} }}
QFrame[strip="true"] {{ border: none; border-bottom: 1px solid {p.line}; border-radius: 0; }}
QFrame[card="choice"], QPushButton[card="choice"] {{ background: {p.panel}; border: 1px solid {p.line};
  margin: 1px; {card} }}
QFrame[card="choice"][selected="true"], QPushButton[card="choice"]:checked {{ border: 2px solid {p.accent};
  margin: 0; }}
QFrame[card="choice"]:focus, QPushButton[card="choice"]:focus {{ border: 2px solid {p.focus}; margin: 0; }}
QFrame[row="true"] {{ background: transparent; border: none; }}
QFrame[row="true"][rule="true"] {{ border-top: 1px solid {p.line}; }}
QFrame[row="true"][tone="amber"] {{ background: {p.amber}; }}
QFrame[row="true"][tone="rose"] {{ background: {p.rose}; }}
QFrame[row="true"][first="true"] {{ border-top-left-radius: {RADIUS_CARD - 1}px;
  border-top-right-radius: {RADIUS_CARD - 1}px; }}
QFrame[row="true"][last="true"] {{ border-bottom-left-radius: {RADIUS_CARD - 1}px;
  border-bottom-right-radius: {RADIUS_CARD - 1}px; }}
QFrame[rule="h"] {{ background: {p.line}; border: none; max-height: 1px; min-height: 1px; }}
QFrame[rule="v"] {{ background: {p.line}; border: none; max-width: 1px; min-width: 1px; }}
QFrame[code="true"] {{ background: {p.code}; border: 1px solid {p.line}; border-radius: {RADIUS_CONTROL}px; }}
QFrame[side="true"] {{ background: {p.side}; border: none; border-right: 1px solid {p.line}; }}
"""
