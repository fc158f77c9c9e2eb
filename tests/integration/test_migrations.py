"""The migrations on real databases: up, down, interrupted, contended, and in other hands."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from sage_native.exceptions import ConfigurationError, StorageError, UsageError
from sage_native.storage import migrations
from sage_native.storage.migrations import Migration, MigrationStatus, runner, shipped
from sage_native.storage.migrations.postgres import advisory_lock_id
from sage_native.storage.migrations.sqlite import path_of
from tests.integration.schemas import execute, schema_of

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from sage_native.storage.migrations.runner import Database

NAMES = ("000001_initial_schema", "000002_add_indexes", "000003_add_session_overview")
NEWEST = MigrationStatus(3, dirty=False, newest=3, pending=())
EMPTY = MigrationStatus(0, dirty=False, newest=3, pending=NAMES)


def steps_of(dsn: str) -> tuple[Migration, ...]:
    return shipped("sqlite" if dsn.startswith("sqlite") else "postgres")


def database(dsn: str) -> AbstractAsyncContextManager[Database]:
    """What the runner works on, whose lock a test wants to hold."""
    return runner._database(dsn)


def status_of(current: int, *, dirty: bool = False) -> MigrationStatus:
    return MigrationStatus(current, dirty, newest=3, pending=NAMES[current:])


class TestUpAndDown:
    async def test_up_down_up_leaves_the_same_schema_and_down_leaves_none(self, dsn: str) -> None:
        assert await migrations.migrate(dsn) == NEWEST
        schema = await schema_of(dsn)
        assert await migrations.migrate(dsn, to=0) == EMPTY
        assert await schema_of(dsn) == set()
        assert await migrations.migrate(dsn) == NEWEST
        assert await schema_of(dsn) == schema
        assert len(schema) > 5

    async def test_each_down_undoes_its_up_and_nothing_else(self, dsn: str) -> None:
        schemas = []
        for version in range(4):
            await migrations.migrate(dsn, to=version)
            schemas.append(await schema_of(dsn))
        assert len(set(map(frozenset, schemas))) == 4
        for version in (2, 1, 0):
            status = await migrations.rollback(dsn)
            assert (status.current, status.pending) == (version, NAMES[version:])
            assert await schema_of(dsn) == schemas[version]

    async def test_down_takes_rows_along(self, dsn: str) -> None:
        await migrations.migrate(dsn)
        keys = "zeroblob(32)" if dsn.startswith("sqlite") else "ARRAY['x'::bytea]"
        await execute(dsn, f"INSERT INTO dids (did, keys, created_ms) VALUES ('d', {keys}, 0)")  # noqa: S608
        assert await migrations.rollback(dsn, steps=3) == EMPTY
        assert await schema_of(dsn) == set()

    async def test_status_changes_nothing(self, dsn: str) -> None:
        assert await migrations.status(dsn) == EMPTY
        if dsn.startswith("sqlite"):
            assert not path_of(dsn).exists()
        await migrations.migrate(dsn, to=2)
        assert await migrations.status(dsn) == status_of(2)

    async def test_to_a_version_and_back(self, dsn: str) -> None:
        for version in (2, 1, 3, 3, 0, 2):
            assert (await migrations.migrate(dsn, to=version)).current == version

    @pytest.mark.parametrize("version", [-1, 4])
    async def test_a_version_that_is_none_is_refused(self, dsn: str, version: int) -> None:
        with pytest.raises(UsageError, match=f"version must be 0 to 3, not {version}"):
            await migrations.migrate(dsn, to=version)
        with pytest.raises(UsageError, match=f"version must be 0 to 3, not {version}"):
            await migrations.force(dsn, version)

    async def test_more_steps_than_were_taken_are_refused(self, dsn: str) -> None:
        await migrations.migrate(dsn, to=1)
        with pytest.raises(UsageError, match="at version 1: 2 steps"):
            await migrations.rollback(dsn, steps=2)
        with pytest.raises(UsageError, match="at least 1, not 0"):
            await migrations.rollback(dsn, steps=0)
        assert (await migrations.status(dsn)).current == 1


class TestDirty:
    async def test_a_dirty_database_is_refused_until_it_is_forced(self, dsn: str) -> None:
        await migrations.migrate(dsn, to=2)
        await execute(dsn, "UPDATE schema_migrations SET dirty = true")
        schema = await schema_of(dsn)
        way_out = r"is dirty: a migration to version 2 .*sage-native db migrate --force VERSION"
        with pytest.raises(ConfigurationError, match=way_out):
            await migrations.migrate(dsn)
        with pytest.raises(ConfigurationError, match=way_out):
            await migrations.rollback(dsn)
        assert await migrations.status(dsn) == status_of(2, dirty=True)
        assert await schema_of(dsn) == schema
        assert (await migrations.force(dsn, 2)).dirty is False
        assert await migrations.migrate(dsn) == NEWEST

    async def test_dirty_before_the_first_version(self, dsn: str) -> None:
        await migrations.migrate(dsn, to=0)
        # What golang-migrate leaves when the first migration fails on its way down.
        await execute(dsn, "INSERT INTO schema_migrations VALUES (-1, true)")
        assert await migrations.status(dsn) == status_of(0, dirty=True)
        with pytest.raises(ConfigurationError, match="to version 0"):
            await migrations.migrate(dsn)
        assert await migrations.force(dsn, 0) == EMPTY
        assert await execute(dsn, "SELECT * FROM schema_migrations") == []

    async def test_a_newer_database_is_refused(self, dsn: str) -> None:
        await migrations.migrate(dsn)
        await execute(dsn, "UPDATE schema_migrations SET version = 7")
        for attempt in (migrations.migrate(dsn), migrations.rollback(dsn)):
            with pytest.raises(ConfigurationError, match=r"at version 7 .* up to 3"):
                await attempt

    async def test_a_failing_migration_is_undone_and_those_before_it_stay(self, dsn: str) -> None:
        bad = Migration(4, "bad", "CREATE TABLE half (a int); SELECT a FROM nowhere;", "")
        with pytest.raises(StorageError, match=r"000004_bad up .*rolled back.*stays at version 3"):
            await migrations.migrate(dsn, migrations=[*steps_of(dsn), bad])
        assert await migrations.status(dsn) == NEWEST
        assert not [line for line in await schema_of(dsn) if "half" in line]
        assert await migrations.rollback(dsn)

    async def test_sql_that_commits_by_itself_leaves_the_mark(self, dsn: str) -> None:
        bad = Migration(4, "bad", "CREATE TABLE half (a int); COMMIT; SELECT a FROM no;", "")
        with pytest.raises(StorageError, match=r"000004_bad up .*version 4 is dirty"):
            await migrations.migrate(dsn, migrations=[*steps_of(dsn), bad])
        assert await migrations.status(dsn) == status_of(4, dirty=True)

    async def test_a_runner_that_is_killed_leaves_nothing_half_done(self, dsn: str) -> None:
        await migrations.migrate(dsn)
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESS_MIGRATION, dsn], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begins\n"
            time.sleep(0.3)
            process.kill()
        assert await migrations.status(dsn) == NEWEST  # it does not wait for the migration
        assert not [line for line in await schema_of(dsn) if "half" in line]
        if not dsn.startswith("sqlite"):  # the server does not notice before its sleep is over
            await execute(
                dsn,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%pg_sleep%'",
            )
        assert await migrations.rollback(dsn)


ENDLESS_MIGRATION = """
import asyncio, sys
from sage_native.storage import migrations
from sage_native.storage.migrations import Migration, shipped
dsn = sys.argv[1]
is_sqlite = dsn.startswith("sqlite")
wait = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    if is_sqlite else "SELECT pg_sleep(600)"
)
steps = [
    *shipped("sqlite" if is_sqlite else "postgres"),
    Migration(4, "endless", f"CREATE TABLE half (a int); {wait};", ""),
]
print("begins", flush=True)
asyncio.run(migrations.migrate(dsn, migrations=steps))
"""


class TestTogether:
    async def test_runners_at_once_do_the_work_once(self, dsn: str) -> None:
        assert await asyncio.gather(*(migrations.migrate(dsn) for _ in range(6))) == [NEWEST] * 6

    async def test_the_second_waits_for_the_first(self, dsn: str) -> None:
        async with database(dsn) as first:
            async with first.lock():
                second = asyncio.create_task(migrations.migrate(dsn))
                await asyncio.sleep(0.3)
                assert not second.done()
                step = steps_of(dsn)[0]
                await first.run(step.up, to=1, what=str(step))
            assert await second == NEWEST

    async def test_waiting_has_an_end(self, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runner, "LOCK_TIMEOUT_S", 0.2)
        async with database(dsn) as first, first.lock():
            with pytest.raises(StorageError, match="cannot lock"):
                await migrations.migrate(dsn)
        assert await migrations.migrate(dsn) == NEWEST


class TestRequireCurrent:
    async def test_by_path_and_by_connection(self, dsn: str) -> None:
        async def require() -> None:
            if dsn.startswith("sqlite"):
                await migrations.require_current(path_of(dsn))
                return
            connection = await asyncpg.connect(dsn)
            try:
                await migrations.require_current(connection)
            finally:
                await connection.close()

        await migrations.migrate(dsn, to=2)
        with pytest.raises(ConfigurationError, match=r"version 2 .* needs 3: run sage-native db"):
            await require()
        await migrations.migrate(dsn)
        await require()
        await execute(dsn, "UPDATE schema_migrations SET dirty = true")
        with pytest.raises(ConfigurationError, match="dirty"):
            await require()
        await execute(dsn, "UPDATE schema_migrations SET dirty = false, version = 9")
        with pytest.raises(ConfigurationError, match=r"version 9 .* up to 3"):
            await require()


class TestAsGolangMigrateDoesIt:
    @pytest.mark.parametrize("dsn", ["sqlite"], indirect=True)
    async def test_the_table_in_sqlite(self, dsn: str) -> None:
        await migrations.migrate(dsn)
        made = await execute(
            dsn, "SELECT sql FROM sqlite_master WHERE tbl_name = 'schema_migrations' ORDER BY type"
        )
        assert made == [
            ("CREATE UNIQUE INDEX version_unique ON schema_migrations (version)",),
            ("CREATE TABLE schema_migrations (version uint64,dirty bool)",),
        ]
        assert await execute(dsn, "SELECT * FROM schema_migrations") == [(3, 0)]

    @pytest.mark.parametrize("dsn", ["postgres"], indirect=True)
    async def test_the_table_in_postgres(self, dsn: str) -> None:
        await migrations.migrate(dsn)
        columns = await execute(
            dsn,
            "SELECT column_name::text, data_type::text, is_nullable::text "
            "FROM information_schema.columns WHERE table_name = 'schema_migrations' ORDER BY 1",
        )
        assert columns == [("dirty", "boolean", "NO"), ("version", "bigint", "NO")]
        keys = await execute(
            dsn,
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = 'schema_migrations'::regclass AND contype = 'p'",
        )
        assert keys == [("PRIMARY KEY (version)",)]
        assert await execute(dsn, "SELECT * FROM schema_migrations") == [(3, False)]

    def test_the_lock(self) -> None:
        # Seen in pg_locks while golang-migrate's CLI, v4.20, held it on a database test_1.
        assert advisory_lock_id("public", "schema_migrations", "/test_1") == 1_701_045_811

    @pytest.mark.parametrize("dsn", ["postgres"], indirect=True)
    @pytest.mark.parametrize("slash", ["/", ""])
    async def test_its_lock_is_waited_for(self, dsn: str, slash: str) -> None:
        name = dsn.rpartition("/")[2]
        holder = await asyncpg.connect(dsn)
        try:
            key = advisory_lock_id("public", "schema_migrations", slash + name)
            await holder.execute("SELECT pg_advisory_lock($1)", key)
            waiting = asyncio.create_task(migrations.migrate(dsn))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        finally:
            await holder.close()
        assert await waiting == NEWEST

    @pytest.mark.skipif(shutil.which("migrate") is None, reason="golang-migrate is not installed")
    async def test_its_command_line_takes_over_and_back(self, dsn: str) -> None:
        backend = "sqlite" if dsn.startswith("sqlite") else "postgres"
        url = dsn.replace("sqlite:///", "sqlite://")
        if backend == "postgres":
            url += "?sslmode=disable"

        def theirs(*words: str) -> str:
            source = Path(migrations.__file__).parent / backend
            command = ["migrate", "-source", f"file://{source}", "-database", url, *words]
            return subprocess.run(command, capture_output=True, text=True, check=True).stderr

        await migrations.migrate(dsn)
        schema = await schema_of(dsn)
        assert theirs("version").strip() == "3"
        theirs("down", "-all")
        assert await migrations.status(dsn) == EMPTY
        theirs("up")
        assert await schema_of(dsn) == schema
        assert await migrations.status(dsn) == NEWEST
        assert (await migrations.rollback(dsn, steps=2)).current == 1
        assert theirs("version").strip() == "1"
        theirs("goto", "3")
        assert await migrations.migrate(dsn) == NEWEST
        assert await schema_of(dsn) == schema


class TestUrls:
    @pytest.mark.parametrize(
        "dsn",
        [
            "mysql://root:s3cret@db/sage",
            "postgresql://sage:s3cret@127.0.0.1:1/sage",
            "postgresql://sage:s3cret@word@127.0.0.1:1/sage",
            "postgresql://sage:at@s3cret:word@127.0.0.1:1/sage",
            "postgresql://sage:sl/s3cret@127.0.0.1:1/sage",
            "postgresql://sage:ha#s3cret@127.0.0.1:1/sage",
            "postgresql://sage:br[s3cret@127.0.0.1:1/sage",
            "postgresql://sage@127.0.0.1:1/sage?password=s3cret&sslmode=nonsense",
            "postgresql://sage:s3cret@127.0.0.1:s3cret/sage",
            "sqlite://s3cret/sage.db",
            "s3cret",
        ],
    )
    async def test_no_piece_of_a_password_is_shown(self, dsn: str) -> None:
        with pytest.raises((ConfigurationError, StorageError)) as caught:
            await migrations.status(dsn)
        seen: BaseException | None = caught.value
        while seen is not None:
            assert "s3cret" not in str(seen)
            shown = None if seen.__suppress_context__ else seen.__context__
            seen = seen.__cause__ or shown

    @pytest.mark.parametrize(
        ("dsn", "path"),
        [
            ("sqlite:///sage.db", "sage.db"),
            ("sqlite:////var/lib/sage.db", "/var/lib/sage.db"),
            ("sqlite:////var/a%20b%3F.db", "/var/a b?.db"),
        ],
    )
    def test_paths(self, dsn: str, path: str) -> None:
        assert path_of(dsn) == Path(path)

    @pytest.mark.parametrize(
        "dsn", ["sqlite://", "sqlite:///", "sqlite:///a?mode=ro", "sqlite:///:memory:"]
    )
    def test_what_is_no_path(self, dsn: str) -> None:
        with pytest.raises(ConfigurationError, match="sqlite:///"):
            path_of(dsn)

    async def test_a_directory_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"the directory .*gone cannot be used"):
            await migrations.migrate(f"sqlite:///{tmp_path / 'gone' / 'sage.db'}")
