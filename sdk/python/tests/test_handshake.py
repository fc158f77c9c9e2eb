"""From nothing to a session, over a server that helps and one that does not."""

from __future__ import annotations

import asyncio
import json

import pytest
from sage_native.exceptions import UsageError
from sage_native.keys import SigningKey

import server as tricks
from faces import SETTINGS, Face
from sage_client import ClientSettings, NotAuthenticError, ServerIdentityError
from sage_client.errors import (
    AnswerLostError,
    AuthenticationFailedError,
    ChallengeRequiredError,
    ConnectionFailedError,
    MisdirectedError,
    OverloadedError,
    RateLimitedError,
    StaleTimestampError,
    UnexpectedAnswerError,
)
from server import ProtocolServer


async def test_a_session_opens_and_says_what_it_is(server: ProtocolServer, face: Face) -> None:
    key = SigningKey.generate()
    session = await face.session(server, identity=key)
    assert (session.client_did, session.server_did) == (key.did, server.key.did)
    assert (session.state, session.epoch, session.idle_timeout_s) == ("open", 0, 600)
    assert session.session_id in server.table
    assert server.told.count() == {"initiate": 1, "complete": 1}


@pytest.mark.parametrize("face", ["async"], indirect=True)
@pytest.mark.parametrize("signature", [False, True])
async def test_both_policies_of_confirmation(*, signature: bool, face: Face) -> None:
    with ProtocolServer(require_signature=signature) as server:
        session = await face.session(server)
        assert await session.send(b"x") == b"answer to x"
        await face.aclose()


async def test_another_did_than_the_keys_own(face: Face) -> None:
    with ProtocolServer(dids=["did:web:bob.example"]) as server:
        session = await face.session(server, server_did="did:web:bob.example")
        assert session.server_did == "did:web:bob.example"
        await face.aclose()


async def test_a_challenge_is_answered_with_a_new_m1(face: Face) -> None:
    with ProtocolServer(require_challenge=True) as server:
        await face.session(server)
        first, second = (json.loads(m1) for m1 in server.told.bodies("initiate"))
        assert "challenge" not in first
        assert second["challenge"]
        assert first["nonce"] != second["nonce"]
        await face.aclose()


async def test_challenges_without_end_are_given_up(server: ProtocolServer, face: Face) -> None:
    server.always("initiate", tricks.refuse("challenge_required", challenge="AAAA"))
    with pytest.raises(ChallengeRequiredError):
        await face.session(server)
    assert server.told.count()["initiate"] == 4


async def test_a_challenge_that_cannot_be_read(server: ProtocolServer, face: Face) -> None:
    server.next("initiate", tricks.refuse("challenge_required", challenge="*"))
    with pytest.raises(UnexpectedAnswerError, match="none that can be read"):
        await face.session(server)


@pytest.mark.parametrize(
    "trick", [tricks.lose_request, tricks.lose_answer, tricks.cut_answer, tricks.page]
)
async def test_a_lost_m1_is_followed_by_a_new_one(
    server: ProtocolServer, face: Face, trick: tricks.Trick
) -> None:
    server.next("initiate", trick, trick)
    await face.session(server)
    m1s = [json.loads(m1) for m1 in server.told.bodies("initiate")]
    for field in ("nonce", "client_ephemeral_key", "signature"):
        assert len({m1[field] for m1 in m1s}) == 3


@pytest.mark.parametrize("code", ["overloaded", "rate_limited", "store_unavailable"])
async def test_a_busy_server_is_asked_again(server: ProtocolServer, face: Face, code: str) -> None:
    server.next("initiate", tricks.refuse(code, headers=[("retry-after", "0")]))
    await face.session(server)
    assert len(set(server.told.bodies("initiate"))) == 2


async def test_tries_are_bounded(server: ProtocolServer, face: Face) -> None:
    server.always("initiate", tricks.refuse("overloaded", headers=[("retry-after", "0")]))
    with pytest.raises(OverloadedError) as caught:
        await face.session(server)
    assert caught.value.retry_after_s == 0
    assert server.told.count()["initiate"] == SETTINGS.attempts


async def test_a_server_that_asks_for_too_much_patience_is_not_asked_again(
    server: ProtocolServer, face: Face
) -> None:
    server.always("initiate", tricks.refuse("rate_limited", headers=[("retry-after", "3600")]))
    with pytest.raises(RateLimitedError) as caught:
        await face.session(server)
    assert caught.value.retry_after_s == 3600
    assert server.told.count()["initiate"] == 1


async def test_a_lost_m3_is_repeated_byte_for_byte(server: ProtocolServer, face: Face) -> None:
    server.next("complete", tricks.lose_request, tricks.lose_answer)
    await face.session(server)
    assert server.told.count() == {"initiate": 1, "complete": 3}
    assert len(set(server.told.bodies("complete"))) == 1


async def test_a_refused_m3_is_followed_by_a_new_m1(server: ProtocolServer, face: Face) -> None:
    server.next("complete", tricks.refuse("authentication_failed"))
    session = await face.session(server)
    assert server.told.count() == {"initiate": 2, "complete": 2}
    assert await session.send(b"x") == b"answer to x"


async def test_an_m3_that_is_always_refused(server: ProtocolServer, face: Face) -> None:
    server.always("complete", tricks.refuse("authentication_failed"))
    with pytest.raises(AuthenticationFailedError):
        await face.session(server)


async def test_a_refused_identity_is_not_tried_again(server: ProtocolServer, face: Face) -> None:
    client = face.client(server)
    server.refused_dids.add(client.did)
    with pytest.raises(AuthenticationFailedError) as caught:
        await client.connect()
    assert (caught.value.code, caught.value.status) == ("authentication_failed", 401)
    assert server.told.count() == {"initiate": 1}


async def test_clocks_that_differ_are_both_named(server: ProtocolServer, face: Face) -> None:
    server.clock_offset_ms = 3_600_000
    with pytest.raises(StaleTimestampError, match="3600 s apart; set the clock") as caught:
        await face.session(server)
    assert caught.value.server_time_ms is not None
    assert caught.value.server_time_ms - caught.value.client_time_ms > 3_500_000
    assert server.told.count() == {"initiate": 1}


async def test_another_key_than_the_pinned_one(server: ProtocolServer, face: Face) -> None:
    with pytest.raises(MisdirectedError):
        await face.session(server, server_key=SigningKey.generate().verifying_key)


@pytest.mark.parametrize("field", ["signature", "confirmation", "server_ephemeral_key"])
async def test_an_impostor_without_the_key(server: ProtocolServer, face: Face, field: str) -> None:
    async def pose(exchange: tricks.Exchange) -> None:
        m2 = json.loads(exchange.carry_out().body)
        m2[field] = "B" + m2[field][1:] if m2[field][0] != "B" else "C" + m2[field][1:]
        await exchange.reply(tricks.Answer(200, json.dumps(m2).encode()))

    server.next("initiate", pose)
    with pytest.raises(NotAuthenticError, match="does not prove"):
        await face.session(server)
    assert server.told.count() == {"initiate": 1}


@pytest.mark.parametrize(
    ("trick", "error"),
    [
        (tricks.garbage, NotAuthenticError),
        (tricks.redirect, UnexpectedAnswerError),
        (tricks.huge, UnexpectedAnswerError),
        (tricks.compressed, UnexpectedAnswerError),
    ],
)
async def test_answers_that_are_none(
    server: ProtocolServer, face: Face, trick: tricks.Trick, error: type[Exception]
) -> None:
    server.next("initiate", trick)
    with pytest.raises(error):
        await face.session(server)
    assert server.told.count() == {"initiate": 1}


@pytest.mark.parametrize("trick", [tricks.hang, tricks.drip])
async def test_a_server_that_does_not_come_to_an_end(
    server: ProtocolServer, face: Face, trick: tricks.Trick
) -> None:
    server.always("initiate", trick)
    with pytest.raises(AnswerLostError):
        await face.session(server, settings=ClientSettings(timeout_s=0.2, attempts=1))


async def test_nobody_listens(server: ProtocolServer, face: Face) -> None:
    client = face.client(server, url="http://127.0.0.1:1")
    with pytest.raises(ConnectionFailedError) as caught:
        await client.connect()
    assert not caught.value.sent


async def test_the_identity_is_compared_with_the_pin(server: ProtocolServer, face: Face) -> None:
    identity = await face.client(server).fetch_identity()
    assert identity.keys == ((server.key.did, server.key),)
    assert (identity.suites, identity.confirmation, identity.challenges) == (
        (1,),
        "mac",
        "when_needed",
    )
    assert identity.limits["max_plaintext_len"] == 1 << 20
    other = SigningKey.generate().verifying_key
    with pytest.raises(ServerIdentityError, match=other.did):
        await face.client(server, server_key=other).fetch_identity()


@pytest.mark.parametrize("trick", [tricks.garbage, tricks.redirect, tricks.huge])
async def test_an_identity_that_is_none(
    server: ProtocolServer, face: Face, trick: tricks.Trick
) -> None:
    server.next("identity", trick)
    with pytest.raises(UnexpectedAnswerError):
        await face.client(server).fetch_identity()


async def test_without_a_pin_nobody_is_trusted(server: ProtocolServer, face: Face) -> None:
    with pytest.raises(ServerIdentityError, match="trust_on_first_use"):
        await face.session(server, server_key=None)
    assert server.told.requests == []


async def test_trust_on_first_use_pins(server: ProtocolServer, face: Face) -> None:
    client = face.client(server, server_key=None, trust_on_first_use=True)
    before = client.server_key
    await client.connect()
    assert (before, client.server_key) == (None, server.key)
    await client.connect()
    assert server.told.count()["identity"] == 1


async def test_a_pin_goes_before_trust_on_first_use(server: ProtocolServer, face: Face) -> None:
    other = SigningKey.generate().verifying_key
    with pytest.raises(MisdirectedError):
        await face.session(server, server_key=other, trust_on_first_use=True)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("127.0.0.1:8480", "give scheme, host"),
        ("ftp://127.0.0.1", "give scheme, host"),
        ("http://a:secret@127.0.0.1", "holds a user"),
        ("http://127.0.0.1/?q=1", "give scheme, host"),
        ("http://127.0.0.1:port", "cannot be read"),
    ],
)
async def test_urls_that_are_none(server: ProtocolServer, face: Face, url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        face.client(server, url=url)
    assert "secret" not in str(caught.value)


async def test_a_did_that_is_none(server: ProtocolServer, face: Face) -> None:
    with pytest.raises(UsageError):
        face.client(server, did="alice")


@pytest.mark.parametrize("face", ["async"], indirect=True)
async def test_a_cancelled_handshake_leaves_nothing_behind(
    server: ProtocolServer, face: Face
) -> None:
    hold = tricks.Hold()
    server.next("initiate", hold)
    client = face.client(server)
    task = asyncio.create_task(client.connect())
    await asyncio.to_thread(hold.held.acquire)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.run(hold.let_go())
    assert (await client.connect()).state == "open"
