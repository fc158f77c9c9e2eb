"""For applications behind the gateway that live in the same process: who is asking?"""

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from sage_native.gateway.peers import Peer

__all__ = ["authenticated_peer"]


def authenticated_peer(connection: HTTPConnection) -> Peer:
    """Return the peer whose record held this request: a dependency for FastAPI and Starlette.

    ::

        @application.get("/whoami")
        async def whoami(peer: Annotated[Peer, Depends(authenticated_peer)]) -> dict[str, str]:
            return {"did": peer.did}

    Args:
        connection: The request; FastAPI hands it in by itself.

    Raises:
        HTTPException: 401: the request came from elsewhere than out of a record. Headers of
            whatever name make no peer.
    """
    peer = connection.scope.get("sage.peer")
    if not isinstance(peer, Peer):
        raise HTTPException(401, "this is served to authenticated peers only, through the gateway")
    return peer
