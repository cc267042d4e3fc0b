"""Start at login on Linux: one file, as the Desktop Entry Specification wants it, and nothing when off."""

from __future__ import annotations

import configparser
import plistlib
import sys
from pathlib import Path

import pytest

from agent.errors import ConfigError
from desktop.platform import autostart

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the other systems keep it elsewhere")


@pytest.fixture
def entry(private_home: Path) -> Path:
    return private_home / "config" / "autostart" / "trayclaw.desktop"


def test_off_at_first(entry: Path) -> None:
    assert not autostart.enabled()
    assert not entry.exists()


def test_on_and_off_again_leaves_nothing(entry: Path) -> None:
    autostart.set_enabled(True)
    assert autostart.enabled()
    parsed = configparser.RawConfigParser(strict=True)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # keys are case sensitive there
    parsed.read(entry)
    section = parsed["Desktop Entry"]
    assert section["Type"] == "Application"
    assert section["Exec"] == f"{sys.executable} -m desktop --background"
    autostart.set_enabled(False)
    assert not autostart.enabled()
    assert list(entry.parent.iterdir()) == []
    autostart.set_enabled(False)


def test_switched_off_in_the_desktops_own_tool_counts_as_off(entry: Path) -> None:
    autostart.set_enabled(True)
    entry.write_text(entry.read_text().replace("enabled=true", "enabled=false"))
    assert not autostart.enabled()


def test_a_folder_that_cannot_be_written_is_said(private_home: Path) -> None:
    (private_home / "config").mkdir()
    (private_home / "config" / "autostart").write_text("in the way")
    with pytest.raises(ConfigError) as caught:
        autostart.set_enabled(True)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/opt/tray/trayclaw", "/opt/tray/trayclaw"),
        ("/opt/my apps/trayclaw", '"/opt/my apps/trayclaw"'),
        ("/a/100%", "/a/100%%"),
        ('/a/"b"', '"/a/\\\\"b\\\\""'),
        ("/a/$HOME", '"/a/\\\\$HOME"'),
    ],
)
def test_words_of_the_exec_line_are_quoted(word: str, quoted: str) -> None:
    assert autostart._exec_word(word) == quoted


def test_the_frozen_program_is_started_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert autostart.command("/opt/trayclaw", frozen=True) == ["/opt/trayclaw", "--background"]
    monkeypatch.setenv("APPIMAGE", "/home/a/TrayClaw.AppImage")
    assert autostart.command("/tmp/.mount_x/trayclaw", frozen=True)[0] == "/home/a/TrayClaw.AppImage"


def test_on_macos_it_is_a_launch_agent(private_home: Path) -> None:
    autostart._macos_enable(["/Applications/TrayClaw.app/Contents/MacOS/trayclaw", "--background"])
    (file,) = (private_home / "Library" / "LaunchAgents").iterdir()
    content = plistlib.loads(file.read_bytes())
    assert content["RunAtLoad"] is True
    assert content["ProgramArguments"][-1] == "--background"
    autostart._macos_disable()
    assert not file.exists()
