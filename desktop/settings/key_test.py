"""Saves a key and finds out whether it works, by listing the provider's models: no tokens are spent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from agent.errors import ProviderError, TrayClawError
from desktop.state import count

if TYPE_CHECKING:
    from agent.providers.types import ModelInfo
    from agent.service import AgentService

REFUSED = frozenset({"auth", "permission"})
"""The provider knows the key and says no: it is not worth keeping."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`word` is short, for the status; `text` is the sentence below, empty when all is well."""

    works: bool
    saved: bool
    word: str
    text: str = ""
    models: tuple[ModelInfo, ...] = ()


async def test(
    service: AgentService,
    name: str,
    *,
    key: str | None = None,
    base_url: str | None = None,
    protocol: str | None = None,
) -> tuple[Outcome, TrayClawError | None]:
    """Whether the provider answers, with the stored key or the one given."""
    began = time.monotonic()
    try:
        models = await service.list_models(name, key=key, base_url=base_url, protocol=protocol)
    except TrayClawError as error:
        return Outcome(works=False, saved=False, word=_short(error), text=_sentence(error)), error
    seconds = time.monotonic() - began
    number = count(len(models), tr("1 model"), tr("{n} models"))
    word = tr("Works, {seconds:.1f} s · {number}").format(seconds=seconds, number=number)
    return Outcome(works=True, saved=False, word=word, models=tuple(models)), None


async def save_and_test(service: AgentService, name: str, key: str, *, base_url: str | None = None) -> Outcome:
    """Test first; a refused key is not kept, one that could not be tested (no network) is. Raises `SecretError`."""
    outcome, error = await test(service, name, key=key, base_url=base_url)
    if isinstance(error, ProviderError) and error.kind in REFUSED:
        return outcome
    await service.set_key(name, key)
    text = outcome.text
    if not outcome.works:
        text = tr("The key is saved, but could not be tested. {why}").format(why=text)
    return Outcome(outcome.works, True, outcome.word, text, outcome.models)


def tr(text: str) -> str:
    """The person's language for a text of this module."""
    return QCoreApplication.translate("keys", text)


def _short(error: TrayClawError) -> str:
    words = {
        "auth": tr("Key refused"),
        "permission": tr("Not permitted"),
        "quota": tr("No credit left"),
        "rate_limit": tr("Too many requests"),
        "network": tr("Not reached"),
        "timeout": tr("No answer"),
        "not_found": tr("Wrong address"),
        "bad_response": tr("Not understood"),
    }
    return words.get(error.kind, tr("Does not work"))


def _sentence(error: TrayClawError) -> str:
    return " ".join(part for part in (str(error), error.hint) if part)
