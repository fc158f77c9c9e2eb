"""Many messages at once over one session, which is renewed when it ends.

python async_usage.py https://gateway.example:8480 did:key:z6Mk…  [agent.key]
"""

from __future__ import annotations

import asyncio
import sys

from sage_client import ClientSettings, SageClient
from sage_client.errors import StaleTimestampError


async def main(url: str, server_key: str, identity: str | None = None) -> None:
    """Compare the server's identity, shake hands, and send ten messages at once."""
    settings = ClientSettings(timeout_s=10, attempts=3)
    async with SageClient(url, identity, server_key=server_key, settings=settings) as client:
        server = await client.fetch_identity()
        print("the server answers to", ", ".join(server.dids))
        try:
            session = await client.connect(renew=True)
        except StaleTimestampError as error:
            sys.exit(str(error))
        async with session:
            messages = [f"question {number}".encode() for number in range(10)]
            for answer in await asyncio.gather(*(session.send(each) for each in messages)):
                print("answer:", answer.decode())
            await session.rekey()  # it happens by itself when it is due
            print("epoch", session.epoch)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
