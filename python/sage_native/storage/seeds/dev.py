"""The seed for development: a gateway, four agents, and keys that everybody knows.

The keys come from a phrase that is printed here, so that any tool of a developer can be Alice. They
protect nothing. Staging and production refuse this seed.
"""

from __future__ import annotations

from sage_native.kdf import hkdf_sha256
from sage_native.keys import SigningKey
from sage_native.storage.seeds.identities import Identity, Meeting, Seed

__all__ = ["INSECURE_PHRASE", "dev_seed", "dev_signing_key"]

INSECURE_PHRASE = b"sage-native development seed: public, insecure, for development only"
OWNER = "dev"


def dev_seed() -> Seed:
    """Return the seed: three agents that talk to a gateway and to each other, one revoked."""
    gateway, alice, bob, carol = map(_identity, ("gateway", "alice", "bob", "carol"))
    mallory = _identity("mallory", is_revoked=True)
    meetings = (
        Meeting(alice, gateway, {"note": "the first session of Alice"}),
        Meeting(alice, gateway, {"note": "the second session of Alice"}),
        Meeting(bob, gateway),
        Meeting(carol, gateway),
        Meeting(alice, bob, {"note": "between agents, without the gateway"}),
    )
    return Seed((gateway, alice, bob, carol, mallory), meetings)


def dev_signing_key(name: str) -> SigningKey:
    """Return the key of ``gateway``, ``alice``, ``bob``, ``carol`` or ``mallory``.

    Everybody can compute it. Their DIDs are ``did:sage:dev-gateway`` and so on.
    """
    return SigningKey(hkdf_sha256(INSECURE_PHRASE, length=32, info=name.encode()))


def _identity(name: str, *, is_revoked: bool = False) -> Identity:
    return Identity(f"did:sage:dev-{name}", dev_signing_key(name), OWNER, is_revoked)
