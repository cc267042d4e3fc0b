"""The mark holds at 16 px, the tray states differ by shape, and every glyph is drawn in its colour."""

from __future__ import annotations

from itertools import combinations

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QIcon, QImage
from PySide6.QtWidgets import QApplication

import resources
from desktop import theme
from desktop.theme import icons

PANELS = {False: "#F2F2F2", True: "#202020"}


def _image(icon: QIcon, size: int) -> QImage:
    return icon.pixmap(QSize(size, size)).toImage()


def _alpha(image: QImage) -> list[int]:
    return [image.pixelColor(x, y).alpha() for y in range(image.height()) for x in range(image.width())]


@pytest.fixture(autouse=True)
def _application(qapp: QApplication) -> None:
    theme.apply(qapp, "light")


@pytest.mark.parametrize("dark_panel", [False, True])
@pytest.mark.parametrize("state", theme.TRAY_STATES)
def test_tray_icon_is_drawn_at_every_size(state: theme.TrayState, dark_panel: bool) -> None:
    icon = theme.tray_icon(state, dark_panel)
    assert {size.width() for size in icon.availableSizes()} == set(icons.TRAY_SIZES)
    for size in icons.TRAY_SIZES:
        inked = sum(alpha > 128 for alpha in _alpha(_image(icon, size)))
        assert 0.25 < inked / size**2 < 0.8, f"{inked / size**2:.0%} of {size} px"


@pytest.mark.parametrize("dark_panel", [False, True])
@pytest.mark.parametrize("state", theme.TRAY_STATES)
def test_tray_icon_stands_out_from_its_panel(state: theme.TrayState, dark_panel: bool) -> None:
    image = _image(theme.tray_icon(state, dark_panel), 32)
    color = image.pixelColor(4, 18)  # in the back of the claw
    assert color.alpha() > 250
    assert theme.contrast(color.name(), PANELS[dark_panel]) >= 3


def test_states_differ_in_shape_alone_at_16_px() -> None:
    shapes = {state: _alpha(_image(theme.tray_icon(state, False, template=True), 16)) for state in theme.TRAY_STATES}
    for first, second in combinations(theme.TRAY_STATES, 2):
        changed = sum(abs(a - b) > 60 for a, b in zip(shapes[first], shapes[second], strict=True))
        assert changed >= 6, f"{first} and {second} look alike"


def test_template_is_a_mask_of_black_and_alpha() -> None:
    for state in theme.TRAY_STATES:
        icon = theme.tray_icon(state, False, template=True)
        assert icon.isMask()
        image = _image(icon, 22)
        colors = {image.pixelColor(x, y).name() for y in range(22) for x in range(22) if image.pixelColor(x, y).alpha()}
        assert colors == {"#000000"}
    assert not theme.tray_icon("ready", False).isMask()


def test_mark_reads_as_a_c_at_16_px() -> None:
    image = _image(theme.tray_icon("ready", False), 16)
    row = [image.pixelColor(x, 9).alpha() for x in range(16)]
    assert min(row[1:5]) > 200, "the back is closed"
    assert max(row[8:16]) < 60, "the mouth is open to the right"
    column = [image.pixelColor(8, y).alpha() for y in range(16)]
    assert max(column[:4]) > 200
    assert max(column[12:]) > 200


def test_every_glyph_file_is_known_and_drawn_in_its_colour() -> None:
    assert {file.stem for file in resources.path("icons/glyphs").glob("*.svg")} == icons.GLYPHS
    for name in icons.GLYPHS:
        image = _image(theme.glyph(name, "#C8432B"), 32)
        strongest = max((image.pixelColor(x, y) for y in range(32) for x in range(32)), key=QColor.alpha)
        assert strongest.alpha() > 200, name
        assert abs(strongest.red() - 0xC8) <= 3, name
        assert abs(strongest.blue() - 0x2B) <= 3, name


def test_glyph_colours_are_tokens_of_the_palette_in_use(qapp: QApplication) -> None:
    light = theme.glyph("check", "text")
    theme.apply(qapp, "dark")
    assert theme.glyph("check", "text").cacheKey() != light.cacheKey()
    with pytest.raises(KeyError):
        theme.glyph("check", "no-such-token")
    with pytest.raises(KeyError):
        theme.glyph("no-such-glyph")


def test_icons_are_built_once() -> None:
    assert theme.tray_icon("ready", True).cacheKey() == theme.tray_icon("ready", True).cacheKey()
    assert theme.glyph("plus", "#000000").cacheKey() == theme.glyph("plus", "#000000").cacheKey()
    before = theme.app_icon().cacheKey()
    icons.clear_cache()
    assert theme.app_icon().cacheKey() != before


def test_unknown_state_is_refused() -> None:
    with pytest.raises(ValueError, match="confused"):
        theme.tray_icon("confused", False)


@pytest.mark.parametrize("channel", ["telegram", "discord", "slack", "email", "desktop", "something-new"])
def test_channel_badge_letter_can_be_seen(channel: str) -> None:
    image = _image(theme.channel_icon(channel), 36)
    ground = image.pixelColor(18, 3)
    assert theme.contrast("#FFFFFF", ground.name()) >= 3
    inner = [image.pixelColor(x, y) for y in range(8, 28) for x in range(8, 28)]
    assert any(color.lightness() > 245 for color in inner)


def test_windows_icon_has_all_sizes(qapp: QApplication) -> None:
    sizes = {size.width() for size in QIcon(str(resources.path("icons/trayclaw.ico"))).availableSizes()}
    assert {16, 24, 32, 48, 256} <= sizes
