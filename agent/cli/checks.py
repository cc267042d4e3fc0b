"""The doctor's questions. Each works where the others fail: a broken settings file must not hide a full disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent.errors import ConfigError, KeyringLockedError, NoKeyringError, SecretError
from agent.paths import Paths

if TYPE_CHECKING:
    from agent.keys import SecretStore
    from agent.settings import Settings

KEYRING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer; `next` says what to do where something is to be done."""

    name: str
    state: Literal["ok", "warn", "fail"]
    text: str
    next: str = ""


async def examine(paths: Paths) -> list[Finding]:
    """All checks, in the order in which things build on each other."""
    from agent.cli import checks_files, checks_system
    from agent.keys import SecretStore
    from agent.settings import SettingsFile

    findings = [*checks_files.folders(paths), checks_files.disk(paths)]
    settings: Settings | None = None
    file = SettingsFile(paths.config_file)
    try:
        settings = file.load()
        there = paths.config_file.exists()
        findings.append(Finding("settings", "ok", str(paths.config_file) if there else "all at their defaults"))
    except ConfigError as error:
        findings.append(Finding("settings", "fail", str(error), error.hint))
    findings.append(await asyncio.to_thread(checks_files.database, paths))
    secrets = SecretStore(paths.secrets_file)
    try:
        keyring = await _keyring(secrets)
        findings.append(keyring)
        if settings is not None:
            known = await _known(secrets, settings, usable=keyring.state == "ok")
            findings += [_keys(known), _model(settings, known), *_channels(settings, known)]
            findings.append(checks_system.starter(settings))
    finally:
        secrets.close()
    findings.append(await checks_system.sandbox(paths, settings))
    findings.append(await checks_system.window())
    findings += [checks_system.running(paths), checks_files.log_errors(paths)]
    return findings


async def _keyring(secrets: SecretStore) -> Finding:
    try:
        if secrets.needs_passphrase():
            raise KeyringLockedError("The encrypted file with the keys is locked.", hint="Set TRAYCLAW_PASSPHRASE.")
        place = await asyncio.wait_for(secrets.backend_name(), KEYRING_SECONDS)
        await asyncio.wait_for(secrets.get("provider:doctor"), KEYRING_SECONDS)
    except NoKeyringError as error:
        return Finding("keyring", "warn", str(error), error.hint)
    except KeyringLockedError as error:
        return Finding("keyring", "warn", str(error), error.hint)
    except SecretError as error:
        return Finding("keyring", "fail", str(error), error.hint)
    except TimeoutError:
        text = f"The keyring did not answer within {KEYRING_SECONDS:.0f} seconds."
        return Finding("keyring", "warn", text, "Unlock it: look for its window, or sign in to the desktop.")
    return Finding("keyring", "ok", f"keys are kept in {place}")


async def _known(secrets: SecretStore, settings: Settings, *, usable: bool) -> set[str]:
    """Names with a key; without a usable keyring those of the environment."""
    import os

    from agent.channels.connectors import CHANNEL_KEYS
    from agent.keys import variable
    from agent.providers import catalog
    from agent.service import secret_user

    names = dict.fromkeys([*catalog.names(), *settings.providers, *CHANNEL_KEYS])
    if usable:
        users = await secrets.known(secret_user(name) for name in names)
        return {user.partition(":")[2] for user in users}
    return {name for name in names if os.environ.get(variable(secret_user(name)))}


def _keys(known: set[str]) -> Finding:
    if not known:
        hint = "For a real model: trayclaw keys set openai (or anthropic, gemini, openrouter ...)."
        return Finding("keys", "warn", "there is no key yet", hint)
    return Finding("keys", "ok", ", ".join(sorted(known)))


def _model(settings: Settings, known: set[str]) -> Finding:
    from agent.providers import catalog
    from agent.settings import STARTER

    reference = settings.model.default
    name, _, model = reference.partition("/")
    if name == STARTER:
        hint = "It only shows how TrayClaw works. Choose another: trayclaw config set model.default PROVIDER/MODEL."
        return Finding("model", "warn", "the tiny built-in model is the default", hint)
    spec = catalog.SPECS.get(name)
    own = settings.providers.get(name)
    if spec is None and (own is None or not own.base_url):
        hint = f"Set providers.{name}.base_url, or choose one of: {', '.join(catalog.names())}."
        return Finding("model", "fail", f"{reference}: there is no provider {name}", hint)
    if not model and not (spec and spec.default_model):
        hint = f"`trayclaw models --provider {name}` lists them."
        return Finding("model", "fail", f"{reference} names no model", hint)
    if spec is not None and spec.needs_key and name not in known:
        return Finding("model", "fail", f"{reference} needs a key", f"trayclaw keys set {name}")
    return Finding("model", "ok", reference)


def _channels(settings: Settings, known: set[str]) -> Iterator[Finding]:
    from agent.channels.connectors import KEYS, ONE_IS_ENOUGH, missing_key

    for name, channel in settings.channels.model_dump().items():
        if not channel["enabled"]:
            yield Finding(name, "ok", "switched off")
        elif key := missing_key(name, known):
            what = "it has no token" if len(KEYS[name]) == 1 or name in ONE_IS_ENOUGH else f"it has no token {key}"
            yield Finding(name, "fail", f"switched on, but {what}", f"trayclaw keys set {key}")
        elif not channel["owners"] and "allowed_senders" in channel:
            words = "switched on, but nobody may write to it" if not channel["allowed_senders"] else "switched on"
            hint = f"Name yourself: trayclaw config set channels.{name}.owners '[\"me@example.org\"]'."
            yield Finding(name, "warn" if not channel["allowed_senders"] else "ok", f"{words}; it has no owner", hint)
        elif not channel["owners"]:
            hint = "Write to it and approve the code: trayclaw pair approve CODE."
            yield Finding(name, "ok", "switched on; only people you pair may talk", hint)
        else:
            yield Finding(name, "ok", f"switched on, {len(channel['owners'])} owner(s)")
