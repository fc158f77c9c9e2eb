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

from typing import TYPE_CHECKING, Any, Final

from sage_native.events import report
from sage_native.exceptions import PeerError
from sage_native.observability.tracing.tracers import pseudonym_of, span_tracer

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from opentelemetry.trace import Span, Tracer

__all__ = ["HandshakeSpan", "NamedSpan", "encryption", "handshake", "signature"]

_CLIENT: Final = "sage.client"
_SERVER: Final = "sage.server"
_SESSION: Final = "sage.session"
_KEY_TYPE: Final = "sage.key_type"


class NamedSpan:
    """A span while it is entered. `encryption` and `signature` make them.

    Args:
        name: Its name.
        identifiers: Attributes that become pseudonyms; None for one that is not known.
        attributes: Attributes that are not.

    Cost: below 1 µs where nothing is made.
    """

    __slots__ = ("_attributes", "_identifiers", "_name", "_span", "_token")

    def __init__(
        self,
        name: str,
        *,
        identifiers: dict[str, str | None] | None = None,
        attributes: dict[str, str] | None = None,
    ) -> None:
        self._name = name
        self._identifiers = identifiers
        self._attributes = attributes
        self._span: Span | None = None
        self._token: Any = None

    @property
    def is_recording(self) -> bool:
        """Tell whether somebody will get to see it."""
        return self._span is not None and self._span.is_recording()

    def note(self, name: str, value: str | float) -> None:
        """Add an attribute; nothing that names a person, an agent or a session."""
        if self._span is not None:
            self._span.set_attribute(name, value)

    def identify(self, name: str, identifier: str) -> None:
        """Add the pseudonym of a DID or a session id."""
        if self._span is not None and self._span.is_recording():
            self._span.set_attribute(name, pseudonym_of(identifier))

    def __enter__(self) -> Self:
        tracer = span_tracer()
        if tracer is not None:
            try:
                self._begin(tracer)
            except Exception as error:  # noqa: BLE001 - not the trouble of what is traced
                report(self, error, "Exception ignored at the begin of")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._span is not None:
            try:
                self._end(self._span, error)
            except Exception as trouble:  # noqa: BLE001 - as above
                report(self, trouble, "Exception ignored at the end of")
            self._span = self._token = None

    def _begin(self, tracer: Tracer) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415 - somebody has imported them

        self._span = tracer.start_span(self._name, attributes=self._attributes)
        self._token = context.attach(trace.set_span_in_context(self._span))
        for name, identifier in (self._identifiers or {}).items():
            if identifier is not None:
                self.identify(name, identifier)

    def _end(self, span: Span, error: BaseException | None) -> None:
        from opentelemetry import context  # noqa: PLC0415 - as above
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - as above

        if self._token is not None:
            context.detach(self._token)
        if error is not None:
            told = error.code if isinstance(error, PeerError) else type(error).__qualname__
            span.set_attribute("error.type", told)
            span.set_status(Status(StatusCode.ERROR))
        span.end()


class HandshakeSpan(NamedSpan):
    """The span of a handshake, or of a step of one. `handshake` makes it."""

    __slots__ = ()

    def between(self, client_did: str, server_did: str) -> None:
        """Say between whom it is, once that is known; pseudonyms are written."""
        self.identify(_CLIENT, client_did)
        self.identify(_SERVER, server_did)


def handshake(client_did: str | None = None, server_did: str | None = None) -> HandshakeSpan:
    """Return the span ``handshake``.

    Args:
        client_did: The initiator; its pseudonym is written. None if it is not known yet.
        server_did: The responder, likewise.
    """
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
