"""The names of the first plan."""

from __future__ import annotations

import asyncio

import pytest
from sage_native.exceptions import UsageError
from sage_native.keys import SigningKey

import server as tricks
from faces import SETTINGS
from sage_client import DeliveryUnknownError, SAGEClient, SAGECrypto, SessionEndedError
from server import ProtocolServer


def test_keys_and_signatures() -> None:
    private_key, public_key = SAGECrypto.generate_keypair("Ed25519")
    signature = SAGECrypto.sign(b"message", private_key)
    assert SAGECrypto.verify(b"message", signature, public_key)
    assert not SAGECrypto.verify(b"another", signature, public_key)
    assert not SAGECrypto.verify(b"message", signature[:-1], public_key)
    with pytest.raises(UsageError, match="Secp256k1"):
        SAGECrypto.generate_keypair("Secp256k1")


async def test_the_plans_client(server: ProtocolServer) -> None:
    async with SAGEClient({"url": server.url}) as client:
        await client.initialize()
        session_id = await client.initiate_handshake(server.key.to_bytes())
        assert session_id in server.table
        assert await client.send_message(session_id, b"hello") == b"answer to hello"
        assert await client.close_session(session_id) is True
        with pytest.raises(SessionEndedError):
            await client.send_message(session_id, b"hello")
        assert isinstance(client.crypto, SAGECrypto)


async def test_identities_of_the_plans_client(server: ProtocolServer) -> None:
    pair = SAGECrypto.generate_keypair()
    key = SigningKey.generate()
    for given, did in ((pair, pair[0].did), (key, key.did), (key.to_bytes(), key.did)):
        async with SAGEClient({"url": server.url, "settings": SETTINGS}) as client:
            await client.initialize(given)
            session_id = await client.initiate_handshake(server.key)
            native = server.table.get(session_id)
            assert native is not None
            assert (native.client_did, native.server_did) == (did, server.key.did)


async def test_two_sessions_and_a_lost_answer(server: ProtocolServer) -> None:
    async with SAGEClient({"url": server.url, "settings": SETTINGS}) as client:
        await client.initialize()
        ids = [await client.initiate_handshake(server.key.did) for _ in range(2)]
        assert len(set(ids)) == 2
        answers = await asyncio.gather(*(client.send_message(one, one.encode()) for one in ids))
        assert answers == [b"answer to " + one.encode()[:32] for one in ids]
        server.next("messages", tricks.lose_answer)
        with pytest.raises(DeliveryUnknownError):
            await client.send_message(ids[0], b"x")
        server.next("messages", tricks.lose_answer)
        assert await client.send_message(ids[0], b"x", idempotent=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (None, "url"),
        ({"url": "http://a", "colour": "red"}, "colour"),
        ({"url": "http://a", "did": 7}, "did"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object] | None, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SAGEClient(options)


async def test_a_handshake_before_initialize() -> None:
    with pytest.raises(UsageError, match="initialize"):
        await SAGEClient({"url": "http://127.0.0.1:1"}).initiate_handshake(bytes(32))
