"""Key files: PEM, PKCS#8, OpenSSH and JWK, by way of ``cryptography``.

Nothing is parsed here except the three members of a JWK. Private keys pass through Python as bytes
on import and export; that is what import and export mean.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
    load_ssh_public_key,
)

from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    _PrivateKey: TypeAlias = Ed25519PrivateKey | X25519PrivateKey
    _PublicKey: TypeAlias = Ed25519PublicKey | X25519PublicKey

__all__ = [
    "ED25519",
    "X25519",
    "private_from_openssh",
    "private_to_openssh",
    "public_from_openssh",
    "public_to_openssh",
]


@dataclass(frozen=True)
class KeyFormats:
    """The forms of one algorithm's keys; raw keys are 32 bytes on both sides."""

    curve: str
    private_type: type[_PrivateKey]
    public_type: type[_PublicKey]

    def public_from_pem(self, data: bytes) -> bytes:
        """Return the raw key of a PEM ``PUBLIC KEY``."""
        return self._public(_load("PEM public key", load_pem_public_key, data))

    def public_from_der(self, data: bytes) -> bytes:
        """Return the raw key of a DER ``SubjectPublicKeyInfo``."""
        return self._public(_load("DER public key", load_der_public_key, data))

    def private_from_pem(self, data: bytes, password: bytes | None) -> bytes:
        """Return the raw key of PKCS#8 in PEM."""
        return self._private(_load("PEM private key", load_pem_private_key, data, password))

    def private_from_der(self, data: bytes, password: bytes | None) -> bytes:
        """Return the raw key of PKCS#8 in DER."""
        return self._private(_load("DER private key", load_der_private_key, data, password))

    def public_from_jwk(self, jwk: Mapping[str, object]) -> bytes:
        """Return the raw key of a JWK."""
        self._check_jwk(jwk)
        return _member(jwk, "x")

    def private_from_jwk(self, jwk: Mapping[str, object]) -> bytes:
        """Return the raw private key of a JWK whose two halves belong together."""
        public, private = self.public_from_jwk(jwk), _member(jwk, "d")
        if self.private_type.from_private_bytes(private).public_key().public_bytes_raw() != public:
            raise UsageError("JWK member 'x' is not the public key of member 'd'")
        return private

    def public_to_pem(self, key: bytes) -> bytes:
        """Return a PEM ``PUBLIC KEY``."""
        return self._public_to(key, Encoding.PEM)

    def public_to_der(self, key: bytes) -> bytes:
        """Return a DER ``SubjectPublicKeyInfo``."""
        return self._public_to(key, Encoding.DER)

    def private_to_pem(self, key: bytes, password: bytes | None) -> bytes:
        """Return PKCS#8 in PEM."""
        return self._private_to(key, Encoding.PEM, password)

    def private_to_der(self, key: bytes, password: bytes | None) -> bytes:
        """Return PKCS#8 in DER."""
        return self._private_to(key, Encoding.DER, password)

    def public_to_jwk(self, key: bytes) -> dict[str, str]:
        """Return a public JWK."""
        return {"kty": "OKP", "crv": self.curve, "x": _base64url(key)}

    def private_to_jwk(self, key: bytes) -> dict[str, str]:
        """Return a private JWK."""
        public = self.private_type.from_private_bytes(key).public_key().public_bytes_raw()
        return {**self.public_to_jwk(public), "d": _base64url(key)}

    def _public(self, key: object) -> bytes:
        if not isinstance(key, self.public_type):
            raise UsageError(f"expected an {self.curve} public key, not {type(key).__name__}")
        return key.public_bytes_raw()

    def _private(self, key: object) -> bytes:
        if not isinstance(key, self.private_type):
            raise UsageError(f"expected an {self.curve} private key, not {type(key).__name__}")
        return key.private_bytes_raw()

    def _public_to(self, key: bytes, encoding: Encoding) -> bytes:
        loaded = self.public_type.from_public_bytes(key)
        return loaded.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)

    def _private_to(self, key: bytes, encoding: Encoding, password: bytes | None) -> bytes:
        loaded = self.private_type.from_private_bytes(key)
        return loaded.private_bytes(encoding, PrivateFormat.PKCS8, _encryption(password))

    def _check_jwk(self, jwk: Mapping[str, object]) -> None:
        for member, expected in (("kty", "OKP"), ("crv", self.curve)):
            if jwk.get(member) != expected:
                found = jwk.get(member)
                raise UsageError(f"JWK member {member!r} must be {expected!r}, not {found!r}")


ED25519 = KeyFormats("Ed25519", Ed25519PrivateKey, Ed25519PublicKey)
X25519 = KeyFormats("X25519", X25519PrivateKey, X25519PublicKey)


def public_from_openssh(data: bytes) -> bytes:
    """Return the raw Ed25519 key of an ``ssh-ed25519`` line."""
    return ED25519._public(_load("OpenSSH public key", load_ssh_public_key, data))  # noqa: SLF001


def private_from_openssh(data: bytes, password: bytes | None) -> bytes:
    """Return the raw Ed25519 key of an ``OPENSSH PRIVATE KEY``."""
    what = "OpenSSH private key" if password is None else "OpenSSH private key under this password"
    loaded = _load(what, load_ssh_private_key, data, password)
    return ED25519._private(loaded)  # noqa: SLF001


def public_to_openssh(key: bytes) -> bytes:
    """Return an ``ssh-ed25519`` line."""
    loaded = Ed25519PublicKey.from_public_bytes(key)
    return loaded.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def private_to_openssh(key: bytes, password: bytes | None) -> bytes:
    """Return an ``OPENSSH PRIVATE KEY``."""
    loaded = Ed25519PrivateKey.from_private_bytes(key)
    try:
        return loaded.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, _encryption(password))
    except UnsupportedAlgorithm as error:
        missing = "encrypted OpenSSH keys need bcrypt: pip install 'cryptography[ssh]'"
        raise UsageError(missing) from error


def _load(what: str, load: Callable[..., object], *arguments: object) -> object:
    """Call a loader and name what it did not like."""
    try:
        return load(*arguments)
    except TypeError as error:  # a password is missing, or given for a key that has none
        raise UsageError(f"{what}: {error}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{what} cannot be read: {error}") from error


def _encryption(password: bytes | None) -> KeySerializationEncryption:
    if password is None:
        return NoEncryption()
    if not isinstance(password, bytes):
        raise UsageError(f"password must be bytes, not {type(password).__name__}")
    if not password:
        raise UsageError("password must not be empty: pass None to write the key in clear")
    return BestAvailableEncryption(password)


def _base64url(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def _member(jwk: Mapping[str, object], member: str) -> bytes:
    value = jwk.get(member)
    if not isinstance(value, str):
        raise UsageError(f"JWK member {member!r} must be a string, not {type(value).__name__}")
    try:
        key = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"JWK member {member!r} is not base64url: {error}") from error
    if len(key) != 32 or _base64url(key) != value:
        raise UsageError(f"JWK member {member!r} must be 32 bytes in base64url without padding")
    return key
