"""``/v1/sessions`` of operators: look at sessions, and end them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sage_native import events
from sage_native.exceptions import UsageError
from sage_native.gateway.answers import NO_CONTENT, json_answer
from sage_native.gateway.gateway import SESSION_STORE
from sage_native.gateway.problems import ProblemError
from sage_native.gateway.queries import page_of
from sage_native.gateway.wire import session_document
from sage_native.keys import check_did

if TYPE_CHECKING:
    from sage_native.gateway.answers import Answer
    from sage_native.gateway.endpoint import Call

__all__ = ["describe", "end", "list_all"]

_SESSION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def list_all(call: Call) -> Answer:
    """List stored sessions, of one client or all."""
    query = page_of(call.scope, "client_did")
    if query.filter is not None:
        try:
            check_did(query.filter)
        except UsageError:
            raise ProblemError("invalid_did") from None
    if query.after is not None and not _SESSION_ID.fullmatch(query.after):
        raise ProblemError("malformed_request")
    page = await call.gateway.manager.page(query.filter, after=query.after, limit=query.limit)
    return json_answer(
        {"sessions": [session_document(row) for row in page.rows], "next": page.next_cursor}
    )


async def describe(call: Call) -> Answer:
    """Tell all of a session but its secrets."""
    row = await call.gateway.storage.sessions(SESSION_STORE).get(_session_id(call))
    if row is None:
        raise ProblemError("not_found")
    return json_answer(session_document(row))


async def end(call: Call) -> Answer:
    """End a session, here and in the store; its peer is not told."""
    session_id = _session_id(call)
    if not await call.gateway.manager.close(session_id):
        events.operator_acted("session_ended", session_id, "refused")
        raise ProblemError("not_found")
    events.operator_acted("session_ended", session_id, "done")
    return NO_CONTENT


def _session_id(call: Call) -> str:
    session_id = call.parameter("session_id")
    if not _SESSION_ID.fullmatch(session_id):
        raise ProblemError("not_found")
    return session_id
