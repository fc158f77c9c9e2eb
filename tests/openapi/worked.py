"""The worked examples: one story between two identities, made by the reference.

A client with the plain setup's key shakes hands with a gateway, sends a record, asks for a rekey
and has signatures verified; an operator sees its DID and its session. Every signature, MAC and tag
in it verifies. The names are those of ``components.examples`` in the description.
"""

from __future__ import annotations

import json
from dataclasses import replace

from sage_native.gateway.problems import PROBLEMS, problem
from tests.reference import carriers, ed25519
from tests.reference.carriers import to_base64url
from tests.reference.challenge import mint
from tests.reference.messages import R1, session_id_text
from tests.reference.records import FLAG_CLOSE, HTTP_REQUEST_AAD, HTTP_RESPONSE_AAD
from tests.reference.rekey import RekeyMacKeys
from tests.reference.setups import Setup, Situation, derived_bytes

__all__ = ["MESSAGE", "setup", "worked_bodies", "worked_problems", "worked_records"]

MESSAGE = b"the weather in Oslo, please"
OPEN = Setup(state="open")
LIMITS = {
    "max_handshake_len": 16_384,
    "max_plaintext_len": 1_048_576,
    "session_lifetime_s": 3_600,
    "idle_timeout_s": 900,
    "max_clock_skew_ms": 60_000,
}


def setup() -> Setup:
    """Return the setup that the story is made from."""
    return OPEN


def worked_bodies() -> dict[str, object]:
    """Return every JSON body of the story by the name of its example."""
    return _handshake() | _rekey() | _signatures() | _registry()


def worked_problems() -> dict[str, object]:
    """Return the problem document of every code, as the gateway writes it."""
    documents = {code: problem(code) for code in PROBLEMS}
    documents["stale_timestamp"] = problem("stale_timestamp", server_time_ms=OPEN.now_ms + 61_000)
    documents["challenge_required"] = problem(
        "challenge_required", challenge=to_base64url(_challenge())
    )
    return {code: _read(answer.body) for code, answer in documents.items()}


def worked_records() -> dict[str, bytes]:
    """Return the sealed question, its sealed answer and the close, by their examples' names."""
    situation, now_ms = Situation(OPEN), OPEN.now_ms
    client, server = situation.client_session, situation.server_session
    question = client.seal(MESSAGE, now_ms=now_ms, aad=HTTP_REQUEST_AAD)
    opened = server.open(question, now_ms=now_ms, aad=HTTP_REQUEST_AAD)
    assert opened.plaintext == MESSAGE
    answer = server.seal(b"four degrees", now_ms=now_ms, aad=HTTP_RESPONSE_AAD + question[:48])
    close = client.seal(b"", now_ms=now_ms, aad=HTTP_REQUEST_AAD, flags=FLAG_CLOSE)
    return {"SealedQuestion": question, "SealedAnswer": answer, "SealedClose": close}


def _handshake() -> dict[str, object]:
    situation = Situation(replace(OPEN, state="fresh"))
    accept = situation.answer()
    situation.finish(accept, now_ms=OPEN.now_ms)
    signed = Situation(replace(OPEN, state="fresh"))
    signed.finish(signed.answer(), now_ms=OPEN.now_ms)
    challenged = Situation(replace(OPEN, state="fresh", challenge=_challenge()))
    return {
        "Identity": {
            "dids": [OPEN.server.did],
            "keys": [{"did": OPEN.server.did, "public_key": to_base64url(OPEN.server.public_key)}],
            "version": 1,
            "suites": [1],
            "confirmation": "mac",
            "challenges": "when_needed",
            "limits": LIMITS,
        },
        "Initiate": _read(carriers.encode_initiate(situation.initiator.message)),
        "InitiateWithChallenge": _read(carriers.encode_initiate(challenged.initiator.message)),
        "Accept": _read(carriers.encode_accept(accept)),
        "AcceptAfterChallenge": _read(carriers.encode_accept(challenged.answer())),
        "Confirm": _read(carriers.encode_confirm(situation.initiator.confirm(signed=False))),
        "SignedConfirm": _read(carriers.encode_confirm(signed.initiator.confirm(signed=True))),
    }


def _rekey() -> dict[str, object]:
    situation = Situation(OPEN)
    other = RekeyMacKeys.derive(*_secrets(situation)).make_r1(
        OPEN.session_id, 0, derived_bytes("other rekey nonce c")
    )
    r1 = situation.client_session.rekey_request(OPEN.rekey_nonce_c)
    return {
        "RekeyRequest": _read(carriers.encode_r1(r1)),
        "OtherRekeyRequest": _read(carriers.encode_r1(other)),
        "RekeyReply": _rekey_reply(situation, r1),
        "RekeyReplyAdopted": _rekey_reply(situation, other),
    }


def _rekey_reply(situation: Situation, r1: R1) -> object:
    # The first R1 is committed; to another one the committed one is repeated.
    nonce = OPEN.rekey_nonce_s
    reply = situation.server_session.rekey_answer(r1, nonce=nonce, now_ms=OPEN.now_ms)
    return _read(carriers.encode_rekey_reply(reply))


def _secrets(situation: Situation) -> tuple[bytes, bytes]:
    session = situation.client_session
    return session._sending_secret, session._receiving_secret


def _signatures() -> dict[str, object]:
    check = {
        "public_key": to_base64url(OPEN.client.public_key),
        "message": to_base64url(MESSAGE),
        "signature": to_base64url(ed25519.sign(OPEN.client_seed, MESSAGE)),
    }
    forged = check | {"message": to_base64url(MESSAGE + b"!")}
    return {
        "SignatureCheck": check,
        "ForgedSignatureCheck": forged,
        "SignatureValid": {"valid": True},
        "SignatureInvalid": {"valid": False},
        "SignatureBatch": {"items": [check, forged]},
        "SignatureVerdicts": {"valid": [True, False]},
    }


def _registry() -> dict[str, object]:
    did, keys = OPEN.client.did, [to_base64url(OPEN.client.public_key)]
    registered_ms = OPEN.now_ms - 86_400_000
    record = {"did": did, "keys": keys, "owner": "weather team", "created_ms": registered_ms}
    session = {
        "session_id": session_id_text(OPEN.session_id),
        "client_did": did,
        "server_did": OPEN.server.did,
        "created_ms": OPEN.now_ms,
        "expires_ms": OPEN.now_ms + OPEN.lifetime_ms,
        "last_activity_ms": OPEN.now_ms + 1_250,
        "messages": 2,
        "epoch": 0,
        "metadata": {},
    }
    return {
        "DidRegistration": {"did": did, "keys": keys, "owner": "weather team"},
        "Did": {"did": did, "keys": keys, "revoked": False},
        "DidRecord": record | {"revoked_ms": None},
        "DidPage": {"dids": [record | {"revoked_ms": None}], "next": None},
        "Session": session,
        "SessionPage": {"sessions": [session], "next": None},
    }


def _challenge() -> bytes:
    return mint(
        OPEN.challenge_key,
        issued_ms=OPEN.now_ms,
        client_did=OPEN.client.did,
        server_did=OPEN.server.did,
    )


def _read(carrier: bytes) -> object:
    return json.loads(carrier)
