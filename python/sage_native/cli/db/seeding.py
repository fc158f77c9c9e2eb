"""``sage-native db seed``: a database to begin with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sage_native.cli import console
from sage_native.cli.db.keks import Keks, loaded
from sage_native.cli.db.target import DEFAULT, Database, checked, opened, run
from sage_native.storage.seeds import INITIATOR_STORE, RESPONDER_STORE, SeedName
from sage_native.storage.seeds import seed as load_seed

if TYPE_CHECKING:
    from sage_native.aead import KeyEncryptionKey
    from sage_native.storage.seeds import Seeded

__all__ = ["seed"]


def seed(
    name: SeedName,
    /,
    *,
    database: Database = DEFAULT,
    kek: Keks = None,
    store: str = RESPONDER_STORE,
    force: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Fill a database with DIDs and open sessions, never in production.

    dev: a gateway and four agents, whose keys are public and insecure. staging: two gateways and a
    hundred agents, whose keys nobody keeps. Sessions come from real handshakes made now, live for
    a day, and are stored from both sides: the clients' in the session store "initiator".

    Args:
        name: Which.
        database: Its URL: sqlite:///FILE, postgresql://USER@HOST/NAME or redis://HOST.
        kek: ID=FILE of a key-encryption key, the current one first; or SAGE_KEK, with commas
            between them. A file holds 32 bytes, raw, in base64 or in hex, for its owner alone.
        store: The session store of the servers' sides.
        force: Take a database that is not empty, and add to it.
    """
    url = checked(database)
    with loaded(kek) as keys:
        done = run(_seed(url, name, keys[0], store=store, force=force))
    console.line("DIDs", f"{done.dids:,} registered" + (f", {done.kept:,} kept" * bool(done.kept)))
    console.line(
        "sessions", f"{done.sessions:,}, in {console.plain(store)!r} and {INITIATOR_STORE!r}"
    )
    if name == "dev":
        console.note("The keys of these DIDs are public: for development only.")


async def _seed(
    url: str, name: SeedName, key: KeyEncryptionKey, *, store: str, force: bool
) -> Seeded:
    async with opened(url) as storage:
        return await load_seed(
            storage,
            name,
            key,
            profile=os.environ.get("SAGE_ENV") or None,
            force=force,
            responder_store=store,
        )
