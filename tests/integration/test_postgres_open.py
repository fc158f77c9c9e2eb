"""Opening PostgreSQL: guarantees, the schema's version, new timelines, and never a password."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import ConfigurationError, SageError, StorageError
from sage_native.storage.base import Outcome
from sage_native.storage.contract.made import clock_ms, nonce
from sage_native.storage.guarantee import ReplayGuarantee
from sage_native.storage.migrations import migrate, rollback
from sage_native.storage.postgres import PostgresStorage
from sage_native.storage.postgres.standbys import lack_of_standbys
from tests.integration.postgres_scenes import new_storage, outcome_of, recovered
from tests.servers.postgres import PostgresServer
from tests.servers.processes import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE, DURABLE, FAILOVER = list(ReplayGuarantee)[1:]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.mark.parametrize(
    ("name", "value", "reached"),
    [
        ("fsync", "off", NODE),
        ("full_page_writes", "off", NODE),
        ("synchronous_standby_names", "", DURABLE),
    ],
)
async def test_a_level_that_is_not_reached_is_refused(
    server: PostgresServer, name: str, value: str, reached: ReplayGuarantee
) -> None:
    dsn = server.create_database()
    await migrate(dsn)
    server.set(name, value)
    try:
        for wanted in ReplayGuarantee:
            if wanted <= reached:
                async with await PostgresStorage.open(dsn, guarantee=wanted) as storage:
                    assert storage.nonces.guarantee is reached
            else:
                text = f"level {reached.name.lower()}.*demands {wanted.name.lower()}: set fsync"
                with pytest.raises(ConfigurationError, match=text):
                    await PostgresStorage.open(dsn, guarantee=wanted)
    finally:
        server.set(name, "on" if name != "synchronous_standby_names" else "")


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("ANY 1 (one, two)", r"'ANY 1 \(one, two\)' waits for 1 of 2 standbys, and one that lacks"),
        ("one, two", "'one, two' waits for 1 of 2 standbys"),
        ("*", r"'\*' takes any standby for the one to wait for"),
    ],
)
async def test_a_standby_that_may_lack_commits_is_no_failover(
    server: PostgresServer, setting: str, reason: str
) -> None:
    dsn = server.create_database()
    await migrate(dsn)
    server.set("synchronous_standby_names", setting)
    try:
        text = f"at level durable.*demands failover: set fsync.*{reason}"
        with pytest.raises(ConfigurationError, match=text):
            await PostgresStorage.open(dsn, guarantee=FAILOVER)
    finally:
        server.set("synchronous_standby_names", "")


@pytest.mark.parametrize(
    ("setting", "lack"),
    [
        ("", "names no standby"),
        ("one", None),
        (' "One, (two)" ', None),
        ("1 (one)", None),
        ("2(one,two)", None),
        ("FIRST 2 (one, two)", None),
        ('any\t3 ( one, "two", 3 )', None),
        ("2 (one)", None),
        ('ANY 2 ("a ""b"", c", d)', None),
        ("1 (one, ONE)", None),
        ("one, two", "waits for 1 of 2"),
        ("1 (one, two)", "waits for 1 of 2"),
        ("first 1 (one, two)", "waits for 1 of 2"),
        ("ANY 2 (one, two, three)", "waits for 2 of 3"),
        ('ANY 1 ("one", "two")', "waits for 1 of 2"),
        ("*", "takes any standby"),
        ('"*"', "takes any standby"),
        ("ANY 1 (*)", "takes any standby"),
        ("2 (one, *)", "takes any standby"),
    ],
)
def test_of_how_many_standbys_a_commit_waits(
    server: PostgresServer, setting: str, lack: str | None
) -> None:
    # Not loaded, but the server refuses what it cannot read.
    server.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{setting}'")
    server.sql("ALTER SYSTEM RESET synchronous_standby_names")
    found = lack_of_standbys(setting)
    assert (found is None) if lack is None else (lack in str(found))


async def test_commits_wait_as_long_as_the_level_needs(server: PostgresServer) -> None:
    dsn = server.create_database()
    await migrate(dsn)
    for default in ("off", "local", "remote_write", "remote_apply"):
        server.sql(f"ALTER ROLE sage SET synchronous_commit = {default}")
        try:
            async with await PostgresStorage.open(dsn, guarantee=DURABLE) as storage:
                assert storage.nonces.guarantee is DURABLE
                used = await storage._connections.run(
                    lambda one: one.fetchval("SHOW synchronous_commit")
                )
            assert used == ("local" if default == "off" else default)
            async with await PostgresStorage.open(dsn, guarantee=NODE) as storage:
                assert storage.nonces.guarantee is (NODE if default == "off" else DURABLE)
        finally:
            server.sql("ALTER ROLE sage RESET synchronous_commit")


async def test_a_schema_that_is_not_current_is_refused(server: PostgresServer) -> None:
    dsn = server.create_database()
    with pytest.raises(ConfigurationError, match=r"version 0 .* needs 3: run sage-native db migr"):
        await PostgresStorage.open(dsn)
    await migrate(dsn)
    await rollback(dsn)
    with pytest.raises(ConfigurationError, match=r"version 2 .* needs 3: run sage-native db migr"):
        await PostgresStorage.open(dsn)
    await migrate(dsn)
    database = dsn.rpartition("/")[2]
    server.sql("UPDATE schema_migrations SET version = 4", database=database)
    with pytest.raises(ConfigurationError, match="newer sage-native"):
        await PostgresStorage.open(dsn)
    server.sql("UPDATE schema_migrations SET version = 3, dirty = true", database=database)
    with pytest.raises(ConfigurationError, match="dirty"):
        await PostgresStorage.open(dsn)
    server.sql("UPDATE schema_migrations SET dirty = false", database=database)
    async with await PostgresStorage.open(dsn) as storage:
        await storage.check()


async def test_no_error_and_no_name_shows_the_password(server: PostgresServer) -> None:
    secret = "s3cr:et@pass/wo#rd"  # noqa: S105 - as people paste it, unquoted
    port = free_ports()[0]
    shown = []
    for dsn in (
        f"postgresql://sage:{secret}@127.0.0.1:{server.port}/test_1",
        f"postgresql://sage:s3cret@127.0.0.1:{server.port}/test_1",
        f"postgresql://sage:s3cret@127.0.0.1:{port}/test_1",
        f"postgresql://sage@127.0.0.1:{port}/test_1?password=s3cret",
        f"postgresql://sage:s3cret@127.0.0.1:{port}x/test_1",
        f"postgresql://sage:s3cret@127.0.0.1:{server.port}/test_1?sslmode=s3cret",
        "s3cret",
    ):
        with pytest.raises(SageError) as caught:
            await PostgresStorage.open(dsn, timeout_s=0.3)
        shown += [str(caught.value), *traceback.format_exception(caught.value)]
    async with new_storage(server) as storage:
        assert server.password not in f"{storage!r} {storage.label} {storage.nonces.label}"
        assert storage.label.startswith("PostgreSQL test_")
        server.stop()
        try:
            with pytest.raises(StorageError) as failed:
                await storage.check()
        finally:
            server.start()
        shown += traceback.format_exception(failed.value)
    # Lines of source are shown too, and this file's hold the made-up one.
    lines = [line for text in shown for line in text.splitlines() if "dsn" not in line]
    assert not [line for line in lines if "s3c" in line or server.password in line]


async def test_a_new_timeline_makes_the_memory_incomplete(server: PostgresServer) -> None:
    async with new_storage(server, remembers_since_ms=1) as storage:
        request = nonce(end_ms=clock_ms() + 170_000)
        assert await outcome_of(storage, request) is Outcome.FRESH
        server.stop()
        server.start()  # the same timeline: nothing is lost
        await recovered(storage.check)
        assert storage.nonces.remembers_since_ms == 1
        assert storage.nonces.is_complete()

        before = clock_ms()
        server.begin_new_timeline()
        await recovered(storage.check)
        assert storage.nonces.remembers_since_ms >= before
        assert not storage.nonces.is_complete()
        assert storage.nonces.is_complete(now_ms=clock_ms() + storage.nonces.horizon_ms)
        since_ms = storage.nonces.remembers_since_ms
        dsn = server.dsn(storage.label.split()[1])
        async with await PostgresStorage.open(dsn) as other:
            assert other.nonces.remembers_since_ms == since_ms, "noted once"
        assert await outcome_of(storage, request) is Outcome.REPLAY


async def test_the_tables_may_lie_in_any_schema(server: PostgresServer) -> None:
    dsn = server.create_database()
    server.sql('CREATE SCHEMA "Sage ü" AUTHORIZATION sage', database=dsn.rpartition("/")[2])
    dsn += "?search_path=%22Sage%20%C3%BC%22"
    await migrate(dsn)
    async with await PostgresStorage.open(dsn) as storage:
        start = clock_ms() - 10_000_000
        request = nonce(end_ms=start + 1000)
        assert await storage.nonces.admit_many([request], now_ms=start) == [Outcome.FRESH]
        later = start + 2_000_000
        await storage.nonces.admit_many([nonce(end_ms=later + 1000)], now_ms=later)
        await storage.nonces.delete_expired(now_ms=later)
        assert await storage.nonces.count() == 1
        assert await storage.nonces.admit_many([request], now_ms=start) == [Outcome.REPLAY]
