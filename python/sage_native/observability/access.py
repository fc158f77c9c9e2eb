"""A line for each request that was answered, and the context of every line until then."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import msgspec

from sage_native.observability.context import bound, current_scope
from sage_native.observability.lines import add_span
from sage_native.observability.middleware import (
    REQUEST_ID_KEY,
    ROUTE_KEY,
    SESSION_KEY,
    SPAN_KEY,
    ObservedRequest,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextvars import Token

    from sage_native.observability.logging import LogOutput
    from sage_native.observability.middleware import Ended, Scope
    from sage_native.observability.pseudonyms import Pseudonyms

__all__ = ["RequestLog"]

MAX_KNOWN = 4096
"""How many pseudonyms are remembered; they are forgotten all at once."""


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
        self._is_json = log_output.is_json
        # The part of a line that is the same for a route, and that for a second.
        self._kinds: dict[str, str] = {}
        self._sessions: dict[str, str] = {}
        self._second, self._prefix = 0, ""
        self._takes = {level: log_output.takes(level) for level in ("debug", "info", "error")}

    def begin(self, request: ObservedRequest) -> Token[Scope | None]:
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
            level = "debug" if route in self._quiet_routes else "info"
        if self._takes[level]:
            self._write(level, request, route)
        current_scope.reset(cast("Token[Scope | None]", state))

    def finish_many(self, ended: Sequence[Ended]) -> None:
        """Write the lines of requests that are over; what is bound inside them is not in these.

        Cost: 1.3 µs each for records that were answered, else as ``finish``.
        """
        if not self._takes["info"]:
            for one in ended:
                if one[5] is not None or one[1] is None or one[1] >= 500:
                    self._finish_late(one)
            return
        since_epoch_s = time.time() - time.perf_counter()
        lines: list[str] = []
        kinds, known, is_json = self._kinds, self._sessions, self._is_json
        if len(known) > MAX_KNOWN:
            known.clear()
        names, name_at = os.urandom(8 * len(ended)).hex(), 0
        second, prefix = self._second, self._prefix
        # What nearly all are is written out: each call in between would be paid for by each record.
        for scope, status, sent_len, started_s, ended_s, error in ended:
            session_id = scope.get(SESSION_KEY)
            is_plain = status == 200 and sent_len is not None and error is None and is_json
            if session_id is None or not is_plain:
                self._finish_late((scope, status, sent_len, started_s, ended_s, error))
                continue
            at_s = since_epoch_s + ended_s
            if int(at_s) != second:
                second = int(at_s)
                moment = datetime.fromtimestamp(second, UTC)
                prefix = f'{{"time":"{moment:%Y-%m-%dT%H:%M:%S}.'
            name_at += 16
            name = scope.get(REQUEST_ID_KEY) or names[name_at - 16 : name_at]
            traced = scope.get(SPAN_KEY)
            span = "" if traced is None else f',"trace_id":"{traced[0]}","span_id":"{traced[1]}"'
            kind = kinds.get(scope[ROUTE_KEY]) or self._learn(scope[ROUTE_KEY])
            session = known.get(session_id) or self._named(session_id)
            lines.append(
                f'{prefix}{int((at_s - second) * 1_000_000):06d}Z",{kind}"request_id":"{name}",'
                f'"duration_ms":{(ended_s - started_s) * 1000:.3f},"sent_len":{sent_len},'
                f'"session":"{session}"{span}}}'
            )
        self._second, self._prefix = second, prefix
        if lines:
            self._output.append_many(lines)

    def _finish_late(self, ended: Ended) -> None:
        """Write the line of a request that is over, with the scope's own context."""
        token = current_scope.set(ended[0])
        self.finish(ObservedRequest.of(ended), token)

    def _named(self, session_id: str) -> str:
        self._sessions[session_id] = pseudonym = self._pseudonyms.of_session(session_id)
        return pseudonym

    def _learn(self, route: str) -> str:
        level = "debug" if route in self._quiet_routes else "info"
        fields = {"level": level, "event": "request", "pid": os.getpid()}
        fields |= {"method": "POST", "route": route, "status": 200}
        self._kinds[route] = kind = msgspec.json.encode(fields).decode()[1:-1] + ","
        return kind

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
