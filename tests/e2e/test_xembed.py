"""A panel of the old kind (XEmbed): the icon is drawn in it, clicked as pixels, and its menu is used by keyboard."""

from __future__ import annotations

import re
import time

from tests.e2e.session import Desk, need, wait_until

PANEL = 24  # px
SCREEN_HEIGHT = 900
DOUBLE_CLICK_SECONDS = 0.6


def boxes(desk: Desk) -> list[dict[str, int]]:
    """Place and size in px of all visible windows of the application, the narrowest first: that is the icon."""
    ids = desk.run("xdotool", "search", "--onlyvisible", "--class", "^trayclaw$").stdout.split()
    texts = [desk.run("xdotool", "getwindowgeometry", "--shell", window).stdout for window in ids]
    found = [{key: int(value) for key, value in re.findall(r"(X|Y|WIDTH|HEIGHT)=(-?\d+)", text)} for text in texts]
    return sorted((box for box in found if box), key=lambda box: box["WIDTH"])


def test_clicks_on_the_icon(desk: Desk) -> None:
    need("trayer", "xdotool")
    desk.configure()
    desk.spawn("trayer", "--edge", "bottom", "--align", "left", "--widthtype", "request", "--height", str(PANEL))
    app = desk.start("--background")
    wait_until(lambda: "desktop.app: ready" in desk.log(), "the start")
    icon = wait_until(
        lambda: [box for box in boxes(desk) if box["Y"] >= SCREEN_HEIGHT - PANEL], "the icon in the panel"
    )[0]
    assert icon["WIDTH"] <= PANEL
    click = ("xdotool", "mousemove", str(icon["X"] + icon["WIDTH"] // 2), str(icon["Y"] + icon["HEIGHT"] // 2), "click")

    desk.run(*click, "1")
    wait_until(lambda: boxes(desk)[-1]["WIDTH"] > 600, lambda: f"the window after a left click\n{desk.log()}")
    time.sleep(DOUBLE_CLICK_SECONDS)  # not a condition to wait for: two clicks faster than this are one double click
    desk.run(*click, "1")
    wait_until(lambda: len(boxes(desk)) == 1, "the window to hide after another one")

    desk.run(*click, "3")
    wait_until(lambda: len(boxes(desk)) == 2, "the menu after a right click")
    desk.run("xdotool", "key", "Up", "Return")
    app.assert_quits()
