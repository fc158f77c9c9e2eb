"""Databases that were seeded, and what must be possible with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import RekeyRequiredError
from sage_native.sessions import KeyRing, SessionManager
from sage_native.storage.seeds import INITIATOR_STORE, RESPONDER_STORE

if TYPE_CHECKING:
    from sage_native import KeyEncryptionKey
    from sage_native.storage import SessionRow, Storage


async def rows_of(storage: Storage, name: str) -> list[SessionRow]:
    """Return all rows of one session store."""
    rows: list[SessionRow] = []
    after = None
    while True:
        page = await storage.sessions(name).page(after=after)
        rows += page.rows
        after = page.next_cursor
        if after is None:
            return rows


async def converse(storage: Storage, *keks: KeyEncryptionKey) -> int:
    """Go on with every session from both of its ends; return how many there are.

    Each demands a rekey, takes one, and carries a record to the server and an answer back.
    """
    keys = KeyRing(*keks)
    rows = await rows_of(storage, RESPONDER_STORE)
    async with (
        SessionManager(storage.sessions(RESPONDER_STORE), keys) as servers,
        SessionManager(storage.sessions(INITIATOR_STORE), keys) as clients,
    ):
        for row in rows:
            await _converse(servers, clients, row.session.session_id)
    return len(rows)


async def _converse(servers: SessionManager, clients: SessionManager, session_id: str) -> None:
    client, server = await clients.get(session_id), await servers.get(session_id)
    assert client is not None
    assert server is not None
    assert (client.role, server.role) == ("initiator", "responder")
    for session in (client, server):
        with pytest.raises(RekeyRequiredError):
            session.seal(b"too early")
    client.accept_rekey(await servers.rekey(client.rekey_request()))
    await clients.save(client)
    server, plaintext = await servers.open(client.seal(b"question"))
    assert plaintext == b"question"
    assert client.open(server.seal(b"answer")) == b"answer"
