"""Secure sessions between AI agents at native speed.

Agents prove who they are (DIDs with Ed25519 keys), agree on keys (a signed ephemeral X25519
handshake) and exchange records under AES-256-GCM with replay protection. The work is done in Rust.
"""

from __future__ import annotations

from sage_native._native import __version__
from sage_native.aead import AeadKey, KeyEncryptionKey
from sage_native.exceptions import (
    AuthenticationError,
    CapacityError,
    ConfigurationError,
    ConflictError,
    ExpiredError,
    HandshakeError,
    KeyUnavailableError,
    PeerError,
    RateLimitedError,
    RekeyRequiredError,
    ReplayDetectedError,
    SageError,
    SessionStateError,
    StorageError,
    UsageError,
)
from sage_native.kdf import Prk, hkdf_sha256
from sage_native.keys import (
    EphemeralSecret,
    SigningKey,
    StaticSecret,
    VerifyingKey,
    VerifyingKeyCache,
    X25519PublicKey,
    resolve_did_key,
    verify_many,
)
from sage_native.protocol import Initiator, Responder, Session, SessionTable
from sage_native.replay import ReplaySet, ReplayWindow, ReplayWindowTable

__all__ = [
    "AeadKey",
    "AuthenticationError",
    "CapacityError",
    "ConfigurationError",
    "ConflictError",
    "EphemeralSecret",
    "ExpiredError",
    "HandshakeError",
    "Initiator",
    "KeyEncryptionKey",
    "KeyUnavailableError",
    "PeerError",
    "Prk",
    "RateLimitedError",
    "RekeyRequiredError",
    "ReplayDetectedError",
    "ReplaySet",
    "ReplayWindow",
    "ReplayWindowTable",
    "Responder",
    "SageError",
    "Session",
    "SessionStateError",
    "SessionTable",
    "SigningKey",
    "StaticSecret",
    "StorageError",
    "UsageError",
    "VerifyingKey",
    "VerifyingKeyCache",
    "X25519PublicKey",
    "__version__",
    "hkdf_sha256",
    "resolve_did_key",
    "verify_many",
]
