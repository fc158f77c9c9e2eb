"""Talk to an agent behind a gateway, without an event loop.

    python basic_usage.py https://gateway.example:8480 did:key:z6Mk…  [agent.key]

The second argument is the gateway's key, as its operator told it. The third is your agent's signing
key; without it a new one is made, which only gateways that admit everybody accept.
"""

from __future__ import annotations

import sys

from sage_client import DeliveryUnknownError, SyncSageClient


def main(url: str, server_key: str, identity: str | None = None) -> None:
    """Shake hands, send two messages and an HTTP request, and end the session."""
    with SyncSageClient(url, identity, server_key=server_key) as client:
        print("I am", client.did)
        with client.connect() as session:
            print("session", session.session_id, "with", session.server_did)

            try:
                print("answer:", session.send(b"hello"))
            except DeliveryUnknownError as error:
                # It may have arrived or not, and it may matter if it arrives twice.
                print("no answer:", error.reason)

            # This one may arrive twice, so that the client may send it again by itself.
            print("answer:", session.send(b"hello again", idempotent=True))

            answer = session.request("POST", "/orders", content=b"one tea")
            print("HTTP answer:", answer.status, answer.content)


if __name__ == "__main__":
    main(*sys.argv[1:])
