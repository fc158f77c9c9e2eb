"""The admin listener's gateway has nothing behind it: it opens no records."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from sage_native.gateway.behind import Behind, BehindUnavailableError

if TYPE_CHECKING:
    from sage_native.gateway.peers import Peer

__all__ = ["Behindless"]


class Behindless(Behind):
    """Refuses every message."""

    async def answer(
        self,
        peer: Peer,  # noqa: ARG002 - part of the interface
        plaintext: bytes,  # noqa: ARG002
        *,
        binary_http: bool,  # noqa: ARG002
    ) -> NoReturn:
        """Refuse."""
        raise BehindUnavailableError("nothing is behind the admin listener", delivered=False)
