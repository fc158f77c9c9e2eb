"""``/v1/dids``: what everybody may know of a DID, and what operators do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native import events
from sage_native.exceptions import ConflictError, UsageError
from sage_native.gateway.answers import NO_CONTENT, json_answer
from sage_native.gateway.problems import ProblemError
from sage_native.gateway.queries import page_of
from sage_native.gateway.wire import (
    Registration,
    did_document,
    from_unpadded,
    public_did_document,
)
from sage_native.keys import check_did

if TYPE_CHECKING:
    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call
    from sage_native.storage.base import DidStore
    from sage_native.storage.rows import DidRecord

__all__ = ["describe", "list_all", "register", "revoke", "show"]


async def show(call: Call) -> Answer:
    """Tell which keys a DID lists."""
    return json_answer(public_did_document(await _found(call)))


async def describe(call: Call) -> Answer:
    """Operator: tell all of a DID."""
    return json_answer(did_document(await _found(call)))


async def list_all(call: Call) -> Answer:
    """Operator: list DIDs."""
    query = page_of(call.scope, "owner")
    records, after = await _store(call).page(
        owner=query.filter, after=query.after, limit=query.limit
    )
    return json_answer({"dids": [did_document(record) for record in records], "next": after})


async def register(call: Call) -> Answer:
    """Operator: register a DID with its keys."""
    registration = await call.json(Registration)
    keys = [from_unpadded(key) for key in registration.keys]
    _store(call)
    try:
        check_did(registration.did)
    except UsageError:
        raise ProblemError("invalid_did") from None
    try:
        record = await call.gateway.admission.registry.register(
            registration.did, keys, owner=registration.owner
        )
    except UsageError:
        raise ProblemError("invalid_key") from None
    except ConflictError:
        events.operator_acted("did_registered", registration.did, "refused")
        raise ProblemError("conflict") from None
    events.operator_acted("did_registered", record.did, "done")
    return json_answer(did_document(record), status=201)


async def revoke(call: Call) -> Answer:
    """Operator: revoke a DID for ever, and end its sessions."""
    did = _did(call)
    _store(call)
    if not await call.gateway.admission.registry.revoke(did):
        events.operator_acted("did_revoked", did, "refused")
        raise ProblemError("not_found")
    # It is revoked, whatever becomes of its sessions.
    events.operator_acted("did_revoked", did, "done")
    await call.gateway.manager.end_of_did(did)
    return NO_CONTENT


async def _found(call: Call) -> DidRecord:
    record = await _store(call).get(_did(call))
    if record is None:
        raise ProblemError("not_found")
    return record


def _did(call: Call) -> str:
    did = call.parameter("did")
    try:
        check_did(did)
    except (UsageError, UnicodeEncodeError):  # half of a surrogate pair, as some servers hand it in
        raise ProblemError("invalid_did") from None
    return did


def _store(call: Call) -> DidStore:
    store = call.gateway.storage.dids
    if store is None:
        raise ProblemError("not_found")
    return store
