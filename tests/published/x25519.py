"""X25519: Wycheproof in its four spellings, RFC 7748."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from sage_native import StaticSecret, UsageError, X25519PublicKey
from tests.doors.agreement import exchange
from tests.published import files
from tests.published.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Loaded: TypeAlias = tuple[StaticSecret, X25519PublicKey]

# RFC 7748 §5.2, the iteration from k = u = 9: how often, and what k is then.
ITERATED = {
    1: "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
    1000: "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
}
# RFC 7748 §6.1: a, A, b, B, K.
DIFFIE_HELLMAN = (
    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
)


def wycheproof(path: str, load: Callable[[files.Case], Loaded]) -> Tally:
    """``acceptable`` covers odd shares: every secret but zero is given, and zero is refused."""
    tally = Tally()
    for _, case in files.wycheproof(path):
        tally.executed += 1
        if case["result"] == "invalid":
            assert_refused(case, load)
            continue
        secret, share = load(case)
        shared = bytes.fromhex(case["shared"])
        is_zero = "ZeroSharedSecret" in case["flags"]
        assert is_zero == (shared == bytes(32)), case
        assert exchange(secret, share) == (None if is_zero else shared), case
    return tally


def assert_refused(case: files.Case, load: Callable[[files.Case], Loaded]) -> None:
    try:
        load(case)
    except UsageError:
        return
    raise AssertionError(case)


def raw() -> Tally:
    def load(case: files.Case) -> Loaded:
        secret, public = bytes.fromhex(case["private"]), bytes.fromhex(case["public"])
        assert StaticSecret(secret).to_bytes() == secret
        assert X25519PublicKey(public).to_bytes() == public
        return StaticSecret(secret), X25519PublicKey(public)

    return wycheproof("Protocol/x25519_test.json", load)


def pem() -> Tally:
    def load(case: files.Case) -> Loaded:
        return (
            StaticSecret.from_pem(case["private"].encode()),
            X25519PublicKey.from_pem(case["public"].encode()),
        )

    return wycheproof("Protocol/x25519_pem_test.json", load)


def der() -> Tally:
    """X25519 has no door for DER: each case goes in as the PEM of its bytes."""

    def load(case: files.Case) -> Loaded:
        return (
            StaticSecret.from_pem(as_pem("PRIVATE KEY", case["private"])),
            X25519PublicKey.from_pem(as_pem("PUBLIC KEY", case["public"])),
        )

    return wycheproof("Protocol/x25519_asn_test.json", load)


def as_pem(what: str, der_hex: str) -> bytes:
    body = base64.encodebytes(bytes.fromhex(der_hex)).decode()
    return f"-----BEGIN {what}-----\n{body}-----END {what}-----\n".encode()


def jwk() -> Tally:
    def load(case: files.Case) -> Loaded:
        return StaticSecret.from_jwk(case["private"]), X25519PublicKey.from_jwk(case["public"])

    return wycheproof("Protocol/x25519_jwk_test.json", load)


def rfc_7748_file() -> Tally:
    tally = Tally()
    for case in files.blocks("asymmetric/X25519/rfc7748.txt"):
        scalar, u, expected = (
            bytes.fromhex(case[name]) for name in ("input_scalar", "input_u", "output_u")
        )
        assert exchange(StaticSecret(scalar), X25519PublicKey(u)) == expected
        tally.executed += 1
    return tally


def rfc_7748_iterated() -> Tally:
    k = u = bytes([9]) + bytes(31)
    for count in range(1, max(ITERATED) + 1):
        k, u = StaticSecret(k).exchange(X25519PublicKey(u)).danger_to_bytes(), k
        assert k.hex() == ITERATED.get(count, k.hex())
    return Tally(executed=len(ITERATED))


def rfc_7748_diffie_hellman() -> Tally:
    a, a_public, b, b_public, shared = (bytes.fromhex(field) for field in DIFFIE_HELLMAN)
    alice, bob = StaticSecret(a), StaticSecret(b)
    assert (alice.public_key_bytes, bob.public_key_bytes) == (a_public, b_public)
    assert exchange(alice, bob.public_key) == exchange(bob, alice.public_key) == shared
    return Tally(executed=2)
