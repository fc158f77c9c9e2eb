"""Negative cases for M1 in its binary carrier.

Source: docs/protocol.md, "Messages" and "Order of work on M1".
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.reference import dids, ed25519, edwards, schedule
from tests.reference.challenge import mint
from tests.reference.feed import Item
from tests.reference.messages import M1, Initiate
from tests.reference.primitives import x25519_public
from tests.reference.setups import NOW_MS, Setup, Situation, derived_bytes

from .case import Case
from .situations import OTHER_SEED, SECOND_KEY_SEED, SETUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

P25519 = 2**255 - 19
ORDER_8_U = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
"""The u coordinates of the points of order 8 (RFC 7748 curve)."""


def base() -> M1:
    """Return the M1 of the setup ``server``."""
    return Situation(SETUPS["server"]).initiator.message.m1


def signed(m1: M1, seed: bytes | None = None, role: bytes = b"initiate") -> Initiate:
    """Sign an M1, by default as its client in its role."""
    seed = Setup().client_seed if seed is None else seed
    signing_input = schedule.signing_input(role, schedule.th1(m1.encode()))
    return Initiate(m1, ed25519.sign(seed, signing_input))


def remade(**changes: Any) -> bytes:  # noqa: ANN401  # any field of M1
    """Change fields of the good M1 and sign it again."""
    return signed(replace(base(), **changes)).encode()


def item(message: bytes, at_ms: int = NOW_MS) -> Item:
    """Return an M1 to feed."""
    return Item("initiate", message, at_ms)


def build() -> Iterator[Case]:
    """Return all cases for M1."""
    yield Case("M1", "server", item(remade()), None, "the unchanged message is accepted")
    yield from _framing()
    yield from _suites()
    yield from _dids()
    yield from _identity_keys()
    yield from _signatures()
    yield from _times()
    yield from _key_shares()
    yield from _addresses_and_bindings()
    yield from _challenges()
    yield from _replays()
    yield from _flips()


def _framing() -> Iterator[Case]:
    good, name = remade(), "M1 framing: "
    m1_len = len(base().encode())
    for title, message in (
        ("empty", b""),
        ("one byte", good[:1]),
        ("first 64 bytes", good[:64]),
        ("last byte missing", good[:-1]),
        ("signature missing", good[:m1_len]),
        ("one trailing byte", good + b"\0"),
        ("sent twice in one body", good + good),
        ("length of client_did runs over the end", good[:4] + b"\xff\xff" + good[6:]),
        ("n = 0", good[:1] + b"\0" + good[2:]),
        ("n = 0, no suites", good[:1] + b"\0" + good[4:]),
        ("n larger than the list", good[:1] + b"\2" + good[2:]),
    ):
        also = ("invalid_did",) if "n " in title else ()
        yield Case(name + title, "server", item(message), "malformed_request", also=also)
    too_large = good + bytes(16 * 1024 + 1 - len(good))
    yield Case(name + "16 KiB and one byte", "server", item(too_large), "payload_too_large")
    exactly = good + bytes(16 * 1024 - len(good))
    yield Case(name + "16 KiB of it", "server", item(exactly), "malformed_request")
    for version in (0, 2, 255):
        message = remade(version=version)
        yield Case(f"{name}version {version}", "server", item(message), "unsupported_version")


def _suites() -> Iterator[Case]:
    for suites, error in (
        ((1, 2, 3, 4, 5), "malformed_request"),
        ((1, 1), "malformed_request"),
        ((7, 1, 7), "malformed_request"),
        ((2,), "unsupported_suite"),
        ((0,), "unsupported_suite"),
        ((0x0101,), "unsupported_suite"),
        ((0x0100, 0xFFFF, 7, 2), "unsupported_suite"),
        ((2, 1), None),
        ((9, 8, 7, 1), None),
        ((1, 9, 8, 7), None),
    ):
        yield Case(f"M1 suites {list(suites)}", "server", item(remade(suites=suites)), error)


BAD_DIDS = (
    "",
    "did",
    "did:",
    "did:key",
    "did:key:",
    "did::abc",
    "DID:example:a",
    "did:Example:a",
    "did:ex-ample:a",
    "did:example:a%41",
    "did:example:a%",
    "did:example:a?b=c",
    "did:example:a#key-1",
    "did:example:a/path",
    "did:example:a;b",
    "did:example:a b",
    " did:example:a",
    "did:example:a\0",
    "did:example:a\n",
    "did:example:a\r\nX: y",
    "did:example:a|b",
    "did:example:\xe9",
    "did:example:a\x7f",
    "did:example:a:",
    "urn:example:a",
    "did:example:" + "a" * 245,
    "did:example:" + "a" * 10_000,
)


def _dids() -> Iterator[Case]:
    for did in BAD_DIDS:
        title = ascii(did[:24]) + (f" ({len(did)} characters)" if len(did) > 24 else "")
        message = remade(client_did=did)
        yield Case(f"client_did {title}", "server", item(message), "invalid_did")
    for did in ("did:example:a#key-1", "did:Key:z6Mk", "did:example:a%41"):
        message = remade(server_did=did)
        yield Case(f"server_did {did!a}", "server", item(message), "invalid_did")
    for did in ("did:example:" + "a" * 244, "did:example:a:b::c-d_e.f", "did:example:two-keys"):
        title = did if len(did) < 40 else f"of {len(did)} characters"
        yield Case(f"client_did {title}", "server", item(remade(client_did=did)), None)


def _identity_keys() -> Iterator[Case]:
    other_did_key = dids.key_to_did(ed25519.public_key(OTHER_SEED))
    multicodec = "did:key:z" + dids.base58_encode(b"\xec\x01" + base().client_public_key)
    short = "did:key:z" + dids.base58_encode(b"\xed\x01" + base().client_public_key[:31])
    for title, did in (
        ("unknown DID", "did:example:nobody"),
        ("did:key of another key", other_did_key),
        ("DID of another client", "did:example:other"),
        ("did:key of an X25519 key", multicodec),
        ("did:key of 31 bytes", short),
        ("did:key with a character outside base58", base().client_did[:-1] + "0"),
        ("did:key in another base", "did:key:f" + base().client_public_key.hex()),
    ):
        error = "authentication_failed"
        also = (
            ("invalid_did",) if title.startswith("did:key") and "another key" not in title else ()
        )
        message = remade(client_did=did)
        yield Case(f"client key: {title}", "server", item(message), error, also=also)
    unlisted = replace(
        base(), client_did="did:example:other", client_public_key=base().client_public_key
    )
    yield Case(
        "client key: signed by a registered client under the DID of another",
        "server",
        item(signed(unlisted).encode()),
        "authentication_failed",
    )
    for number, encoding in enumerate(edwards.SMALL_ORDER_ENCODINGS):
        yield _bad_key_case(f"of small order ({number})", encoding, bytes(64))
    for title, value in (
        ("p", edwards.P),
        ("p + 1", edwards.P + 1),
        ("p + 3, on the curve", edwards.P + 3),
        ("negative zero", 1 | 1 << 255),
        ("2^256 - 1", 2**256 - 1),
    ):
        encoding = value.to_bytes(32, "little")
        yield _bad_key_case(f"not canonical, {title}", encoding, bytes(64))
    off_curve = (2).to_bytes(32, "little")
    assert edwards.decode(off_curve) is None
    yield _bad_key_case("not on the curve", off_curve, bytes(64))
    yield _mixed_order_case()


def _bad_key_case(title: str, key: bytes, signature: bytes) -> Case:
    m1 = replace(base(), client_did=dids.key_to_did(key), client_public_key=key)
    return Case(
        f"client key: {title}",
        "server",
        item(Initiate(m1, signature).encode()),
        "invalid_key",
        "named by its own did:key",
        also=("authentication_failed",),
    )


def _mixed_order_case() -> Case:
    """Make a key with an 8-torsion part and a signature that satisfies the equation."""
    a = int.from_bytes(derived_bytes("mixed order a"), "little") % edwards.ORDER
    r = int.from_bytes(derived_bytes("mixed order r"), "little") % edwards.ORDER
    prime_part = edwards.multiply(a, edwards.BASE)
    key = edwards.encode(edwards.add(prime_part, edwards.torsion_generator()))
    r_bytes = edwards.encode(edwards.multiply(r, edwards.BASE))
    attempt = 0
    while True:
        m1 = replace(
            base(),
            client_did=dids.key_to_did(key),
            client_public_key=key,
            nonce=derived_bytes(f"mixed order nonce {attempt}"),
        )
        message = schedule.signing_input(b"initiate", schedule.th1(m1.encode()))
        k = int.from_bytes(_sha512(r_bytes + key + message), "little") % edwards.ORDER
        if k % 8 == 0:
            s = (r + k * a) % edwards.ORDER
            signature = r_bytes + s.to_bytes(32, "little")
            assert ed25519.verify(key, message, signature)
            return _bad_key_case("of mixed order, signature satisfied", key, signature)
        attempt += 1


def _sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def _signatures() -> Iterator[Case]:
    m1, good = base(), signed(base())
    th1 = schedule.th1(m1.encode())
    seed = Setup().client_seed
    s = int.from_bytes(good.signature[32:], "little")
    two_keys = replace(m1, client_did="did:example:two-keys")
    for title, message in (
        ("all zero", Initiate(m1, bytes(64))),
        ("by another registered client", signed(m1, OTHER_SEED)),
        ("by another key of the same DID", signed(two_keys, SECOND_KEY_SEED)),
        ("by the server", signed(m1, Setup().server_seed)),
        ("in the role accept", signed(m1, role=b"accept")),
        ("in the role confirm", signed(m1, role=b"confirm")),
        ("over TH1 alone", Initiate(m1, ed25519.sign(seed, th1))),
        ("over M1 alone", Initiate(m1, ed25519.sign(seed, m1.encode()))),
        (
            "without PAD",
            Initiate(m1, ed25519.sign(seed, b"SAGE-HS/1 initiate\0" + th1)),
        ),
        (
            "over another M1 of the same client",
            Initiate(m1, signed(replace(m1, timestamp_ms=NOW_MS + 1)).signature),
        ),
        (
            "S + l",
            Initiate(m1, good.signature[:32] + (s + edwards.ORDER).to_bytes(32, "little")),
        ),
        (
            "R of small order",
            Initiate(m1, edwards.SMALL_ORDER_ENCODINGS[0] + good.signature[32:]),
        ),
        (
            "R not canonical",
            Initiate(m1, (edwards.P + 1).to_bytes(32, "little") + good.signature[32:]),
        ),
    ):
        name = f"client_signature {title}"
        yield Case(name, "server", item(message.encode()), "authentication_failed")


def _times() -> Iterator[Case]:
    for title, timestamp_ms, error in (
        ("60,000 ms behind", NOW_MS - 60_000, None),
        ("60,000 ms ahead", NOW_MS + 60_000, None),
        ("60,001 ms behind", NOW_MS - 60_001, "stale_timestamp"),
        ("60,001 ms ahead", NOW_MS + 60_001, "stale_timestamp"),
        ("0", 0, "stale_timestamp"),
        ("2^53", 2**53, "stale_timestamp"),
        ("2^63 - 1", 2**63 - 1, "stale_timestamp"),
        ("2^63", 2**63, "stale_timestamp"),
        ("2^64 - 1", 2**64 - 1, "stale_timestamp"),
        ("seconds for milliseconds", NOW_MS // 1000, "stale_timestamp"),
        ("microseconds for milliseconds", NOW_MS * 1000, "stale_timestamp"),
    ):
        message = remade(timestamp_ms=timestamp_ms)
        yield Case(f"timestamp {title}", "server", item(message), error)


def _key_shares() -> Iterator[Case]:
    low_order = {
        "0": 0,
        "1": 1,
        "p - 1": P25519 - 1,
        "p": P25519,
        "p + 1": P25519 + 1,
        "order 8, first": ORDER_8_U[0],
        "order 8, second": ORDER_8_U[1],
    }
    for title, value in low_order.items():
        for top_bit in (0, 1):
            share = (value | top_bit << 255).to_bytes(32, "little")
            name = f"client_key_share {title}, top bit {top_bit}"
            message = remade(client_key_share=share)
            yield Case(name, "server", item(message), "invalid_key", "all-zero shared secret")
    share = x25519_public(Setup().client_ephemeral_secret)
    for length in (0, 1, 31, 33, 64, 1216):
        message = remade(client_key_share=(share * 40)[:length])
        yield Case(
            f"client_key_share of {length} bytes",
            "server",
            item(message),
            "invalid_key",
            also=("malformed_request",),
        )
    for title, contributory in (
        ("all ones", b"\xff" * 32),
        ("p + 18", (P25519 + 18).to_bytes(32, "little")),
        ("with its top bit set", share[:31] + bytes((share[31] | 0x80,))),
    ):
        yield Case(
            f"client_key_share {title}",
            "server",
            item(remade(client_key_share=contributory)),
            None,
            "not canonical, but contributory: accepted as RFC 7748 reads it",
        )


def _addresses_and_bindings() -> Iterator[Case]:
    other = ed25519.public_key(OTHER_SEED)
    for title, changes in (
        ("another server_did", {"server_did": "did:example:gateway"}),
        ("another server_public_key", {"server_public_key": other}),
        ("server_did of another key", {"server_did": dids.key_to_did(other)}),
        (
            "both of another gateway",
            {"server_did": dids.key_to_did(other), "server_public_key": other},
        ),
        (
            "the client's own identity",
            {
                "server_did": base().client_did,
                "server_public_key": base().client_public_key,
            },
        ),
    ):
        yield Case(f"address: {title}", "server", item(remade(**changes)), "misdirected")
    message = remade(channel_binding=b"exported keying material")
    yield Case("channel_binding not empty", "server", item(message), "malformed_request")
    stale = remade(server_did="did:example:gateway", timestamp_ms=0)
    yield Case("misdirected before stale", "server", item(stale), "misdirected", "order of work")
    forged = Initiate(replace(base(), timestamp_ms=0), bytes(64)).encode()
    yield Case("stale before signature", "server", item(forged), "stale_timestamp", "order of work")


def _challenges() -> Iterator[Case]:
    m1, key = base(), Setup().challenge_key
    server_did, client_did = m1.server_did, m1.client_did

    def minted(age_ms: int, key: bytes = key, client: str = client_did) -> bytes:
        issued_ms = NOW_MS - age_ms
        return mint(key, issued_ms=issued_ms, client_did=client, server_did=server_did)

    fresh = minted(1000)
    other_server = mint(
        key, issued_ms=NOW_MS, client_did=client_did, server_did="did:example:gateway"
    )
    for title, challenge, error in (
        ("minted a second ago", fresh, None),
        ("minted now", minted(0), None),
        ("minted 60,000 ms ago", minted(60_000), None),
        ("minted 60,001 ms ago", minted(60_001), "challenge_required"),
        ("absent", b"", "challenge_required"),
        ("minted under another key", minted(0, key=bytes(32)), "challenge_required"),
        ("minted for another client", minted(0, client="did:example:other"), "challenge_required"),
        ("minted for another server", other_server, "challenge_required"),
        ("minted in the future", minted(-60_001), "challenge_required"),
        ("version 2", b"\2" + fresh[1:], "challenge_required"),
        ("time moved", fresh[:8] + bytes((fresh[8] ^ 1,)) + fresh[9:], "challenge_required"),
        ("MAC changed", fresh[:-1] + bytes((fresh[-1] ^ 1,)), "challenge_required"),
        ("one byte short", fresh[:-1], "challenge_required"),
        ("one byte long", fresh + b"\0", "challenge_required"),
    ):
        also = ("malformed_request",) if error and len(challenge) not in (0, 25) else ()
        if title == "minted 60,000 ms ago":
            also = ("challenge_required",)  # "lives 60 s" does not say whether to its last instant
        yield Case(
            f"challenge {title}",
            "server wanting a challenge",
            item(remade(challenge=challenge)),
            error,
            also=also,
        )


def _replays() -> Iterator[Case]:
    good = remade()
    share = x25519_public(derived_bytes("second ephemeral"))
    other_share = remade(client_key_share=share)
    yield Case("M1 replayed", "server", item(good), "replay_detected", before=(item(good),))
    yield Case(
        "M1 replayed at the end of its life",
        "server",
        item(good, NOW_MS + 60_000),
        "replay_detected",
        before=(item(good),),
    )
    yield Case(
        "same nonce, other ephemeral key",
        "server",
        item(other_share),
        "replay_detected",
        before=(item(good),),
    )
    other = replace(
        base(),
        client_did="did:example:other",
        client_public_key=ed25519.public_key(OTHER_SEED),
    )
    yield Case(
        "same nonce from two clients",
        "server",
        item(signed(other, OTHER_SEED).encode()),
        None,
        "the replay scope is the client's DID",
        before=(item(good),),
    )
    forged = good[:-1] + bytes((good[-1] ^ 1,))
    yield Case(
        "forgery with the victim's nonce, then the victim",
        "server",
        item(good),
        None,
        "the nonce is admitted after the signature",
        before=(item(forged),),
        before_refused=True,
    )


def _flips() -> Iterator[Case]:
    """One flipped bit in every field of the signed message."""
    good, m1 = remade(), base()
    marks = (
        ("version", 0, "unsupported_version"),
        ("suite", 3, "unsupported_suite"),
        ("client_did", good.index(b"did:key:") + 20, "authentication_failed"),
        ("client_public_key", good.index(m1.client_public_key), "authentication_failed"),
        ("server_did", good.index(m1.server_did.encode()) + 20, "misdirected"),
        ("server_public_key", good.index(m1.server_public_key), "misdirected"),
        ("client_key_share", good.index(m1.client_key_share), "authentication_failed"),
        ("nonce", good.index(m1.nonce), "authentication_failed"),
        ("timestamp low", good.index(m1.nonce) + 39, "authentication_failed"),
        ("timestamp high", good.index(m1.nonce) + 32, "stale_timestamp"),
        ("signature R", len(good) - 64, "authentication_failed"),
        ("signature S", len(good) - 32, "authentication_failed"),
        ("signature top", len(good) - 1, "authentication_failed"),
    )
    for field, offset, error in marks:
        bit = 0x80 if field == "signature top" else 0x02
        message = good[:offset] + bytes((good[offset] ^ bit,)) + good[offset + 1 :]
        also: tuple[str, ...] = ()
        if field.endswith("did"):
            also = ("invalid_did",)
        elif field == "client_public_key":
            also = ("invalid_key",)
        yield Case(f"M1 bit flip: {field}", "server", item(message), error, also=also)
