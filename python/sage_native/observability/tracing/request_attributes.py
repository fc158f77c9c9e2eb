"""What a span says of a request that the gateway serves.

Source: OpenTelemetry's semantic conventions for HTTP server spans. Left out of what they name is
what holds identifiers or is the client's to choose: path, query, address, user agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sage_native.observability.middleware import (
    METHODS,
    PROBLEM_KEY,
    ROUTE_KEY,
    UNMATCHED,
    request_id_of,
    route_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from typing import Self

__all__ = ["Attributes", "Begun", "Outcome", "outcome_of"]

Attributes: TypeAlias = dict[str, str | int]


class Begun(NamedTuple):
    """What is known of a request when it comes.

    Attributes:
        method: As it was sent.
        scheme: Of its URL.
        version: Of HTTP.
        listener: Which listener it came to.
        request_id: Its name.
    """

    method: str
    scheme: str
    version: str
    listener: str
    request_id: str

    @classmethod
    def of(cls, scope: MutableMapping[str, Any], listener: str) -> Self:
        """Return what is known of the request of a scope, which has a name from now on."""
        return cls(
            scope["method"],
            scope.get("scheme", "http"),
            scope.get("http_version", "1.1"),
            listener,
            request_id_of(scope),
        )

    @property
    def name(self) -> str:
        """What its span is called until its end."""
        return self.method if self.method in METHODS else "other"

    def attributes(self) -> Attributes:
        """Return what its span says of it."""
        return {
            "http.request.method": self.method if self.method in METHODS else "_OTHER",
            "url.scheme": self.scheme,
            "network.protocol.version": self.version,
            "sage.listener": self.listener,
            "sage.request_id": self.request_id,
        }


class Outcome(NamedTuple):
    """What has become of a request.

    Attributes:
        route: The template of its path.
        status: What was answered, if anything was.
        problem: The code of the problem that was answered, if one was.
        error: The kind of what the application raised, if it did.
    """

    route: str
    status: int | None
    problem: str | None
    error: str | None

    @property
    def trouble(self) -> str | None:
        """What went wrong on our side, if anything did."""
        if self.error is not None:
            return self.error
        return str(self.status) if self.status is not None and self.status >= 500 else None

    def name(self, begun: Begun) -> str:
        """Return what the span is called."""
        return begun.name if self.route == UNMATCHED else f"{begun.name} {self.route}"

    def attributes(self) -> Attributes:
        """Return what the span says beside what it said at the beginning."""
        known: Attributes = {}
        if self.route != UNMATCHED:
            known["http.route"] = self.route
        if self.status is not None:
            known["http.response.status_code"] = self.status
        if self.problem is not None:
            known["sage.problem"] = self.problem
        trouble = self.trouble
        if trouble is not None:
            known["error.type"] = trouble
        return known


def outcome_of(
    scope: Mapping[str, Any], status: int | None, error: BaseException | None
) -> Outcome:
    """Return what has become of the request of a scope."""
    raised = None if error is None else type(error).__qualname__
    # Nearly always there, and each function is one more that no cache holds.
    route = scope.get(ROUTE_KEY)
    if route is None:
        route = route_of(scope)
    # As `Outcome` itself would, without a function of Python's.
    return tuple.__new__(Outcome, (route, status, scope.get(PROBLEM_KEY), raised))
