"""An SQLite file that is locked, full, deleted, replaced, damaged, or not one to rely on."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import stat
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from sage_native import events
from sage_native.exceptions import (
    CapacityError,
    ConfigurationError,
    ReplayDetectedError,
    StorageError,
)
from sage_native.storage import Activity, Outcome, ReplayGuarantee, RequestNonce, migrations
from sage_native.storage.contract import made
from sage_native.storage.sqlite import SqliteStorage, trust
from tests.deeds import noting
from tests.integration.schemas import schema_of
from tests.integration.sqlite_scripts import HORIZON_MS, SCOPE, nonce, open_storage, until_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
    from pathlib import Path

# Within a second, and room for a machine that is busy with something else.
PROMPT_S = 3.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sage.db"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SqliteStorage]:
    async with await SqliteStorage.open(path, horizon_ms=HORIZON_MS) as storage:
        yield storage


def admit(storage: SqliteStorage, number: int) -> Awaitable[None]:
    return storage.nonces.admit(SCOPE, nonce(number), until_ms())


async def refused(call: Awaitable[object]) -> StorageError:
    """Wait for the refusal of a call, which must come promptly."""
    start = time.monotonic()
    with pytest.raises(StorageError) as caught:
        await call
    assert time.monotonic() - start < PROMPT_S
    return caught.value


async def recovered(storage: SqliteStorage, number: int) -> None:
    """Wait until a nonce is accepted again; each try has its own, since one may be remembered."""
    deadline_s = time.monotonic() + 5
    while time.monotonic() < deadline_s:
        try:
            return await admit(storage, number)
        except StorageError:
            await asyncio.sleep(0.05)
            number += 10_000
    return await admit(storage, number)


async def gone(calls: Iterable[Awaitable[object]]) -> StorageError:
    """Make one call after the other until the store has seen that its file is gone."""
    for call in calls:
        try:
            await call
        except StorageError as error:
            return error
        await asyncio.sleep(0.01)
    raise AssertionError("it went on answering")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


class TestLocked:
    async def test_it_is_refused_within_its_time_and_nothing_is_burnt(
        self, path: Path, storage: SqliteStorage
    ) -> None:
        await admit(storage, 0)
        row = made.row()
        failures: list[events.Event] = []
        with locked(path):
            unsubscribe = events.subscribe(noting(failures))
            error, _ = await asyncio.gather(
                refused(admit(storage, 1)), refused(storage.sessions().create(row))
            )
            unsubscribe()
            assert "gave no answer in 0.9 s" in str(error)
            # Who reads waits for nobody who writes.
            assert await storage.sessions().get(row.session.session_id) is None
        told = [one.operation for one in failures if isinstance(one, events.StoreFailed)]
        assert sorted(told) == ["admit", "create"]
        # Whoever gave up before it began is not asked for any more.
        await admit(storage, 1)
        await storage.sessions().create(row)
        with pytest.raises(ReplayDetectedError):
            await admit(storage, 0)

    async def test_each_of_many_that_were_begun_is_told_once_that_it_waited_too_long(
        self, path: Path, storage: SqliteStorage
    ) -> None:
        rows, told = [made.row() for _ in range(3)], list[tuple[int, BaseException | None]]()
        failures: list[events.Event] = []
        with locked(path):
            unsubscribe = events.subscribe(noting(failures))
            storage.sessions().begin_create_many(rows, lambda *one: told.append(one))
            with pytest.raises(StorageError):
                await admit(storage, 1)
            unsubscribe()
        assert [at for at, _ in told] == [0, 1, 2]
        assert all("gave no answer in 0.9 s" in str(error) for _, error in told)
        assert len({id(error) for _, error in told}) == 3
        operations = [one.operation for one in failures if isinstance(one, events.StoreFailed)]
        assert sorted(operations) == ["admit", "create", "create", "create"]
        # They were given up before they began.
        await admit(storage, 2)
        assert await storage.sessions().count() == 0
        assert len(told) == 3

    async def test_a_batch_is_unknown(self, path: Path, storage: SqliteStorage) -> None:
        requests = [RequestNonce(SCOPE, nonce(number), until_ms()) for number in range(3)]
        with locked(path):
            assert await storage.nonces.admit_many(requests) == [Outcome.UNKNOWN] * 3
        assert await storage.nonces.admit_many(requests) == [Outcome.FRESH] * 3

    async def test_a_short_lock_is_waited_for(self, path: Path, storage: SqliteStorage) -> None:
        with locked(path):
            call = asyncio.ensure_future(admit(storage, 0))
            await asyncio.sleep(0.2)
            assert not call.done()
        await call


class TestFull:
    async def test_nothing_is_evicted_and_nothing_accepted(self, storage: SqliteStorage) -> None:
        old = [RequestNonce(SCOPE, nonce(number), until_ms()) for number in range(200)]
        assert set(await storage.nonces.admit_many(old)) == {Outcome.FRESH}
        session = made.row()
        await storage.sessions().create(session)
        await limit_pages(storage, more=2)
        full = 0
        for number in range(1000, 6000, 100):
            requests = [
                RequestNonce(SCOPE, nonce(n), until_ms()) for n in range(number, number + 100)
            ]
            outcomes = await storage.nonces.admit_many(requests)
            assert set(outcomes) in ({Outcome.FRESH}, {Outcome.FULL})
            full += Outcome.FULL in outcomes
        assert full > 0
        assert await until_full(admit(storage, number) for number in range(6000, 8000))
        assert await until_full(storage.sessions().create(made.row()) for _ in range(100))
        assert set(await storage.nonces.admit_many(old)) == {Outcome.REPLAY}
        assert await storage.sessions().get(session.session.session_id) == session
        await limit_pages(storage, more=10_000)
        await admit(storage, 9000)

    async def test_whoever_fits_is_not_refused_with_whoever_does_not(
        self, storage: SqliteStorage
    ) -> None:
        await limit_pages(storage, more=6)
        sizes = [10, 3000, 10]
        batches = [
            [RequestNonce(f"{SCOPE}{size}{at}", nonce(n), until_ms()) for n in range(size)]
            for at, size in enumerate(sizes)
        ]
        outcomes = await asyncio.gather(*map(storage.nonces.admit_many, batches))
        assert [set(found) for found in outcomes] == [
            {Outcome.FRESH},
            {Outcome.FULL},
            {Outcome.FRESH},
        ]


async def until_full(calls: Iterable[Awaitable[None]]) -> bool:
    """Wait for one call after the other until one finds no room; False if all find some."""
    for call in calls:
        try:
            await call
        except CapacityError:
            return True
    return False


async def limit_pages(storage: SqliteStorage, *, more: int) -> None:
    """Let the file grow by a number of pages and no further."""

    def limit(connection: sqlite3.Connection) -> None:
        (count,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {count + more}")

    await storage._writer.ask_alone(limit)


class TestGone:
    async def test_a_deleted_file_is_noticed_and_one_put_back_is_used_again(
        self, path: Path, storage: SqliteStorage
    ) -> None:
        await admit(storage, 0)
        since_ms = storage.nonces.remembers_since_ms
        away = path.with_name("away.db")
        path.rename(away)
        error = await gone(admit(storage, number) for number in range(1, 300))
        assert "No such file" in str(error)
        error = await gone(storage.sessions().get("0" * 8) for _ in range(300))
        assert "No such file" in str(error)
        away.rename(path)
        await recovered(storage, 1000)
        with pytest.raises(ReplayDetectedError):
            await admit(storage, 0)
        assert storage.nonces.remembers_since_ms == since_ms

    async def test_another_file_in_its_place_remembers_from_now_on(
        self, path: Path, storage: SqliteStorage
    ) -> None:
        await admit(storage, 0)
        before_ms = time.time_ns() // 1_000_000
        other = path.with_name("other.db")
        await (await open_storage(other)).aclose()
        with closing(sqlite3.connect(other)) as file:
            file.execute("UPDATE replay_memory SET remembers_since_ms = 0")
            file.commit()
            file.execute("PRAGMA journal_mode = DELETE")
        for name in ("sage.db-wal", "sage.db-shm"):
            path.with_name(name).unlink()
        other.rename(path)
        await asyncio.sleep(1.1)
        await recovered(storage, 1)
        assert storage.nonces.remembers_since_ms >= before_ms
        assert not storage.nonces.is_complete()
        async with await open_storage(path) as again:
            assert again.nonces.remembers_since_ms == storage.nonces.remembers_since_ms
            assert await again.nonces.count() == 2  # the one that nobody could vouch for as well

    async def test_a_gap_that_another_process_notes_is_seen(
        self, path: Path, storage: SqliteStorage
    ) -> None:
        marked_ms = storage.nonces.remembers_since_ms + 5000
        async with await open_storage(path) as other:
            await other.nonces.mark_incomplete(now_ms=marked_ms)
            assert other.nonces.remembers_since_ms == marked_ms
        # At once, and nobody who looked at is_complete before hears that a nonce is fresh.
        with pytest.raises(StorageError, match="gave no answer on a nonce"):
            await admit(storage, 0)
        assert storage.nonces.remembers_since_ms == marked_ms
        with pytest.raises(ReplayDetectedError):
            await admit(storage, 0)
        await admit(storage, 1)
        assert not storage.nonces.is_complete(now_ms=marked_ms + HORIZON_MS - 1)
        assert storage.nonces.is_complete(now_ms=marked_ms + HORIZON_MS)


class TestDamaged:
    async def test_it_is_refused_and_recovers_when_it_is_mended(
        self, path: Path, storage: SqliteStorage
    ) -> None:
        await admit(storage, 0)
        row = made.row()
        await storage.sessions().create(row)
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sound = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(len(sound) - 4096))
        await forget_pages(storage)
        error = await refused(admit(storage, 1))
        assert isinstance(error.__cause__, sqlite3.DatabaseError)
        error = await refused(storage.sessions().get(row.session.session_id))
        assert isinstance(error.__cause__, sqlite3.DatabaseError)
        with path.open("r+b") as file:
            file.write(sound)
        await recovered(storage, 1)
        with pytest.raises(ReplayDetectedError):
            await admit(storage, 0)
        assert await storage.sessions().get(row.session.session_id) == row

    async def test_no_database_at_all(self, path: Path) -> None:
        path.write_bytes(os.urandom(8192))
        path.chmod(0o600)
        with pytest.raises(StorageError, match="not a database"):
            await SqliteStorage.open(path)

    async def test_one_edited_row_fails_alone(self, path: Path, storage: SqliteStorage) -> None:
        rows = [made.row() for _ in range(3)]
        for row in rows:
            await storage.sessions().create(row)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute(
                "UPDATE sessions SET metadata = '{broken}' WHERE session_id = ?",
                (rows[1].session.session_id,),
            )
        answers = await asyncio.gather(
            *(storage.sessions().get(row.session.session_id) for row in rows),
            return_exceptions=True,
        )
        assert [answers[0], answers[2]] == [rows[0], rows[2]]
        assert isinstance(answers[1], StorageError)


async def forget_pages(storage: SqliteStorage) -> None:
    """Let both threads read the file anew."""

    def shrink(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA shrink_memory")

    await storage._reader.ask_alone(shrink)
    await storage._writer.ask_alone(lambda _: None)
    # In a transaction pages stay, so the writer's connection is made anew.
    storage._writer._file._looked_s = 0
    storage._writer._file._identity = (0, 0)


class TestCallers:
    async def test_cancelled_calls_never_cross_answers(self, storage: SqliteStorage) -> None:
        chance = random.Random(4)
        used = [RequestNonce(SCOPE, nonce(number), until_ms()) for number in range(300)]
        await storage.nonces.admit_many(used)
        rows = [made.row() for _ in range(100)]
        for row in rows:
            await storage.sessions().create(row)
        for start in range(10_000, 14_000, 1000):
            is_fresh = [chance.random() < 0.5 for _ in range(300)]
            calls = [
                asyncio.ensure_future(admit(storage, start + at if fresh else at))
                for at, fresh in enumerate(is_fresh)
            ]
            reads = [
                asyncio.ensure_future(storage.sessions().get(row.session.session_id))
                for row in rows
            ]
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            cancelled = {call for call in (*calls, *reads) if chance.random() < 0.5}
            for call in cancelled:
                call.cancel()
            answers = await asyncio.gather(*calls, return_exceptions=True)
            for call, fresh, answer in zip(calls, is_fresh, answers, strict=True):
                if call in cancelled:
                    assert isinstance(answer, asyncio.CancelledError)
                else:
                    assert isinstance(answer, ReplayDetectedError) != fresh
            found = await asyncio.gather(*reads, return_exceptions=True)
            for read, row, seen in zip(reads, rows, found, strict=True):
                assert read in cancelled or seen == row

    async def test_each_of_a_crowd_at_one_nonce_gets_its_own_verdict(self, path: Path) -> None:
        # Nobody in this crowd gives up, however long the disk takes.
        async with await open_storage(path, timeout_s=120) as storage:
            answers = await asyncio.gather(
                *(admit(storage, 0) for _ in range(5000)), return_exceptions=True
            )
        assert answers.count(None) == 1
        assert sum(isinstance(answer, ReplayDetectedError) for answer in answers) == 4999

    async def test_of_100_000_concurrent_duplicates_one_is_admitted(self, path: Path) -> None:
        request = made.nonce(end_ms=made.clock_ms() + 170_000)
        async with (
            await SqliteStorage.open(path, timeout_s=120) as one,
            await SqliteStorage.open(path, timeout_s=120) as two,
        ):

            async def admitted(storage: SqliteStorage) -> bool:
                try:
                    await storage.nonces.admit(
                        request.scope, request.nonce, request.remember_until_ms
                    )
                except ReplayDetectedError:
                    return False
                return True

            found = await asyncio.gather(*(admitted(storage) for storage in (one, two) * 50_000))
            assert found.count(True) == 1
            assert await one.nonces.count() == 1

    async def test_loops_of_several_threads_share_it(self, storage: SqliteStorage) -> None:
        accepted: list[int] = []

        async def crowd() -> None:
            for number in range(200):
                try:
                    await admit(storage, number)
                except ReplayDetectedError:
                    continue
                accepted.append(number)

        threads = [threading.Thread(target=lambda: asyncio.run(crowd())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert sorted(accepted) == list(range(200))

    async def test_closing_answers_what_was_asked_and_refuses_the_rest(self, path: Path) -> None:
        storage = await SqliteStorage.open(path)
        now_ms = time.time_ns() // 1_000_000
        calls = [
            asyncio.ensure_future(storage.nonces.admit(SCOPE, nonce(number), now_ms + 60_000))
            for number in range(50)
        ]
        await asyncio.sleep(0)
        await storage.aclose()
        assert await asyncio.gather(*calls) == [None] * 50
        with pytest.raises(StorageError, match="is closed"):
            await storage.nonces.admit(SCOPE, nonce(0), now_ms + 60_000)
        with pytest.raises(StorageError, match="is closed"):
            await storage.check()
        told: list[tuple[int, BaseException | None]] = []
        storage.sessions().begin_create_many(
            [made.row(), made.row()], lambda *one: told.append(one)
        )
        assert told == []
        await asyncio.sleep(0)
        assert [(at, str(error).endswith("is closed")) for at, error in told] == [
            (0, True),
            (1, True),
        ]
        await storage.aclose()

    async def test_one_who_fails_when_he_is_told_takes_nothing_away_from_the_others(
        self, storage: SqliteStorage, caplog: pytest.LogCaptureFixture
    ) -> None:
        told: list[int] = []

        def tell(at: int, error: BaseException | None) -> None:
            assert error is None
            told.append(at)
            if at == 1:
                raise OSError("what went wrong inside")

        storage.sessions().begin_create_many([made.row() for _ in range(3)], tell)
        await storage.sessions().create(made.row())
        assert told == [0, 1, 2]
        assert "what went wrong inside" in caplog.text


class TestFile:
    async def test_nobody_else_may_read_it(self, path: Path) -> None:
        before = os.umask(0)
        try:
            async with await SqliteStorage.open(path) as storage:
                await storage.sessions().create(made.row())
                modes = {
                    entry.name: stat.S_IMODE(entry.stat().st_mode)
                    for entry in path.parent.iterdir()
                }
        finally:
            os.umask(before)
        assert modes == dict.fromkeys(["sage.db", "sage.db-wal", "sage.db-shm"], 0o600)

    async def test_what_is_not_to_be_relied_on_is_refused(self, path: Path) -> None:
        await (await SqliteStorage.open(path)).aclose()
        link = path.with_name("link.db")
        link.symlink_to(path)
        with pytest.raises(ConfigurationError, match="is a symbolic link: name the file itself"):
            await SqliteStorage.open(link)
        path.chmod(0o620)
        with pytest.raises(ConfigurationError, match=r"other users \(mode 0620\): chmod 600"):
            await SqliteStorage.open(path)
        path.chmod(0o600)
        for mode in (0o777, 0o1777):  # a log beside the database is as good as the database
            path.parent.chmod(mode)
            with pytest.raises(ConfigurationError, match="that other users may write to"):
                await SqliteStorage.open(path)
        path.parent.chmod(0o700)
        await (await SqliteStorage.open(path)).aclose()
        with pytest.raises(ConfigurationError, match="is not a regular file"):
            await SqliteStorage.open(path.parent)
        with pytest.raises(ConfigurationError, match=r"there is no directory .*gone"):
            await SqliteStorage.open(path.parent / "gone" / "sage.db")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    async def test_a_file_of_another_user_is_refused(self, path: Path) -> None:
        await (await SqliteStorage.open(path)).aclose()
        os.chown(path, 65534, 65534)
        with pytest.raises(ConfigurationError, match="belongs to user 65534"):
            await SqliteStorage.open(path)

    async def test_a_file_system_of_the_network_is_refused(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file_system = trust._file_system_of(path.parent.stat().st_dev)
        if file_system is None:
            pytest.skip("this system does not tell its file systems")
        await (await SqliteStorage.open(path)).aclose()
        monkeypatch.setattr(trust, "_SHARED_FILE_SYSTEMS", {file_system})
        with pytest.raises(ConfigurationError, match=f"lies on {file_system}, where machines"):
            await SqliteStorage.open(path)


class TestSetUp:
    async def test_guarantees(self, path: Path) -> None:
        for demanded, reached, synchronous in (
            (ReplayGuarantee.PROCESS, ReplayGuarantee.NODE, 1),
            (ReplayGuarantee.NODE, ReplayGuarantee.NODE, 1),
            (ReplayGuarantee.DURABLE, ReplayGuarantee.DURABLE, 2),
        ):
            async with await SqliteStorage.open(path, guarantee=demanded) as storage:
                assert storage.nonces.guarantee is reached
                found = await storage._writer.ask_alone(
                    lambda file: file.execute("PRAGMA synchronous").fetchone()
                )
                assert found == (synchronous,)
        with pytest.raises(ConfigurationError, match=r"level durable.* demands failover"):
            await SqliteStorage.open(path, guarantee=ReplayGuarantee.FAILOVER)

    async def test_a_schema_that_is_not_current(self, path: Path) -> None:
        dsn = f"sqlite:///{path}"
        with pytest.raises(StorageError, match="does not exist: run sage-native db migrate"):
            await SqliteStorage.open(path, migrate=False)
        assert not path.exists()
        await migrations.migrate(dsn, to=2)
        with pytest.raises(ConfigurationError, match=r"version 2 .* needs 3"):
            await SqliteStorage.open(path, migrate=False)
        await (await SqliteStorage.open(path)).aclose()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("UPDATE schema_migrations SET version = 8")
        with pytest.raises(ConfigurationError, match=r"version 8 .* up to 3"):
            await SqliteStorage.open(path)

    async def test_the_schema_in_use_is_that_of_the_migrations(
        self, path: Path, storage: SqliteStorage
    ) -> None:
        row = made.row()
        await storage.sessions().create(row)
        await storage.sessions().touch_many([Activity(row.session.session_id, 1, 1)])
        await storage.dids.put(made.did_record())
        await admit(storage, 0)
        await storage.nonces.delete_expired()
        other = f"sqlite:///{path.with_name('other.db')}"
        await migrations.migrate(other)
        assert await schema_of(f"sqlite:///{path}") == await schema_of(other)

    async def test_a_copy_can_be_opened_anywhere(self, path: Path, tmp_path: Path) -> None:
        strange = tmp_path / "a b%20?#c"
        strange.mkdir()
        async with await open_storage(path) as storage:
            await admit(storage, 0)
        shutil.copy(path, strange / "it's.db")
        async with await open_storage(strange / "it's.db") as storage:
            with pytest.raises(ReplayDetectedError):
                await admit(storage, 0)
