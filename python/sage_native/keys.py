"""Identities and agreement: Ed25519 signing keys, X25519 secrets, and the forms they travel in.

Raw bytes and ``did:key`` are native; PEM, PKCS#8, OpenSSH and JWK go through ``cryptography``
(``key_formats.py``), which is imported when the first of them is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Self

from sage_native._native import EphemeralSecret as NativeEphemeralSecret
from sage_native._native import SharedSecret, _ed25519_key_of_did, _verify_many
from sage_native._native import SigningKey as NativeSigningKey
from sage_native._native import StaticSecret as NativeStaticSecret
from sage_native._native import VerifyingKey as NativeVerifyingKey
from sage_native._native import VerifyingKeyCache as NativeVerifyingKeyCache
from sage_native._native import X25519PublicKey as NativeX25519PublicKey
from sage_native.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from sage_native._native import _Batch, _Keys

__all__ = [
    "EphemeralSecret",
    "KeyCacheStatistics",
    "SharedSecret",
    "SigningKey",
    "StaticSecret",
    "VerifyingKey",
    "VerifyingKeyCache",
    "X25519PublicKey",
    "check_did",
    "resolve_did_key",
    "verify_many",
]


class VerifyingKey(NativeVerifyingKey):
    """An Ed25519 public key, 32 bytes, strictly checked.

    Refused are encodings that are not canonical and points of small order. Equal keys compare and
    hash equal. ``check`` answers what registration should ask beyond that.
    """

    __slots__ = ()

    @classmethod
    def from_did(cls, did: str) -> Self:
        """Return the key that a ``did:key`` spells out.

        Raises:
            UsageError: Not a DID, or one that does not spell an Ed25519 key.
        """
        key = _ed25519_key_of_did(did)
        if key is None:
            raise UsageError(f"{did!r} does not spell an Ed25519 key; did:key:z6Mk… does")
        return cls(key)

    @classmethod
    def from_pem(cls, data: bytes) -> Self:
        """Load a PEM ``PUBLIC KEY`` (RFC 8410). Raises UsageError if it is something else."""
        from sage_native import key_formats  # noqa: PLC0415 - cryptography is imported on use

        return cls(key_formats.ED25519.public_from_pem(data))

    @classmethod
    def from_der(cls, data: bytes) -> Self:
        """Load a DER ``SubjectPublicKeyInfo`` (RFC 8410). Raises UsageError."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return cls(key_formats.ED25519.public_from_der(data))

    @classmethod
    def from_openssh(cls, data: bytes) -> Self:
        """Load an OpenSSH line, ``ssh-ed25519 AAAA… comment``. Raises UsageError."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return cls(key_formats.public_from_openssh(data))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> Self:
        """Load a JWK of type ``OKP`` and curve ``Ed25519`` (RFC 8037). Raises UsageError."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return cls(key_formats.ED25519.public_from_jwk(jwk))

    def to_pem(self) -> bytes:
        """Return the PEM ``PUBLIC KEY`` (RFC 8410)."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.ED25519.public_to_pem(self.to_bytes())

    def to_der(self) -> bytes:
        """Return the DER ``SubjectPublicKeyInfo``, 44 bytes (RFC 8410)."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.ED25519.public_to_der(self.to_bytes())

    def to_openssh(self) -> bytes:
        """Return the OpenSSH line, without a comment."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.public_to_openssh(self.to_bytes())

    def to_jwk(self) -> dict[str, str]:
        """Return the JWK (RFC 8037)."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.ED25519.public_to_jwk(self.to_bytes())


class SigningKey(NativeSigningKey):
    """An Ed25519 signing key: who an agent is.

    Make one with ``generate`` or from its 32-byte seed. It can be closed, is a context manager,
    and refuses to be pickled or copied; its repr shows the public DID alone.
    """

    __slots__ = ()

    @property
    def verifying_key(self) -> VerifyingKey:
        """The public half. Stays readable after ``close``."""
        return VerifyingKey(self.verifying_key_bytes)

    def sign_many(self, messages: _Batch, *, threads: int | None = 1) -> NDArray[np.uint8]:
        """Sign each message.

        Args:
            messages: A list of bytes, or an array (count, length) of uint8.
            threads: The most threads to use, 1 to 256, as in ``verify_many``.

        Returns:
            Read-only array (count, 64) of uint8, a signature ``R || S`` in each row. The same on
            any number of threads.

        Raises:
            UsageError: A message begins with 64 spaces, and nothing was signed; or ``threads`` is
                out of its range.

        Cost: 3 to 10 µs a signature, by processor, constant time in the key; one crossing. From
        about 16 short messages on, the interpreter lock is released.
        """
        import numpy as np  # noqa: PLC0415 - batches alone need numpy

        return np.frombuffer(self._sign_many(messages, threads=threads), np.uint8).reshape(-1, 64)

    @classmethod
    def from_pem(cls, data: bytes, *, password: bytes | None = None) -> Self:
        """Load a PEM ``PRIVATE KEY`` or ``ENCRYPTED PRIVATE KEY`` (PKCS#8, RFC 8410).

        Raises:
            UsageError: Wrong password, none given, or another kind of key; says which.
        """
        from sage_native import key_formats  # noqa: PLC0415 - cryptography is imported on use

        return cls(key_formats.ED25519.private_from_pem(data, password))

    @classmethod
    def from_der(cls, data: bytes, *, password: bytes | None = None) -> Self:
        """Load a DER PKCS#8 key, also encrypted. Raises UsageError as ``from_pem``."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return cls(key_formats.ED25519.private_from_der(data, password))

    @classmethod
    def from_openssh(cls, data: bytes, *, password: bytes | None = None) -> Self:
        """Load an ``OPENSSH PRIVATE KEY``, also encrypted. Raises UsageError as ``from_pem``."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return cls(key_formats.private_from_openssh(data, password))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> Self:
        """Load a private JWK of type ``OKP`` and curve ``Ed25519`` (RFC 8037).

        Raises:
            UsageError: Another type or curve, a member is missing, or ``x`` is not of ``d``.
        """
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return cls(key_formats.ED25519.private_from_jwk(jwk))

    def to_pem(self, *, password: bytes | None = None) -> bytes:
        """Return PKCS#8 in PEM, encrypted if a password is given (PBES2, AES-256-CBC)."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.ED25519.private_to_pem(self.to_bytes(), password)

    def to_der(self, *, password: bytes | None = None) -> bytes:
        """Return PKCS#8 in DER, encrypted if a password is given."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.ED25519.private_to_der(self.to_bytes(), password)

    def to_openssh(self, *, password: bytes | None = None) -> bytes:
        """Return an ``OPENSSH PRIVATE KEY``, encrypted if a password is given."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.private_to_openssh(self.to_bytes(), password)

    def to_jwk(self) -> dict[str, str]:
        """Return the private JWK, with ``d`` (RFC 8037)."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.ED25519.private_to_jwk(self.to_bytes())


class X25519PublicKey(NativeX25519PublicKey):
    """An X25519 share, any 32 bytes (RFC 7748 §5). Equal shares compare and hash equal."""

    __slots__ = ()

    @classmethod
    def from_pem(cls, data: bytes) -> Self:
        """Load a PEM ``PUBLIC KEY`` (RFC 8410). Raises UsageError if it is something else."""
        from sage_native import key_formats  # noqa: PLC0415 - cryptography is imported on use

        return cls(key_formats.X25519.public_from_pem(data))

    @classmethod
    def from_der(cls, data: bytes) -> Self:
        """Load a DER ``SubjectPublicKeyInfo`` (RFC 8410). Raises UsageError."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return cls(key_formats.X25519.public_from_der(data))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> Self:
        """Load a JWK of type ``OKP`` and curve ``X25519`` (RFC 8037). Raises UsageError."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return cls(key_formats.X25519.public_from_jwk(jwk))

    def to_pem(self) -> bytes:
        """Return the PEM ``PUBLIC KEY`` (RFC 8410)."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.X25519.public_to_pem(self.to_bytes())

    def to_der(self) -> bytes:
        """Return the DER ``SubjectPublicKeyInfo``, 44 bytes (RFC 8410)."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.X25519.public_to_der(self.to_bytes())

    def to_jwk(self) -> dict[str, str]:
        """Return the JWK (RFC 8037)."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.X25519.public_to_jwk(self.to_bytes())


class StaticSecret(NativeStaticSecret):
    """An X25519 secret that may agree many times. Closes, never pickles, never prints."""

    __slots__ = ()

    @property
    def public_key(self) -> X25519PublicKey:
        """The share to send. Stays readable after ``close``."""
        return X25519PublicKey(self.public_key_bytes)

    @classmethod
    def from_pem(cls, data: bytes, *, password: bytes | None = None) -> Self:
        """Load PKCS#8 in PEM, also encrypted. Raises UsageError as ``SigningKey.from_pem``."""
        from sage_native import key_formats  # noqa: PLC0415 - cryptography is imported on use

        return cls(key_formats.X25519.private_from_pem(data, password))

    @classmethod
    def from_der(cls, data: bytes, *, password: bytes | None = None) -> Self:
        """Load a DER PKCS#8 key, also encrypted. Raises UsageError as ``from_pem``."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return cls(key_formats.X25519.private_from_der(data, password))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> Self:
        """Load a private JWK of curve ``X25519`` (RFC 8037). Raises UsageError."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return cls(key_formats.X25519.private_from_jwk(jwk))

    def to_pem(self, *, password: bytes | None = None) -> bytes:
        """Return PKCS#8 in PEM, encrypted if a password is given."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.X25519.private_to_pem(self.to_bytes(), password)

    def to_der(self, *, password: bytes | None = None) -> bytes:
        """Return PKCS#8 in DER, encrypted if a password is given."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.X25519.private_to_der(self.to_bytes(), password)

    def to_jwk(self) -> dict[str, str]:
        """Return the private JWK, with ``d`` (RFC 8037)."""
        from sage_native import key_formats  # noqa: PLC0415 - as above

        return key_formats.X25519.private_to_jwk(self.to_bytes())


class EphemeralSecret(NativeEphemeralSecret):
    """An X25519 secret for one agreement: ``exchange`` consumes it, and nothing reads it."""

    __slots__ = ()

    @property
    def public_key(self) -> X25519PublicKey:
        """The share to send. Stays readable after the secret is spent."""
        return X25519PublicKey(self.public_key_bytes)


@dataclass(frozen=True)
class KeyCacheStatistics:
    """What a cache of verifying keys holds, and what it has done since it was made.

    Attributes:
        registered: Keys that are registered.
        expanded: Those of them that have a table.
        used_bytes: What both take of the budget.
        budget_bytes: What they may take.
        hits: Signatures that were checked with a table.
        decoded_hits: Signatures of registered keys that had none.
        misses: Signatures of keys that are not registered.
        promotions: Tables built.
        evictions: Tables, and keys, given up for others. If this grows with the promotions, the
            budget is less than the keys that are in use.
    """

    registered: int
    expanded: int
    used_bytes: int
    budget_bytes: int
    hits: int
    decoded_hits: int
    misses: int
    promotions: int
    evictions: int


class VerifyingKeyCache(NativeVerifyingKeyCache):  # noqa: D101 - the native class says it
    __doc__ = NativeVerifyingKeyCache.__doc__
    __slots__ = ()

    def verify_many(
        self, keys: _Keys, signatures: _Batch, messages: _Batch, *, threads: int | None = 1
    ) -> NDArray[np.bool_]:
        """Give the strict verdict on each signature, by itself, as ``verify_many`` does.

        Args:
            keys: As for ``verify_many``, registered or not.
            signatures: A list of 64-byte bytes, or an array (count, 64) of uint8.
            messages: A list of bytes, or an array (count, length) of uint8.
            threads: As for ``verify_many``. Tables are built on them, too.

        Returns:
            Read-only array (count,) of bool, in the order of the signatures.

        Raises:
            UsageError: The batches differ in length, or ``threads`` is out of its range.

        Cost: 3 to 12 µs a signature, by processor, of keys with a table, where eight or more are
        in the batch. Keys that reach their third valid signature get a table, 100 µs each. The
        interpreter lock is released for large batches.
        """
        import numpy as np  # noqa: PLC0415 - batches alone need numpy

        verdicts = self._verify_many(keys, signatures, messages, threads=threads)
        return np.frombuffer(verdicts, np.bool_)

    def statistics(self) -> KeyCacheStatistics:
        """Count what the cache holds and has done."""
        return KeyCacheStatistics(*self._statistics())


def verify_many(
    keys: _Keys, signatures: _Batch, messages: _Batch, *, threads: int | None = 1
) -> NDArray[np.bool_]:
    """Give the strict verdict on each signature, by itself.

    Batch equals single by construction: every signature is verified on its own, so a bad one
    changes and costs nothing for its neighbours. The verdicts are the same on any number of
    threads.

    Args:
        keys: One VerifyingKey for all; or one for each, as a list of VerifyingKey, a list of
            32-byte bytes, or an array (count, 32) of uint8.
        signatures: A list of 64-byte bytes, or an array (count, 64) of uint8.
        messages: A list of bytes, or an array (count, length) of uint8.
        threads: The most threads to use, with the calling one: 1 to 256, or None for one a
            processor that this process may run on. A thread is started for about 64 short
            signatures or more, and has ended when the call returns.

    Returns:
        Read-only array (count,) of bool, in the order of the signatures. Malformed keys and
        signatures get False.

    Raises:
        UsageError: The batches differ in length, or ``threads`` is out of its range.

    Cost: a third to two thirds of what its signatures cost one by one, by processor, from eight on
    (docs/performance.md, "Verification"), in one crossing; spread over the threads, and some 20 µs
    for starting each. From about 16 short signatures on, the interpreter lock is released.
    Source: RFC 8032 §5.1.7 with the strict checks of docs/protocol.md, "Notation".
    """
    import numpy as np  # noqa: PLC0415 - batches alone need numpy

    verdicts = _verify_many(keys, signatures, messages, threads=threads)
    return np.frombuffer(verdicts, np.bool_)


def check_did(did: str) -> None:
    """Check the form of a DID: ``did:``, a lower-case method, an identifier; at most 256 bytes.

    Raises:
        UsageError: It is not of this form; the text says why.

    Source: docs/protocol.md, "Order of work on M2".
    """
    try:
        _ed25519_key_of_did(did)
    except UnicodeEncodeError:
        raise UsageError("a DID is ASCII; this one holds half of a surrogate pair") from None


def resolve_did_key(did: str) -> tuple[VerifyingKey, ...]:
    """Resolve a ``did:key`` from itself, as a ``Responder`` wants it.

    This admits everybody who holds any key: right for development, and for applications that
    decide later who may do what.

    Returns:
        The one key that the DID spells, checked as for registration (a point of the curve, in the
        prime-order subgroup); nothing for every other DID and for a key that fails the check.

    Raises:
        UsageError: Not a DID.

    Cost: about 60 µs for a DID not seen lately; the last 1,024 are remembered.
    """
    return _checked_did_key(did)


@lru_cache(maxsize=1024)
def _checked_did_key(did: str) -> tuple[VerifyingKey, ...]:
    key = _ed25519_key_of_did(did)
    if key is None:
        return ()
    try:
        verifying_key = VerifyingKey(key)
        verifying_key.check()
    except UsageError:
        return ()
    return (verifying_key,)
