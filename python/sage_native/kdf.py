"""HKDF-SHA256 (RFC 5869), whole or from a kept PRK."""

from __future__ import annotations

from sage_native._native import Prk, hkdf_sha256

__all__ = ["Prk", "hkdf_sha256"]
