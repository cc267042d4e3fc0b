"""`trayclaw config`, `keys`, `channels`, `doctor` and the commands that read the record."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import pytest

from agent.channels.connectors import CHANNEL_NAMES
from tests.agent.cli_kit import KEY, config_file, configure, model, trayclaw
from tests.peers.replies import Reply


def test_config_set_keeps_comments_and_order() -> None:
    file = configure(
        '# mine\n[budget]\ndaily_usd = 1.0  # little\n\n[model]\n# the good one\ndefault = "local/fake-1"\n'
        '[providers.local]\nbase_url = "http://127.0.0.1:1/v1"\n'
    )
    outcome = trayclaw("config", "set", "budget.daily_usd", "2.5")
    assert (outcome.code, outcome.out) == (0, "budget.daily_usd = 2.5\n")
    text = file.read_text()
    assert "# mine\n[budget]\ndaily_usd = 2.5  # little\n" in text
    assert "# the good one\n" in text
    assert trayclaw("config", "get", "budget.daily_usd").out == "2.5\n"


def test_config_values_are_toml_or_text() -> None:
    for key, value, shown in (
        ("channels.telegram.owners", "[4242, 17]", "[4242, 17]"),
        ("model.default", "openai/gpt-5", "openai/gpt-5"),
        ("starter.model_path", "12345", "12345"),
        ("desktop.close_to_tray", "false", "false"),
    ):
        assert trayclaw("config", "set", key, value).code == 0
        assert trayclaw("config", "get", key).out == f"{shown}\n"
    assert trayclaw("config", "set", "model.default", "--default").code == 0
    assert trayclaw("config", "get", "model.default").out == "starter\n"


def test_config_show_is_toml_and_path_is_where_it_is() -> None:
    import tomllib

    configure("[budget]\ndaily_usd = 7\n")
    assert tomllib.loads(trayclaw("config", "show").out)["budget"] == {
        "daily_usd": 7.0,
        "monthly_usd": 50.0,
        "conversation": {},
        "channels": {},
    }
    assert trayclaw("config", "path").out == f"{config_file()}\n"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("budget.daily_usd", "much", "budget.daily_usd"), ("budget.dayly", "1", "there is no such setting")],
)
def test_a_wrong_value_changes_nothing(key: str, value: str, words: str) -> None:
    file = configure("[budget]\ndaily_usd = 7\n")
    outcome = trayclaw("config", "set", key, value)
    assert outcome.code == 2
    assert words in outcome.err
    assert file.read_text() == "[budget]\ndaily_usd = 7\n"


def test_an_unknown_setting_cannot_be_read() -> None:
    outcome = trayclaw("config", "get", "model.nothing")
    assert outcome.code == 2
    assert "There is no setting model.nothing." in outcome.err


def test_keys_from_the_environment_are_used_and_listed_but_not_shown() -> None:
    with model("fine", api_key=KEY) as peer:
        outcome = trayclaw("ask", "hi", env={"TRAYCLAW_KEY_LOCAL": KEY})
        assert (outcome.code, outcome.out) == (0, "fine\n")
        assert peer.peer.chats[0].headers["authorization"] == f"Bearer {KEY}"
        listed = trayclaw("keys", "list", env={"TRAYCLAW_KEY_LOCAL": KEY})
        assert listed.out == "local  environment\n"
        assert KEY not in listed.err
        assert trayclaw("ask", "hi").code == 4


def test_a_key_is_stored_from_stdin_in_the_encrypted_file() -> None:
    passphrase = {"TRAYCLAW_PASSPHRASE": "correct horse", "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    with model("fine", api_key=KEY):
        stored = trayclaw("keys", "set", "local", stdin=f"{KEY}\n", env=passphrase)
        assert stored.code == 0, stored.err
        assert "an encrypted file" in stored.out
        assert trayclaw("keys", "list", env=passphrase).out == "local  stored\n"
        assert trayclaw("ask", "hi", env=passphrase).out == "fine\n"
        assert trayclaw("keys", "delete", "local", env=passphrase).out == "The key of local is removed.\n"
        assert trayclaw("keys", "delete", "local", env=passphrase).code == 2
    home = Path(os.environ["TRAYCLAW_HOME"])
    for file in (one for one in home.rglob("*") if one.is_file()):
        assert KEY.encode() not in file.read_bytes(), f"the key is in {file}"


def test_a_key_needs_a_name_that_exists_and_is_never_an_argument() -> None:
    unknown = trayclaw("keys", "set", "nobody", stdin="x\n")
    assert unknown.code == 2
    assert "There is no provider, channel or search engine called nobody." in unknown.err
    assert trayclaw("keys", "set", "openai", KEY).code == 2
    assert trayclaw("keys", "set", "openai", stdin="\n").code == 2


def test_models_of_a_provider() -> None:
    with model("", models=("fake-1", "fake-2")):
        assert trayclaw("models", "--provider", "local").out == "local/fake-1\nlocal/fake-2\n"
        lines = trayclaw("models", "--provider", "local", "--json").events
        assert [line["model"] for line in lines] == ["local/fake-1", "local/fake-2"]
        assert "local/fake-1\n" in trayclaw("models").out
    assert trayclaw("models", "--provider", "nobody").code == 2


def test_channels_are_switched_in_the_settings() -> None:
    listed = [line.split() for line in trayclaw("channels", "list").out.splitlines()]
    assert [row[0] for row in listed] == list(CHANNEL_NAMES)
    assert listed[:2] == [["telegram", "Telegram", "no", "token"], ["discord", "Discord", "no", "token"]]
    token = {"TRAYCLAW_KEY_TELEGRAM": "123456:" + "A" * 35}
    started = trayclaw("channels", "start", "telegram", env=token)
    assert started.code == 0
    assert "It connects while TrayClaw runs" in started.out
    assert trayclaw("config", "get", "channels.telegram.enabled").out == "true\n"
    assert trayclaw("channels", "list", env=token).out.splitlines()[0].split() == ["telegram", "Telegram", "on"]
    password = {"TRAYCLAW_KEY_EMAIL": "a password"}
    assert trayclaw("channels", "start", "email", env=password).out.startswith("email is on. It connects")
    listed = [line.split() for line in trayclaw("channels", "list", env=password).out.splitlines()]
    assert ["email", "E-mail", "on"] in listed
    assert "keys set email\n" in trayclaw("channels", "start", "email").out
    assert trayclaw("channels", "stop", "telegram").out == "telegram is off.\n"
    assert trayclaw("config", "get", "channels.telegram.enabled").out == "false\n"
    assert trayclaw("channels", "start", "carrier-pigeon").code == 2


def test_slack_needs_two_tokens() -> None:
    bot = {"TRAYCLAW_KEY_SLACK": "xoxb-1"}
    assert "keys set slack\n" in trayclaw("channels", "start", "slack").out
    assert "keys set slack-app" in trayclaw("channels", "start", "slack", env=bot).out
    assert trayclaw("config", "set", "channels.slack.owners", '["U012AB3CD"]').code == 0
    assert trayclaw("config", "set", "channels.slack.owners", "[4242]").code == 2
    report = json.loads(trayclaw("doctor", "--json", env=bot).out)
    found = {check["name"]: check for check in report["checks"]}
    assert found["slack"]["state"] == "fail"
    assert "trayclaw keys set slack-app" in str(found["slack"])
    both = bot | {"TRAYCLAW_KEY_SLACK_APP": "xapp-1"}
    assert "slack Slack on" in " ".join(trayclaw("channels", "list", env=both).out.split())
    assert "slack-app" in trayclaw("keys", "list", env=both).out


def test_nobody_is_paired_at_first_and_unknown_codes_are_refused() -> None:
    assert "Nobody waits" in trayclaw("pair", "list").out
    assert trayclaw("pair", "approve", "ABCD-1234").code == 2
    assert trayclaw("pair", "revoke", "4242").code == 2


def test_the_record_of_a_turn(tmp_path: Path) -> None:
    with model(Reply("The **answer**.", prompt_tokens=1200, completion_tokens=30)):
        assert trayclaw("ask", "What is the question?", "--conversation", "=deep").code == 0
    assert "What is the question?" in trayclaw("turns", "list").out
    shown = trayclaw("turns", "show", "1").out
    assert "Turn 1: answered" in shown
    assert "1,200 tokens in, 30 out" in shown
    assert trayclaw("turns", "show", "99").code == 2

    assert "=deep" in trayclaw("conversations", "list").out
    assert "=deep" in trayclaw("conversations", "search", "answer").out
    assert trayclaw("conversations", "search", "nowhere").out == "No conversation contains 'nowhere'.\n"
    assert "The **answer**." in trayclaw("conversations", "show", "=deep").out
    exported = json.loads(trayclaw("conversations", "export", "1", "--format", "json").out)
    assert exported["turns"][0]["items"] == [{"type": "text", "text": "The **answer**."}]
    target = tmp_path / "talk.md"
    assert trayclaw("conversations", "export", "1", "-o", str(target)).code == 0
    assert "What is the question?" in target.read_text()
    assert trayclaw("conversations", "export", "1", "-o", str(target)).code == 2, "an existing file is kept"

    assert "local/fake-1" in trayclaw("usage").out
    rows = list(csv.DictReader(io.StringIO(trayclaw("usage", "--csv").out)))
    ledger = ["date", "llm", "model", "module", "tokens_in", "tokens_out", "cost_usd", "duration_min"]
    assert list(rows[0])[:8] == ledger
    assert [rows[0][name] for name in ledger[1:7]] == ["local", "fake-1", "chat", "1200", "30", "0"]
    [line] = [json.loads(text) for text in trayclaw("usage", "--json").out.splitlines()]
    assert (line["llm"], line["tokens_in"], line["cost_usd"]) == ("local", 1200, 0.0)
    by_talk = list(csv.DictReader(io.StringIO(trayclaw("usage", "--csv", "--by", "conversation").out)))
    assert by_talk[0]["conversation"] == "'=deep", "a spreadsheet would run it as a formula"
    assert list(csv.DictReader(io.StringIO(trayclaw("usage", "--csv", "--since", "2999-01-01").out))) == []
    assert trayclaw("usage", "--since", "yesterday").code == 2


def test_the_doctor_names_what_is_wrong_and_repairs_folders() -> None:
    configure('[model]\ndefault = "openai/gpt-5"\n[channels.telegram]\nenabled = true\n')
    report = json.loads(trayclaw("doctor", "--json").out)
    found = {check["name"]: check for check in report["checks"]}
    assert not report["ok"]
    assert (found["model"]["state"], found["model"]["next"]) == ("fail", "trayclaw keys set openai")
    assert (found["telegram"]["state"], found["telegram"]["next"]) == ("fail", "trayclaw keys set telegram")
    assert found["settings"]["state"] == found["database"]["state"] == "ok"

    keys = {"TRAYCLAW_KEY_OPENAI": KEY, "TRAYCLAW_KEY_TELEGRAM": "123456:" + "A" * 35}
    fixed = trayclaw("doctor", "--fix", env=keys)
    assert fixed.code == 0, fixed.out
    assert f"created {Path(os.environ['TRAYCLAW_HOME']) / 'workspace'}" in fixed.out
    assert KEY not in fixed.out
    if sys.platform != "win32":
        config_file().parent.chmod(0o755)
        assert "other users can look into" in trayclaw("doctor", env=keys).out
        assert f"made {config_file().parent} private" in trayclaw("doctor", "--fix", env=keys).out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_one_folder_holds_everything_and_only_its_owner_reads_it() -> None:
    home = Path(os.environ["TRAYCLAW_HOME"])
    home.mkdir(mode=0o755)
    with model("fine"):
        assert trayclaw("ask", "hi").code == 0
    made = {entry.name: entry.stat().st_mode & 0o077 for entry in home.iterdir() if entry.name != "config.toml"}
    assert set(made) >= {"trayclaw.db", "logs", "cache", "workspace"}
    assert not any(made.values()), made


def test_the_doctor_names_what_is_missing() -> None:
    configure(
        '[model]\ndefault = "claude/opus"\n[providers.claude]\n[channels.email]\nenabled = true\nimap_host = "a"\n'
    )
    report = json.loads(trayclaw("doctor", "--json").out)
    found = {check["name"]: check for check in report["checks"]}
    assert (found["settings"]["state"], found["email"]["state"], found["model"]["state"]) == ("ok", "fail", "fail")
    assert "it has no token" in found["email"]["text"]
    assert "there is no provider claude" in found["model"]["text"]
    assert "no token" in next(
        line for line in trayclaw("channels", "list").out.splitlines() if line.startswith("email")
    )
    asked = trayclaw("ask", "hi", "--json")
    assert (asked.code, asked.events[-1]["kind"]) == (2, "usage")


def test_the_doctor_works_where_nothing_else_does() -> None:
    configure("[model\n")
    (Path(os.environ["TRAYCLAW_HOME"]) / "trayclaw.db").write_bytes(b"this is no database" * 300)
    outcome = trayclaw("doctor")
    assert outcome.code == 1
    lines = {line.split()[1]: line for line in outcome.out.splitlines() if line.startswith(("ok", "warn", "FAIL"))}
    assert lines["settings"].startswith("FAIL")
    assert "line 1, column" in lines["settings"]
    assert lines["database"].startswith("FAIL")
    assert outcome.err == ""
