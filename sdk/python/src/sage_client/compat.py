"""The names of the first plan of this client, kept for code that was written against it.

``SAGEClient`` and ``SAGECrypto`` are thin: they say with the plan's words what ``SageClient`` and
the keys of ``sage_native`` do. New code uses those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from sage_native.exceptions import AuthenticationError, UsageError
from sage_native.keys import SigningKey, VerifyingKey

from sage_client.client import SageClient
from sage_client.crypto import load_identity
from sage_client.errors import SessionEndedError
from sage_client.types import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from sage_client.crypto import Identity, ServerKey
    from sage_client.session import SageSession

__all__ = ["SAGEClient", "SAGECrypto"]

KNOWN_OPTIONS = frozenset(("url", "did", "settings"))


class SAGECrypto:
    """Ed25519 keys and signatures by the plan's names."""

    @staticmethod
    def generate_keypair(key_type: str = "Ed25519") -> tuple[SigningKey, VerifyingKey]:
        """Return a new signing key and its verifying key. Raises UsageError for other types."""
        if key_type != "Ed25519":
            raise UsageError(f"key_type is {key_type!r}; identities are 'Ed25519'")
        signing_key = SigningKey.generate()
        return signing_key, signing_key.verifying_key

    @staticmethod
    def sign(message: bytes, private_key: SigningKey) -> bytes:
        """Return the 64-byte signature."""
        return private_key.sign(message)

    @staticmethod
    def verify(message: bytes, signature: bytes, public_key: VerifyingKey) -> bool:
        """Tell whether a signature is right. A key of a wrong type still raises."""
        try:
            public_key.verify(signature, message)
        except (AuthenticationError, UsageError):
            return False
        return True


class SAGEClient:
    """The plan's client: ``initialize``, ``initiate_handshake``, ``send_message``.

    Args:
        options: ``url`` of the gateway, which must be there; ``did`` and ``settings`` as for
            ``SageClient``.

    Raises:
        UsageError: An unknown option, or no URL.
    """

    def __init__(self, options: Mapping[str, object] | None = None) -> None:
        options = dict(options or {})
        unknown = sorted(options.keys() - KNOWN_OPTIONS)
        url, did, settings = (options.get(name) for name in ("url", "did", "settings"))
        if unknown:
            raise UsageError(f"unknown options: {', '.join(unknown)}; known: url, did, settings")
        if not isinstance(url, str):
            raise UsageError("options need 'url', the gateway's address")
        if not isinstance(did, str | None) or not isinstance(settings, ClientSettings | None):
            raise UsageError("'did' is a string, 'settings' a ClientSettings")
        self.crypto = SAGECrypto()
        self.identity_keypair: tuple[SigningKey, VerifyingKey] | None = None
        self._url, self._did, self._settings = url, did, settings
        self._clients: list[SageClient] = []
        self._sessions: dict[str, SageSession] = {}

    async def initialize(
        self, keypair: tuple[SigningKey, VerifyingKey] | Identity | None = None
    ) -> None:
        """Take an identity, or make a new one."""
        if keypair is None:
            self.identity_keypair = self.crypto.generate_keypair()
            return
        source = keypair[0] if isinstance(keypair, tuple) else keypair
        signing_key = load_identity(source)
        self.identity_keypair = (signing_key, signing_key.verifying_key)

    async def initiate_handshake(
        self, server_public_key: ServerKey, *, server_did: str | None = None
    ) -> str:
        """Shake hands with the server that holds this key.

        Args:
            server_public_key: 32 bytes, or what ``SageClient`` takes as ``server_key``.
            server_did: The server's DID; the ``did:key`` of its key if left out.

        Returns:
            The session's id, for ``send_message``.
        """
        if self.identity_keypair is None:
            raise UsageError("there is no identity yet: call initialize first")
        client = SageClient(
            self._url,
            self.identity_keypair[0],
            server_key=server_public_key,
            did=self._did,
            server_did=server_did,
            settings=self._settings,
        )
        self._clients.append(client)
        session = await client.connect()
        self._sessions[session.session_id] = session
        return session.session_id

    async def send_message(
        self, session_id: str, message: bytes, *, idempotent: bool = False
    ) -> bytes:
        """Send a message in a session and return the answer; as ``SageSession.send``."""
        return await self._session(session_id).send(message, idempotent=idempotent)

    async def close_session(self, session_id: str) -> bool:
        """End a session on both sides; as ``SageSession.close``."""
        session = self._session(session_id)
        del self._sessions[session_id]
        return await session.close()

    async def aclose(self) -> None:
        """Close all sessions and connections."""
        self._sessions.clear()
        for client in self._clients:
            await client.aclose()
        self._clients.clear()

    def _session(self, session_id: str) -> SageSession:
        session = self._sessions.get(session_id)
        if session is None:
            raise SessionEndedError(
                f"this client has no session {session_id!r}; initiate_handshake makes one",
                sent=False,
            )
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
