"""The spans that this package knows by name: handshake, encryption, signature.

::

    with handshake(client_did, server_did):
        message, session = responder.accept(...)

DIDs and session ids go into a span as pseudonyms, under the names of the log's fields. What is
raised inside marks the span as failed, by its kind: its text may hold what must not leave the
process. Where nobody traces, or the request at work is not sampled, nothing is made. No span is
made for each record: sealing takes less time than a span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sage_native.exceptions import PeerError
from sage_native.observability.tracing.entered import EnteredSpan
from sage_native.observability.tracing.tracers import pseudonym_of, span_tracer

if TYPE_CHECKING:
    from typing import Self

    from opentelemetry.trace import Span, Tracer

__all__ = ["HandshakeSpan", "NamedSpan", "encryption", "handshake", "signature"]

_CLIENT: Final = "sage.client"
_SERVER: Final = "sage.server"
_SESSION: Final = "sage.session"
_KEY_TYPE: Final = "sage.key_type"


class NamedSpan(EnteredSpan):
    """A span while it is entered. `encryption` and `signature` make them.

    Args:
        name: Its name.
        identifiers: Attributes that become pseudonyms; None for one that is not known.
        attributes: Attributes that are not.

    Cost: below 1 µs where nothing is made.
    """

    __slots__ = ("_attributes", "_identifiers", "_name")

    def __init__(
        self,
        name: str,
        *,
        identifiers: dict[str, str | None] | None = None,
        attributes: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._name = name
        self._identifiers = identifiers
        self._attributes = attributes

    @property
    def is_recording(self) -> bool:
        """Tell whether somebody will get to see it."""
        return self._span is not None and self._span.is_recording()

    def identify(self, name: str, identifier: str) -> None:
        """Add the pseudonym of a DID or a session id."""
        if self._span is not None and self._span.is_recording():
            self._span.set_attribute(name, pseudonym_of(identifier))

    def _start(self, tracer: Tracer) -> Span:
        return tracer.start_span(self._name, attributes=self._attributes)

    def _begun(self) -> None:
        for name, identifier in (self._identifiers or {}).items():
            if identifier is not None:
                self.identify(name, identifier)

    def _trouble(self, error: BaseException | None) -> str | None:
        if error is None:
            return None
        return error.code if isinstance(error, PeerError) else type(error).__qualname__


class HandshakeSpan(NamedSpan):
    """The span of a handshake, or of a step of one. `handshake` makes it."""

    __slots__ = ()

    def between(self, client_did: str, server_did: str) -> None:
        """Say between whom it is, once that is known; pseudonyms are written."""
        self.identify(_CLIENT, client_did)
        self.identify(_SERVER, server_did)


class _UnseenHandshake(HandshakeSpan):
    """Where none is made: it holds nothing, so that one serves all."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


_UNSEEN: Final = _UnseenHandshake("handshake")


def handshake(client_did: str | None = None, server_did: str | None = None) -> HandshakeSpan:
    """Return the span ``handshake``.

    Args:
        client_did: The initiator; its pseudonym is written. None if it is not known yet.
        server_did: The responder, likewise.
    """
    if span_tracer() is None:
        return _UNSEEN
    return HandshakeSpan("handshake", identifiers={_CLIENT: client_did, _SERVER: server_did})


def encryption(session_id: str) -> NamedSpan:
    """Return the span ``encryption``: sealing or opening, of batches or where one is looked for.

    Args:
        session_id: The session; its pseudonym is written.
    """
    return NamedSpan("encryption", identifiers={_SESSION: session_id})


def signature(key_type: str) -> NamedSpan:
    """Return the span ``signature``: signing or verifying.

    Args:
        key_type: Such as ``ed25519``.
    """
    return NamedSpan("signature", attributes={_KEY_TYPE: key_type})
