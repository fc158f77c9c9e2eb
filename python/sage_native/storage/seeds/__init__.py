"""Databases to begin with, in development and in staging; never in production."""

from __future__ import annotations

from sage_native.storage.seeds.dev import dev_signing_key
from sage_native.storage.seeds.load import (
    INITIATOR_STORE,
    RESPONDER_STORE,
    Seeded,
    SeedName,
    seed,
)

__all__ = [
    "INITIATOR_STORE",
    "RESPONDER_STORE",
    "SeedName",
    "Seeded",
    "dev_signing_key",
    "seed",
]
