"""Loading a seed: DIDs are registered, and sessions made by real handshakes between them.

Nothing that is loaded was stored in the package: sessions are as fresh as the moment, sealed under
the key-encryption key that is given, and open for a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from sage_native.exceptions import ConfigurationError, ConflictError, StorageError, UsageError
from sage_native.protocol import Initiator, Responder
from sage_native.replay import ReplaySet
from sage_native.storage.base import now_or_clock
from sage_native.storage.bulk import require_empty, write_all
from sage_native.storage.rows import DidRecord, SessionRow
from sage_native.storage.seeds.dev import dev_seed
from sage_native.storage.seeds.staging import staging_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_native.aead import KeyEncryptionKey
    from sage_native.protocol import Session
    from sage_native.storage.base import DidStore, Storage
    from sage_native.storage.seeds.identities import Identity, Meeting, Seed

__all__ = ["INITIATOR_STORE", "RESPONDER_STORE", "SeedName", "Seeded", "seed"]

SeedName: TypeAlias = Literal["dev", "staging"]

INITIATOR_STORE = "initiator"
RESPONDER_STORE = "responder"
LIFETIME_S = 86_400
"""A day: the longest that clients accept."""
_PROFILES = {
    "dev": (None, "local", "dev"),
    "staging": (None, "local", "dev", "staging"),
}
_SEEDS: dict[str, Callable[[], Seed]] = {"dev": dev_seed, "staging": staging_seed}


@dataclass(frozen=True)
class Seeded:
    """What a seed has put into a database.

    Attributes:
        dids: DIDs registered.
        kept: DIDs that were registered with the same key already.
        sessions: Sessions, each stored from both of its sides.
    """

    dids: int
    kept: int
    sessions: int


async def seed(  # noqa: PLR0913 - one setting each
    storage: Storage,
    name: SeedName,
    kek: KeyEncryptionKey,
    *,
    profile: str | None,
    force: bool = False,
    responder_store: str = RESPONDER_STORE,
    initiator_store: str = INITIATOR_STORE,
    now_ms: int | None = None,
) -> Seeded:
    """Load a seed.

    Args:
        storage: The backend, which keeps DIDs.
        name: ``dev``, whose signing keys are public, or ``staging``, whose keys nobody keeps.
        kek: Wraps the sessions.
        profile: What ``SAGE_ENV`` says, None if it is not set.
        force: Take a database that is not empty; sessions are added to it.
        responder_store: The session store of the servers' sides.
        initiator_store: The session store of the clients' sides.
        now_ms: The time; the clock is asked if it is left out.

    Raises:
        UsageError: There is no such seed, both stores have one name, or the database is not empty.
        ConfigurationError: Not in this profile, or not in a backend that keeps no DIDs.
        ConflictError: A DID of the seed is registered with another key, or was revoked. Nothing was
            written.
        StorageError: The database failed; what was written stays.

    Cost: 200 µs and two writes a session.
    """
    _check_profile(name, profile)
    dids = storage.dids
    if dids is None:
        raise ConfigurationError(f"{storage.label} keeps no DIDs: a seed needs them")
    if responder_store == initiator_store:
        raise UsageError(f"both sides of a session cannot be in one store, {responder_store!r}")
    if not force:
        await require_empty(storage, way_out="use another database, or --force to add the seed")
    now = now_or_clock(now_ms)
    made = _SEEDS[name]()
    try:
        missing = [one for one in made.identities if await _is_missing(dids, one)]
        await write_all([_record(identity, now) for identity in missing], dids.put)
        sides = storage.sessions(responder_store), storage.sessions(initiator_store)

        async def store_both(meeting: Meeting) -> None:
            server, client = _shake_hands(meeting, now)
            with server, client:
                for session, store in zip((server, client), sides, strict=True):
                    await store.create(_row(session, kek, store.name, meeting, now))

        await write_all(made.meetings, store_both)
    finally:
        for identity in made.identities:
            identity.signing_key.close()
    return Seeded(len(missing), len(made.identities) - len(missing), len(made.meetings))


def _check_profile(name: str, profile: str | None) -> None:
    allowed = _PROFILES.get(name)
    if allowed is None:
        raise UsageError(f"seed {name!r} is unknown; known are: {', '.join(get_args(SeedName))}")
    if profile not in allowed:
        known = ", ".join(value for value in allowed if value is not None)
        raise ConfigurationError(
            f"the seed {name!r} is refused where SAGE_ENV is {profile!r}: it is for {known}"
        )


async def _is_missing(dids: DidStore, identity: Identity) -> bool:
    stored = await dids.get(identity.did)
    if stored is None:
        return True
    if stored.keys != (identity.signing_key.verifying_key.to_bytes(),):
        raise ConflictError(f"{identity.did} is registered with another key; revoke or keep it")
    if stored.revoked_ms is not None and not identity.is_revoked:
        raise ConflictError(f"{identity.did} was revoked, and that is for ever")
    return False


def _record(identity: Identity, now_ms: int) -> DidRecord:
    key = identity.signing_key.verifying_key.to_bytes()
    return DidRecord(
        identity.did, (key,), identity.owner, now_ms, now_ms if identity.is_revoked else None
    )


def _shake_hands(meeting: Meeting, now_ms: int) -> tuple[Session, Session]:
    """Return the server's and the client's side of a new session, both open."""
    client, server = meeting.client, meeting.server
    initiator = Initiator(
        client.signing_key, server.signing_key.verifying_key, did=client.did, server_did=server.did
    )
    responder = Responder(
        server.signing_key,
        resolve={client.did: (client.signing_key.verifying_key,)}.get,
        admit=ReplaySet(64).admit,
        dids=(server.did,),
    )
    attempt = initiator.initiate(now_ms=now_ms)
    reply, responding = responder.respond(
        attempt.message, lifetime_s=LIFETIME_S, idle_timeout_s=LIFETIME_S, now_ms=now_ms
    )
    confirmation, initiating = attempt.finish(reply, now_ms=now_ms)
    responding.confirm(confirmation, now_ms=now_ms)
    return responding, initiating


def _row(
    session: Session, kek: KeyEncryptionKey, store: str, meeting: Meeting, now_ms: int
) -> SessionRow:
    wrapped = session.wrap(kek, store=store, now_ms=now_ms)
    if wrapped is None:
        raise StorageError("a new session could not be wrapped")
    return SessionRow(wrapped, session.idle_timeout_s, now_ms, metadata=meeting.metadata)
