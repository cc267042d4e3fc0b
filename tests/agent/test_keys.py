"""Secrets: kept where they were put, found again, clear words when they cannot be, and shown nowhere."""

import json
import logging
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent import keyfile
from agent.errors import KeyringLockedError, NoKeyringError, SecretError
from agent.keyfile import KeyFile
from agent.keys import MemoryBackend, SecretStore, variable
from agent.logs import RedactingFormatter
from agent.safety.redact import HIDDEN, Redactor

SECRET = "sk-test-51H8x0planted"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cheap_scrypt(monkeypatch):
    monkeypatch.setattr(keyfile.KeyFile.__init__, "__kwdefaults__", {"cost": 2**12})


@pytest.fixture
def make_store(tmp_path):
    stores = []

    def make(**options):
        options.setdefault("environ", {})
        stores.append(SecretStore(tmp_path / "data" / "secrets.enc", **options))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


# --- the store ------------------------------------------------------------------------------------------------------
async def test_a_key_is_found_again_and_gone_after_deletion(make_store):
    backend = MemoryBackend()
    store = make_store(backend=backend)
    await store.set("provider:openai", f"  {SECRET}\n")
    assert backend.secrets == {"provider:openai": SECRET}
    assert await make_store(backend=backend).get("provider:openai") == SECRET
    await store.delete("provider:openai")
    await store.delete("provider:openai")
    assert await store.get("provider:openai") is None


async def test_the_environment_wins_and_needs_no_keyring(make_store):
    store = make_store(environ={"TRAYCLAW_KEY_MY_PROXY": "from-environment"}, backend=Refusing(RuntimeError("never")))
    assert variable("provider:my-proxy") == "TRAYCLAW_KEY_MY_PROXY"
    assert await store.get("provider:my-proxy") == "from-environment"
    assert await store.known(["provider:my-proxy", "provider:openai"]) == ["provider:my-proxy"]


async def test_a_turn_does_not_ask_the_keyring_again_but_a_refused_key_does(make_store):
    backend = MemoryBackend({"provider:openai": "first-key"})
    store = make_store(backend=backend)
    assert await store.get("provider:openai") == "first-key"
    backend.secrets["provider:openai"] = "second-key"
    assert await store.get("provider:openai") == "first-key"
    store.forget("provider:openai")
    assert await store.get("provider:openai") == "second-key"


async def test_a_key_that_another_process_adds_is_seen_at_once(make_store):
    backend = MemoryBackend()
    store = make_store(backend=backend)
    assert await store.get("provider:openai") is None
    backend.secrets["provider:openai"] = "added-later"
    assert await store.get("provider:openai") == "added-later"


async def test_all_keyring_work_happens_in_one_other_thread(make_store):
    threads = []

    class Watching(MemoryBackend):
        def get_password(self, service, username, /):
            threads.append(threading.current_thread())
            return super().get_password(service, username)

    store = make_store(backend=Watching())
    for name in "abc":
        await store.get(f"provider:{name}")
    assert len(threads) == 3 and len(set(threads)) == 1
    assert threads[0] is not threading.main_thread() and threads[0].daemon


class Refusing:
    """A keyring that fails the way a given one does."""

    def __init__(self, error):
        self.error = error

    def get_password(self, *call):
        raise self.error

    set_password = delete_password = get_password


async def test_what_backends_raise_becomes_words(make_store):
    import keyring.errors

    with pytest.raises(KeyringLockedError) as locked:
        await make_store(backend=Refusing(keyring.errors.KeyringLocked("x"))).get("provider:openai")
    assert "locked" in str(locked.value) and "TRAYCLAW_KEY_" in locked.value.hint
    with pytest.raises(NoKeyringError):
        await make_store(backend=Refusing(keyring.errors.NoKeyringError("x"))).get("provider:openai")
    store = make_store(backend=Refusing(keyring.errors.PasswordSetError(f"cannot store {SECRET}")))
    with pytest.raises(SecretError) as refused:
        await store.set("provider:openai", SECRET)
    assert SECRET not in str(refused.value) and "cannot store" in str(refused.value)


async def test_an_empty_key_is_refused(make_store):
    with pytest.raises(SecretError, match="empty"):
        await make_store(backend=MemoryBackend()).set("provider:openai", " \n")


async def test_nothing_shows_a_secret(make_store):
    backend = MemoryBackend()
    store = make_store(backend=backend)
    await store.set("provider:openai", SECRET)
    for thing in (store, backend, store.redactor):
        assert SECRET not in repr(thing) and SECRET not in str(thing)
    assert store.redactor.scrub(f"key={SECRET}!") == f"key={HIDDEN}!"


def test_importing_keys_loads_no_keyring():
    code = "import sys, agent.keys; print(sorted({'keyring', 'cryptography', 'secretstorage'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the encrypted file ---------------------------------------------------------------------------------------------
async def test_the_encrypted_file_keeps_keys_for_this_user_alone(make_store, tmp_path):
    store = make_store(backend=MemoryBackend())
    assert not store.file_exists() and not store.needs_passphrase()
    await store.use_file("four words of mine")
    await store.set("provider:openai", SECRET)
    path = tmp_path / "data" / "secrets.enc"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET not in path.read_text() and "four words" not in path.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == ["secrets.enc"]
    assert "encrypted file" in await store.backend_name()

    later = make_store(backend=MemoryBackend())
    assert later.needs_passphrase()
    with pytest.raises(KeyringLockedError, match="locked"):
        await later.get("provider:openai")
    with pytest.raises(SecretError) as wrong:
        await later.use_file("three words of mine")
    assert wrong.value.title == "Wrong passphrase"
    await later.use_file("four words of mine")
    assert await later.get("provider:openai") == SECRET
    await later.delete("provider:openai")
    assert await later.get("provider:openai") is None


async def test_headless_the_passphrase_comes_from_the_environment(make_store):
    environ = {"TRAYCLAW_PASSPHRASE": "four words of mine"}
    store = make_store(environ=environ)
    assert await store.get("provider:openai") is None
    assert not store.file_exists()
    await store.set("provider:openai", SECRET)
    assert await make_store(environ=environ).get("provider:openai") == SECRET


async def test_two_processes_share_the_file(make_store):
    one, two = make_store(), make_store()
    await one.use_file("four words of mine")
    await two.use_file("four words of mine")
    await one.set("provider:a", "first-key")
    await two.set("provider:b", "second-key")
    assert await one.get("provider:b") == "second-key"
    assert await two.get("provider:a") == "first-key"


def test_a_damaged_or_planted_file_is_named_and_left_alone(tmp_path):
    path = tmp_path / "secrets.enc"
    KeyFile(path).unlock("words")
    whole = json.loads(path.read_text())
    damaged = {
        "damaged": "not json",
        "newer": json.dumps({**whole, "version": 2}),
        "is damaged": json.dumps({**whole, "kdf": {**whole["kdf"], "n": 2**40}}),
        "does not open": json.dumps({**whole, "kdf": {**whole["kdf"], "r": 4}}),
    }
    for words, text in damaged.items():
        path.write_text(text)
        with pytest.raises(SecretError, match=words):
            KeyFile(path).unlock("words")
        assert path.read_text() == text


# --- the redactor ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijklmnop1234",
        "sk-ant-api03-abcdefghijklmnop",
        "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0",
        "xoxb-1234567890-abcdef",
        "xapp-1-A012-345-abcdef",
        "AIzaSyA-1234567890abcdefghijklmnopqrstuv",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "gsk_abcdefghijklmnopqrstuvwxyz",
    ],
)
def test_common_keys_are_scrubbed_unknown_as_they_are(key):
    text = f"GET https://example.org/bot{key}/x with '{key}' and Bearer {key}"
    if not key[0].isdigit():  # glued to a word it is not the shape of a key, except for the Bot API's own URLs
        text = text.replace(f"bot{key}", key)
    assert key not in Redactor().scrub(text)


def test_ordinary_text_stays():
    text = "Bearer of bad news at 12:30:45; task-list sk-1; see 2024-05-01T10:20:30 and a1b2c3 Bearer x"
    assert Redactor().scrub(text) == text


def test_a_log_shows_no_secret_not_even_in_a_traceback():
    redactor = Redactor()
    redactor.register(SECRET)
    lines = []

    class Collect(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    handler = Collect()
    handler.setFormatter(RedactingFormatter("%(message)s", redactor))
    log = logging.Logger("scratch")
    log.addHandler(handler)
    log.warning("token %s in %r", SECRET, {"key": SECRET})
    try:
        raise ValueError(f"bad key {SECRET}")
    except ValueError:
        log.exception("failed")
    assert len(lines) == 2 and "bad key [hidden]" in lines[1]
    assert SECRET not in "".join(lines)


# --- real keyrings --------------------------------------------------------------------------------------------------
UNLOCK = "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null\n"
LOCK = (
    "gdbus call --session --dest org.freedesktop.secrets --object-path /org/freedesktop/secrets --method "
    "org.freedesktop.Secret.Service.Lock \"[objectpath '/org/freedesktop/secrets/collection/login']\" >/dev/null\n"
)


def keyring_session(tmp_path, script, *, bus=True):
    """Run a script on a private D-Bus with a private home; what the probe printed, as dictionaries."""
    needed = ["dbus-run-session", "gnome-keyring-daemon", "secret-tool", "gdbus", "bash"]
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (apt install dbus gnome-keyring libsecret-tools libglib2.0-bin)")
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(run),
        "XDG_DATA_HOME": str(tmp_path / "share"),
        "PYTHONPATH": str(REPOSITORY),
        "PROBE": f"{sys.executable} {REPOSITORY / 'tests' / 'agent' / 'keyring_probe.py'} {tmp_path / 'secrets.enc'}",
    }
    command = ["bash", "-c", script]
    if bus:
        command = ["dbus-run-session", "--", *command]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return [json.loads(line) if line.startswith("{") else line for line in done.stdout.splitlines()]


def test_gnome_keyring_holds_what_was_set(tmp_path):
    name, nothing, _, found, raw, _, gone = keyring_session(
        tmp_path,
        f"{UNLOCK}$PROBE name get=provider:openai set=provider:openai,{SECRET}\n$PROBE get=provider:openai\n"
        "secret-tool lookup service trayclaw username provider:openai; echo\n"
        "$PROBE delete=provider:openai get=provider:openai",
    )
    assert name["result"] == "your system's keyring (Secret Service)"
    assert nothing["result"] is None
    assert found["result"] == SECRET
    assert raw == SECRET
    assert gone == {"action": "get", "result": None}


def test_a_locked_gnome_keyring_is_said_to_be_locked(tmp_path):
    answers = keyring_session(tmp_path, f"{UNLOCK}{LOCK}$PROBE get=provider:openai set=provider:openai,{SECRET}")
    assert [answer["error"] for answer in answers] == ["keyring_locked", "keyring_locked"]
    assert all("Unlock it" in answer["hint"] for answer in answers)


def test_without_a_keyring_the_ways_out_are_named(tmp_path):
    answers = keyring_session(tmp_path, "$PROBE name get=provider:openai set=provider:openai,x1y2z3w4", bus=False)
    assert [answer["error"] for answer in answers] == ["no_keyring"] * 3
    for way in ("gnome-keyring", "TRAYCLAW_KEY_", "passphrase"):
        assert way in answers[0]["hint"]
    assert not (tmp_path / "secrets.enc").exists()


def test_a_keyring_that_writes_plain_text_is_not_used(tmp_path):
    package = tmp_path / "keyrings" / "alt"
    package.mkdir(parents=True)
    (package / "file.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        "class PlaintextKeyring(KeyringBackend):\n    priority = 9\n    saved = []\n"
        "    def get_password(self, service, username): return 'plain'\n"
        "    def set_password(self, service, username, password): raise SystemExit('stored in plain text')\n"
    )
    for backend in ("keyrings.alt.file.PlaintextKeyring", "keyring.backends.null.Keyring"):
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHON_KEYRING_BACKEND": backend}
        environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(tmp_path)])
        probe = [sys.executable, REPOSITORY / "tests" / "agent" / "keyring_probe.py", tmp_path / "secrets.enc"]
        done = subprocess.run(
            [*probe, "get=provider:x", "set=provider:x,secret-1"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert [json.loads(line)["error"] for line in done.stdout.splitlines()] == ["no_keyring"] * 2, done.stderr
