"""Negative cases for records.

Source: docs/protocol.md, "Records"; SECURITY, "Records and sessions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.reference.feed import Item
from tests.reference.records import (
    C2S,
    FLAG_CLOSE,
    HTTP_RESPONSE_AAD,
    S2C,
    Header,
    RecordKey,
)
from tests.reference.setups import NOW_MS, Situation, derived_bytes

from .case import Case, later
from .situations import SETUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = "authentication_failed"
REPLAYED = "replay_detected"


class Forge:
    """Seals any record under the secrets of a setup."""

    def __init__(self, setup: str, direction: int) -> None:
        session = Situation(SETUPS[setup]).client_session
        self.secrets = {C2S: session.c2s, S2C: session.s2c}
        self.direction = direction
        self.session_id = session.session_id

    def record(
        self,
        *,
        plaintext: bytes = b"plaintext",
        aad: bytes = b"",
        key_incarnation: bytes | None = None,
        key_direction: int | None = None,
        **changes: Any,  # noqa: ANN401  # any field of the header
    ) -> bytes:
        """Seal; the key follows the header unless told otherwise."""
        fields: dict[str, Any] = {
            "suite": 1,
            "direction": self.direction,
            "flags": 0,
            "session_id": self.session_id,
            "incarnation": derived_bytes("forge", 16),
            "epoch": 0,
            "seq": 0,
        }
        header = Header(**(fields | changes))
        direction = self.direction if key_direction is None else key_direction
        key = RecordKey.derive(self.secrets[direction], key_incarnation or header.incarnation)
        return key.seal(header, plaintext, aad)


def item(record: bytes, at_ms: int = NOW_MS, aad: bytes = b"") -> Item:
    """Return a record to feed."""
    return Item("record", record, at_ms, aad)


def build() -> Iterator[Case]:
    """Return all cases for records."""
    forge = Forge("open", C2S)
    yield Case("record", "open", item(forge.record()), None, "accepted")
    yield from _framing(forge)
    yield from _addresses(forge)
    yield from _flips(forge)
    yield from _replays(forge)
    yield from _lives(forge)
    yield from _incarnations()
    yield from _client_side()


def _framing(forge: Forge) -> Iterator[Case]:
    good = forge.record()
    empty = forge.record(plaintext=b"")
    yield Case("record of 64 bytes", "open", item(empty), None, "empty plaintext")
    for length in (0, 1, 47, 48, 63):
        yield Case(f"record of {length} bytes", "open", item(good[:length]), "malformed_request")
    for version in (0, 2, 255):
        record = forge.record(version=version)
        error, also = "unsupported_version", ("malformed_request",)
        yield Case(f"record version {version}", "open", item(record), error, also=also)
    for flags in (0x08, 0x10, 0x20, 0x40, 0x80, 0xFF):
        record = forge.record(flags=flags)
        yield Case(f"record flags {flags:#04x}", "open", item(record), "malformed_request")
    for flags in (2, 4, 6):
        record = forge.record(flags=flags)
        yield Case(f"record flags {flags}", "open", item(record), None)
    yield Case("record one byte short", "open", item(good[:-1]), REFUSED)
    yield Case("record one byte long", "open", item(good + b"\0"), REFUSED)
    close = forge.record(flags=FLAG_CLOSE)
    yield Case("close with plaintext", "open", item(close), "malformed_request", also=(REFUSED,))


def _addresses(forge: Forge) -> Iterator[Case]:
    server_record = forge.record(direction=S2C, key_direction=S2C)
    for title, record in (
        ("suite 0", forge.record(suite=0)),
        ("suite 2", forge.record(suite=2)),
        ("direction s2c, keys c2s", forge.record(direction=S2C)),
        ("direction c2s, keys s2c", forge.record(key_direction=S2C)),
        ("direction 2", forge.record(direction=2)),
        ("direction 255", forge.record(direction=255)),
        ("the server's own, reflected", server_record),
        ("the server's own, direction changed", server_record[:2] + b"\0" + server_record[3:]),
        ("another session id", forge.record(session_id=bytes(16))),
        ("epoch 1, key of epoch 0", forge.record(epoch=1)),
        ("epoch 2^32 - 1", forge.record(epoch=2**32 - 1)),
        ("key of another incarnation", forge.record(key_incarnation=bytes(16))),
        ("all zero", bytes(64)),
    ):
        error = "unsupported_version" if title == "all zero" else REFUSED
        unknown = title in ("direction 2", "direction 255", "all zero")
        also = ("malformed_request",) if unknown else ()
        yield Case(f"record: {title}", "open", item(record), error, also=also)
    with_aad = forge.record(aad=b"SAGE-HTTP/1 request")
    aad_cases = ((b"", REFUSED), (b"SAGE-HTTP/1 reques", REFUSED), (b"SAGE-HTTP/1 request", None))
    for aad, answer in aad_cases:
        yield Case(f"record: aad {aad!r}", "open", item(with_aad, aad=aad), answer)
    without = item(forge.record(), aad=b"SAGE-HTTP/1 request")
    yield Case("record: aad expected, not sealed", "open", without, REFUSED)


def _flips(forge: Forge) -> Iterator[Case]:
    good = forge.record(plaintext=b"sixteen byte str")
    marks = (
        ("version", 0, 0x80, "unsupported_version"),
        ("suite", 1, 0x02, REFUSED),
        ("direction", 2, 0x01, REFUSED),
        ("flag close", 3, 0x01, REFUSED),
        ("flag rekey wanted", 3, 0x02, REFUSED),
        ("flag binary HTTP", 3, 0x04, REFUSED),
        ("reserved flag", 3, 0x80, "malformed_request"),
        ("session_id", 4, 0x01, REFUSED),
        ("incarnation", 20, 0x01, REFUSED),
        ("epoch", 39, 0x01, REFUSED),
        ("seq low", 47, 0x01, REFUSED),
        ("seq high", 40, 0x80, REFUSED),
        ("first of ciphertext", 48, 0x01, REFUSED),
        ("last of ciphertext", 63, 0x80, REFUSED),
        ("first of tag", 64, 0x01, REFUSED),
        ("last of tag", 79, 0x80, REFUSED),
    )
    for field, offset, bit, error in marks:
        record = good[:offset] + bytes((good[offset] ^ bit,)) + good[offset + 1 :]
        also = ("malformed_request",) if field in ("version", "flag close") else ()
        yield Case(f"record bit flip: {field}", "open", item(record), error, also=also)
        if error == REFUSED:
            name = f"record after a bit flip: {field}"
            comment = "a failed tag changes nothing"
            before = (item(record),)
            yield Case(name, "open", item(good), None, comment, before=before, before_refused=True)


def _replays(forge: Forge) -> Iterator[Case]:
    def numbered(seq: int) -> Item:
        return item(forge.record(seq=seq))

    for title, before, seq, error in (
        ("at once", (0,), 0, REPLAYED),
        ("late, inside the window", (1023, 5, 0), 5, REPLAYED),
        ("at the left edge", (1023,), 0, None),
        ("beyond the left edge, never seen", (1024,), 0, REPLAYED),
        ("after the window slid", (0, 2000), 0, REPLAYED),
        ("out of order", (9, 3, 7), 5, None),
        ("after 2^63", (2**63,), 2**63 - 1024, REPLAYED),
        ("after 2^63, inside", (2**63,), 2**63 - 1023, None),
    ):
        earlier = tuple(numbered(one) for one in before)
        yield Case(f"replay: seq {seq} {title}", "open", numbered(seq), error, before=earlier)
    other = item(forge.record(incarnation=derived_bytes("second process", 16)))
    yield Case("same seq of another incarnation", "open", other, None, before=(numbered(0),))
    key_holder = forge.record(seq=1)
    forged = key_holder[:40] + (2**63).to_bytes(8, "big") + key_holder[48:]
    yield Case("forged seq 2^63", "open", item(forged), REFUSED, before=(numbered(0),))
    yield Case(
        "good seq after a forged 2^63",
        "open",
        numbered(1),
        None,
        "the forgery did not advance the window",
        before=(item(forged),),
        before_refused=True,
    )


def _lives(forge: Forge) -> Iterator[Case]:
    good = item(forge.record())
    setup = SETUPS["open"]
    idle_ms = setup.idle_timeout_s * 1000
    yield Case("record 1 ms before idle", "open", later(good, idle_ms - 1), None)
    yield Case("record at the idle limit", "open", later(good, idle_ms), REFUSED)
    steps = range(idle_ms - 1, setup.lifetime_ms, idle_ms - 1)
    kept = tuple(
        item(forge.record(seq=seq), NOW_MS + step) for seq, step in enumerate(steps, start=1)
    )
    expired = later(good, setup.lifetime_ms)
    yield Case("record at expires_at", "open", expired, REFUSED, before=kept)
    unexpired = later(good, setup.lifetime_ms - 1)
    yield Case("record 1 ms before expires_at", "open", unexpired, None, before=kept)
    bad = forge.record()
    flipped = item(bad[:-1] + bytes((bad[-1] ^ 1,)), NOW_MS + idle_ms - 1)
    yield Case(
        "a failed tag does not keep a session alive",
        "open",
        later(good, idle_ms),
        REFUSED,
        before=(flipped,),
        before_refused=True,
    )
    close = item(forge.record(flags=FLAG_CLOSE, plaintext=b"", seq=1))
    yield Case("close", "open", close, None)
    yield Case("record after close", "open", good, REFUSED, before=(close,))
    yield Case("close twice", "open", close, REFUSED, before=(close,))


def _incarnations() -> Iterator[Case]:
    name = "open, two incarnations"
    forge = Forge(name, C2S)

    def sent_by(process: str, seq: int = 0) -> bytes:
        return forge.record(incarnation=derived_bytes(f"process {process}", 16), seq=seq)

    two = (item(sent_by("one")), item(sent_by("two")))
    third = sent_by("three")
    flipped = third[:-1] + bytes((third[-1] ^ 1,))
    yield Case("incarnation beyond the limit", name, item(third), "rekey_required", before=two)
    yield Case("incarnation beyond the limit, bad tag", name, item(flipped), REFUSED, before=two)
    yield Case("known incarnation at the limit", name, item(sent_by("one", 1)), None, before=two)
    forgeries = tuple(
        item(flipped[:20] + derived_bytes(f"unknown process {n}", 16) + flipped[36:])
        for n in range(3)
    )
    yield Case(
        "forged incarnations take no place",
        name,
        item(sent_by("two")),
        None,
        before=forgeries,
        before_refused=True,
    )
    lost = Forge("open, windows lost", C2S)
    record = lost.record()
    bad = record[:-1] + bytes((record[-1] ^ 1,))
    yield Case("windows lost, good record", "open, windows lost", item(record), "rekey_required")
    yield Case("windows lost, bad tag", "open, windows lost", item(bad), REFUSED)


def _client_side() -> Iterator[Case]:
    name = "open client"
    forge = Forge(name, S2C)
    request = forge.record(direction=C2S, key_direction=C2S)
    other_request = forge.record(direction=C2S, key_direction=C2S, seq=1)
    aad = HTTP_RESPONSE_AAD + request[:48]
    answer = forge.record(aad=aad)
    yield Case("answer", name, item(answer, aad=aad), None)
    yield Case(
        "answer to another request",
        name,
        item(answer, aad=HTTP_RESPONSE_AAD + other_request[:48]),
        REFUSED,
        "cut and paste",
    )
    yield Case("answer: own request reflected", name, item(request), REFUSED)
    turned = request[:2] + b"\1" + request[3:]
    yield Case("answer: own request, direction changed", name, item(turned), REFUSED)
    yield Case(
        "answer replayed", name, item(answer, aad=aad), REPLAYED, before=(item(answer, aad=aad),)
    )
    future = forge.record(epoch=1)
    yield Case("answer of an epoch that is not there", name, item(future), REFUSED)
