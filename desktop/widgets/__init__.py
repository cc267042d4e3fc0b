"""The widgets that all windows share. Each takes `object_name` and, where it has no text of its own, `accessible_name`.

    Button("Save & test", "primary", glyph="key")         primary default quiet link danger; set_kind(), set_glyph()
    GlyphButton("plus", "New conversation")               name spoken and tooltip; kind="default" draws the outline
    PillButton("claude-sonnet", chevron=True)             value pill in a header
    ToggleSwitch(checked)                                 .toggled(bool), Space
    TextLabel(text, role, wrap=True, selectable=True)     plain text in a role (theme's docstring); set_role()
    ElidedLabel(text, role)                               one line, "…", tooltip with all of it
    StatusDot("ok", "Ready", subject="Telegram")          ok busy warn bad off; set_status(status, word)
    ComboBox(items)  SpinBox(low, high, suffix=" USD")    as Qt's, with the designed rows and margins
    SecretField(accessible_name="Anthropic key")          set_stored(True, hint="7f3a"), set_busy, set_invalid;
                                                          .submitted(str) .remove_requested .edited
    Banner("error", title, text, "Try again")             info warn error; set_message(); .action_triggered .closed
    Card().add_row(title, detail, *controls, icon=)       -> Row: set_title set_detail set_icon set_tone("amber")
                                                          add_trailing add_below; Card: add_widget rows remove_row clear
    EmptyState(title, text, "Add one", glyph="chat")      .action_triggered, set_message()
    PageHeader(title, subtitle, *controls)                set_subtitle()
    SideBar().add(key, text, footer=True, trailing="3")   .selected(str) current() select(key) set_trailing(key, text)
    Page(header)                                          scrolling page with the settings' edges: add(widget)

A QListView that is filled before it is shown needs `ensurePolished()` first, or its rows are laid out unstyled.
A button's "&" is shown as it is (no mnemonics).
`python -m desktop.widgets.gallery [--dark] [--scale 1.5]` shows them all.
"""

from __future__ import annotations

from desktop.widgets.banner import Banner, Severity
from desktop.widgets.buttons import Button, GlyphButton, PillButton
from desktop.widgets.card import Card, Row
from desktop.widgets.inputs import ComboBox, SpinBox
from desktop.widgets.labels import ElidedLabel, TextLabel
from desktop.widgets.naming import identify
from desktop.widgets.pages import EmptyState, Page, PageHeader
from desktop.widgets.secret import SecretField
from desktop.widgets.sidebar import NavButton, SideBar
from desktop.widgets.status import Status, StatusDot
from desktop.widgets.toggle import ToggleSwitch

__all__ = [
    "Banner",
    "Button",
    "Card",
    "ComboBox",
    "ElidedLabel",
    "EmptyState",
    "GlyphButton",
    "NavButton",
    "Page",
    "PageHeader",
    "PillButton",
    "Row",
    "SecretField",
    "Severity",
    "SideBar",
    "SpinBox",
    "Status",
    "StatusDot",
    "TextLabel",
    "ToggleSwitch",
    "identify",
]
