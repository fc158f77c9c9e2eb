"""How a handshake ended, for those who listen to events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.exceptions import StorageError

if TYPE_CHECKING:
    from sage_native.events import HandshakeStatus

__all__ = ["outcome_of"]


def outcome_of(error: BaseException) -> tuple[HandshakeStatus, str]:
    """Return the status and the code of a handshake that ended with an error.

    ``refused`` is what the client sent, or a limit; ``failed`` is this side: a store without an
    answer, or an error that has no code.
    """
    code: str | None = getattr(error, "code", None)
    if code is None:
        return "failed", "internal_error"
    return "failed" if isinstance(error, StorageError) else "refused", code
