"""Spans over a collector that others wrote: rotel takes OTLP and passes it on."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sage_native.observability.tracing import handshake, start_tracing
from tests.observability.test_tracing import ALICE, GATEWAY, PSEUDONYMS
from tests.servers.processes import Child, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.observability.otlp import Receiver

rotel = pytest.importorskip("rotel", reason="it is there for some systems only")


def is_listening(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def collector(taker: Receiver) -> Iterator[str]:
    http, grpc = free_ports(2)
    agent = Path(rotel.__file__).parent / "rotel-agent"
    child = Child("rotel")
    command: list[str | Path] = [
        *(agent, "start"),
        *("--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"),
        *("--exporter", "otlp", "--otlp-exporter-protocol", "http"),
        *("--otlp-exporter-endpoint", taker.url.removesuffix("/v1/traces")),
        *("--batch-timeout", "100ms"),
    ]
    try:
        child.spawn(command, is_ready=lambda: is_listening(http))
        yield f"http://127.0.0.1:{http}"
    finally:
        child.close()


def test_spans_pass_through_a_collector(collector: str, taker: Receiver) -> None:
    with start_tracing(collector, pseudonyms=PSEUDONYMS):
        for _ in range(3):
            with handshake(ALICE, GATEWAY):
                pass
    spans = taker.until(lambda found: len(found) >= 3)
    assert [one.name for one in spans] == ["handshake"] * 3
    for one in spans:
        assert one.attributes["sage.client"] == PSEUDONYMS.of_did(ALICE)
        assert one.resource["service.name"] == "sage-native"
