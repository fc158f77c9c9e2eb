"""Promise 8, at rest: no key byte in any file that a store writes, nor in its dumps and backups.

Each store lives through a session's life: created, used, rekeyed, re-wrapped, backed up, deleted.
The secrets of every row are unwrapped by another implementation and looked for in every file. What
may lie there, the wrapped secret, must be found: a search that finds nothing at all proves nothing.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest

from sage_native import KeyEncryptionKey, ReplayWindowTable
from sage_native.sessions import KeyRing, SessionManager, rewrap
from sage_native.storage.contract.made import nonce
from sage_native.storage.migrations import migrate
from sage_native.storage.postgres import PostgresStorage
from sage_native.storage.redis import RedisStorage
from sage_native.storage.sqlite import SqliteStorage
from tests.agents import Agents
from tests.security.canaries import contents, finds, secrets_of, spellings
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

if TYPE_CHECKING:
    from pathlib import Path

    from sage_native import Session
    from sage_native.protocol import WrappedSession
    from sage_native.storage import Page, Storage

STORE = "responder"


class Life:
    """What the sessions of one store go through, and every secret that they had."""

    def __init__(self, storage: Storage, directory: Path) -> None:
        self.storage = storage
        self.store = storage.sessions(STORE)
        self.keks = {kek_id: os.urandom(32) for kek_id in ("old", "new")}
        self.windows = ReplayWindowTable.open(directory / "windows", capacity=100)
        self.secrets = {f"KEK {name}": kek for name, kek in self.keks.items()}
        self.rows: list[WrappedSession] = []

    def key(self, kek_id: str) -> KeyEncryptionKey:
        return KeyEncryptionKey(kek_id, self.keks[kek_id])

    async def note(self, session: Session) -> None:
        """Take down the secrets of a session as they are stored now."""
        stored = await self.store.get(session.session_id)
        assert stored is not None
        row = stored.session
        self.rows.append(row)
        found = secrets_of(row, self.keks[row.kek_id], store=STORE)
        prefix = f"{row.session_id} epoch {row.epoch}"
        self.secrets |= {f"{prefix} {name}": secret for name, secret in found.items()}

    async def live(self) -> None:
        for _ in range(3):
            await self.storage.nonces.admit_many([nonce() for _ in range(100)])
        async with SessionManager(
            self.store, KeyRing(self.key("old")), windows=self.windows
        ) as manager:
            for number in range(5):
                await self._converse(manager, is_closed=number == 4)
        done = await rewrap(self.store, KeyRing(self.key("new"), self.key("old")))
        assert done.rewrapped == 4
        assert not done.unopened

    async def _converse(self, manager: SessionManager, *, is_closed: bool) -> None:
        agents = Agents()
        attempt = agents.initiator.initiate()
        request = agents.responder.read(attempt.message)
        request.authenticate([agents.alice.verifying_key])
        m2, server = manager.accept(request)
        m3, client = attempt.finish(m2)
        await manager.confirm(m3)
        await self.note(server)
        await manager.open(client.seal(b"message"))
        client.accept_rekey(await manager.rekey(client.rekey_request()))
        await self.note(server)
        await manager.open(client.seal(b"message"))
        await manager.touch()
        if is_closed:
            await manager.open(client.seal_close())
            assert await self.store.get(server.session_id) is None


def check(life: Life, *directories: Path) -> None:
    """Find no secret, and every wrapped one, in the files of some directories."""
    files = list(contents(*directories))
    assert len(life.secrets) == 2 + 5 * 2 + 5 * 3
    assert finds(files, life.secrets) == []
    for row in life.rows:
        wrapped = list(spellings(row.wrapped_secret[:32]))
        assert any(text in content for _, content in files for text in wrapped), row.epoch


async def test_no_key_byte_in_the_files_of_sqlite(tmp_path: Path) -> None:
    async with await SqliteStorage.open(tmp_path / "sage.db") as storage:
        life = Life(storage, tmp_path)
        await life.live()
        check(life, tmp_path)
    # Closed, its log is in the database.
    assert finds(contents(tmp_path), life.secrets) == []


async def test_no_key_byte_in_the_files_and_dumps_of_postgres(tmp_path: Path) -> None:
    with PostgresServer() as server:
        dsn = server.create_database()
        await migrate(dsn)
        async with await PostgresStorage.open(dsn) as storage:
            life = Life(storage, tmp_path)
            await life.live()
        server.sql("CHECKPOINT")
        check(life, server.directory, tmp_path)
        dumped = server.dump(dsn.rsplit("/", 1)[1])
        assert life.rows[0].session_id.encode() in dumped
        assert finds([("dump", dumped)], life.secrets) == []


@pytest.mark.parametrize("appendonly", ["yes", "no"])
async def test_no_key_byte_in_the_files_of_redis(tmp_path: Path, appendonly: str) -> None:
    with RedisServer({"appendonly": appendonly, "appendfsync": "always"}) as server:
        async with await RedisStorage.open(server.url) as storage:
            life = Life(storage, tmp_path)
            await life.live()
        server.execute("SAVE")
        if appendonly == "no":  # what was overwritten was never on disk
            life.rows = [row.session for row in (await _page(server)).rows]
            assert len(life.rows) == 4
        check(life, server.directory, tmp_path)


async def _page(server: RedisServer) -> Page:
    async with await RedisStorage.open(server.url) as storage:
        return await storage.sessions(STORE).page()


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    secret = os.urandom(32)
    for number, text in enumerate(spellings(secret)):
        path = tmp_path / f"{number}"
        path.write_bytes(b"before " + text + b" after")
        assert finds(contents(tmp_path), {"canary": secret})
        path.unlink()
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            (tmp_path / "file").write_bytes(encode(os.urandom(before) + secret + os.urandom(4)))
            assert finds(contents(tmp_path), {"canary": secret})
    assert not finds(contents(tmp_path), {"canary": os.urandom(32)})
