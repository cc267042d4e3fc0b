"""Voice messages become words, where a model for that is chosen (`audio.transcribe`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from agent.channels.channel import Attachment, Inbound
from agent.core.budget import Budget
from agent.errors import TrayClawError
from agent.providers.audio import transcribe
from agent.providers.directory import Directory
from agent.providers.types import ChatRequest, Completion, Finished, user
from agent.settings import Settings

log = logging.getLogger(__name__)

SPOKEN: Final = "voice message"
"""What channels call a file that a person spoke into their phone. Other recordings may be the words of others: they are
only stored."""
_BYTES_PER_CHAR: Final = 100
"""Opus at 32 kbit/s has 4,000 bytes a second, which models count as some 10 tokens."""
_ANSWER_TOKENS: Final = 1000
_LONGEST_SECONDS: Final = 60.0
"""What is written after it in the same chat waits so long."""


@dataclass(frozen=True, slots=True)
class Voices:
    """Asks the provider of `audio.transcribe`, within the limits of spending."""

    directory: Directory
    budget: Budget
    settings: Callable[[], Settings]

    async def hear(self, inbound: Inbound) -> Inbound:
        """The message with what was spoken as its text. What cannot be heard is said in its place."""
        reference = self.settings().audio.transcribe
        spoken = [file for file in inbound.files if file.name.startswith(SPOKEN)]
        if not reference or not spoken or inbound.edits:
            return inbound
        words = [await self._words(reference, file, inbound.channel) for file in spoken]
        return replace(inbound, text="\n\n".join(part for part in (inbound.text, *words) if part))

    async def _words(self, reference: str, file: Attachment, channel: str) -> str:
        try:
            data = await asyncio.to_thread(file.path.read_bytes)
            target, wire = self.directory.audio(reference)
            request = ChatRequest(
                target.model, (user("x" * (len(data) // _BYTES_PER_CHAR)),), max_tokens=_ANSWER_TOKENS
            )
            try:
                async with self.budget.account("transcription", None, channel).call(target, request) as meter:
                    async with asyncio.timeout(_LONGEST_SECONDS):
                        text, usage = await transcribe(wire, target.model, file.name, file.media_type, data)
                    if usage is not None:
                        meter.heard(Finished(Completion(text, usage=usage)))
            finally:
                await wire.aclose()
        except (TrayClawError, OSError, TimeoutError) as error:
            log.info("a voice message could not be heard: %s", error)
            why = error.title if isinstance(error, TrayClawError) else error.strerror or "it took too long"
            return f"[a voice message that could not be heard: {why}]"
        return text or "[a voice message without words]"
