"""Sessions that live somewhere: made, found, kept, restored and ended.

::

    sessions = storage.sessions("responder")
    async with SessionManager(sessions, KeyRing(kek), windows=windows) as manager:
        m2, _ = manager.accept(request)
        await manager.confirm(m3)
        session, plaintext = await manager.open(record)
"""

from __future__ import annotations

from sage_native.sessions.key_ring import KeyRing
from sage_native.sessions.manager import SessionManager
from sage_native.sessions.policy import SessionPolicy
from sage_native.sessions.rewrap import Rewrapped, rewrap

__all__ = ["KeyRing", "Rewrapped", "SessionManager", "SessionPolicy", "rewrap"]
