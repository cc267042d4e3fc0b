"""config.toml: comments survive, mistakes are named with line and column, the old file is never damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.settings import SettingsFile

CONFIG = """\
# my settings
[model]
default = "local/fake-1"   # the small one

[providers.local]
protocol = "chat-completions"
base_url = "http://127.0.0.1:8099/v1"
"""


@pytest.fixture
def file(tmp_path: Path) -> SettingsFile:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return SettingsFile(path)


def test_a_missing_file_is_all_defaults(tmp_path: Path) -> None:
    settings = SettingsFile(tmp_path / "none.toml").load()

    assert settings.model.default == "starter"
    assert (settings.budget.daily_usd, settings.budget.monthly_usd) == (5.0, 50.0)
    assert settings.channels.telegram.owners == ()
    assert not (tmp_path / "none.toml").exists()


def test_text_that_is_not_utf_8_is_named_with_its_place(file: SettingsFile) -> None:
    data = '[model]\n# für\ndefault = "ü'.encode() + b'\xff"\n'
    file.path.write_bytes(data)
    with pytest.raises(ConfigError, match=r":3:13: this is not UTF-8"):
        file.load()
    assert file.path.read_bytes() == data


def test_a_byte_order_mark_of_an_editor_does_no_harm(file: SettingsFile) -> None:
    file.path.write_text("\ufeff" + CONFIG, encoding="utf-8")
    assert file.load().model.default == "local/fake-1"
    assert file.set({"model.default": "starter"}).model.default == "starter"


def test_a_change_keeps_comments_and_order(file: SettingsFile) -> None:
    settings = file.set(
        {"model.default": "openai/gpt-5", "channels.telegram.owners": (4242,), "safety.mode": "careful"}
    )

    text = file.path.read_text()
    assert settings.channels.telegram.owners == (4242,)
    assert file.load() == settings
    assert text.startswith("# my settings\n[model]\n")
    assert "# the small one" in text


def test_a_value_can_be_removed(file: SettingsFile) -> None:
    assert file.set({"model.default": None}).model.default == "starter"
    assert file.set({"nothing.of.the.kind": None}).model.default == "starter"


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ('[model]\ndefault = "x\n', "line 2", "Illegal character"),
        ("[budget]\ndaily_usd = -1\n", ":2:1: budget.daily_usd", "greater than or equal to 0"),
        ("[model]\n\n  defualt = 'x'\n", ":3:3: model.defualt", "there is no such setting"),
        ("[channels.slack]\nowners = [4242]\n", ":2:1: channels.slack.owners.0", "valid string"),
        ("[channels.slack]\nowners = ['@ada']\n", ":2:1: channels.slack.owners.0", "match pattern"),
        ("[channels.telegram]\nowners = ['someone']\n", ":2:1: channels.telegram.owners.0", "valid integer"),
        ("[channels.email]\nowners = ['Ada <a@b.c>']\n", ":2:1: channels.email.owners", "not an e-mail address"),
        ("[channels.email]\nimap_host = 'x.org'\nimap_security = 'none'\n", "channels.email", "must be encrypted"),
        ("[providers.Bad_Name]\nbase_url = ''\n", "providers", "lower case"),
    ],
)
def test_a_mistake_is_named_with_its_place(file: SettingsFile, text: str, place: str, word: str) -> None:
    file.path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        file.load()

    assert place in str(caught.value)
    assert word in str(caught.value)
    assert caught.value.hint
    assert caught.value.exit_code == 2
    assert file.path.read_text() == text


def test_a_bad_value_is_not_written(file: SettingsFile) -> None:
    with pytest.raises(ConfigError):
        file.set({"safety.mode": "yolo"})

    assert file.path.read_text() == CONFIG


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows ignore a folder's write bit")
def test_a_folder_that_cannot_be_written_leaves_the_old_file(file: SettingsFile) -> None:
    file.path.parent.chmod(0o500)
    try:
        with pytest.raises(ConfigError, match="cannot be written"):
            file.set({"model.default": "openai/gpt-5"})
        assert file.path.read_text() == CONFIG
    finally:
        file.path.parent.chmod(0o700)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a Linux device")
def test_a_full_disk_leaves_the_old_file(file: SettingsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.settings.tempfile.mkstemp", lambda **_: (os.open("/dev/full", os.O_WRONLY), "/dev/full"))
    monkeypatch.setattr("agent.settings.Path.unlink", lambda self, missing_ok=False: None)

    with pytest.raises(ConfigError, match="No space left"):
        file.set({"model.default": "openai/gpt-5"})

    assert file.path.read_text() == CONFIG


ALL_CHANNELS = """
[model]
default = "starter"
[providers.claude]
protocol = "anthropic-messages"
base_url = "http://127.0.0.1:8099"
[channels.telegram]
enabled = true
owners = [4242]
[channels.discord]
enabled = true
api_base = "http://127.0.0.1:1"
gateway_url = "ws://127.0.0.1:1"
owners = [7]
[channels.slack]
enabled = true
owners = ["U1"]
[channels.email]
imap_host = "mail.example.org"
allowed_senders = ["me@example.org"]
"""


def test_a_file_with_all_channels_is_read_and_kept(file: SettingsFile) -> None:
    file.path.write_text(ALL_CHANNELS)
    channels = file.load().channels
    assert (channels.telegram.owners, channels.discord.owners, channels.slack.owners) == ((4242,), (7,), ("U1",))
    assert channels.discord.gateway_url == "ws://127.0.0.1:1"
    assert channels.email.allowed_senders == ("me@example.org",)
    file.set({"budget.daily_usd": 1.0})
    assert file.path.read_text().startswith(ALL_CHANNELS)


def test_channels_that_do_not_exist_are_refused(file: SettingsFile) -> None:
    file.path.write_text("[channels.telegarm]\nenabled = true\n")
    with pytest.raises(ConfigError, match=r":1:1: channels\.telegarm: there is no such setting"):
        file.load()
    file.path.write_text("[channels]\nemail = 5\n")
    with pytest.raises(ConfigError, match=r":2:1: channels\.email: "):
        file.load()
