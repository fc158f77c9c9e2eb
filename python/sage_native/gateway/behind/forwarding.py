"""From a peer's request to one that may be passed on, and from an answer back.

The peer is authenticated and not trusted. What an HTTP/1.1 server could read in another way than
this gateway is refused (`RefusedError`): lengths that do not fit the content, transfer codings, two
hosts. What is about a connection, or says who stands in between, is dropped: the gateway says it
anew. So is what names the trace of a request. ``Sage-Peer-Did`` and ``Sage-Session-Id`` are the
gateway's; a peer's own ``Sage-…`` fields are dropped in every spelling that some server takes for
the same: CGI and WSGI turn ``-`` into ``_``, and others turn further signs into it.

Trailers are dropped: a request of known length over HTTP/1.1 has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_native.binary_http import field_values
from sage_native.gateway.behind.responses import RefusedError
from sage_native.gateway.behind.targets import checked_path

if TYPE_CHECKING:
    from sage_native.binary_http import Fields, Request
    from sage_native.gateway.peers import Peer

__all__ = ["Forwarded", "forwarded", "returned_fields", "trusted_fields"]

_METHOD = re.compile(r"[A-Z][A-Z0-9\-]{0,31}")
_REFUSED_METHODS = frozenset(("CONNECT", "PRI", "TRACE", "TRACK"))
_ALLOWED = ((b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)
_SIGNS = re.compile(rb"[^a-z0-9]+")
_LENGTH = re.compile(rb"[0-9]{1,10}")

_ABOUT_CONNECTIONS = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_SAID_ANEW = frozenset((b"content-length", b"expect", b"host"))
_ABOUT_THE_WAY = frozenset(
    (
        b"cf-connecting-ip",
        b"client-ip",
        b"fastly-client-ip",
        b"forwarded",
        b"forwarded-for",
        b"proxy",
        b"true-client-ip",
        b"via",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-forwarded",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
    )
)
"""What servers believe of whoever stands before them: the gateway, and not the peer."""
_ABOUT_THE_TRACE = frozenset(
    (
        b"b3",
        b"baggage",
        b"traceparent",
        b"tracestate",
        b"uber-trace-id",
        b"x-amzn-trace-id",
        b"x-cloud-trace-context",
    )
)
"""By these a peer would decide what the upstream records of its requests, and file it under."""
_DROPPED = _ABOUT_CONNECTIONS | _SAID_ANEW | _ABOUT_THE_WAY | _ABOUT_THE_TRACE
_DROPPED_PREFIXES = (
    b"sage-",
    b"uberctx-",
    b"x-b3-",
    b"x-datadog-",
    b"x-forwarded-",
    b"x-original-",
    b"x-sage-",
)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A request that may be passed on.

    Attributes:
        method: Upper-case.
        target: The prefix, then path and query, byte for byte as the peer wrote them.
        headers: The peer's fields that may pass, then the trusted ones. Neither host nor length.
        content: The content.
    """

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    content: bytes


def forwarded(request: Request, peer: Peer, *, prefix: bytes = b"") -> Forwarded:
    """Return what of a peer's request may be passed on.

    Args:
        request: The peer's request.
        peer: The peer.
        prefix: What is put in front of the path; it does not end in ``/``.

    Raises:
        RefusedError: The request is not passed on. It holds the answer.
    """
    if request.method in _REFUSED_METHODS or _METHOD.fullmatch(request.method) is None:
        raise RefusedError(
            "this method is not passed on", "method_not_allowed", status=405, headers=_ALLOWED
        )
    if request.scheme not in {"http", "https"}:
        raise RefusedError("the scheme must be http or https")
    target = prefix + checked_path(request.path)
    _check_host(request)
    _check_framing(request)
    named = _named_by_connection(request.headers)
    headers = [field for field in request.headers if not _is_dropped(field[0], named)]
    headers += trusted_fields(peer)
    return Forwarded(request.method, target, headers, request.content)


def trusted_fields(peer: Peer) -> Fields:
    """Return the fields by which the application learns who asks."""
    return (
        (b"sage-peer-did", peer.did.encode("ascii")),
        (b"sage-session-id", peer.session_id.encode("ascii")),
    )


def returned_fields(headers: Fields) -> Fields:
    """Return the fields of an answer that are for the peer: those that are not about a connection.

    Args:
        headers: The fields of the answer, with names in any case.
    """
    lower = tuple((name.lower(), value) for name, value in headers)
    named = _named_by_connection(lower)
    return tuple(
        (name, value)
        for name, value in lower
        if name not in _ABOUT_CONNECTIONS and name not in named
    )


def _is_dropped(name: bytes, named: frozenset[bytes]) -> bool:
    plain = _SIGNS.sub(b"-", name).strip(b"-")
    return name in named or plain in _DROPPED or plain.startswith(_DROPPED_PREFIXES)


def _named_by_connection(headers: Fields) -> frozenset[bytes]:
    """Return the fields that ``Connection`` says are about one connection (RFC 9110 §7.6.1)."""
    named: set[bytes] = set()
    for value in field_values(headers, b"connection"):
        named.update(token.strip(b" \t").lower() for token in value.split(b","))
    return frozenset(named)


def _check_host(request: Request) -> None:
    """Refuse a request that names two hosts. Which one is asked is the gateway's to say."""
    hosts = field_values(request.headers, b"host")
    if len(hosts) > 1:
        raise RefusedError("there is more than one field host")
    if hosts and request.authority and hosts[0].lower() != request.authority.lower().encode():
        raise RefusedError("the field host and the authority name different hosts")


def _check_framing(request: Request) -> None:
    """Refuse what says another length than the content has (RFC 9112 §6.3 and §11.2)."""
    lengths: list[bytes] = []
    for section in (request.headers, request.trailers):
        for name, value in section:
            plain = _SIGNS.sub(b"-", name).strip(b"-")
            if plain == b"transfer-encoding":
                raise RefusedError("content in a record has no transfer-encoding: leave it out")
            if plain == b"content-length":
                lengths.append(value)
    if len(lengths) > 1:
        raise RefusedError("there is more than one field content-length")
    if lengths and (
        _LENGTH.fullmatch(lengths[0]) is None or int(lengths[0]) != len(request.content)
    ):
        raise RefusedError("content-length is not the length of the content")
