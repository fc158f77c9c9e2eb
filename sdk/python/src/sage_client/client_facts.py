"""What both faces of a client have in common: who it is and whom it expects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native.keys import SigningKey

from sage_client.connecting import ClientSteps
from sage_client.crypto import Identity, ServerKey, load_identity, load_server_key
from sage_client.driving import check_url
from sage_client.types import ClientSettings

if TYPE_CHECKING:
    import ssl

    from sage_native.keys import VerifyingKey

__all__ = ["ClientFacts"]


class ClientFacts:
    """Talks to one gateway as one agent.

    Args:
        url: The gateway's, such as ``https://gateway.example:8480``.
        identity: The agent's signing key: itself, its bytes, or the path of its file. A new one
            if left out, which only gateways that admit everybody accept.
        server_key: The pinned key of the server: itself, its bytes, its ``did:key``, or the path
            of its file.
        did: The agent's DID, if it is another than the ``did:key`` of its key.
        server_did: The server's DID, if another than the ``did:key`` of its key is meant.
        password: For an encrypted identity file.
        trust_on_first_use: Pin the key that the server announces first. Whoever sits on the way
            at that moment is believed.
        settings: Tries and times.
        verify: TLS settings; the system's authorities if left out.

    Raises:
        UsageError: A URL, key or DID that cannot be used.
    """

    def __init__(  # noqa: PLR0913 - one setting each
        self,
        url: str,
        identity: Identity | None = None,
        *,
        server_key: ServerKey | None = None,
        did: str | None = None,
        server_did: str | None = None,
        password: bytes | None = None,
        trust_on_first_use: bool = False,
        settings: ClientSettings | None = None,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._url = check_url(url)
        self._settings = settings or ClientSettings()
        self._verify = verify
        pinned = None if server_key is None else load_server_key(server_key)
        self._owns_key = not isinstance(identity, SigningKey)
        self._signing_key = (
            SigningKey.generate()
            if identity is None
            else load_identity(identity, password=password)
        )
        self._did = self._signing_key.did if did is None else did
        self._steps = ClientSteps(
            self._signing_key,
            self._settings,
            server_key=pinned,
            did=did,
            server_did=server_did,
            trust_on_first_use=trust_on_first_use,
        )
        self._open_driver()

    def _open_driver(self) -> None:
        """Make what drives the steps, in the face that a subclass is."""
        raise NotImplementedError

    @property
    def did(self) -> str:
        """Who this client is."""
        return self._did

    @property
    def server_key(self) -> VerifyingKey | None:
        """The pinned key; None before the first use of a server that is trusted on first use."""
        return self._steps.server_key

    def _close_key(self) -> None:
        if self._owns_key:
            self._signing_key.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(did={self.did!r})"
