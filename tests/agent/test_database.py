"""The database: commits that stand, failures that stay alone, errors in words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.errors import StorageError
from agent.storage import conversations, usage
from agent.storage.database import Database, _storage_error
from agent.storage.instance import Instance
from agent.storage.migrations import SCHEMA_VERSION


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database.open(tmp_path / "trayclaw.db")
    yield found
    found.close()


def rows(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT title FROM conversations ORDER BY id")]


async def test_a_write_is_there_for_other_connections_when_it_returns(database: Database) -> None:
    await database.write(lambda db: conversations.ensure(db, "local", "1", "first"))

    assert rows(database.path) == ["first"]


async def test_writes_that_come_together_all_stand_but_the_failed_one(database: Database) -> None:
    def broken(db: sqlite3.Connection) -> None:
        conversations.ensure(db, "local", "broken", "broken")
        raise ValueError("no")

    work = [lambda db, n=n: conversations.ensure(db, "local", str(n), str(n)) for n in range(100)]
    results = await asyncio.gather(
        *map(database.write, work[:50]), database.write(broken), *map(database.write, work[50:]), return_exceptions=True
    )

    assert [type(result) for result in results if not isinstance(result, int)] == [ValueError]
    assert rows(database.path) == [str(n) for n in range(100)]


async def test_a_lone_failed_write_changes_nothing_and_the_next_one_works(database: Database) -> None:
    def broken(db: sqlite3.Connection) -> None:
        conversations.ensure(db, "local", "broken", "broken")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.write(broken)
    await database.write(lambda db: conversations.ensure(db, "local", "1", "next"))

    assert rows(database.path) == ["next"]


async def test_reads_do_not_wait_for_a_write_under_way(database: Database) -> None:
    loop = asyncio.get_running_loop()
    begun, may_end = asyncio.Event(), __import__("threading").Event()

    def slow(db: sqlite3.Connection) -> None:
        conversations.ensure(db, "local", "1", "slow")
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(10)

    writing = asyncio.create_task(database.write(slow))
    await begun.wait()
    seen = await asyncio.wait_for(database.read(conversations.find), 5)
    may_end.set()
    await writing

    assert seen == []
    assert rows(database.path) == ["slow"]


async def test_what_was_written_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "trayclaw.db"
    script = (
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from agent.storage.database import Database\n"
        "from agent.storage import conversations\n"
        "async def main():\n"
        "    database = Database.open(Path(sys.argv[1]))\n"
        "    await database.write(lambda db: conversations.ensure(db, 'local', '1', 'kept'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).parents[2]
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, str(path)], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )

    assert ended.returncode == -9
    assert rows(path) == ["kept"]


async def test_a_full_disk_is_said_and_what_was_there_stays(database: Database) -> None:
    await database.write(lambda db: conversations.ensure(db, "local", "1", "before"))
    await database.write(lambda db: db.execute("PRAGMA max_page_count = 60"))

    with pytest.raises(StorageError, match="no space left") as caught:
        await database.write(lambda db: conversations.ensure(db, "local", "2", "x" * 1_000_000))

    assert "disk is full" in caught.value.title
    assert rows(database.path) == ["before"]


def test_shared_memory_that_finds_no_room_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite says on a disk without a single free block: `disk I/O error`."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
    assert "full" not in _storage_error(tmp_path / "trayclaw.db", error).title
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    assert _storage_error(tmp_path / "trayclaw.db", error).title == "The disk is full"


def test_a_home_of_somebody_else_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")  # root may write into a folder of others
    with pytest.raises(StorageError, match="Nothing can be written") as caught:
        Instance(tmp_path / "run")
    assert caught.value.hint


async def test_a_locked_database_is_said(database: Database) -> None:
    await database.write(lambda db: db.execute("PRAGMA busy_timeout = 50"))
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StorageError) as caught:
            await database.write(lambda db: conversations.ensure(db, "local", "1", "no"))
        assert "locked" in caught.value.title
        assert caught.value.hint
    finally:
        other.execute("ROLLBACK")
        other.close()
    await database.write(lambda db: conversations.ensure(db, "local", "1", "later"))

    assert rows(database.path) == ["later"]


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "trayclaw.db"
    path.write_bytes(b"this is not a database at all, not even close" * 40)

    with pytest.raises(StorageError) as caught:
        Database.open(path)

    assert "damaged" in caught.value.title
    assert path.read_bytes().startswith(b"this is not a database")


def test_a_database_of_a_newer_version_is_refused_with_words(tmp_path: Path) -> None:
    path = tmp_path / "trayclaw.db"
    Database.open(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    with pytest.raises(StorageError, match="newer TrayClaw"):
        Database.open(path)


async def test_a_conversation_is_found_by_what_was_said_and_deleted_without_the_costs(database: Database) -> None:
    from agent.providers.types import Usage, assistant, user
    from agent.storage import inbox, messages, turns

    def fill(db: sqlite3.Connection) -> int:
        conversation = conversations.ensure(db, "local", "1")
        inbox_id = inbox.add(
            db, conversation_id=conversation, channel="local", transport_id="t", chat_id="1", sender_id="o",
            sender_name="You", sender_role="owner", message=user("what is 100% wool?"), model="", owner="x",
        )  # fmt: skip
        assert inbox_id is not None
        turn = turns.begin(db, conversation, inbox_id, "m")
        messages.append(db, conversation, turn, [user("what is 100% wool?"), assistant("Sheep \udc80 hair")])
        usage.add(db, conversation, turn, usage.Call("p", "m", "chat", 1e9, 1.0, "ok", Usage(5, 7), 0.25, True))
        return conversation

    conversation = await database.write(fill)

    assert [row.id for row in await database.read(lambda db: conversations.find(db, "100% WOOL"))] == [conversation]
    assert await database.read(lambda db: conversations.find(db, "100_ wool")) == []
    assert await database.read(lambda db: conversations.find(db, "assistant")) == []

    await database.write(lambda db: conversations.delete(db, conversation))

    assert await database.read(conversations.find) == []
    assert [row.cost_usd for row in await database.read(lambda db: usage.totals(db, 0.0, "model"))] == [0.25]
