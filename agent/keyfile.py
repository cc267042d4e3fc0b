"""The encrypted file that holds the keys on a machine without a keyring: scrypt (RFC 7914) and ChaCha20-Poly1305
(RFC 8439). All methods block, `unlock` on purpose for a noticeable time."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import SecretError

FORMAT = "trayclaw-secrets"
VERSION = 1
COST = 2**16
"""scrypt's n; with r = 8 this takes 64 MiB of memory."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What is needed to derive the key again; authenticated together with the content."""

    salt: bytes
    n: int
    r: int
    p: int

    def fields(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "kdf": {"name": "scrypt", "salt": _text(self.salt), "n": self.n, "r": self.r, "p": self.p},
            "cipher": "chacha20-poly1305",
        }

    def authenticated(self) -> bytes:
        return json.dumps(self.fields(), sort_keys=True).encode()

    def derive(self, passphrase: str) -> bytes:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        return Scrypt(salt=self.salt, length=32, n=self.n, r=self.r, p=self.p).derive(passphrase.encode())


class KeyFile:
    """A dictionary of secrets in one file. Holds the derived key, never the passphrase, once unlocked."""

    def __init__(self, path: Path, *, cost: int = COST) -> None:
        self.path = path
        self._cost = cost
        self._header: _Header | None = None
        self._key = b""

    def exists(self) -> bool:
        """Whether somebody agreed to keep keys in this file before."""
        return self.path.exists()

    @property
    def unlocked(self) -> bool:
        """Whether the passphrase was given since the start."""
        return self._header is not None

    def unlock(self, passphrase: str) -> None:
        """Open the file, or create it with this passphrase. Raises `SecretError` for a wrong one."""
        if not passphrase:
            raise SecretError("The passphrase is empty.", hint="Choose a passphrase of several words.")
        if self.exists():
            header, content = self._load()
            key = header.derive(passphrase)
            self._decrypt(header, key, content)
            self._header, self._key = header, key
            return
        header = _Header(os.urandom(16), self._cost, 8, 1)
        self._header, self._key = header, header.derive(passphrase)
        try:
            self.write({})
        except SecretError:
            self._header, self._key = None, b""
            raise

    def read(self) -> dict[str, str]:
        """All secrets. Raises `SecretError` when the file was damaged or its passphrase changed."""
        header, content = self._load()
        if header != self._header:
            self._header, self._key = None, b""
            raise SecretError(
                f"{self.path} was made anew with another passphrase.", hint="Enter the new passphrase in the settings."
            )
        return self._decrypt(header, self._key, content)

    def write(self, secrets: Mapping[str, str]) -> None:
        """Replace all secrets: written beside the file and renamed, so that a crash leaves the old one whole."""
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        if self._header is None:
            raise SecretError(f"{self.path} is locked.", hint="Enter its passphrase first.")
        nonce = os.urandom(12)
        sealed = ChaCha20Poly1305(self._key).encrypt(
            nonce, json.dumps(dict(secrets)).encode(), self._header.authenticated()
        )
        document = {**self._header.fields(), "nonce": _text(nonce), "data": _text(sealed)}
        temporary: Path | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".secrets-")  # mode 0600
            temporary = Path(name)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            raise SecretError(
                f"{self.path} cannot be written: {error.strerror}.",
                hint="Free some space or make the folder writable; the keys stored before are untouched.",
            ) from error

    def _load(self) -> tuple[_Header, tuple[bytes, bytes]]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            version = document["version"] if document["format"] == FORMAT else None
            if isinstance(version, int) and version > VERSION:
                raise SecretError(f"{self.path} was written by a newer TrayClaw.", hint="Update TrayClaw.")
            kdf = document["kdf"]
            header = _Header(_bytes(kdf["salt"]), int(kdf["n"]), int(kdf["r"]), int(kdf["p"]))
            # A planted header must not be able to ask for all memory of the machine.
            sane = 2 <= header.n <= 2**20 and header.n.bit_count() == 1 and 1 <= header.r <= 16 and 1 <= header.p <= 16
            if version != VERSION or not sane or document["kdf"]["name"] != "scrypt":
                raise ValueError("unknown header")
            return header, (_bytes(document["nonce"]), _bytes(document["data"]))
        except OSError as error:
            raise SecretError(f"{self.path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SecretError(
                f"{self.path} is damaged.", hint="Restore it from a backup, or move it away and enter the keys again."
            ) from error

    def _decrypt(self, header: _Header, key: bytes, content: tuple[bytes, bytes]) -> dict[str, str]:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        nonce, sealed = content
        try:
            opened = ChaCha20Poly1305(key).decrypt(nonce, sealed, header.authenticated())
        except (InvalidTag, ValueError):
            raise SecretError(
                f"The passphrase does not open {self.path}.",
                title="Wrong passphrase",
                hint="Try again. Without the passphrase the keys cannot be recovered; they can be entered anew.",
            ) from None
        secrets: dict[str, str] = json.loads(opened)
        return secrets


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
