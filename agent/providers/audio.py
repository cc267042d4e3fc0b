"""Speech becomes text through a provider's audio endpoint.

Source: https://platform.openai.com/docs/api-reference/audio/createTranscription; Groq, Mistral and servers such as
speaches and whisper.cpp speak the same.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from agent.errors import ProviderError
from agent.providers.types import Usage
from agent.providers.wire import Wire, read


async def transcribe(wire: Wire, model: str, name: str, media_type: str, data: bytes) -> tuple[str, Usage | None]:
    """What is said in a recording, and what it used where the provider tells. Raises `ProviderError`."""
    boundary = secrets.token_hex(16)
    fields = {"model": model, "response_format": "json"}
    parts = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{_plain(name)}"\r\n'
    parts += [
        f"{head}content-type: {media_type or 'audio/ogg'}\r\n\r\n".encode(),
        data,
        f"\r\n--{boundary}--\r\n".encode(),
    ]
    response = await wire.post_raw(
        "/audio/transcriptions", b"".join(parts), f"multipart/form-data; boundary={boundary}"
    )
    content = await read(response, wire.failures)
    try:
        answer: Any = json.loads(content)
        text = answer["text"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise wire.failures.garbage(content) from error
    if not isinstance(text, str):
        raise ProviderError("bad_response", "The transcription is no text.", provider=wire.origin)
    used = answer.get("usage")
    counts = [used.get(key) for key in ("input_tokens", "output_tokens")] if isinstance(used, dict) else []
    known = [count for count in counts if isinstance(count, int)]
    return text.strip(), Usage(known[0], known[1]) if len(known) == 2 else None


def _plain(name: str) -> str:
    """A file name as it may stand in the header of a form."""
    return "".join(
        character for character in name if character.isascii() and character.isprintable() and character != '"'
    )
