"""A line for each request that was answered, and the context of every line until then."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from sage_native.observability.context import bound, current_request
from sage_native.observability.lines import add_span
from sage_native.observability.middleware import SESSION_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextvars import Token

    from sage_native.observability.logging import LogOutput
    from sage_native.observability.middleware import ObservedRequest
    from sage_native.observability.pseudonyms import Pseudonyms

__all__ = ["RequestLog"]


class RequestLog:
    """An observer of requests that writes a line for each.

    Its level is ``info``; ``error`` where the server failed (5xx but 503, which is a limit or a
    store), and ``debug`` for what is asked all the time.

    Args:
        log_output: Where lines go.
        pseudonyms: Of the session or the DID in the path.
        quiet_routes: Templates of paths whose requests are told at ``debug``.
    """

    def __init__(
        self,
        log_output: LogOutput,
        pseudonyms: Pseudonyms,
        *,
        quiet_routes: Collection[str] = (),
    ) -> None:
        self._output = log_output
        self._pseudonyms = pseudonyms
        self._quiet_routes = frozenset(quiet_routes)
        self._takes = {level: log_output.takes(level) for level in ("debug", "info", "error")}

    def begin(self, request: ObservedRequest) -> Token[ObservedRequest | None]:
        """Have every line name the request."""
        return current_request.set(request)

    def finish(self, request: ObservedRequest, state: object) -> None:
        """Write the line.

        Cost: 4 µs.
        """
        status, route = request.status, request.route
        if request.error is not None or (status is not None and status >= 500 and status != 503):
            level = "error"
        else:
            level = "debug" if route in self._quiet_routes else "info"
        if self._takes[level]:
            self._write(level, request, route)
        current_request.reset(cast("Token[ObservedRequest | None]", state))

    def _write(self, level: str, request: ObservedRequest, route: str) -> None:
        # Every value is one of a closed set, a number or a pseudonym: nothing is to be redacted.
        fields: dict[str, object] = {
            "time": datetime.now(UTC),
            "level": level,
            "event": "request",
            "pid": os.getpid(),
            "request_id": request.request_id,
            "method": request.method_label,
            "route": route,
            "status": request.status,
            "duration_ms": int(request.duration_s * 1_000_000) / 1000,
            "sent_len": request.sent_len,
        }
        scope = request.scope
        session_id = scope.get(SESSION_KEY)
        if session_id is not None:
            fields["session"] = self._pseudonyms.of_session(session_id)
        else:
            self._add_parameters(fields, scope.get("path_params"))
        problem = request.problem
        if problem is not None:
            fields["problem"] = problem
        if request.error is not None:
            fields["error"] = type(request.error).__name__
        add_span(fields)
        more = bound()
        if more:
            fields.update(self._output.redaction(more))
        self._output.write_safe(fields)

    def _add_parameters(
        self,
        fields: dict[str, object],
        parameters: Mapping[str, object] | None,
    ) -> None:
        if parameters:
            session_id, did = parameters.get("session_id"), parameters.get("did")
            if isinstance(session_id, str):
                fields["session"] = self._pseudonyms.of_session(session_id)
            if isinstance(did, str):
                fields["did"] = self._pseudonyms.of_did(did)
