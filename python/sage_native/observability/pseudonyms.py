"""Names for DIDs and session ids in logs and traces: the same one each time, and no way back.

A keyed hash (BLAKE2b). Who has the key can tell the pseudonym of an id that he knows, and nobody
else can, not even by trying all the DIDs that he has heard of. With another key all are others.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import Final

from sage_native.exceptions import UsageError

__all__ = ["KEY_LEN", "Pseudonyms"]

KEY_LEN: Final = 32
_PSEUDONYM_LEN = 8
_KNOWN_COUNT = 4096  # they are forgotten all at once when there are as many
_KNOWN_LEN = 256


class Pseudonyms:
    """Pseudonyms under one key.

    Args:
        key: 32 secret bytes, shared by whoever shall use the same pseudonyms.

    Raises:
        UsageError: The key has another length.
    """

    __slots__ = ("_dids", "_known", "_sessions")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_LEN:
            raise UsageError(f"a key of pseudonyms has {KEY_LEN} bytes, this one {len(key)}")
        # Copied for each pseudonym: that saves hashing the key.
        self._dids = blake2b(key=key, digest_size=_PSEUDONYM_LEN, person=b"sage did")
        self._sessions = blake2b(key=key, digest_size=_PSEUDONYM_LEN, person=b"sage session")
        self._known: dict[tuple[str, str], str] = {}

    @classmethod
    def random(cls) -> Pseudonyms:
        """Return pseudonyms of this process alone, under a key that nobody keeps."""
        return cls(secrets.token_bytes(KEY_LEN))

    def of_did(self, did: str) -> str:
        """Return ``did~`` and 16 hex digits; whatever text it is, also one that is no DID.

        Cost: 0.1 µs for one of the last few thousand, else 1 µs.
        """
        return self._known.get(("did", did)) or self._hashed("did", did)

    def of_session(self, session_id: str) -> str:
        """Return ``session~`` and 16 hex digits; cost and rest as ``of_did``."""
        return self._known.get(("session", session_id)) or self._hashed("session", session_id)

    def of(self, text: str) -> str:
        """Return the pseudonym of a DID or a session id, whichever it is."""
        return self.of_did(text) if text.startswith("did:") else self.of_session(text)

    def _hashed(self, kind: str, text: str) -> str:
        hashing = (self._dids if kind == "did" else self._sessions).copy()
        hashing.update(text.encode("utf-8", "surrogatepass"))
        pseudonym = f"{kind}~{hashing.hexdigest()}"
        if len(text) <= _KNOWN_LEN:
            if len(self._known) >= _KNOWN_COUNT:
                self._known.clear()
            self._known[kind, text] = pseudonym
        return pseudonym

    def __repr__(self) -> str:
        return "Pseudonyms()"
