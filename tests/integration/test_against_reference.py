"""The product talks to the independent reference, in both roles and both carriers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from sage_native import Initiator, ReplaySet, Responder, SigningKey, VerifyingKey, resolve_did_key
from sage_native.protocol import MAX_PLAINTEXT_LEN, decode_json, encode_json
from tests.agents import NOW_MS, REFUSED, code_of
from tests.integration.scenes import Rekey, Say, Terms, conversations, terms
from tests.integration.sides import Native, Reference, Side
from tests.reference import carriers, challenge
from tests.reference import handshake as reference
from tests.reference.messages import R1, Accept, Confirm, Initiate, RekeyReply
from tests.reference.rekey import RekeyMacKeys
from tests.reference.setups import derived_bytes

CLIENT_SEED, SERVER_SEED = derived_bytes("their client"), derived_bytes("their server")
CHALLENGE_KEY = derived_bytes("their challenge key")
PLAIN = Terms(
    "",
    "",
    (1,),
    challenged=False,
    channel_binding=b"",
    signed=False,
    lifetime_s=60,
    idle_timeout_s=60,
)
SIDES = ["native client", "native server"]


def meet(native_role: str, agreed: Terms) -> tuple[Side, Side]:
    """Shake hands over JSON; returns the client's and the server's side."""
    return meet_as_client(agreed) if native_role == "native client" else meet_as_server(agreed)


def meet_as_client(agreed: Terms) -> tuple[Native, Reference]:
    client, server = identities(agreed)
    initiator = Initiator(
        SigningKey(CLIENT_SEED),
        VerifyingKey(server.public_key),
        did=client.did,
        server_did=server.did,
        suites=agreed.suites,
        sign_confirmation=agreed.signed,
    )
    attempt = initiator.initiate(
        challenge=minted(agreed), channel_binding=agreed.channel_binding, now_ms=NOW_MS
    )
    responder = reference.Responder(
        identities=(server,),
        resolve=lambda did: [client.public_key] if did == client.did else [],
        policy=reference.Policy(
            confirmation="signature" if agreed.signed else "mac",
            challenge_required=agreed.challenged,
            lifetime_ms=agreed.lifetime_s * 1000,
            idle_timeout_s=agreed.idle_timeout_s,
            channel_binding=agreed.channel_binding,
        ),
        challenge_key=CHALLENGE_KEY,
    )
    m1 = carriers.decode_initiate(encode_json("initiate", attempt.message))
    assert m1 == Initiate.decode(attempt.message)
    accept = responder.respond(
        m1,
        now_ms=NOW_MS,
        ephemeral_secret=derived_bytes("their ephemeral secret"),
        server_nonce=derived_bytes("their nonce"),
        session_id=derived_bytes("their session id", 16),
        incarnation=derived_bytes("their incarnation", 16),
    )
    m2 = decode_json("accept", carriers.encode_accept(accept))
    assert m2 == accept.encode()
    m3, session = attempt.finish(m2, now_ms=NOW_MS)
    confirm = carriers.decode_confirm(encode_json("confirm", m3))
    assert confirm == Confirm.decode(m3)
    assert (confirm.signature != b"") == agreed.signed
    return Native(session), Reference(responder.confirm(confirm, now_ms=NOW_MS))


def meet_as_server(agreed: Terms) -> tuple[Reference, Native]:
    client, server = identities(agreed)
    initiator = reference.Initiator(
        client,
        server_did=server.did,
        server_public_key=server.public_key,
        ephemeral_secret=derived_bytes("their ephemeral secret"),
        nonce=derived_bytes("their nonce"),
        now_ms=NOW_MS,
        suites=agreed.suites,
        challenge=minted(agreed),
        channel_binding=agreed.channel_binding,
    )
    responder = Responder(
        SigningKey(SERVER_SEED),
        resolve=resolve_did_key,
        admit=ReplaySet().admit,
        dids=[server.did],
        require_challenge=agreed.challenged,
        require_signed_confirmation=agreed.signed,
        challenge_key=CHALLENGE_KEY,
    )
    m1 = decode_json("initiate", carriers.encode_initiate(initiator.message))
    assert m1 == initiator.message.encode()
    request = responder.read(m1, channel_binding=agreed.channel_binding, now_ms=NOW_MS)
    request.authenticate([VerifyingKey(client.public_key)])
    m2, session = request.accept(
        lifetime_s=agreed.lifetime_s, idle_timeout_s=agreed.idle_timeout_s, now_ms=NOW_MS
    )
    accept = carriers.decode_accept(encode_json("accept", m2))
    assert accept == Accept.decode(m2)
    theirs = initiator.finish(
        accept, now_ms=NOW_MS, incarnation=derived_bytes("their incarnation", 16)
    )
    confirm = carriers.encode_confirm(initiator.confirm(signed=agreed.signed))
    session.confirm(decode_json("confirm", confirm), now_ms=NOW_MS)
    return Reference(theirs), Native(session)


def identities(agreed: Terms) -> tuple[reference.Identity, reference.Identity]:
    return (
        reference.Identity(CLIENT_SEED, agreed.client_did),
        reference.Identity(SERVER_SEED, agreed.server_did),
    )


def minted(agreed: Terms) -> bytes:
    if not agreed.challenged:
        return b""
    client, server = identities(agreed)
    return challenge.mint(
        CHALLENGE_KEY, issued_ms=NOW_MS - 1, client_did=client.did, server_did=server.did
    )


def converse(client: Side, server: Side, conversation: list[Say | Rekey]) -> None:
    for part in conversation:
        if isinstance(part, Rekey):
            request = client.ask()
            reply = server.answer(request)
            if part.is_repeated:
                assert client.ask() == request
                assert server.answer(request) == reply
            client.accept(reply)
        else:
            sender, receiver = (client, server) if part.from_client else (server, client)
            record = sender.seal(part.plaintext, part.aad, binary_http=part.binary_http)
            assert receiver.open(record, part.aad) == part.plaintext


@pytest.mark.parametrize("native_role", SIDES)
@settings(max_examples=40, deadline=None)
@given(agreed=terms(), conversation=conversations())
def test_any_conversation(native_role: str, agreed: Terms, conversation: list[Say | Rekey]) -> None:
    client, server = meet(native_role, agreed)
    converse(client, server, conversation)
    for label, context, length in (("x", b"", 1), ("exporter", agreed.channel_binding, 8_160)):
        assert client.export(label, context, length) == server.export(label, context, length)


@pytest.mark.parametrize("native_role", SIDES)
def test_the_largest_record(native_role: str) -> None:
    sides = meet(native_role, PLAIN)
    largest = derived_bytes("the largest plaintext", MAX_PLAINTEXT_LEN)
    for sender, receiver in (sides, sides[::-1]):
        record = sender.seal(largest, b"aad", binary_http=False)
        assert receiver.open(record, b"aad") == largest


def test_a_native_client_adopts_the_committed_r1() -> None:
    client, server = meet_as_client(PLAIN)
    keys = RekeyMacKeys.derive(server.session.c2s, server.session.s2c)
    other = keys.make_r1(server.session.session_id, 0, derived_bytes("another process"))
    server.answer(other.encode())
    reply = server.answer(client.ask())
    assert len(reply) == 64 + 84
    client.accept(reply)
    converse(client, server, [Say(True, 16, b"", False), Say(False, 16, b"", False)])  # noqa: FBT003


@pytest.mark.parametrize("changes", [{"mac": bytes(32)}, {"epoch": 1}, {"session_id": bytes(16)}])
def test_a_native_client_checks_the_adopted_r1_too(changes: dict[str, Any]) -> None:
    client, server = meet_as_client(PLAIN)
    keys = RekeyMacKeys.derive(server.session.c2s, server.session.s2c)
    own = R1.decode(client.ask())
    wrong = replace(own, **changes)
    if "mac" not in changes:
        wrong = keys.make_r1(wrong.session_id, wrong.epoch, wrong.nonce)
    reply = RekeyReply(keys.make_r2(wrong, derived_bytes("nonce")), wrong)
    assert code_of(client.accept, reply.encode()) == REFUSED
    client.accept(server.answer(own.encode()))


def test_a_native_server_hands_the_committed_r1_over() -> None:
    client, server = meet_as_server(PLAIN)
    keys = RekeyMacKeys.derive(client.session.c2s, client.session.s2c)
    other = keys.make_r1(client.session.session_id, 0, derived_bytes("another process"))
    server.answer(other.encode())
    reply = server.answer(client.ask())
    assert len(reply) == 64 + 84
    client.accept(reply)
    converse(client, server, [Say(True, 16, b"", False), Say(False, 16, b"", False)])  # noqa: FBT003
