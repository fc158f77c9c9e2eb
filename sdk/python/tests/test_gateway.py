"""The same over the reference gateway: nothing here misbehaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sage_native.keys import SigningKey

from faces import SETTINGS, Threaded
from gateway import running_gateway
from sage_client import (
    SAGEClient,
    SageClient,
    ServerIdentityError,
    SyncSageClient,
)
from sage_client.errors import AuthenticationFailedError, MisdirectedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(tmp_path_factory.mktemp("gateway") / "state") as url:
        yield url


@pytest.fixture(params=["async", "sync"])
async def client(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Any]:
    face = SageClient if request.param == "async" else SyncSageClient
    made: Any = face(url, trust_on_first_use=True, settings=SETTINGS)
    made = made if request.param == "async" else Threaded(made)
    yield made
    await made.aclose()


async def test_messages_and_their_answers(client: Any) -> None:
    session = await client.connect()
    messages = [b"", b"hello", bytes(1 << 20)]
    assert [await session.send(message) for message in messages] == messages


async def test_http_through_the_gateway(client: Any) -> None:
    session = await client.connect()
    headers = [("Content-Type", "text/plain")]
    answer = await session.request("POST", "/orders", headers=headers, content=b"tea")
    assert (answer.status, answer.content) == (200, b"tea")
    assert answer.header("content-type") == "text/plain"


async def test_rekeys(client: Any) -> None:
    session = await client.connect()
    for epoch in (1, 2):
        await session.rekey()
        assert session.epoch == epoch
        assert await session.send(b"%d" % epoch) == b"%d" % epoch


async def test_many_at_once(client: Any) -> None:
    session = await client.connect()
    messages = [b"%d" % number for number in range(50)]
    work = [session.send(message) for message in messages]
    work.insert(25, session.rekey())
    answers = await asyncio.gather(*work)
    assert [answer for answer in answers if answer is not None] == messages


async def test_a_closed_session_is_over(client: Any) -> None:
    session = await client.connect()
    session_id = session.session_id
    assert await session.close() is True
    assert await client.send(b"in another") == b"in another"
    assert session.session_id == session_id


async def test_the_identity_is_announced_and_compared(client: Any, url: str) -> None:
    identity = await client.fetch_identity()
    assert identity.keys[0][0] in identity.dids
    assert identity.limits["max_plaintext_len"] == 1 << 20
    async with SageClient(url, server_key=identity.keys[0][1]) as pinned:
        assert await pinned.fetch_identity() == identity
    other = SigningKey.generate().verifying_key
    async with SageClient(url, server_key=other) as wrong:
        with pytest.raises(ServerIdentityError):
            await wrong.fetch_identity()
        with pytest.raises(MisdirectedError):
            await wrong.connect()


async def test_the_plans_names(url: str) -> None:
    async with SageClient(url) as anybody:
        identity = await anybody.fetch_identity()
    async with SAGEClient({"url": url}) as client:
        await client.initialize()
        session_id = await client.initiate_handshake(identity.keys[0][1].to_bytes())
        assert await client.send_message(session_id, b"hello") == b"hello"


@pytest.mark.parametrize("confirmation", ["mac", "signature"])
async def test_strict_gateways(tmp_path_factory: pytest.TempPathFactory, confirmation: str) -> None:
    overrides: dict[str, Any] = {
        "handshake.challenges": "always",
        "handshake.confirmation": confirmation,
    }
    state_dir = tmp_path_factory.mktemp("gateway") / "state"
    with running_gateway(state_dir, **overrides) as url:
        async with SageClient(url, trust_on_first_use=True) as client:
            session = await client.connect()
            assert await session.send(b"x") == b"x"


async def test_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Sessions outlive the server; what record windows knew does not, so that a rekey comes."""
    state_dir = tmp_path_factory.mktemp("gateway") / "state"
    key = SigningKey.generate()
    with running_gateway(state_dir) as url:
        client = SageClient(url, key, trust_on_first_use=True, settings=SETTINGS)
        session = await client.connect()
        await session.send(b"before")
    port = int(url.rsplit(":", 1)[1])
    with running_gateway(state_dir, port=port):
        assert await session.send(b"after", idempotent=True) == b"after"
        assert await session.send(b"x") == b"x"
        await client.aclose()


async def test_who_is_not_admitted(tmp_path_factory: pytest.TempPathFactory) -> None:
    state_dir = tmp_path_factory.mktemp("gateway") / "state"
    overrides: dict[str, Any] = {"admission.policy": "registered"}
    with running_gateway(state_dir, **overrides) as url:
        async with SageClient(url, trust_on_first_use=True) as client:
            with pytest.raises(AuthenticationFailedError):
                await client.connect()
