"""Receivers of OTLP over HTTP, on loopback: one that takes spans, and some that do not."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Received:
    """One span, as a receiver sees it."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    failed: bool
    start_ns: int
    end_ns: int
    tracestate: str
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    resource: dict[str, Any]


@dataclass
class Receiver:
    """Takes spans, and keeps them.

    Attributes:
        url: Where it listens.
        bodies: The bytes of all requests.
        paths: Their paths.
        status: What it answers with.
    """

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    status: int = 200

    def spans(self, name: str | None = None) -> list[Received]:
        """Return the spans that have come, of one name or all, oldest first."""
        found = [span for body in list(self.bodies) for span in _spans_of(body)]
        found.sort(key=lambda span: span.start_ns)
        return [span for span in found if name in {None, span.name}]

    def until(self, is_enough: Callable[[list[Received]], object]) -> list[Received]:
        """Wait for spans that must come; a test that would wait for ever fails."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_enough(found := self.spans()):
            assert time.monotonic() < deadline_s, [span.name for span in found]
            time.sleep(0.02)
        return found


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """Serve a receiver."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["content-type"] == "application/x-protobuf"
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["content-encoding"] == "gzip":
                body = gzip.decompress(body)
            if found.status == 200:
                found.bodies.append(body)
            found.paths.append(self.path)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(found.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    """Yield the URL of a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as one:
        yield f"http://127.0.0.1:{one.getsockname()[1]}/v1/traces"


def dead() -> str:
    """Return the URL of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return f"http://127.0.0.1:{one.getsockname()[1]}/v1/traces"


def _spans_of(body: bytes) -> Iterator[Received]:
    request = ExportTraceServiceRequest.FromString(body)
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            assert of_scope.scope.name == "sage_native"
            for span in of_scope.spans:
                yield Received(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    tracestate=span.trace_state,
                    attributes=_attributes(span.attributes),
                    links=tuple((one.trace_id.hex(), one.span_id.hex()) for one in span.links),
                    resource=resource,
                )


def _attributes(pairs: Any) -> dict[str, Any]:  # noqa: ANN401 - a type of protobuf
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:  # noqa: ANN401 - whatever it is
    return getattr(value, value.WhichOneof("value") or "string_value")
