"""Negative cases for M2, fed to the client: every refusal is ``authentication_failed``.

Source: docs/protocol.md, "Order of work on M2".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.reference import carriers, ed25519, edwards, schedule
from tests.reference.feed import Item
from tests.reference.messages import M2, Accept, session_id_text
from tests.reference.primitives import x25519, x25519_public
from tests.reference.setups import NOW_MS, Setup, Situation

from .case import Case
from .situations import OTHER_SEED, SETUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = "authentication_failed"
SETUP = SETUPS["client"]


def base() -> M2:
    """Return the M2 that the server would give to the setup ``client``."""
    return M2(
        suite=1,
        session_id=SETUP.session_id,
        server_key_share=x25519_public(SETUP.server_ephemeral_secret),
        server_nonce=SETUP.server_nonce,
        expires_at_ms=NOW_MS + SETUP.lifetime_ms,
        idle_timeout_s=SETUP.idle_timeout_s,
    )


def answer(
    *,
    setup: Setup = SETUP,
    seed: bytes | None = None,
    role: bytes = b"accept",
    server_did: str = "",
    shared: bytes | None = None,
    **changes: Any,  # noqa: ANN401  # any field of M2
) -> Accept:
    """Answer the client's M1 with changed fields, signature and confirmation consistent."""
    message = Situation(setup).initiator.message
    m2 = replace(base(), **changes)
    th2 = schedule.th2(schedule.th1(message.m1.encode()), message.signature, m2.encode())
    signature = ed25519.sign(seed or setup.server_seed, schedule.signing_input(role, th2))
    th3 = schedule.th3(th2, signature)
    if shared is None:
        shared = x25519(setup.server_ephemeral_secret, message.m1.client_key_share)
    secrets = schedule.derive(m2.suite, shared, th2, th3)
    confirmation = schedule.server_confirmation(secrets.finish_s, th3)
    return Accept(server_did or message.m1.server_did, m2, signature, confirmation)


def item(message: bytes, at_ms: int = NOW_MS, kind: str = "accept") -> Item:
    """Return an M2 to feed."""
    return Item(kind, message, at_ms)


def build() -> Iterator[Case]:
    """Return all cases for M2."""
    good = answer().encode()
    yield Case("M2", "client", item(good), None, "the unchanged message is accepted")
    yield Case(
        "M2 JSON", "client", item(carriers.encode_accept(answer()), kind="accept.json"), None
    )
    yield from _framing(good)
    yield from _fields()
    yield from _authenticators()
    yield from _attempts(good)
    yield from _json()
    yield from _flips(good)


def _framing(good: bytes) -> Iterator[Case]:
    for title, message in (
        ("empty", b""),
        ("last byte missing", good[:-1]),
        ("one trailing byte", good + b"\0"),
        ("server_did missing", good[2 + len(SETUP.server.did) :]),
        ("more than 16 KiB", good + bytes(16 * 1024 + 1 - len(good))),
    ):
        yield Case(f"M2 framing: {title}", "client", item(message), REFUSED)


def _fields() -> Iterator[Case]:
    cap_ms = NOW_MS + SETUP.max_lifetime_ms
    accepted = answer(expires_at_ms=cap_ms).encode()
    yield Case("M2: expires_at at the client's cap", "client", item(accepted), None)
    accepted = answer(expires_at_ms=NOW_MS + 1).encode()
    yield Case("M2: expires_at 1 ms ahead", "client", item(accepted), None)
    for title, message in (
        ("another server_did", answer(server_did="did:example:gateway")),
        ("suite not offered", answer(suite=2)),
        ("suite 0", answer(suite=0)),
        ("suite with the right low byte", answer(suite=0x0101)),
        ("suite offered but unknown", answer(suite=7)),
        ("expires_at now", answer(expires_at_ms=NOW_MS)),
        ("expires_at past", answer(expires_at_ms=NOW_MS - 1)),
        ("expires_at 0", answer(expires_at_ms=0)),
        ("expires_at beyond the client's cap", answer(expires_at_ms=cap_ms + 1)),
        ("expires_at 2^64 - 1", answer(expires_at_ms=2**64 - 1)),
        ("server_key_share 0", answer(server_key_share=bytes(32), shared=bytes(32))),
        (
            "server_key_share 1",
            answer(server_key_share=(1).to_bytes(32, "little"), shared=bytes(32)),
        ),
        (
            "server_key_share p",
            answer(server_key_share=edwards.P.to_bytes(32, "little"), shared=bytes(32)),
        ),
        ("server_key_share of 31 bytes", answer(server_key_share=bytes(31))),
        ("server_key_share of 33 bytes", answer(server_key_share=bytes(33))),
        ("server_key_share empty", answer(server_key_share=b"")),
    ):
        yield Case(f"M2: {title}", "client", item(message.encode()), REFUSED)


def _authenticators() -> Iterator[Case]:
    good = answer()
    m1 = Situation(SETUP).initiator.message
    other_setup = replace(SETUP, client_nonce=bytes(32))
    s = int.from_bytes(good.signature[32:], "little") + edwards.ORDER
    malleable = good.signature[:32] + s.to_bytes(32, "little")
    for title, message in (
        ("signed by another key", answer(seed=OTHER_SEED)),
        ("signed by the client", answer(seed=SETUP.client_seed)),
        ("signed in the role initiate", answer(role=b"initiate")),
        ("signed in the role confirm", answer(role=b"confirm")),
        ("M1's signature as its own", replace(good, signature=m1.signature)),
        ("S + l", replace(good, signature=malleable)),
        ("signature all zero", replace(good, signature=bytes(64))),
        ("answer to another M1", answer(setup=other_setup)),
        ("confirmation all zero", replace(good, confirmation=bytes(32))),
        ("confirmation under another secret", answer(shared=bytes(31) + b"\1")),
    ):
        yield Case(f"M2: {title}", "client", item(message.encode()), REFUSED)


def _attempts(good: bytes) -> Iterator[Case]:
    known = "client that knows the session id"
    setup = SETUPS[known]
    message = answer(setup=setup).encode()
    yield Case("M2: session_id already in the table", known, item(message), REFUSED)
    yield Case("M2: second answer", "client", item(good), REFUSED, before=(item(good),))
    wrong = answer(seed=OTHER_SEED).encode()
    yield Case(
        "M2: good answer after a bad one",
        "client",
        item(good),
        REFUSED,
        "the ephemeral secret went with the failed attempt",
        before=(item(wrong),),
        before_refused=True,
    )
    yield Case("M2: after 9,999 ms", "client", item(good, NOW_MS + 9_999), None)
    yield Case("M2: after 10,000 ms", "client", item(good, NOW_MS + 10_000), REFUSED)


def _json() -> Iterator[Case]:
    text = carriers.encode_accept(answer()).decode()
    dashed = session_id_text(SETUP.session_id)
    for title, body in (
        ("duplicate key", text[:-1] + ',"suite":1}'),
        ("unknown field", text[:-1] + ',"x":1}'),
        ("suite a float", text.replace('"suite":1', '"suite":1.0')),
        ("suite a boolean", text.replace('"suite":1', '"suite":true')),
        ("session_id in upper case", text.replace(dashed, dashed.upper())),
        ("idle_timeout 2^32", text.replace('"idle_timeout":900', '"idle_timeout":4294967296')),
        ("expires_at 1e999", text.replace(str(base().expires_at_ms), "1e999")),
        ("byte order mark", "\ufeff" + text),
        ("trailing byte", text + "x"),
    ):
        yield Case(f"M2 JSON: {title}", "client", item(body.encode(), kind="accept.json"), REFUSED)


def _flips(good: bytes) -> Iterator[Case]:
    start = 2 + len(SETUP.server.did)
    marks = (
        ("server_did", 30),
        ("suite", start + 1),
        ("session_id", start + 2),
        ("length of server_key_share", start + 19),
        ("server_key_share", start + 20),
        ("server_nonce", start + 52),
        ("expires_at", start + 91),
        ("idle_timeout", start + 95),
        ("signature R", start + 96),
        ("signature S", start + 128),
        ("confirmation", start + 160),
    )
    for field, offset in marks:
        message = good[:offset] + bytes((good[offset] ^ 1,)) + good[offset + 1 :]
        yield Case(f"M2 bit flip: {field}", "client", item(message), REFUSED)
