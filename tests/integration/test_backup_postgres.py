"""Backups between backends on real servers, and what the commands print about a server."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sage_native import KeyEncryptionKey
from sage_native.cli import app
from sage_native.exceptions import ReplayDetectedError, StorageError
from sage_native.storage.backup import back_up, restore
from sage_native.storage.contract.made import clock_ms, nonce, row, wrapped
from sage_native.storage.opening import open_storage
from sage_native.storage.seeds import INITIATOR_STORE, RESPONDER_STORE, seed
from tests.command_line import refused, run
from tests.security.canaries import finds, secrets_of
from tests.seeded import converse, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sage_native.storage import Storage
    from tests.servers.postgres import PostgresServer
    from tests.servers.redis import RedisServer

KEK = os.urandom(32)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'sage.db'}"


async def everything(storage: Storage) -> object:
    """Return all that a backup is of, as it must come back."""
    names = await storage.session_store_names()
    rows = {name: await rows_of(storage, name) for name in names}
    dids = None if storage.dids is None else await storage.dids.page(limit=1000)
    restored = {name: [replace(row, restored=True) for row in rows[name]] for name in rows}
    return restored, dids


@pytest.mark.parametrize("way", ["sqlite to postgres", "postgres to sqlite"])
async def test_to_another_backend_and_on(
    way: str, sqlite_url: str, postgres_dsn: str, tmp_path: Path
) -> None:
    urls = [sqlite_url, postgres_dsn]
    source, target = urls if way == "sqlite to postgres" else urls[::-1]
    kek, path = KeyEncryptionKey("k1", KEK), tmp_path / "sage.backup"
    secrets = {"KEK": KEK}
    admitted = nonce()
    async with await open_storage(source) as storage:
        await seed(storage, "dev", kek, profile=None)
        await converse(storage, kek)  # epoch 1, with a committed rekey
        odd = row(wrapped(kek_id="k~"), idle_timeout_s=7, metadata={"ü": "\x1b \\ \" '"})
        await storage.sessions("\x1b ü").create(odd)
        request = admitted.scope, admitted.nonce, admitted.remember_until_ms
        await storage.nonces.admit(*request)
        await back_up(storage, path)
        before = await everything(storage)
        for name in (INITIATOR_STORE, RESPONDER_STORE):
            for stored in await rows_of(storage, name):
                assert stored.session.epoch == 1
                found = secrets_of(stored.session, KEK, store=name)
                secrets |= {f"{name} {stored.session.session_id} {k}": v for k, v in found.items()}
        with pytest.raises(ReplayDetectedError):
            await storage.nonces.admit(*request)
    assert len(secrets) > 20
    assert finds([("backup", path.read_bytes())], secrets) == []
    async with await open_storage(target) as storage:
        done = await restore(storage, path)
        assert (done.sessions, done.dids, done.kept) == (11, 5, 0)
        assert await everything(storage) == before
        assert not storage.nonces.is_complete()
        assert await converse(storage, kek) == 5
        assert {row.session.epoch for row in await rows_of(storage, RESPONDER_STORE)} == {2}
    # What was marked stays marked for whoever opens it next.
    async with await open_storage(target) as storage:
        assert not storage.nonces.is_complete()
        assert storage.nonces.is_complete(now_ms=clock_ms() + storage.nonces.horizon_ms)


async def test_large_enough_for_many_pages(
    sqlite_url: str, postgres_dsn: str, tmp_path: Path
) -> None:
    kek = KeyEncryptionKey("k1", KEK)
    async with await open_storage(sqlite_url) as storage:
        for _ in range(6):
            await seed(storage, "staging", kek, profile=None, force=True)
        await back_up(storage, tmp_path / "one")
        before = await everything(storage)
    async with await open_storage(postgres_dsn) as storage:
        done = await restore(storage, tmp_path / "one")
        assert (done.sessions, done.dids) == (2304, 612)
        assert await everything(storage) == before
        await back_up(storage, tmp_path / "two")
    one, two = ((tmp_path / name).read_bytes().splitlines() for name in ("one", "two"))
    assert sorted(one[1:-1]) == sorted(two[1:-1])


async def test_sessions_of_a_redis_go_into_a_database(
    redis_server: RedisServer, postgres_dsn: str, tmp_path: Path
) -> None:
    redis_server.flush()
    kek = KeyEncryptionKey("k1", KEK)
    async with await open_storage(postgres_dsn) as storage:
        await seed(storage, "dev", kek, profile=None)
        for name in (INITIATOR_STORE, RESPONDER_STORE):
            async with await open_storage(redis_server.url) as beside:
                for stored in await rows_of(storage, name):
                    await beside.sessions(name).create(stored)
                    await storage.sessions(name).delete(stored.session.session_id)
    async with await open_storage(redis_server.url) as beside:
        assert (await back_up(beside, tmp_path / "b")).sessions == {
            INITIATOR_STORE: 5,
            RESPONDER_STORE: 5,
        }
        for name in (INITIATOR_STORE, RESPONDER_STORE):
            for stored in await rows_of(beside, name):
                await beside.sessions(name).delete(stored.session.session_id)
        assert (await restore(beside, tmp_path / "b")).sessions == 10
        assert not beside.nonces.is_complete()
        assert await converse(beside, kek) == 5
    async with await open_storage(postgres_dsn) as storage:
        assert (await restore(storage, tmp_path / "b", force=True)).sessions == 10
        assert await converse(storage, kek) == 5


async def test_a_row_that_a_backend_cannot_hold_is_named(
    sqlite_url: str, postgres_dsn: str, tmp_path: Path
) -> None:
    odd = row()
    async with await open_storage(sqlite_url) as storage:
        await storage.sessions("so\x00me").create(odd)
        await back_up(storage, tmp_path / "b")
    async with await open_storage(postgres_dsn) as storage:
        match = f"0 of 1 rows .*: session {odd.session.session_id} of .* cannot be stored here"
        with pytest.raises(StorageError, match=match):
            await restore(storage, tmp_path / "b")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "k1.kek"
    path.write_bytes(base64.b64encode(KEK))
    path.chmod(0o600)
    return path


@pytest.fixture
def printed_by(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run a command on the database of a URL; return all that it printed."""

    def printed_by(url: str, *arguments: str | Path, status: int = 0) -> str:
        monkeypatch.setenv("SAGE_DATABASE_URL", url)
        got = app.run([str(argument) for argument in arguments])
        printed = "".join(capsys.readouterr())
        assert got == status, printed
        return printed

    return printed_by


def test_every_command_on_a_server_and_no_password(
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    printed_by: Callable[..., str],
    key_file: Path,
    tmp_path: Path,
) -> None:
    redis_server.flush()
    dsn = postgres_server.create_database()
    name = dsn.rpartition("/")[2]
    kek = ("--kek", f"k1={key_file}")
    did = "did:sage:dev-bob"
    printed = [
        printed_by(dsn, "db", "status"),
        printed_by(dsn, "db", "migrate"),
        printed_by(dsn, "db", "seed", "dev", *kek),
        printed_by(dsn, "db", "status"),
        printed_by(dsn, "db", "status", "--json"),
        printed_by(dsn, "db", "backup", tmp_path / "b"),
        printed_by(dsn, "db", "restore", tmp_path / "b", status=2),
        printed_by(dsn, "db", "restore", tmp_path / "b", "--force"),
        printed_by(dsn, "db", "rewrap", *kek),
        printed_by(dsn, "did", "list"),
        printed_by(dsn, "did", "revoke", did, "--sessions-in", redis_server.url),
        printed_by(dsn, "db", "rollback"),
        printed_by(dsn, "db", "backup", tmp_path / "c", status=1),
        printed_by(dsn, "db", "rollback", "--steps", "2", status=2),
        printed_by(dsn, "db", "rollback", "--steps", "2", "--yes"),
        (tmp_path / "b").read_text(),
    ]
    assert not [text for text in printed if postgres_server.password in text]
    label = f"postgresql://127.0.0.1:{postgres_server.port}/{name}"
    assert f"database   {label}\n" in printed[0]
    document = json.loads(printed[4])
    assert document["database"] == label
    assert document["sessions"] == {INITIATOR_STORE: 5, RESPONDER_STORE: 5}
    assert (document["dids"], document["schema"]["pending"]) == (5, [])
    assert document["replay"]["guarantee"] in {"durable", "failover"}
    where = f"in PostgreSQL {name} at 127.0.0.1:{postgres_server.port} ended\n"
    assert [line for line in printed[10].splitlines(keepends=True) if line.endswith(where)] == [
        f"sessions   2 of {store} {where}" for store in ("initiator", "responder")
    ]
    assert f"drops every session, nonce and DID in {label}" in printed[13]
    assert "version 0 of 3" in printed[14]


def test_status_of_a_redis(redis_server: RedisServer, printed_by: Callable[..., str]) -> None:
    redis_server.flush()
    document = json.loads(printed_by(redis_server.url, "db", "status", "--json"))
    assert (document["schema"], document["dids"], document["sessions"]) == (None, None, {})
    assert "none is needed" in printed_by(redis_server.url, "db", "status")
    assert "keeps no DIDs" in printed_by(redis_server.url, "did", "list", status=1)
    printed_by(redis_server.url, "db", "migrate", status=1)


@pytest.mark.parametrize(
    "arguments",
    [("db", "migrate"), ("db", "status"), ("db", "backup", "never"), ("did", "list")],
)
def test_a_wrong_password_is_refused_and_not_shown(
    postgres_server: PostgresServer, postgres_dsn: str, arguments: tuple[str, ...]
) -> None:
    wrong = postgres_dsn.replace(postgres_server.password, "hunter2-swordfish")
    done = run(*arguments, env={"SAGE_DATABASE_URL": wrong})
    refused(done, "password authentication failed", status=1)
    assert b"hunter2" not in done.stdout + done.stderr


def test_a_password_from_a_file_is_enough(
    postgres_server: PostgresServer, postgres_dsn: str, tmp_path: Path
) -> None:
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{postgres_server.port}:*:*:{postgres_server.password}\n")
    file.chmod(0o600)
    url = postgres_dsn.replace(f":{postgres_server.password}@", "@")
    assert postgres_server.password not in url
    done = run("db", "status", env={"SAGE_DATABASE_URL": url, "PGPASSFILE": str(file)})
    assert done.returncode == 0, done.stderr
    assert b"version 3 of 3" in done.stdout
    assert postgres_server.password.encode() not in done.stdout + done.stderr
