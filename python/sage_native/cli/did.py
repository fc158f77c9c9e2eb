"""``sage-native did``: who is known."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from sage_native.cli import console
from sage_native.cli.db.status import time_of
from sage_native.cli.db.target import DEFAULT, EPILOGUE, Database, checked, opened, run
from sage_native.cli.key_files import load_verifying_key
from sage_native.exceptions import ConfigurationError, ConflictError, StorageError, UsageError
from sage_native.keys import check_did, resolve_did_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_native.storage.base import DidStore, Storage
    from sage_native.storage.rows import DidRecord

__all__ = ["app"]

app = App(name="did", help_epilogue=EPILOGUE)
KEY_LEN = 32
PAGE_LEN = 500


@app.command(sort_key=0)
def add(
    did: str,
    /,
    *,
    key: Annotated[list[str] | None, Parameter(negative=(), consume_multiple=True)] = None,
    key_base64: Annotated[list[str] | None, Parameter(negative=(), consume_multiple=True)] = None,
    owner: str = "",
    database: Database = DEFAULT,
) -> None:
    """Register a DID with the keys that it lists.

    A DID is registered once: its keys never change, and a revoked one does not come back.

    Args:
        did: Such as did:sage:alice. A did:key needs no key beside it.
        key: Files of verifying keys (PEM, OpenSSH, JWK or 32 raw bytes), or DIDs that spell them.
        key_base64: Verifying keys, 32 bytes in base64 each.
        owner: Who registers it, in your own terms.
        database: Its URL: sqlite:///FILE, postgresql://USER@HOST/NAME or redis://HOST.
    """
    check_did(did)
    keys = [load_verifying_key(name).to_bytes() for name in key or ()]
    keys += [_decode(text) for text in key_base64 or ()]
    if not keys:
        keys = [spelled.to_bytes() for spelled in resolve_did_key(did)]
    if not keys:
        raise UsageError(f"{did} does not spell a key: give --key FILE or --key-base64 KEY")
    record = run(_add(checked(database), did, keys, owner))
    console.note(f"registered with {_keys(record)}")
    print(record.did)


@app.command(sort_key=1)
def revoke(
    did: str,
    /,
    *,
    database: Database = DEFAULT,
    sessions_in: Annotated[list[str] | None, Parameter(negative=())] = None,
) -> None:
    """Revoke a DID for ever, and end its sessions in every session store.

    A did:key that is not registered is registered as revoked. Running servers refuse it once what
    they remember of it is over, after a minute at the most.

    Args:
        did: The DID.
        database: Its URL: sqlite:///FILE, postgresql://USER@HOST/NAME or redis://HOST.
        sessions_in: URL of a further database whose sessions of this DID are ended, such as a
            Redis beside it.
    """
    check_did(did)
    url, others = checked(database), [checked(other) for other in sessions_in or ()]
    is_known = run(_revoke(url, did))
    if is_known:
        console.line("revoked", did)
    # Each by itself: one that does not answer keeps nobody from the others.
    failures = [failure for one in (url, *others) if (failure := _end_sessions(one, did))]
    if failures:
        state = "is revoked" if is_known else "is not registered"
        raise StorageError(
            f"{did} {state}, but its sessions could not be ended everywhere; run this again: "
            + "; ".join(failures)
        )
    if not is_known:
        raise ConflictError(f"{did} is not registered, so there was nothing to revoke")


@app.command(name="list", sort_key=2)
def list_(
    *,
    owner: str | None = None,
    database: Database = DEFAULT,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """List the registered DIDs.

    Args:
        owner: Only those of this owner.
        database: Its URL: sqlite:///FILE, postgresql://USER@HOST/NAME or redis://HOST.
        as_json: Print a JSON object a line, with the keys in base64.
    """
    run(_list(checked(database), owner, as_json=as_json))


async def _add(url: str, did: str, keys: Sequence[bytes], owner: str) -> DidRecord:
    from sage_native.dids import DidRegistry  # noqa: PLC0415 - as needed

    async with opened(url) as storage:
        return await DidRegistry(_dids(storage)).register(did, keys, owner=owner)


async def _revoke(url: str, did: str) -> bool:
    from sage_native.dids import DidRegistry  # noqa: PLC0415 - as needed

    async with opened(url) as storage:
        return await DidRegistry(_dids(storage)).revoke(did)


def _end_sessions(url: str, did: str) -> str | None:
    """End the sessions of a DID in one database, and tell of them; return why not, if it failed."""

    async def end() -> None:
        async with opened(url) as storage:
            for name in await storage.session_store_names():
                count = len(await storage.sessions(name).delete_of_did(did))
                if count:
                    where = f"{console.plain(name)} in {storage.label}"
                    console.line("sessions", f"{count:,} of {where} ended")

    try:
        run(end())
    except (StorageError, ConfigurationError) as error:
        return str(error)
    return None


async def _list(url: str, owner: str | None, *, as_json: bool) -> None:
    async with opened(url) as storage:
        dids, after = _dids(storage), None
        while True:
            records, after = await dids.page(owner=owner, after=after, limit=PAGE_LEN)
            for record in records:
                if as_json:
                    print(json.dumps(_document(record)))
                else:
                    print(_line(record))
            if after is None:
                return


def _dids(storage: Storage) -> DidStore:
    if storage.dids is None:
        raise ConfigurationError(f"{storage.label} keeps no DIDs: use sqlite or postgresql")
    return storage.dids


def _decode(text: str) -> bytes:
    padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    try:
        key = base64.b64decode(padded, validate=True)
    except ValueError:
        # Not shown: it may be a signing key.
        raise UsageError("what --key-base64 was given is not base64") from None
    if len(key) != KEY_LEN:
        raise UsageError(
            f"what --key-base64 was given holds {len(key)} bytes; a verifying key has {KEY_LEN}"
        )
    return key


def _document(record: DidRecord) -> dict[str, object]:
    return {
        "did": record.did,
        "keys": [base64.b64encode(key).decode() for key in record.keys],
        "owner": record.owner,
        "created_ms": record.created_ms,
        "revoked_ms": record.revoked_ms,
    }


def _line(record: DidRecord) -> str:
    owner = f"  of {console.plain(record.owner)}" if record.owner else ""
    state = "" if record.revoked_ms is None else f"  revoked {time_of(record.revoked_ms)}"
    return f"{record.did}  {_keys(record)}  {time_of(record.created_ms)}{owner}{state}"


def _keys(record: DidRecord) -> str:
    return "1 key" if len(record.keys) == 1 else f"{len(record.keys)} keys"
