"""What requests say of the trace that they belong to."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
from opentelemetry.trace.span import TraceState
from sage_native.keys import SigningKey

from sage_client import SageClientError

if TYPE_CHECKING:
    from faces import Face

PARENT = re.compile(rb"traceparent: 00-0{31}7-0{15}9-01\r\n")
REFUSAL = b"HTTP/1.1 404 Nothing\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


async def heads_of_a_request(face: Face) -> list[bytes]:
    """Ask a server that knows nothing, and return the heads of what it was asked."""
    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
        writer.write(REFUSAL)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        known = SimpleNamespace(
            url=f"http://127.0.0.1:{port}", key=SigningKey.generate().verifying_key
        )
        client = face.client(known)  # type: ignore[arg-type]
        with pytest.raises(SageClientError):
            await client.fetch_identity()
    assert heads
    return heads


async def test_requests_name_the_current_span(face: Face) -> None:
    state = TraceState([("rojo", "1")])
    span = SpanContext(7, 9, is_remote=False, trace_flags=TraceFlags(1), trace_state=state)
    with use_span(NonRecordingSpan(span)):
        heads = await heads_of_a_request(face)
    for head in heads:
        assert len(PARENT.findall(head)) == 1
        assert b"tracestate: rojo=1\r\n" in head


async def test_without_a_span_they_say_nothing(face: Face) -> None:
    for head in await heads_of_a_request(face):
        assert b"trace" not in head


def test_opentelemetry_is_not_imported_for_it() -> None:
    script = (
        "import sys, sage_client\n"
        "from sage_client.tracing import trace_fields\n"
        "assert trace_fields() == {}\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)
