"""Transcript hashes, signing inputs and the key schedule.

Source: docs/protocol.md, "Messages" and "Key schedule".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .primitives import expand, hkdf_extract, hmac_sha256, sha256
from .wire import u16

PAD: Final = b"\x20" * 64


def signing_input(role: bytes, transcript: bytes) -> bytes:
    """Return ``PAD || "SAGE-HS/1 <role>" || 00 || transcript``.

    The role is ``initiate``, ``accept`` or ``confirm``.
    """
    return PAD + b"SAGE-HS/1 " + role + b"\0" + transcript


def th1(m1: bytes) -> bytes:
    """Hash M1."""
    return sha256(b"SAGE-HS/1", m1)


def th2(first: bytes, client_signature: bytes, m2: bytes) -> bytes:
    """Hash TH1, the client's signature and M2."""
    return sha256(first, client_signature, m2)


def th3(second: bytes, server_signature: bytes) -> bytes:
    """Hash TH2 and the server's signature."""
    return sha256(second, server_signature)


def th4(third: bytes, server_confirmation: bytes) -> bytes:
    """Hash TH3 and the server's confirmation."""
    return sha256(third, server_confirmation)


@dataclass(frozen=True)
class Secrets:
    """Everything that the key schedule derives from one shared secret."""

    prk: bytes
    finish_c: bytes
    finish_s: bytes
    master: bytes
    c2s_0: bytes
    s2c_0: bytes
    exporter: bytes


def derive(suite: int, shared_secret: bytes, second: bytes, third: bytes) -> Secrets:
    """Run the key schedule over TH2 (`second`) and TH3 (`third`)."""
    prk = hkdf_extract(sha256(b"SAGE-HS/1 ", u16(suite)), shared_secret)
    master = expand(prk, b"master", third, 32)
    return Secrets(
        prk=prk,
        finish_c=expand(prk, b"finish c", second, 32),
        finish_s=expand(prk, b"finish s", second, 32),
        master=master,
        c2s_0=expand(master, b"c2s", third, 32),
        s2c_0=expand(master, b"s2c", third, 32),
        exporter=expand(master, b"exporter", third, 32),
    )


def server_confirmation(finish_s: bytes, third: bytes) -> bytes:
    """MAC TH3 as the server."""
    return hmac_sha256(finish_s, b"server", third)


def client_confirmation(finish_c: bytes, fourth: bytes) -> bytes:
    """MAC TH4 as the client."""
    return hmac_sha256(finish_c, b"client", fourth)


def export(exporter: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """Return ``export(label, context, n) = Expand(exporter, label, H(context), n)``."""
    return expand(exporter, label, sha256(context), length)


def record_key(secret: bytes, incarnation: bytes) -> tuple[bytes, bytes]:
    """Return ``(key(32), iv(12))`` of one direction, epoch and incarnation."""
    material = expand(secret, b"record", incarnation, 44)
    return material[:32], material[32:]
