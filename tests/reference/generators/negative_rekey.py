"""Negative cases for R1, R2 and records around a rekey.

Source: docs/protocol.md, "Rekey and resume".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.reference.feed import Item
from tests.reference.messages import R1, RekeyReply
from tests.reference.records import C2S, Header, RecordKey
from tests.reference.rekey import RekeyMacKeys, next_secret
from tests.reference.session import RETIRED_KEY_MS
from tests.reference.setups import NOW_MS, Setup, Situation, derived_bytes

from .case import Case
from .situations import SETUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = "authentication_failed"


class Keys:
    """What both sides of a setup know in epoch 0 and 1."""

    def __init__(self, name: str) -> None:
        self.setup: Setup = SETUPS[name]
        session = Situation(self.setup).client_session
        self.c2s, self.s2c = session.c2s, session.s2c
        self.session_id = session.session_id
        self.macs = RekeyMacKeys.derive(self.c2s, self.s2c)
        self.r1 = self.macs.make_r1(self.session_id, 0, self.setup.rekey_nonce_c)
        self.r2 = self.macs.make_r2(self.r1, self.setup.rekey_nonce_s)

    def other_r1(self) -> R1:
        """Return another valid R1 of epoch 0."""
        return self.macs.make_r1(self.session_id, 0, derived_bytes("other R1"))

    def record(self, epoch: int, seq: int = 0, process: str = "one") -> Item:
        """Return a record of the client in epoch 0 or 1."""
        secret = next_secret(self.c2s, self.r1, self.r2) if epoch else self.c2s
        incarnation = derived_bytes(f"rekey process {process}", 16)
        header = Header(1, C2S, 0, self.session_id, incarnation, epoch, seq)
        record = RecordKey.derive(secret, incarnation).seal(header, b"plaintext")
        return Item("record", record, NOW_MS)


def build() -> Iterator[Case]:
    """Return all cases for rekeys."""
    keys = Keys("rekeying")
    yield from _requests(keys)
    yield from _records(keys)
    yield from _replies()


def _r1(r1: R1) -> Item:
    return Item("r1", r1.encode(), NOW_MS)


def _requests(keys: Keys) -> Iterator[Case]:
    name, good = "rekeying", _r1(keys.r1)
    yield Case("R1", name, good, None)
    yield Case("R1 repeated", name, good, None, "gets the same R2", before=(good,))
    adopted = _r1(keys.other_r1())
    yield Case("another R1 of the same epoch", name, adopted, None, "gets both", before=(good,))
    macs = keys.macs
    swapped = RekeyMacKeys(macs.server, macs.client)
    for title, r1 in (
        ("MAC all zero", replace(keys.r1, mac=bytes(32))),
        ("nonce changed", replace(keys.r1, nonce=bytes(32))),
        ("epoch changed", replace(keys.r1, epoch=1)),
        ("MAC under the server's key", swapped.make_r1(keys.session_id, 0, bytes(32))),
        ("valid MAC over epoch 1", macs.make_r1(keys.session_id, 1, bytes(32))),
        ("valid MAC over epoch 2^32 - 1", macs.make_r1(keys.session_id, 2**32 - 1, bytes(32))),
        ("unknown session", macs.make_r1(bytes(16), 0, bytes(32))),
    ):
        yield Case(f"R1: {title}", name, _r1(r1), REFUSED)
    bad = _r1(replace(keys.other_r1(), mac=bytes(32)))
    yield Case("R1: bad MAC after the commit", name, bad, REFUSED, before=(good,))
    for length in (0, 83, 85, 148):
        message = (keys.r1.encode() * 2)[:length]
        yield Case(f"R1 of {length} bytes", name, Item("r1", message, NOW_MS), "malformed_request")
    first = keys.record(1)
    comment = "the MAC keys of epoch 0 went with the first record of epoch 1"
    yield Case("R1 after the first record", name, good, REFUSED, comment, before=(good, first))


def _records(keys: Keys) -> Iterator[Case]:
    name, r1 = "rekeying", _r1(keys.r1)
    old, fresh = keys.record(0), keys.record(0, seq=1)
    yield Case("record of the new epoch", name, keys.record(1), None, before=(r1,))
    early = keys.record(1)
    yield Case("record of the new epoch before the commit", name, early, REFUSED)
    yield Case(
        "record of the old epoch",
        name,
        fresh,
        "rekey_required",
        "its key is kept for 60 s; it was not executed",
        before=(old, r1),
    )
    yield Case(
        "record of the old epoch, executed before",
        name,
        old,
        "replay_detected",
        "rekey_required would say that it was not executed",
        also=("rekey_required",),
        before=(old, r1),
    )
    forged = replace(fresh, message=fresh.message[:-1] + bytes((fresh.message[-1] ^ 1,)))
    yield Case("record of the old epoch, bad tag", name, forged, REFUSED, before=(old, r1))
    unknown = keys.record(0, process="two")
    comment = "no key of that incarnation was derived and the secret is gone"
    yield Case("old epoch, new incarnation", name, unknown, REFUSED, comment, before=(old, r1))
    late = replace(fresh, at_ms=NOW_MS + RETIRED_KEY_MS)
    yield Case("old epoch after 60 s", name, late, REFUSED, before=(old, r1))
    lost, lost_name = Keys("open, windows lost"), "open, windows lost"
    healed = (_r1(lost.r1),)
    yield Case("windows lost, after a rekey", lost_name, lost.record(1), None, before=healed)
    replayed = lost.record(0)
    comment = "no window of epoch 0 survived"
    yield Case(
        "windows lost, old epoch after a rekey",
        lost_name,
        replayed,
        REFUSED,
        comment,
        also=("rekey_required",),
        before=healed,
    )


def _replies() -> Iterator[Case]:
    name = "rekeying client"
    keys = Keys(name)
    other = keys.other_r1()
    other_r2 = keys.macs.make_r2(other, keys.setup.rekey_nonce_s)
    wrong_epoch = keys.macs.make_r1(keys.session_id, 1, bytes(32))
    wrong_session = keys.macs.make_r1(bytes(16), 0, bytes(32))
    good = RekeyReply(keys.r2)
    yield Case("R2", name, _reply(good), None)
    yield Case("R2 with an adopted R1", name, _reply(RekeyReply(other_r2, other)), None)
    for title, reply in (
        ("MAC all zero", RekeyReply(replace(keys.r2, mac=bytes(32)))),
        ("nonce changed", RekeyReply(replace(keys.r2, nonce=bytes(32)))),
        (
            "R1's nonce and MAC reflected",
            RekeyReply(replace(keys.r2, nonce=keys.r1.nonce, mac=keys.r1.mac)),
        ),
        ("for another R1, not named", RekeyReply(other_r2)),
        ("for this R1, another named", RekeyReply(keys.r2, other)),
        ("adopted R1 with a bad MAC", _reply_to(keys, replace(other, mac=bytes(32)))),
        ("adopted R1 of another epoch", _reply_to(keys, wrong_epoch)),
        ("adopted R1 of another session", _reply_to(keys, wrong_session)),
    ):
        yield Case(f"R2: {title}", name, _reply(reply), REFUSED)
    encoded = RekeyReply(other_r2, other).encode()
    for length in (0, 63, 65, 147, 149):
        message = (encoded + b"\0")[:length]
        yield Case(
            f"R2 of {length} bytes",
            name,
            Item("rekey_reply", message, NOW_MS),
            "malformed_request",
            also=(REFUSED,),
        )
    unasked = RekeyReply(Keys("open client").r2)
    yield Case("R2 without R1", "open client", _reply(unasked), REFUSED)
    yield Case("R2 twice", name, _reply(good), REFUSED, before=(_reply(good),))


def _reply(reply: RekeyReply) -> Item:
    return Item("rekey_reply", reply.encode(), NOW_MS)


def _reply_to(keys: Keys, r1: R1) -> RekeyReply:
    return RekeyReply(keys.macs.make_r2(r1, keys.setup.rekey_nonce_s), r1)
