"""Negative cases for M3 and for the half-open time.

Source: docs/protocol.md, "Messages" ("Confirmation") and "Freshness".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.reference import ed25519, schedule
from tests.reference.feed import Item
from tests.reference.setups import NOW_MS, Situation

from .case import Case
from .situations import OTHER_SEED, SETUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.reference.messages import Confirm

REFUSED = "authentication_failed"


def item(message: bytes, at_ms: int = NOW_MS, kind: str = "confirm") -> Item:
    """Return a message to feed to a half-open session."""
    return Item(kind, message, at_ms)


def build() -> Iterator[Case]:
    """Return all cases for M3."""
    situation = Situation(SETUPS["half-open"])
    good = situation.initiator.confirm()
    yield from _mac_cases(good, situation)
    yield from _time_cases(good, situation)
    yield from _signature_cases()


def _mac_cases(good: Confirm, situation: Situation) -> Iterator[Case]:
    yield Case("M3", "half-open", item(good.encode()), None)
    yield Case("M3 again", "half-open", item(good.encode()), None, before=(item(good.encode()),))
    transcript = situation.initiator.transcript
    assert transcript is not None
    finish_c, finish_s = transcript.secrets.finish_c, transcript.secrets.finish_s
    over_th3 = schedule.client_confirmation(finish_c, transcript.th3)
    by_server = schedule.server_confirmation(finish_s, transcript.th3)
    for title, message in (
        ("all zero", replace(good, confirmation=bytes(32))),
        ("last bit", replace(good, confirmation=good.confirmation[:31] + _flip(good))),
        ("over TH3", replace(good, confirmation=over_th3)),
        ("the server's own", replace(good, confirmation=by_server)),
        ("under the server's key", replace(good, confirmation=_under(finish_s, transcript.th4))),
        ("of an unknown session", replace(good, session_id=bytes(16))),
        ("right, with a bad signature", replace(good, signature=bytes(64))),
    ):
        yield Case(f"M3: confirmation {title}", "half-open", item(message.encode()), REFUSED)
    encoded = good.encode()
    for title, data in (
        ("empty", b""),
        ("47 bytes", encoded[:47]),
        ("49 bytes", encoded + b"\0"),
        ("111 bytes", encoded + bytes(63)),
        ("113 bytes", encoded + bytes(65)),
    ):
        yield Case(f"M3 framing: {title}", "half-open", item(data), "malformed_request")


def _under(key: bytes, th4: bytes) -> bytes:
    return schedule.client_confirmation(key, th4)


def _flip(message: Confirm) -> bytes:
    return bytes((message.confirmation[31] ^ 1,))


def _time_cases(good: Confirm, situation: Situation) -> Iterator[Case]:
    message = good.encode()
    yield Case("M3 after 9,999 ms", "half-open", item(message, NOW_MS + 9_999), None)
    yield Case("M3 after 10,000 ms", "half-open", item(message, NOW_MS + 10_000), REFUSED)
    yield Case(
        "M3 again after 10,000 ms",
        "half-open",
        item(message, NOW_MS + 10_000),
        REFUSED,
        "the expected value is forgotten, the session is open",
        before=(item(message),),
    )
    record = situation.client_session.seal(b"first record", now_ms=NOW_MS)
    first = item(record, kind="record")
    yield Case("the first record confirms", "half-open", first, None)
    yield Case("M3 after the first record", "half-open", item(message), None, before=(first,))
    late = item(record, NOW_MS + 10_000, kind="record")
    yield Case("the first record after 10,000 ms", "half-open", late, REFUSED)
    forged = item(record[:-1] + bytes((record[-1] ^ 1,)), kind="record")
    yield Case("a forged first record", "half-open", forged, REFUSED)
    after_forgery = item(record, NOW_MS + 10_000, kind="record")
    yield Case(
        "a forged first record does not confirm",
        "half-open",
        after_forgery,
        REFUSED,
        before=(forged,),
        before_refused=True,
    )
    r1 = situation.client_session.rekey_request(bytes(32)).encode()
    yield Case("R1 while half-open", "half-open", item(r1, kind="r1"), REFUSED)
    yield Case(
        "R1 once the first record confirmed",
        "half-open",
        item(r1, kind="r1"),
        None,
        before=(first,),
    )


def _signature_cases() -> Iterator[Case]:
    name = "half-open, signature wanted"
    situation = Situation(SETUPS[name])
    good, bare = situation.initiator.confirm(signed=True), situation.initiator.confirm()
    transcript = situation.initiator.transcript
    assert transcript is not None
    seed = SETUPS[name].client_seed
    yield Case("signed M3", name, item(good.encode()), None)
    yield Case("signed M3 again", name, item(good.encode()), None, before=(item(good.encode()),))
    by_other = ed25519.sign(OTHER_SEED, schedule.signing_input(b"confirm", transcript.th4))
    as_initiate = ed25519.sign(seed, schedule.signing_input(b"initiate", transcript.th4))
    over_th3 = ed25519.sign(seed, schedule.signing_input(b"confirm", transcript.th3))
    for title, message in (
        ("without signature", bare),
        ("with a signature by another key", replace(good, signature=by_other)),
        ("with a signature in the role initiate", replace(good, signature=as_initiate)),
        ("with a signature over TH3", replace(good, signature=over_th3)),
        ("with a bad MAC", replace(good, confirmation=bytes(32))),
    ):
        yield Case(f"signed M3: {title}", name, item(message.encode()), REFUSED)
    record = situation.client_session.seal(b"first record", now_ms=NOW_MS)
    first = item(record, kind="record")
    comment = "a record alone does not open the session"
    yield Case("signature wanted: record first", name, first, REFUSED, comment)
    yield Case(
        "signature wanted: record after M3", name, first, None, before=(item(good.encode()),)
    )
