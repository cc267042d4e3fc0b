"""One SQLite file: one writer thread that groups commits, reads that never wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import StorageError
from agent.storage.migrations import migrate

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_GROUP = 256
"""Writes that share one commit at most."""
_SHARED_MEMORY_BYTES = 32_768
_BUSY_SECONDS = 10.0
"""How long another process may hold the file before that is an error."""


class Database:
    """`write` runs functions in transactions on the writer thread; `read` runs them on reader threads.

    WAL mode, `synchronous=FULL`: what a write returned from is on the disk, through kill -9 and power loss.
    See https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_forever, name="database-writer", daemon=True)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="database-reader")
        self._local = threading.local()
        self._read_connections: list[sqlite3.Connection] = []
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._gate = threading.Lock()  # nothing is queued behind the word to end

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open and migrate; blocks. Raises `StorageError` with what to do."""
        database = cls(path)
        with contextlib.suppress(OSError):  # SQLite names what is wrong
            path.touch(mode=0o600)  # its own files get the same rights, whatever the folder's are
        try:
            database._connection = database._connect()
            _enter_wal(database._connection)
            migrate(database._connection)
        except sqlite3.Error as error:
            if database._connection is not None:
                database._connection.close()
            raise _storage_error(path, error) from error
        except StorageError:
            assert database._connection is not None
            database._connection.close()
            raise
        database._writer.start()
        return database

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and return after the commit. It happens even if the caller is cancelled.

        Raises whatever `work` raises (its changes are then undone), and `StorageError` for what SQLite refuses.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._gate:
            if self._closed:
                raise StorageError("The database is closed.", hint="Start TrayClaw again.")
            self._tasks.put(_Task(work, future, loop))
        return await future

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a read-only connection. Raises `StorageError`."""
        if self._closed:
            raise StorageError("The database is closed.", hint="Start TrayClaw again.")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def read_here(self, work: Work[T]) -> T:
        """The same for code that runs in a thread; blocks."""
        if self._closed:
            raise StorageError("The database is closed.", hint="Start TrayClaw again.")
        return self._readers.submit(self._read, work).result()

    def close(self) -> None:
        """Finish the writes that are queued and close; blocks."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._tasks.put(None)
        self._writer.join()
        self._readers.shutdown()
        for connection in self._read_connections:
            connection.close()
        if self._connection is not None:
            self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _read(self, work: Work[T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = self._connect()
                connection.execute("PRAGMA query_only = ON")
                self._local.connection = connection
                self._read_connections.append(connection)
            return work(connection)
        except sqlite3.Error as error:
            raise _storage_error(self.path, error) from error

    def _write_forever(self) -> None:
        while (task := self._tasks.get()) is not None:
            group = [task]
            stop = False
            while len(group) < _GROUP:
                try:
                    more = self._tasks.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    stop = True
                    break
                group.append(more)
            self._commit(group)
            if stop:
                return

    def _commit(self, group: list[_Task]) -> None:
        connection = self._connection
        assert connection is not None
        try:
            connection.execute("BEGIN IMMEDIATE")
            for task in group:
                task.run(connection, self.path, alone=len(group) == 1)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # a broken disk must not end the writer's thread
                    connection.execute("ROLLBACK")
            for task in group:
                task.fail(_storage_error(self.path, error))
        for loop in {task.loop for task in group}:
            settled = [task for task in group if task.loop is loop]
            try:
                loop.call_soon_threadsafe(_settle, settled)
            except RuntimeError:  # the loop closed while its last write was under way; the write itself stands
                continue


class _Task:
    """A queued write and the future that waits for its commit."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Work[Any], future: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.future = future
        self.loop = loop
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, connection: sqlite3.Connection, path: Path, *, alone: bool) -> None:
        """Do the work inside the group's transaction; its failure undoes only its own changes.

        A `sqlite3.OperationalError` (disk full, locked) concerns the whole group and is raised.
        """
        if not alone:
            connection.execute("SAVEPOINT task")
        try:
            self.result = self.work(connection)
        except sqlite3.OperationalError:
            raise
        except BaseException as error:  # noqa: BLE001 - handed to the caller through the future
            self.error = _storage_error(path, error) if isinstance(error, sqlite3.Error) else error
            if alone:
                connection.execute("ROLLBACK")
                connection.execute("BEGIN")
            else:
                connection.execute("ROLLBACK TO task")
        if not alone:
            connection.execute("RELEASE task")

    def fail(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error


def foreign_changes(db: sqlite3.Connection) -> int:
    """A number that moves when another process has written; ask it inside a `write`.

    See https://www.sqlite.org/pragma.html#pragma_data_version.
    """
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def _settle(tasks: list[_Task]) -> None:
    for task in tasks:
        if task.future.done():
            continue
        if task.error is not None:
            task.future.set_exception(task.error)
        else:
            task.future.set_result(task.result)


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Change to WAL mode, waiting for other processes that do so now.

    The change needs the file for itself, and SQLite does not call its busy handler there: two processes that both
    hold a shared lock would wait for each other, so one is told SQLITE_BUSY at once and has to come again.
    """
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        threading.Event().wait(random.uniform(0.002, 0.02))  # noqa: S311 - keeps the processes out of step


def _storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    message = str(error)
    code = getattr(error, "sqlite_errorname", "") or ""
    passing = code.startswith("SQLITE_IOERR")
    if code.startswith("SQLITE_FULL") or "full" in message or (passing and _no_space(path)):
        return StorageError(
            f"There is no space left for {path}.",
            title="The disk is full",
            hint="Free some space; nothing that was saved before is lost.",
            retryable=True,
        )
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageError(
            f"Another program holds {path}.",
            title="The database is locked",
            hint="Close the other program (a database browser, a second TrayClaw) and try again.",
            retryable=True,
        )
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StorageError(
            f"{path} cannot be opened for writing.",
            title="TrayClaw cannot write its database",
            hint="Make the folder writable, or set TRAYCLAW_HOME to a folder that is.",
            retryable=True,
        )
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StorageError(
            f"{path} is damaged: {message}.",
            title="The database is damaged",
            hint="Move the file away to start afresh, or restore a backup; TrayClaw did not change it.",
        )
    return StorageError(f"{path}: {message}.", hint="Run `trayclaw doctor`.", retryable=passing)


def _no_space(path: Path) -> bool:
    """SQLite calls it an I/O error when its shared memory finds no room: SQLITE_IOERR_SHMSIZE."""
    try:
        return shutil.disk_usage(path.parent).free < _SHARED_MEMORY_BYTES
    except OSError:
        return False
