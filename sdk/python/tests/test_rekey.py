"""Rekeys on demand, and new sessions after the end of old ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import server as tricks
from sage_client import DeliveryUnknownError, NotAuthenticError, SessionEndedError
from sage_client.errors import AuthenticationFailedError, RekeyRequiredError, TransportError
from server import ProtocolServer

if TYPE_CHECKING:
    from sage_native.protocol import Session

    from faces import Face

SOFT_BUDGET = 1 << 20


def native_of(server: ProtocolServer, session_id: str) -> Session:
    native = server.table.get(session_id)
    assert native is not None
    return native


async def test_a_spent_budget_is_renewed_before_the_next_message(
    server: ProtocolServer, face: Face
) -> None:
    session = await face.session(server)
    native_of(server, session.session_id).skip(records=SOFT_BUDGET)
    assert await session.send(b"a") == b"answer to a"
    assert session.epoch == 0
    assert await session.send(b"b") == b"answer to b"
    assert session.epoch == 1
    assert server.told.count()["rekey"] == 1
    assert server.told.delivered == [b"a", b"b"]


async def test_a_rekey_by_hand(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    await session.rekey()
    await session.rekey()
    assert session.epoch == 2
    assert await session.send(b"x") == b"answer to x"


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_server_that_lost_its_windows(
    server: ProtocolServer, face: Face, *, idempotent: bool
) -> None:
    session = await face.session(server)
    native_of(server, session.session_id).demand_rekey()
    if idempotent:
        assert await session.send(b"x", idempotent=True) == b"answer to x"
        assert server.told.delivered == [b"x"]
    else:
        with pytest.raises(DeliveryUnknownError) as caught:
            await session.send(b"x")
        assert isinstance(caught.value.reason, RekeyRequiredError)
        assert server.told.delivered == []
    assert await session.send(b"y") == b"answer to y"
    assert session.epoch == 1


@pytest.mark.parametrize("trick", [tricks.lose_request, tricks.lose_answer])
async def test_a_lost_rekey_is_repeated_byte_for_byte(
    server: ProtocolServer, face: Face, trick: tricks.Trick
) -> None:
    session = await face.session(server)
    server.next("rekey", trick, trick)
    await session.rekey()
    assert len(server.told.bodies("rekey")) == 3
    assert len(set(server.told.bodies("rekey"))) == 1
    assert await session.send(b"x") == b"answer to x"


async def test_a_rekey_that_fails_is_taken_up_with_the_same_r1(
    server: ProtocolServer, face: Face
) -> None:
    session = await face.session(server)
    server.always("rekey", tricks.lose_answer)
    with pytest.raises(TransportError):
        await session.rekey()
    with pytest.raises(TransportError) as caught:
        await session.send(b"x")
    assert not caught.value.sent
    server.calm()
    assert await session.send(b"x") == b"answer to x"
    assert len(set(server.told.bodies("rekey"))) == 1
    assert server.told.delivered == [b"x"]


async def test_a_forged_reply_to_a_rekey(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)

    async def forge(exchange: tricks.Exchange) -> None:
        body = b'{"nonce":"%s","mac":"%s"}' % (b"A" * 43, b"A" * 43)
        await exchange.reply(tricks.Answer(200, body))

    server.next("rekey", forge, tricks.garbage)
    for _ in range(2):
        with pytest.raises(NotAuthenticError):
            await session.rekey()
        assert session.epoch == 0
    assert await session.send(b"x") == b"answer to x"
    assert session.epoch == 1


async def test_a_rekey_waits_for_what_is_under_way(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    hold = tricks.Hold()
    server.next("messages", hold)
    under_way = asyncio.create_task(session.send(b"first"))
    await asyncio.to_thread(hold.held.acquire)
    rekey = asyncio.create_task(session.rekey())
    later = asyncio.create_task(session.send(b"later"))
    # The server sees neither; a request of the same client, made later, it does see.
    await face.client(server).fetch_identity()
    assert server.told.count()["rekey"] == 0
    server.run(hold.let_go())
    assert await under_way == b"answer to first"
    await rekey
    assert await later == b"answer to later"
    assert session.epoch == 1


async def test_many_messages_and_rekeys_at_once(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    messages = [b"%d" % number for number in range(40)]
    work = [session.send(message) for message in messages]
    work[10:10] = [session.rekey()]
    work[30:30] = [session.rekey()]
    answers = [answer for answer in await asyncio.gather(*work) if answer is not None]
    assert answers == [b"answer to " + message for message in messages]
    assert sorted(server.told.delivered) == sorted(messages)


# The end of sessions, and what follows.


async def test_a_session_that_has_ended_says_so(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    session_id = session.session_id
    server.table.remove(session_id)
    with pytest.raises(DeliveryUnknownError) as caught:
        await session.send(b"x")
    assert isinstance(caught.value.reason, AuthenticationFailedError)
    with pytest.raises(AuthenticationFailedError):
        await session.send(b"x", idempotent=True)
    assert server.told.count()["initiate"] == 1


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_session_that_the_server_forgot_is_renewed(
    server: ProtocolServer, face: Face, *, idempotent: bool
) -> None:
    session = await face.session(server, renew=True)
    first = session.session_id
    server.table.remove(first)
    if not idempotent:
        with pytest.raises(DeliveryUnknownError):
            await session.send(b"x")
    assert await session.send(b"y", idempotent=idempotent) == b"answer to y"
    assert session.session_id != first
    assert server.told.delivered == [b"y"]


async def test_a_rekey_of_a_session_that_the_server_forgot(
    server: ProtocolServer, face: Face
) -> None:
    session = await face.session(server, renew=True)
    server.table.remove(session.session_id)
    await session.rekey()
    assert server.told.count()["initiate"] == 2
    assert await session.send(b"x") == b"answer to x"


async def test_a_renewal_that_fails_leaves_the_message_undelivered(
    server: ProtocolServer, face: Face
) -> None:
    session = await face.session(server, renew=True)
    server.table.remove(session.session_id)
    with pytest.raises(DeliveryUnknownError):
        await session.send(b"x")
    server.next("initiate", tricks.refuse("authentication_failed"))
    with pytest.raises(AuthenticationFailedError):
        await session.send(b"y")
    assert await session.send(b"y") == b"answer to y"


async def test_a_client_sends_without_caring_for_sessions(
    server: ProtocolServer, face: Face
) -> None:
    client = face.client(server)
    answers = await asyncio.gather(*(client.send(b"%d" % number) for number in range(10)))
    assert answers == [b"answer to %d" % number for number in range(10)]
    assert server.told.count()["initiate"] == 1
    (session_id,) = server.table.session_ids()
    server.table.remove(session_id)
    assert await client.send(b"x", idempotent=True) == b"answer to x"
    assert server.told.count()["initiate"] == 2


async def test_a_silent_session_ends_at_the_client_too(face: Face) -> None:
    with ProtocolServer(idle_timeout_s=1) as server:
        session = await face.session(server)
        renewed = await face.session(server, renew=True)
        await asyncio.sleep(1.1)
        with pytest.raises(SessionEndedError) as caught:
            await session.send(b"x")
        assert not caught.value.sent
        assert session.state == "expired"
        assert await renewed.send(b"x") == b"answer to x"
        assert server.told.count()["messages"] == 1
        await face.aclose()
