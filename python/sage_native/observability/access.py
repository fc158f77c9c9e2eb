"""A line for each request that was answered, and the context of every line until then."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from sage_native.observability.answered import RECORD_ROUTE, ended_of
from sage_native.observability.context import bound, current_scope
from sage_native.observability.lines import add_span
from sage_native.observability.middleware import SESSION_KEY, SPAN_KEY, ObservedRequest
from sage_native.observability.record_lines import RecordLines

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextvars import Token

    from sage_native.observability.answered import AnsweredRecords
    from sage_native.observability.context import ScopeSource
    from sage_native.observability.logging import LogOutput
    from sage_native.observability.middleware import Ended, Scope
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
        self._records_level = self._level_of(RECORD_ROUTE)
        self._record_lines = RecordLines(pseudonyms, level=self._records_level)
        self._takes = {level: log_output.takes(level) for level in ("debug", "info", "error")}

    def begin(self, request: ObservedRequest) -> Token[Scope | ScopeSource | None]:
        """Have every line name the request."""
        return current_scope.set(request.scope)

    def finish(self, request: ObservedRequest, state: object) -> None:
        """Write the line.

        Cost: 4 µs.
        """
        status, route = request.status, request.route
        if request.error is not None or (status is not None and status >= 500 and status != 503):
            level = "error"
        else:
            level = self._level_of(route)
        if self._takes[level]:
            self._write(level, request, route)
        current_scope.reset(cast("Token[Scope | ScopeSource | None]", state))

    def finish_many(self, ended: Sequence[Ended]) -> None:
        """Write the lines of requests that are over; what is bound inside them is not in these.

        Cost: as ``finish``, each.
        """
        takes_all = self._takes["info"]
        for one in ended:
            if takes_all or one[5] is not None or one[1] is None or one[1] >= 500:
                self._finish_late(one)

    @property
    def takes_records(self) -> bool:
        """Whether anybody wants to read of records that were answered."""
        return self._takes[self._records_level]

    def finish_records(self, records: AnsweredRecords) -> None:
        """Write the lines of records that were answered.

        Cost: 0.1 µs each in JSON, else as ``finish``; nothing if nobody wants to read of them.
        """
        if not self.takes_records:
            return
        if self._output.is_json:
            self._output.append_many(self._record_lines(records))
        else:
            for one in records.rows():
                self._finish_late(ended_of(one))

    def _level_of(self, route: str) -> str:
        return "debug" if route in self._quiet_routes else "info"

    def _finish_late(self, ended: Ended) -> None:
        """Write the line of a request that is over, with the scope's own context."""
        token = current_scope.set(ended[0])
        self.finish(ObservedRequest.of(ended), token)

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
        traced = scope.get(SPAN_KEY)
        if traced is not None:
            fields["trace_id"], fields["span_id"] = traced
        else:
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
