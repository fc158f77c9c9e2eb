"""Where the nanoseconds go: calls that do a little more from step to step.

All steps are measured in turn in every round, so their differences mean something. The first step
of a group is what comes before the operation; the last is the operation as a user calls it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sage_native import _native
from sage_native.keys import SigningKey

from .rows import aead, boundary, handshakes, records, signatures
from .sides import Side, always

if TYPE_CHECKING:
    from collections.abc import Callable

    from sage_native.protocol import Request


@dataclass(frozen=True)
class Step:
    """One step of a group: `name` says what it adds to the one before."""

    group: str
    name: str
    side: Side


def steps() -> list[Step]:
    """Return all steps, group by group."""
    return [*_sealing(), *_opening(), *_signing(), *_answering()]


def _sealing() -> list[Step]:
    group = "AES-256-GCM seal, 64 B"
    key = SigningKey(signatures.SEED).verifying_key
    return [
        Step(group, "a native method call", boundary.bare_call()),
        Step(group, "a new bytes object", Side(key.to_bytes, always())),
        Step(group, "three borrowed arguments", boundary.probe()),
        Step(group, "sealing", aead.our_seal()),
    ]


def _opening() -> list[Step]:
    group = "Record open, 64 B"
    record, header = bytes(128), bytes(48)
    bare, timed = records.OurPair.shaken(), records.OurPair.shaken()
    open_record, now_ms = timed.server.open, timed.now_ms

    def call(record: bytes) -> bytes:
        return open_record(record, now_ms=now_ms)

    return [
        Step(
            group,
            "the boundary: record in, 64 bytes out",
            Side(_native._boundary_probe, always(record, header)),
        ),
        Step(group, "AES-256-GCM with the header as associated data", aead.our_open(aad=header)),
        Step(
            group,
            "header, key, window, counters, clock",
            Side(bare.server.open, partial(records.sealed_by, bare.client, now_ms)),
        ),
        Step(
            group,
            "a Python function that hands the time in",
            Side(call, partial(records.sealed_by, timed.client, now_ms)),
        ),
        Step(group, "finding the session in the table", records.our_open()),
    ]


def _signing() -> list[Step]:
    group = "Ed25519 sign, 256 B"
    arguments = always(signatures.MESSAGE, bytes(48))
    return [
        Step(
            group,
            "the boundary: message in, 64 bytes out",
            Side(_native._boundary_probe, arguments),
        ),
        Step(group, "signing", signatures.our_sign()),
    ]


def _answering() -> list[Step]:
    """Take the steps of `Responder.respond` by themselves, each with those before it."""
    group = "Handshake, server side"

    def read(server: handshakes.OurServer, message: bytes, now_ms: int) -> Request:
        return server.responder.read(message, now_ms=now_ms)

    def authenticate(server: handshakes.OurServer, message: bytes, now_ms: int) -> Request:
        request = server.responder.read(message, now_ms=now_ms)
        request.authenticate(server.directory[request.client_did])
        return request

    def admit(server: handshakes.OurServer, message: bytes, now_ms: int) -> None:
        request = authenticate(server, message, now_ms)
        server.replays.admit(request.client_did, request.nonce, request.remember_until_ms)

    return [
        Step(group, "reading M1: parse, address, time", _answer(read)),
        Step(group, "resolving and verifying", _answer(authenticate)),
        Step(group, "admitting the request nonce", _answer(admit)),
        Step(group, "key pair, agreement, key schedule, signature", handshakes.our_server()),
    ]


def _answer(step: Callable[[handshakes.OurServer, bytes, int], object]) -> Side:
    server, clients = handshakes.OurServer.ready(), handshakes.Clients()
    return Side(partial(step, server), clients.first_messages)
