"""The rows of the table of attacks, and why some are not tested against the gateway.

Tests name their row in the first paragraph of their docstring.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["HANDSHAKE", "HTTP", "NOT_HERE", "RECORDS", "TABLE", "quoted"]

HANDSHAKE: Final = (
    "replay of an accepted M1: same process, other worker, after restart",
    "same nonce, other ephemeral, same client",
    "same nonce from two clients",
    "garbage signature with a victim's DID and nonce, then the victim's real M1",
    "timestamp beyond ±60 s; 0; 2^63; negative; float; string; seconds for ms",
    "signature by another registered DID; by another key of the same DID than the one named; over "
    "the RFC 9421 base of the same fields; M2's signature as M1's",
    "any single bit of any field flipped, exhaustively",
    "another gateway's `server_did` or retired `server_public_key`",
    "DID with upper-case method, percent trick, NUL, newline, `|`, 10 kB, fragment, query",
    "DID revoked between cache fill and M1",
    "ephemeral of low order, zero, all ones, p, p+1, 31 or 33 bytes",
    "small-order, non-canonical or mixed-order identity key registered",
    "suites: none known; empty, duplicate, too many",
    "M1 signed for a future time by someone who once could ask for signatures",
    "M2 with a suite not offered, other server_did, expiry beyond policy",
    "M1 answered, never confirmed, from 10^5 clients",
)
RECORDS: Final = (
    "record replayed at once, after the window slid, after rekey, after restart",
    "records in reverse or random order inside the window",
    "forged record with seq 2^63",
    "bit flipped in header, ciphertext, tag; own record reflected; c2s as s2c; record of session A "
    "on session B",
    "answer to request A given for request B; forged `rekey_required` after delivery",
    "R2 lost, R1 repeated, two different R1 at once from two workers, crash between R2 and the "
    "first record",
    "budget reached",
    "fork after set-up, both seal; two workers, one session",
    "expired, deleted, half-open, unknown, other tenant's session",
    "delete while 1,000 requests are in flight",
    "stored row swapped, edited, wrong KEK",
)
HTTP: Final = (
    "duplicate JSON keys, NaN, 1e999, 5,000-digit integer, 100,000-deep nesting, lone surrogates, "
    "BOM, trailing bytes",
    "base64 with padding, `+/`, whitespace, non-zero trailing bits",
    "body over the limit by one byte; endless chunks; gzip",
    "method, path and host tricks on every route",
    "`X-Forwarded-For` from an unlisted peer",
    "store unreachable, slow, returning garbage; pool exhausted",
    "nonce or session capacity reached",
    "clock −1 h, +1 h",
    "silent, dripping, non-reading connections",
    "SIGTERM under load",
    "other DID's sessions listed or deleted",
    "metrics, docs, admin on the public listener",
    "labels by DID, path or session id",
    "`provider: vualt`, unknown key, TLS or limits off in the production profile",
)
TABLE: Final = (*HANDSHAKE, *RECORDS, *HTTP)

NOT_HERE: Final[dict[str, str]] = {}
"""Rows that are not tested at the gateway, and why."""


def quoted(*modules: ModuleType) -> Iterator[str]:
    """Yield the first paragraph of the docstring of every test."""
    for module in modules:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_") and function.__doc__:
                yield " ".join(function.__doc__.split("\n\n")[0].split())
