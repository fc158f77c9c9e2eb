"""X25519 through every door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native import AuthenticationError, Prk, StaticSecret, X25519PublicKey

if TYPE_CHECKING:
    from sage_native.keys import SharedSecret


def exchange(secret: StaticSecret, share: X25519PublicKey) -> bytes | None:
    """The shared secret, None if it is refused; two exchanges and both ways to a PRK agree."""
    try:
        shared = secret.exchange(share)
    except AuthenticationError:
        return None
    raw = shared.danger_to_bytes()
    assert secret.exchange(share).danger_to_bytes() == raw
    assert okm_of(shared) == Prk.extract(raw, salt=b"salt").expand(b"info", 32)
    return raw


def okm_of(shared: SharedSecret) -> bytes:
    return shared.extract(b"salt").expand(b"info", 32)
