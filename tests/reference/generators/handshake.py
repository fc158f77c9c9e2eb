"""``handshake.json``: complete transcripts.

Source: docs/protocol.md, "Messages" and "Key schedule".
"""

from __future__ import annotations

from dataclasses import replace

from tests.reference import carriers, ed25519
from tests.reference.challenge import mint
from tests.reference.messages import session_id_text
from tests.reference.primitives import x25519_public
from tests.reference.setups import NOW_MS, Setup, Situation, derived_bytes

EXPORT_LABEL = b"vector export"
EXPORT_CONTEXT = b"vector context"
EXPORT_LEN = 48


def build() -> dict[str, object]:
    """Return the file."""
    return {
        "description": (
            "Complete SAGE-HS/1 handshakes: every input, every intermediate value, every message "
            "in its binary and JSON carrier. Byte strings are lower-case hex; *_json fields are "
            "the text of the carrier."
        ),
        "source": "python -m tests.reference.generate; docs/protocol.md",
        "cases": [_case(*arguments) for arguments in _inputs()],
    }


def _inputs() -> list[tuple[str, str, Setup, int]]:
    plain = Setup()
    challenged = _with_challenge(
        _renamed("challenged", replace(plain, challenge_required=True)), NOW_MS - 1_500
    )
    named = _renamed(
        "named",
        replace(
            plain,
            client_did="did:example:client.one",
            server_did="did:web:gateway.example.com:agents",
            lifetime_ms=120_000,
            idle_timeout_s=0xFFFFFFFF,
        ),
    )
    longest = replace(
        _renamed("longest", plain), client_did="did:example:" + "a" * 244, suites=(9, 8, 7, 1)
    )
    signed = _with_challenge(
        _renamed("signed", replace(plain, confirmation="signature", suites=(2, 1))), NOW_MS
    )
    bound = _renamed("bound", replace(plain, channel_binding=derived_bytes("channel binding")))
    return [
        ("plain", "did:key on both sides, suite list [1], confirmation by MAC", plain, 0),
        (
            "challenge",
            "the server requires a challenge that it minted 1.5 s earlier; server clock 250 ms on",
            challenged,
            250,
        ),
        (
            "named DIDs",
            "DIDs that are not did:key, registered; client clock 60,000 ms ahead, the limit",
            named,
            -60_000,
        ),
        (
            "unknown suites first",
            "three unknown suites are skipped; client DID of 256 bytes; client 60,000 ms behind",
            longest,
            60_000,
        ),
        (
            "signed confirmation",
            "policy signature: M3 carries client_confirm_signature; suite 2 offered, not taken",
            signed,
            5,
        ),
        ("channel binding", "the embedder supplies the expected value", bound, 0),
    ]


def _renamed(name: str, setup: Setup) -> Setup:
    """Give a setup its own secrets."""
    names = (
        "client_seed",
        "server_seed",
        "client_ephemeral_secret",
        "server_ephemeral_secret",
        "client_nonce",
        "server_nonce",
    )
    fresh = {item: derived_bytes(f"{name} {item}") for item in names}
    return replace(setup, **fresh, session_id=derived_bytes(f"{name} session id", 16))  # type: ignore[arg-type]


def _with_challenge(setup: Setup, issued_ms: int) -> Setup:
    challenge = mint(
        setup.challenge_key,
        issued_ms=issued_ms,
        client_did=setup.client.did,
        server_did=setup.server.did,
    )
    return replace(setup, challenge=challenge)


def _case(name: str, comment: str, setup: Setup, server_ahead_ms: int) -> dict[str, object]:
    if not setup.client.did.startswith("did:key:"):
        registered: dict[str, tuple[bytes, ...]] = {setup.client.did: (setup.client.public_key,)}
        setup = replace(setup, registered=registered)
    situation = Situation(setup)
    server_now_ms = setup.now_ms + server_ahead_ms
    accept = situation.answer(server_now_ms)
    situation.finish(accept, now_ms=setup.now_ms)
    confirm = situation.initiator.confirm(signed=setup.confirmation == "signature")
    situation.responder.confirm(confirm, now_ms=server_now_ms)
    return {
        "name": name,
        "comment": comment,
        "inputs": _case_inputs(setup, server_now_ms),
        "outputs": _case_outputs(situation, setup)
        | {
            "client_confirmation": confirm.confirmation.hex(),
            "client_confirm_signature": confirm.signature.hex(),
            "initiate": situation.initiator.message.encode().hex(),
            "initiate_json": carriers.encode_initiate(situation.initiator.message).decode(),
            "accept": accept.encode().hex(),
            "accept_json": carriers.encode_accept(accept).decode(),
            "confirm": confirm.encode().hex(),
            "confirm_json": carriers.encode_confirm(confirm).decode(),
            "m2": accept.m2.encode().hex(),
            "server_signature": accept.signature.hex(),
            "server_confirmation": accept.confirmation.hex(),
            "expires_at_ms": accept.m2.expires_at_ms,
        },
    }


def _case_inputs(setup: Setup, server_now_ms: int) -> dict[str, object]:
    return {
        "client_seed": setup.client_seed.hex(),
        "client_did": setup.client.did,
        "client_ephemeral_secret": setup.client_ephemeral_secret.hex(),
        "client_nonce": setup.client_nonce.hex(),
        "client_now_ms": setup.now_ms,
        "client_max_lifetime_ms": setup.max_lifetime_ms,
        "suites": list(setup.suites),
        "challenge": setup.challenge.hex(),
        "channel_binding": setup.channel_binding.hex(),
        "server_seed": setup.server_seed.hex(),
        "server_did": setup.server.did,
        "server_ephemeral_secret": setup.server_ephemeral_secret.hex(),
        "server_nonce": setup.server_nonce.hex(),
        "server_now_ms": server_now_ms,
        "session_id": setup.session_id.hex(),
        "lifetime_ms": setup.lifetime_ms,
        "idle_timeout_s": setup.idle_timeout_s,
        "confirmation": setup.confirmation,
        "challenge_required": setup.challenge_required,
        "challenge_key": setup.challenge_key.hex(),
        "export_label": EXPORT_LABEL.hex(),
        "export_context": EXPORT_CONTEXT.hex(),
        "export_len": EXPORT_LEN,
    }


def _case_outputs(situation: Situation, setup: Setup) -> dict[str, object]:
    server = situation.responder.sessions[setup.session_id].transcript
    assert server == situation.initiator.transcript
    exported = situation.client_session.export(EXPORT_LABEL, EXPORT_CONTEXT, EXPORT_LEN)
    message = situation.initiator.message
    secrets = server.secrets
    return {
        "client_public_key": ed25519.public_key(setup.client_seed).hex(),
        "server_public_key": ed25519.public_key(setup.server_seed).hex(),
        "client_key_share": message.m1.client_key_share.hex(),
        "server_key_share": x25519_public(setup.server_ephemeral_secret).hex(),
        "session_id_text": session_id_text(setup.session_id),
        "suite": 1,
        "m1": message.m1.encode().hex(),
        "client_signature": message.signature.hex(),
        "th1": server.th1.hex(),
        "th2": server.th2.hex(),
        "th3": server.th3.hex(),
        "th4": server.th4.hex(),
        "dh": server.shared_secret.hex(),
        "prk": secrets.prk.hex(),
        "finish_c": secrets.finish_c.hex(),
        "finish_s": secrets.finish_s.hex(),
        "master": secrets.master.hex(),
        "c2s_0": secrets.c2s_0.hex(),
        "s2c_0": secrets.s2c_0.hex(),
        "exporter": secrets.exporter.hex(),
        "exported": exported.hex(),
    }
