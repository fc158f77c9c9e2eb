"""Messages over a server that loses, forges and swaps: what arrives, and what callers learn."""

from __future__ import annotations

import asyncio

import pytest
from sage_native.exceptions import UsageError

import server as tricks
from faces import SETTINGS, Face
from sage_client import (
    ClientSettings,
    DeliveryUnknownError,
    NotAuthenticError,
    SessionEndedError,
)
from sage_client.errors import (
    AnswerLostError,
    AuthenticationFailedError,
    ConnectionFailedError,
    ExchangeError,
    OverloadedError,
    PayloadTooLargeError,
    RekeyRequiredError,
    ReplayDetectedError,
    UnexpectedAnswerError,
    UpstreamUnavailableError,
)
from server import ProtocolServer

AGAIN_AT_ONCE = [("retry-after", "0")]


@pytest.mark.parametrize("message", [b"", b"x", bytes(1 << 20)])
async def test_a_message_is_answered(server: ProtocolServer, face: Face, message: bytes) -> None:
    session = await face.session(server)
    assert await session.send(message) == b"answer to " + message[:32]
    assert server.told.delivered == [message]


async def test_a_message_that_is_too_long_does_not_leave(
    server: ProtocolServer, face: Face
) -> None:
    session = await face.session(server)
    with pytest.raises(UsageError):
        await session.send(bytes((1 << 20) + 1))
    assert server.told.count()["messages"] == 0
    assert await session.send(b"x") == b"answer to x"


async def test_http_travels_inside(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    answer = await session.request(
        "PUT", "/orders?open=1", headers=[("Content-Type", "text/plain")], content=b"tea"
    )
    assert (answer.status, answer.content) == (207, b"tea")
    assert (answer.header("X-Method"), answer.header("x-path")) == ("PUT", "/orders?open=1")
    assert answer.header("x-none") is None


async def test_one_connection_is_used_again(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    for _ in range(5):
        await session.send(b"x")
    assert server.told.connections == 1


# Lost: the record may be repeated, and is delivered once at most.


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_lost_request_is_repeated_byte_for_byte(
    server: ProtocolServer, face: Face, *, idempotent: bool
) -> None:
    session = await face.session(server)
    server.next("messages", tricks.lose_request, tricks.lose_request)
    assert await session.send(b"x", idempotent=idempotent) == b"answer to x"
    assert len(server.told.bodies("messages")) == 3
    assert len(set(server.told.bodies("messages"))) == 1
    assert server.told.delivered == [b"x"]


@pytest.mark.parametrize("code", ["overloaded", "rate_limited", "store_unavailable"])
async def test_a_busy_server_gets_the_same_record_again(
    server: ProtocolServer, face: Face, code: str
) -> None:
    session = await face.session(server)
    server.next("messages", tricks.refuse(code, headers=AGAIN_AT_ONCE), tricks.page)
    assert await session.send(b"x") == b"answer to x"
    assert len(set(server.told.bodies("messages"))) == 1
    assert server.told.delivered == [b"x"]


@pytest.mark.parametrize("trick", [tricks.lose_answer, tricks.cut_answer])
async def test_a_lost_answer_leaves_delivery_unknown(
    server: ProtocolServer, face: Face, trick: tricks.Trick
) -> None:
    session = await face.session(server)
    server.next("messages", trick)
    with pytest.raises(DeliveryUnknownError) as caught:
        await session.send(b"x")
    assert isinstance(caught.value.reason, ReplayDetectedError)
    assert server.told.delivered == [b"x"]
    assert await session.send(b"y") == b"answer to y"


async def test_a_lost_answer_to_an_idempotent_message(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    server.next("messages", tricks.lose_answer)
    assert await session.send(b"x", idempotent=True) == b"answer to x"
    first, repeated, anew = server.told.bodies("messages")
    assert first == repeated != anew
    assert server.told.delivered == [b"x", b"x"]


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1)])
async def test_methods_that_only_ask_may_arrive_twice(
    server: ProtocolServer, face: Face, method: str, times: int
) -> None:
    session = await face.session(server)
    server.next("messages", tricks.lose_answer)
    if times == 2:
        assert (await session.request(method, "/")).status == 207
    else:
        with pytest.raises(DeliveryUnknownError):
            await session.request(method, "/")
    assert len(server.told.delivered) == times


# Forged: nobody vouches for errors, so none of them brings a second delivery.


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("rekey_required", RekeyRequiredError),
        ("authentication_failed", AuthenticationFailedError),
        ("replay_detected", ReplayDetectedError),
        ("payload_too_large", PayloadTooLargeError),
        ("upstream_unavailable", UpstreamUnavailableError),
        ("made_up", ExchangeError),
    ],
)
async def test_a_forged_refusal_after_delivery_brings_no_second_delivery(
    server: ProtocolServer, face: Face, code: str, reason: type[ExchangeError]
) -> None:
    session = await face.session(server)
    server.next("messages", tricks.deliver_and_refuse(code))
    with pytest.raises(DeliveryUnknownError) as caught:
        await session.send(b"x")
    assert isinstance(caught.value.reason, reason)
    assert server.told.delivered == [b"x"]
    assert await session.send(b"y") == b"answer to y"
    assert server.told.delivered == [b"x", b"y"]


async def test_a_forged_busy_after_delivery_brings_no_second_delivery(
    server: ProtocolServer, face: Face
) -> None:
    session = await face.session(server)
    server.next("messages", tricks.deliver_and_refuse("overloaded"))
    with pytest.raises(DeliveryUnknownError) as caught:
        await session.send(b"x")
    assert isinstance(caught.value.reason, ReplayDetectedError)
    assert server.told.delivered == [b"x"]


async def test_a_forged_rekey_required_of_an_idempotent_message(
    server: ProtocolServer, face: Face
) -> None:
    session = await face.session(server)
    server.next("messages", tricks.deliver_and_refuse("rekey_required"))
    assert await session.send(b"x", idempotent=True) == b"answer to x"
    assert server.told.delivered == [b"x", b"x"]
    assert session.epoch == 1


async def test_two_answers_swapped(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    swap = tricks.Swap()
    server.next("messages", swap, swap)
    results = await asyncio.gather(session.send(b"a"), session.send(b"b"), return_exceptions=True)
    for result in results:
        assert isinstance(result, DeliveryUnknownError)
        assert isinstance(result.reason, NotAuthenticError)
    assert sorted(server.told.delivered) == [b"a", b"b"]
    assert await session.send(b"c") == b"answer to c"


async def test_an_old_answer_again(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    kept: list[tricks.Answer] = []

    async def keep(exchange: tricks.Exchange) -> None:
        kept.append(exchange.carry_out())
        await exchange.reply(kept[0])

    server.next("messages", keep, keep)
    await session.send(b"a")
    with pytest.raises(DeliveryUnknownError):
        await session.send(b"b")


@pytest.mark.parametrize(
    ("trick", "reason"),
    [
        (tricks.garbage, NotAuthenticError),
        (tricks.redirect, UnexpectedAnswerError),
        (tricks.huge, UnexpectedAnswerError),
        (tricks.compressed, UnexpectedAnswerError),
    ],
)
async def test_answers_that_are_none(
    server: ProtocolServer, face: Face, trick: tricks.Trick, reason: type[ExchangeError]
) -> None:
    session = await face.session(server)
    server.next("messages", trick)
    with pytest.raises(DeliveryUnknownError) as caught:
        await session.send(b"x")
    assert isinstance(caught.value.reason, reason)
    assert "elsewhere" not in server.told.count()


async def test_a_request_as_the_answer(server: ProtocolServer, face: Face) -> None:
    """The client's own record reflected."""
    session = await face.session(server)

    async def reflect(exchange: tricks.Exchange) -> None:
        await exchange.reply(tricks.Answer(200, exchange.body))

    server.next("messages", reflect)
    with pytest.raises(DeliveryUnknownError):
        await session.send(b"x")


async def test_the_wrong_kind_of_answer(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)

    async def confuse(exchange: tricks.Exchange) -> None:
        record = exchange.body
        native, _ = server.table.open(record, aad=tricks.REQUEST_AAD)
        aad = tricks.ANSWER_AAD + record[:48]
        sealed = native.seal(b"", aad=aad, answers=record, binary_http=not record[3] & 4)
        await exchange.reply(tricks.Answer(200, sealed))

    server.next("messages", confuse, confuse)
    with pytest.raises(DeliveryUnknownError, match="answered with binary HTTP"):
        await session.send(b"x")
    with pytest.raises(DeliveryUnknownError, match="answered with bytes"):
        await session.request("POST", "/")


# Patience and its end.


@pytest.mark.parametrize("trick", [tricks.hang, tricks.drip])
async def test_a_server_that_does_not_come_to_an_end(
    server: ProtocolServer, face: Face, trick: tricks.Trick
) -> None:
    session = await face.session(server, settings=ClientSettings(timeout_s=0.3, attempts=1))
    server.next("messages", trick)
    with pytest.raises(DeliveryUnknownError) as caught:
        await session.send(b"x")
    assert isinstance(caught.value.reason, AnswerLostError)
    assert await session.send(b"y") == b"answer to y"


async def test_tries_are_bounded_for_messages_too(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    server.always("messages", tricks.refuse("overloaded", headers=AGAIN_AT_ONCE))
    with pytest.raises(DeliveryUnknownError):
        await session.send(b"x")
    with pytest.raises(OverloadedError):
        await session.send(b"x", idempotent=True)
    assert server.told.count()["messages"] == 2 * SETTINGS.attempts


async def test_an_idempotent_message_is_not_sealed_without_end(
    server: ProtocolServer, face: Face
) -> None:
    session = await face.session(server)
    server.always("messages", tricks.garbage)
    with pytest.raises(NotAuthenticError):
        await session.send(b"x", idempotent=True)
    assert server.told.count()["messages"] == SETTINGS.attempts


async def test_a_server_that_is_gone_has_received_nothing(face: Face) -> None:
    with ProtocolServer() as server:
        session = await face.session(server)
    for _ in range(2):
        # The first may still find the old connection; what never left is never unknown.
        with pytest.raises((ConnectionFailedError, DeliveryUnknownError)) as caught:
            await session.send(b"x")
    assert isinstance(caught.value, ConnectionFailedError)


# The end of sessions.


async def test_a_session_is_closed_on_both_sides(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    native = server.table.get(session.session_id)
    assert await session.close() is True
    assert native is not None
    assert (native.state, session.state) == ("closed", "closed")
    assert await session.close() is False
    with pytest.raises(SessionEndedError, match="was closed"):
        await session.send(b"x")


async def test_a_close_that_nobody_answers(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)
    server.always("messages", tricks.lose_request)
    assert await session.close() is False
    assert session.state == "closed"


async def test_a_client_closes_its_sessions(server: ProtocolServer, face: Face) -> None:
    client = face.client(server)
    sessions = [await client.connect() for _ in range(3)]
    natives = [server.table.get(session.session_id) for session in sessions]
    await client.aclose()
    assert [native.state for native in natives if native is not None] == ["closed"] * 3
    with pytest.raises(SessionEndedError, match="client was closed"):
        await client.connect()


async def test_the_server_closes_instead_of_answering(server: ProtocolServer, face: Face) -> None:
    session = await face.session(server)

    async def close(exchange: tricks.Exchange) -> None:
        record = exchange.body
        native, _ = server.table.open(record, aad=tricks.REQUEST_AAD)
        sealed = native.seal_close(aad=tricks.ANSWER_AAD + record[:48], answers=record)
        await exchange.reply(tricks.Answer(200, sealed))

    server.next("messages", close)
    with pytest.raises(DeliveryUnknownError, match="closed the session"):
        await session.send(b"x")
    with pytest.raises(SessionEndedError) as caught:
        await session.send(b"y")
    assert not caught.value.sent
