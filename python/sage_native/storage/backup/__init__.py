"""Copies of sessions and DIDs in a file, for any backend: written by one, restored into another.

A backup holds what the stores hold, so no key: secrets stay wrapped as they are, and open only
under the key-encryption keys of their rows. Keep those elsewhere. Request nonces are left out: they
live for minutes, and a restored store says of itself that its memory of them is incomplete.
"""

from __future__ import annotations

from sage_native.storage.backup.restore import Restored, restore
from sage_native.storage.backup.write import BackedUp, back_up

__all__ = ["BackedUp", "Restored", "back_up", "restore"]
