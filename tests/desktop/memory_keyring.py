"""A keyring in memory, chosen by PYTHON_KEYRING_BACKEND; and one that is locked."""

from __future__ import annotations

from typing import ClassVar

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked


class MemoryKeyring(KeyringBackend):
    priority = 1  # type: ignore[assignment]  # keyring allows a plain number
    secrets: ClassVar[dict[str, str]] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.secrets.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.secrets[username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.secrets[username]


class LockedKeyring(KeyringBackend):
    priority = 1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("nobody unlocked it")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked("nobody unlocked it")

    def delete_password(self, service: str, username: str) -> None:
        raise KeyringLocked("nobody unlocked it")
