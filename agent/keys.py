"""Where keys and tokens are kept: the system's keyring, or (agreed to) an encrypted file; environment variables first.

A secret lives there and in this process' memory and nowhere else."""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agent.errors import KeyringLockedError, NoKeyringError, SecretError
from agent.safety.redact import Redactor

if TYPE_CHECKING:
    from agent.keyfile import KeyFile

SERVICE = "trayclaw"
VARIABLE_PREFIX = "TRAYCLAW_KEY_"
PASSPHRASE_VARIABLE = "TRAYCLAW_PASSPHRASE"  # noqa: S105 - the name of a variable
FRESH_SECONDS = 60.0
"""A secret that was read is used this long before the store is asked again (another process may have changed it)."""
PROMPT_SECONDS = 120.0
"""How long a person may take to unlock the keyring."""

T = TypeVar("T")


class Backend(Protocol):
    """The part of `keyring.backend.KeyringBackend` that is used."""

    def get_password(self, service: str, username: str, /) -> str | None: ...

    def set_password(self, service: str, username: str, password: str, /) -> None: ...

    def delete_password(self, service: str, username: str, /) -> None: ...


class MemoryBackend:
    """A keyring that forgets; for tests and demonstrations."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self.secrets = dict(secrets or {})

    def get_password(self, service: str, username: str, /) -> str | None:
        return self.secrets.get(username)

    def set_password(self, service: str, username: str, password: str, /) -> None:
        self.secrets[username] = password

    def delete_password(self, service: str, username: str, /) -> None:
        self.secrets.pop(username, None)

    def __repr__(self) -> str:
        return f"<MemoryBackend with {len(self.secrets)} secrets>"


def variable(user: str) -> str:
    """The environment variable of a secret: `provider:my-proxy` is TRAYCLAW_KEY_MY_PROXY."""
    return VARIABLE_PREFIX + user.rpartition(":")[2].upper().replace("-", "_")


class SecretStore:
    """Secrets by user name ("provider:openai", "channel:telegram"). Every method may raise `SecretError`,
    `KeyringLockedError` or `NoKeyringError`; none blocks the loop."""

    def __init__(
        self,
        secrets_file: Path,
        *,
        environ: Mapping[str, str] = os.environ,
        backend: Backend | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self.redactor = redactor or Redactor()
        self._path = secrets_file
        self._environ = environ
        self._backend = backend
        self._file: KeyFile | None = None
        self._cache: dict[str, tuple[str, float]] = {}
        self._thread = _Thread()
        for name, value in environ.items():  # in this process already, whether or not anybody asks for them
            if name.startswith(VARIABLE_PREFIX) or name == PASSPHRASE_VARIABLE:
                self.redactor.register(value)

    def __repr__(self) -> str:
        return "<SecretStore>"

    # --- secrets ----------------------------------------------------------------------------------------------------
    async def get(self, user: str) -> str | None:
        """The secret, or None when there is none. The environment variable wins over the store."""
        given = self._environ.get(variable(user))
        if given:
            self.redactor.register(given)
            return given
        cached = self._cache.get(user)
        if cached and time.monotonic() - cached[1] < FRESH_SECONDS:
            return cached[0]
        self._cache.pop(user, None)
        secret = await self._do(lambda: self._open().get_password(SERVICE, user))
        if not secret:
            return None
        self._remember(user, secret)
        return secret

    async def set(self, user: str, secret: str) -> None:
        """Store a secret, replacing the old one."""
        secret = secret.strip()
        if not secret:
            raise SecretError("The key is empty.", hint="Paste the key again.")
        self.redactor.register(secret)
        self._cache.pop(user, None)
        await self._do(lambda: self._open(create=True).set_password(SERVICE, user, secret))
        self._remember(user, secret)

    async def delete(self, user: str) -> None:
        """Remove a secret; one that is not there is no error."""
        self._cache.pop(user, None)

        def work() -> None:
            place = self._open()
            if place.get_password(SERVICE, user) is not None:
                place.delete_password(SERVICE, user)

        await self._do(work)

    async def known(self, users: Iterable[str]) -> list[str]:
        """Those of the users that have a secret. Where the keyring is locked or missing: those of the environment."""
        found: list[str] = []
        usable = True
        for user in users:
            if self._environ.get(variable(user)):
                found.append(user)
            elif usable:
                try:
                    if await self.get(user) is not None:
                        found.append(user)
                except SecretError:
                    usable = False
        return found

    def forget(self, user: str) -> None:
        """Ask the store again at the next `get` (a key was refused: another process may have replaced it)."""
        self._cache.pop(user, None)

    def close(self) -> None:
        """Forget what was read and end the thread. The store can be used again afterwards."""
        self._cache.clear()
        self._thread.stop()

    # --- places -----------------------------------------------------------------------------------------------------
    async def backend_name(self) -> str:
        """Where secrets are kept, in words for people."""
        return await self._do(lambda: _describe(self._open(create=True)))

    def file_exists(self) -> bool:
        """Whether the encrypted file is in use."""
        return self._path.exists()

    def needs_passphrase(self) -> bool:
        """Whether the encrypted file is in use and nobody has unlocked it yet."""
        return self._file is None and self.file_exists() and not self._environ.get(PASSPHRASE_VARIABLE)

    async def use_file(self, passphrase: str) -> None:
        """Keep secrets in the encrypted file from now on: unlock it, or create it. Only after the person agreed."""
        from agent.keyfile import KeyFile

        def work() -> KeyFile:
            file = KeyFile(self._path)
            file.unlock(passphrase)
            return file

        self._file = await self._do(work)
        self._cache.clear()

    # --- in the thread ----------------------------------------------------------------------------------------------
    def _open(self, *, create: bool = False) -> Backend:
        """The place to use. A person who chose the file stays with it until the file is gone."""
        if self._file is not None and (create or self._file.exists()):
            return _FileBackend(self._file)
        passphrase = self._environ.get(PASSPHRASE_VARIABLE, "")
        if passphrase:  # whoever sets the variable agrees to the file
            return self._unlock(passphrase) if create or self.file_exists() else MemoryBackend()
        if self.file_exists():
            raise KeyringLockedError(
                f"The encrypted file with the keys is locked ({self._path}).",
                title="The keys are locked",
                hint=f"Enter its passphrase in the settings, or set {PASSPHRASE_VARIABLE}.",
            )
        if self._backend is None:
            self._backend = _find_backend()
        return self._backend

    def _unlock(self, passphrase: str) -> Backend:
        from agent.keyfile import KeyFile

        file = KeyFile(self._path)
        file.unlock(passphrase)
        self._file = file
        return _FileBackend(file)

    async def _do(self, work: Callable[[], T]) -> T:
        def translated() -> T:
            try:
                return work()
            except SecretError:
                raise
            except Exception as error:  # noqa: BLE001 - backends raise whatever their library does
                refused = _translate(error, self.redactor)
                if isinstance(refused, NoKeyringError):
                    self._backend = None  # it may come back
                raise refused from None

        try:
            return await asyncio.wait_for(self._thread.run(translated), PROMPT_SECONDS)
        except TimeoutError:
            self._thread = _Thread()  # the old one waits for an answer that nobody gives
            raise KeyringLockedError(
                f"The keyring did not answer within {PROMPT_SECONDS:.0f} seconds.",
                hint="Unlock it (look for its window), then try again.",
            ) from None

    def _remember(self, user: str, secret: str) -> None:
        self.redactor.register(secret)
        self._cache[user] = (secret, time.monotonic())


class _FileBackend:
    """The encrypted file, seen as a keyring. Read again each time: another process may have written."""

    def __init__(self, file: KeyFile) -> None:
        self.file = file

    def get_password(self, service: str, username: str, /) -> str | None:
        return self.file.read().get(username)

    def set_password(self, service: str, username: str, password: str, /) -> None:
        self.file.write({**self._all(), username: password})

    def delete_password(self, service: str, username: str, /) -> None:
        self.file.write({user: secret for user, secret in self.file.read().items() if user != username})

    def _all(self) -> dict[str, str]:
        return self.file.read() if self.file.exists() else {}


class _Thread:
    """One daemon thread for all keyring work. Not an executor: those are joined at exit, and a keyring that waits for
    a person must not keep the program from ending."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # T may be None itself

        def job() -> None:
            result: T | None = None
            failure: BaseException | None = None
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                failure = error
            try:
                loop.call_soon_threadsafe(settle, result, failure)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more

        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="keyring", daemon=True)
            self._thread.start()
        self._work.put(job)
        return await future

    def stop(self) -> None:
        """End the thread once it has done what waits."""
        if self._thread is not None:
            self._work.put(None)
            self._thread = None

    def _serve(self) -> None:
        while (job := self._work.get()) is not None:
            job()


def _find_backend() -> Backend:
    """The best keyring of this machine, by keyring's own rules; never one that writes plain text."""
    import keyring.backend
    import keyring.core

    def trusted(candidate: type) -> bool:
        module = candidate.__module__
        return not module.startswith(("keyrings.alt", "keyring.backends.null", "keyring.backends.fail"))

    chosen = keyring.core.load_env() or keyring.core.load_config()
    if chosen is not None and trusted(type(chosen)):
        return chosen
    if chosen is None:
        keyring.backend.get_all_keyring()  # loads the backends; its list is made once and would never see a late start
        classes = [
            candidate
            for candidate in keyring.backend.KeyringBackend.get_viable_backends()
            if trusted(candidate) and candidate.__module__ != "keyring.backends.chainer" and candidate.priority >= 1
        ]
        if classes:
            return max(classes, key=lambda candidate: candidate.priority)()
    raise _no_keyring()


def _no_keyring() -> NoKeyringError:
    ways = []
    if sys.platform.startswith("linux"):
        ways.append("install gnome-keyring, KWallet or KeePassXC and sign in again")
    ways.append(f"set {VARIABLE_PREFIX}<NAME> in the environment")
    ways.append(f"keep the keys in a file that a passphrase encrypts (settings, or {PASSPHRASE_VARIABLE})")
    hint = "; ".join(ways[:-1]) + "; or " + ways[-1]
    return NoKeyringError(
        "No keyring service runs here that could keep keys safe.", hint=hint[0].upper() + hint[1:] + "."
    )


def _translate(error: Exception, redactor: Redactor) -> SecretError:
    """What keyring and the libraries below it raise, in our words."""
    names = {type(cause).__name__ for cause in (error, error.__cause__, error.__context__) if cause is not None}
    if names & {"KeyringLocked", "LockedException", "PromptDismissedException"}:
        return KeyringLockedError(
            "The keyring is locked, and it was not unlocked.",
            hint="Unlock it (sign in to the desktop, or open its password manager), then try again. "
            f"Without a desktop: set {VARIABLE_PREFIX}<NAME>, or {PASSPHRASE_VARIABLE} to use an encrypted file.",
        )
    if names & {"NoKeyringError", "SecretServiceNotAvailableException"}:
        return _no_keyring()
    return SecretError(
        redactor.scrub(f"The keyring refused: {error or type(error).__name__}."),
        hint=f"Try again; if it stays, set {VARIABLE_PREFIX}<NAME> in the environment.",
    )


def _describe(backend: Any) -> str:
    if isinstance(backend, _FileBackend):
        return f"an encrypted file ({backend.file.path})"
    if isinstance(backend, MemoryBackend):
        return "memory (nothing is kept)"
    names = {
        "keyring.backends.SecretService": "your system's keyring (Secret Service)",
        "keyring.backends.libsecret": "your system's keyring (Secret Service)",
        "keyring.backends.kwallet": "KWallet",
        "keyring.backends.macOS": "the macOS Keychain",
        "keyring.backends.Windows": "the Windows Credential Manager",
    }
    return names.get(type(backend).__module__, f"your keyring ({type(backend).__module__})")
