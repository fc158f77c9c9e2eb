"""What a session store must do that keeps DIDs beside its sessions."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sage_native.exceptions import AuthenticationError, CapacityError, ConflictError
from sage_native.storage.contract.made import ALICE, BOB, clock_ms, did_record, row, wrapped

if TYPE_CHECKING:
    from sage_native.storage.base import DidStore, SessionStore, Storage
    from sage_native.storage.rows import SessionRow

__all__ = ["RevocationContract"]

CAROL = "did:sage:carol"


class RevocationContract:
    """Tests of ``SessionStore.create`` with ``unless_revoked``."""

    async def test_no_session_of_a_revoked_client_is_stored(self, storage: Storage) -> None:
        sessions, dids = _both(storage)
        await dids.put(did_record(ALICE))
        await dids.put(replace(did_record(BOB), revoked_ms=clock_ms()))
        mine, unregistered = row(), row(wrapped(client_did=CAROL))
        await sessions.create(mine, unless_revoked=True)
        await sessions.create(unregistered, client_limit=1, unless_revoked=True)
        await dids.revoke(ALICE)
        for client_did in (ALICE, BOB):
            for limit in (None, 10):
                with pytest.raises(AuthenticationError):
                    await sessions.create(
                        row(wrapped(client_did=client_did)),
                        client_limit=limit,
                        unless_revoked=True,
                    )
        assert await sessions.count() == 2
        await sessions.create(row(wrapped(client_did=BOB)))  # nobody asked
        assert await sessions.count() == 3

    async def test_of_many_at_once_the_revoked_are_refused_and_the_others_stored(
        self, storage: Storage
    ) -> None:
        sessions, dids = _both(storage)
        await dids.put(replace(did_record(BOB), revoked_ms=clock_ms()))
        stored = row(wrapped(client_did=CAROL))
        await sessions.create(stored)
        good = [row() for _ in range(70)]
        bad = [row(wrapped(client_did=BOB)) for _ in range(10)]
        full = [row(wrapped(client_did=CAROL)) for _ in range(3)]
        calls = [
            *(sessions.create(one, client_limit=100, unless_revoked=True) for one in good[:35]),
            *(sessions.create(one, unless_revoked=True) for one in bad),
            *(sessions.create(one, client_limit=2, unless_revoked=True) for one in full),
            sessions.create(stored, unless_revoked=True),
            *(sessions.create(one, unless_revoked=True) for one in good[35:]),
            sessions.create(bad[0]),
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        kinds = [None if outcome is None else type(outcome) for outcome in outcomes]
        assert kinds[:35] == kinds[49:84] == [None] * 35
        assert kinds[35:45] == [AuthenticationError] * 10
        assert kinds[45:48] == [None, CapacityError, CapacityError]
        assert kinds[48] is ConflictError
        assert await sessions.count(client_did=ALICE) == 70
        assert await sessions.count(client_did=CAROL) == 2
        # One id for two callers, one of whom asks: who comes first decides.
        assert (kinds[84], await sessions.count(client_did=BOB)) in {(None, 1), (ConflictError, 0)}

    async def test_a_revocation_and_creations_that_meet_leave_no_session(
        self, storage: Storage
    ) -> None:
        """However many turns the revocation is ahead or behind."""
        sessions, dids = _both(storage)
        refused_count = stored_count = 0
        for turns in range(24):
            client_did = f"did:sage:met-{turns}"
            await dids.put(did_record(client_did))
            rows = [row(wrapped(client_did=client_did)) for _ in range(6)]
            limit = 10 if turns % 2 else None
            making = [
                asyncio.create_task(_made(sessions, one, limit, turn))
                for turn, one in enumerate(rows)
            ]
            for _ in range(turns):
                await asyncio.sleep(0.0003 if turns % 3 else 0)
            assert await dids.revoke(client_did)
            deleted = await sessions.delete_of_did(client_did)
            outcomes = await asyncio.gather(*making)
            assert await sessions.count(client_did=client_did) == 0
            made = {key for key in outcomes if key is not None}
            assert made <= set(deleted), "who was told that it is stored was deleted"
            stored_count += len(made)
            refused_count += outcomes.count(None)
        assert stored_count + refused_count == 24 * 6
        assert refused_count, "the race did not take place"


async def _made(
    sessions: SessionStore, stored: SessionRow, limit: int | None, turns: int
) -> str | None:
    for _ in range(turns):
        await asyncio.sleep(0.0005)
    try:
        await sessions.create(stored, client_limit=limit, unless_revoked=True)
    except AuthenticationError:
        return None
    return stored.session.session_id


def _both(storage: Storage) -> tuple[SessionStore, DidStore]:
    sessions = storage.sessions("one")
    if sessions.dids is None:
        pytest.skip("no DIDs are kept beside the sessions")
    return sessions, sessions.dids
