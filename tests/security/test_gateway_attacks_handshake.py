"""Attacks on handshakes with a running gateway. Each docstring begins with its row of the table."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from sage_native import Initiator, SigningKey, UsageError
from sage_native.exceptions import PeerError, SessionStateError
from sage_native.protocol import decode_json, encode_json
from tests.agents import bit_flips
from tests.gateways import Agent, code_of
from tests.reference import carriers, edwards, schedule
from tests.reference.messages import Initiate
from tests.reference.schedule import th1
from tests.security.gateway.arena import Arena, attack_settings, open_arena, watched
from tests.security.gateway.forging import INITIATE, Forger, now_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import httpx2

    from sage_native import Session
    from sage_native.protocol import Attempt

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPLETE = "/v1/handshake/complete"
P = 2**255 - 19
REFUSED, MALFORMED = (401, "authentication_failed"), (400, "malformed_request")
STALE, REPLAYED = (401, "stale_timestamp"), (409, "replay_detected")
Verdict = tuple[int, str]


@dataclass
class Scene:
    """A gateway, a client that is registered there, and a pen in the client's hand."""

    arena: Arena
    client: Agent
    pen: Forger = field(init=False)

    def __post_init__(self) -> None:
        self.pen = Forger(self.arena, self.client.key)

    async def send(self, text: bytes | Initiate, path: str = INITIATE) -> httpx2.Response:
        body = carriers.encode_initiate(text) if isinstance(text, Initiate) else text
        return await self.client.post(path, body)

    async def refuses(
        self, text: bytes | Initiate, verdict: Verdict, path: str = INITIATE, *, nonces: int = 0
    ) -> None:
        async with self.arena.unharmed(nonces=nonces):
            answer = await self.send(text, path)
            assert (answer.status_code, code_of(answer)) == verdict

    async def accepts(self, text: bytes | Initiate) -> bytes:
        answer = await self.send(text)
        assert answer.status_code == 200, answer.text
        await self.arena.look()
        return answer.content


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Arena, Agent]]:
    settings = attack_settings(tmp_path_factory.mktemp("handshake"))
    async with open_arena(settings) as arena:
        yield arena, await arena.registered()


@pytest.fixture
def scene(
    site: tuple[Arena, Agent],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Scene]:
    with watched(site[0], caplog, capfd) as arena:
        yield Scene(arena, site[1])


async def register(arena: Arena, did: str, *keys: SigningKey) -> None:
    listed = [unpadded(key.verifying_key_bytes) for key in keys]
    answer = await arena.admin.post("/v1/dids", json={"did": did, "keys": listed})
    assert answer.status_code == 201, answer.text


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def test_replay_of_an_accepted_m1(tmp_path: Path) -> None:
    """replay of an accepted M1: same process, other worker, after restart"""
    settings = attack_settings(tmp_path)
    async with open_arena(settings) as first, open_arena(settings, aged=False) as second:
        client = await first.registered()
        message = Forger(first, client.key).json()
        await Scene(first, client).accepts(message)
        for arena in (first, second):
            await Scene(arena, arena.agent(client.key)).refuses(message, REPLAYED)
    async with open_arena(settings, aged=False) as restarted:
        await Scene(restarted, restarted.agent(client.key)).refuses(message, REPLAYED)


async def test_replay_after_the_memory_was_lost(tmp_path: Path) -> None:
    """replay of an accepted M1: same process, other worker, after restart"""
    settings = attack_settings(tmp_path)
    async with open_arena(settings) as arena:
        client = await arena.registered()
        message = Forger(arena, client.key).json()
        await Scene(arena, client).accepts(message)
    (settings.state_dir / "replay.table").unlink()
    async with open_arena(settings, aged=False) as restarted:
        scene = Scene(restarted, restarted.agent(client.key))
        await scene.refuses(message, (401, "challenge_required"))


async def test_same_nonce_of_one_client(scene: Scene) -> None:
    """same nonce, other ephemeral, same client"""
    nonce = secrets.token_bytes(32)
    await scene.accepts(scene.pen.json(nonce=nonce))
    for changes in ({"client_key_share": b"\x0a" + bytes(31)}, {"timestamp_ms": now_ms() + 5}):
        await scene.refuses(scene.pen.json(nonce=nonce, **changes), REPLAYED)


async def test_same_nonce_of_two_clients(scene: Scene) -> None:
    """same nonce from two clients"""
    nonce, other = secrets.token_bytes(32), await scene.arena.registered()
    await scene.accepts(scene.pen.json(nonce=nonce))
    await scene.accepts(Forger(scene.arena, other.key).json(nonce=nonce))


async def test_a_forgery_burns_no_nonce(scene: Scene) -> None:
    """garbage signature with a victim's DID and nonce, then the victim's real M1"""
    real = scene.pen.signed(scene.pen.m1())
    for garbage in (bytes(64), b"\xff" * 64, secrets.token_bytes(64), real.signature[::-1]):
        await scene.refuses(Initiate(real.m1, garbage), REFUSED)
    await scene.accepts(real)


TIMES: dict[str, tuple[Callable[[int], int], Verdict]] = {
    "61 s ago": (lambda now: now - 61_000, STALE),
    "61 s ahead": (lambda now: now + 61_000, STALE),
    "0": (lambda _: 0, STALE),
    "2^53 - 1": (lambda _: 2**53 - 1, STALE),
    "2^63": (lambda _: 2**63, MALFORMED),
    "2^64 - 1": (lambda _: 2**64 - 1, MALFORMED),
    "seconds for ms": (lambda now: now // 1000, STALE),
    "ns for ms": (lambda now: now * 1000, STALE),
}


@pytest.mark.parametrize("title", TIMES)
async def test_timestamps(scene: Scene, title: str) -> None:
    """timestamp beyond ±60 s; 0; 2^63; negative; float; string; seconds for ms"""
    time_of, verdict = TIMES[title]
    await scene.refuses(scene.pen.json(timestamp_ms=time_of(now_ms())), verdict)


async def test_timestamps_that_are_near_enough(scene: Scene) -> None:
    """timestamp beyond ±60 s; 0; 2^63; negative; float; string; seconds for ms"""
    for offset_ms in (-30_000, 30_000):
        await scene.accepts(scene.pen.json(timestamp_ms=now_ms() + offset_ms))


@pytest.mark.parametrize(
    "literal", ["-1", "-0", "1.0", "1e12", '"1800000000000"', "1e999", "null", "true", "[1]"]
)
async def test_timestamps_of_another_type(scene: Scene, literal: str) -> None:
    """timestamp beyond ±60 s; 0; 2^63; negative; float; string; seconds for ms"""
    text = scene.pen.json()
    stamp = json.loads(text)["timestamp"]
    changed = text.replace(f'"timestamp":{stamp}'.encode(), f'"timestamp":{literal}'.encode())
    assert changed != text
    await scene.refuses(changed, MALFORMED)


async def test_a_stale_answer_tells_the_time(scene: Scene) -> None:
    before_ms = now_ms()
    answer = await scene.send(scene.pen.json(timestamp_ms=0))
    assert before_ms <= answer.json()["server_time_ms"] <= now_ms()


async def test_signatures_of_others(scene: Scene) -> None:
    """signature by another registered DID; by another key of the same DID than the one named;
    over the RFC 9421 base of the same fields; M2's signature as M1's"""
    second, other = SigningKey.generate(), await scene.arena.registered()
    did = f"did:example:{secrets.token_hex(8)}"
    await register(scene.arena, did, scene.client.key, second)
    m1 = scene.pen.m1(client_did=did)
    base = b'"@method": POST\n"@path": /v1/handshake/initiate\n"nonce": :' + m1.nonce.hex().encode()
    key = scene.client.key
    m2 = json.loads(await scene.accepts(scene.pen.json()))
    m2_signature = base64.urlsafe_b64decode(m2["signature"] + "==")
    for signature in (
        scene.pen.signed(m1, other.key).signature,
        scene.pen.signed(m1, second).signature,
        scene.pen.signed(m1, role=b"accept").signature,
        scene.pen.signed(m1, role=b"confirm").signature,
        key.sign(base),
        key.sign(m1.encode()),
        key.sign(th1(m1.encode())),
        m2_signature,
    ):
        await scene.refuses(Initiate(m1, signature), REFUSED)
    named = scene.pen.m1(client_did=did, client_public_key=second.verifying_key_bytes)
    await scene.accepts(scene.pen.signed(named, second))


async def test_a_key_that_another_did_lists(scene: Scene) -> None:
    """signature by another registered DID; by another key of the same DID than the one named;
    over the RFC 9421 base of the same fields; M2's signature as M1's"""
    victim = await scene.arena.registered()
    await scene.refuses(scene.pen.json(client_did=victim.did), REFUSED)
    as_gateway = scene.pen.json(
        client_did=scene.pen.server_did, client_public_key=scene.pen.server_key
    )
    await scene.refuses(as_gateway, REFUSED)


async def test_every_bit_of_m1(scene: Scene) -> None:
    """any single bit of any field flipped, exhaustively"""
    text = scene.pen.json()
    async with scene.arena.unharmed():
        for flipped in bit_flips(text):
            answer = await scene.send(flipped)
            assert answer.status_code in {400, 401, 421}, (flipped, answer.text)
    await scene.accepts(text)


async def test_every_bit_of_m3(scene: Scene) -> None:
    """any single bit of any field flipped, exhaustively"""
    message, _ = await answered(scene.client)
    text = encode_json("confirm", message)
    async with scene.arena.unharmed():
        for flipped in bit_flips(text):
            answer = await scene.send(flipped, COMPLETE)
            assert answer.status_code in {400, 401}, (flipped, answer.text)
    assert (await scene.send(text, COMPLETE)).status_code == 204


async def answered(client: Agent) -> tuple[bytes, Session]:
    """Return M3 and the client's session of a handshake that was not confirmed."""
    attempt = await client.attempt()
    return attempt.finish(decode_json("accept", (await client.send_m1(attempt)).content))


async def test_misdirected(scene: Scene) -> None:
    """another gateway's `server_did` or retired `server_public_key`"""
    other = SigningKey.generate()
    for changes in (
        {"server_did": other.did, "server_public_key": other.verifying_key_bytes},
        {"server_did": other.did},
        {"server_public_key": other.verifying_key_bytes},
        {"server_did": "did:example:gateway"},
        {"server_did": scene.client.did},
    ):
        await scene.refuses(scene.pen.json(**changes), (421, "misdirected"))


async def test_a_retired_key(tmp_path: Path) -> None:
    """another gateway's `server_did` or retired `server_public_key`"""
    settings = attack_settings(tmp_path)
    async with open_arena(settings) as arena:
        client = await arena.registered()
        scene = Scene(arena, client)
        old = scene.pen
        fresh = SigningKey.generate()
        secret = settings.state_dir / "secrets" / "signing-key"
        retired = secret.read_bytes()
        secret.write_bytes(fresh.to_pem() + retired)
        assert await arena.gateway.rotation.look()
        await scene.accepts(old.json())
        assert await client.server_key() == fresh.verifying_key
        secret.write_bytes(fresh.to_pem())
        assert await arena.gateway.rotation.look()
        await scene.refuses(old.json(), (421, "misdirected"))
        mixed = old.json(server_did=fresh.did)
        await scene.refuses(mixed, (421, "misdirected"))
        await Scene(arena, client).accepts(Forger(arena, client.key).json())


DIDS = {
    "upper-case method": "did:Key:z6Mk",
    "upper-case scheme": "DID:example:a",
    "percent trick": "did:example:a%41",
    "encoded NUL": "did:example:a%00",
    "NUL": "did:example:a\0b",
    "newline": "did:example:a\nlevel=info",
    "carriage return": "did:example:a\r\nlevel=info",
    "bar": "did:example:a|b",
    "10 kB": "did:example:" + "a" * 10_000,
    "257 bytes": "did:example:" + "a" * 245,
    "fragment": "did:example:a#key-1",
    "query": "did:example:a?versionId=1",
    "slash": "did:example:a/b",
    "no ASCII": "did:example:é",
    "colon at the end": "did:example:a:",
    "empty": "",
    "no identifier": "did:example:",
    "terminal": "did:example:a\x1b[2J",
}


@pytest.mark.parametrize("title", DIDS)
async def test_did_tricks(scene: Scene, title: str, caplog: pytest.LogCaptureFixture) -> None:
    """DID with upper-case method, percent trick, NUL, newline, `|`, 10 kB, fragment, query"""
    did = DIDS[title]
    for name in ("client_did", "server_did"):
        await scene.refuses(scene.pen.json(**{name: did}), (400, "invalid_did"))
    key = unpadded(scene.client.key.verifying_key_bytes)
    async with scene.arena.unharmed():
        answer = await scene.arena.admin.post("/v1/dids", json={"did": did, "keys": [key]})
        assert (answer.status_code, code_of(answer)) == (400, "invalid_did")
        if did:
            for client in (scene.arena.public, scene.arena.admin):
                shown = await client.get(f"/v1/dids/{percent(did)}")
                assert shown.status_code in {400, 404}
                assert code_of(shown) in {"invalid_did", "not_found"}
        listed = await scene.arena.admin.get("/v1/sessions", params={"client_did": did})
        assert (listed.status_code, code_of(listed)) in {
            (400, "invalid_did"),
            (400, "malformed_request"),
        }
    assert "level=info" not in caplog.text
    assert "\x1b" not in caplog.text


def percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


async def test_a_revoked_did(scene: Scene) -> None:
    """DID revoked between cache fill and M1"""
    client = await scene.arena.registered()
    theirs = Scene(scene.arena, client)
    await theirs.accepts(theirs.pen.json())
    assert (await scene.arena.admin.delete(f"/v1/dids/{client.did}")).status_code == 204
    await theirs.refuses(theirs.pen.json(), REFUSED)


async def test_a_did_revoked_at_another_worker(tmp_path: Path) -> None:
    """DID revoked between cache fill and M1

    The other worker still knows the key for as long as its registry remembers. Until then it may
    answer, but no session comes of it: M3 asks the store.
    """
    settings = attack_settings(tmp_path)
    async with open_arena(settings) as here, open_arena(settings, aged=False) as there:
        client = await here.registered()
        late = Scene(there, there.agent(client.key))
        await late.accepts(late.pen.json())
        assert (await here.admin.delete(f"/v1/dids/{client.did}")).status_code == 204
        m3, _ = await answered(late.client)
        answer = await late.send(encode_json("confirm", m3), COMPLETE)
        assert (answer.status_code, code_of(answer)) == REFUSED
        assert (await there.state()).stored == 0
        registry = there.gateway.admission.registry
        registry._known._clock = lambda: time.monotonic() + 60.0
        await late.refuses(late.pen.json(), REFUSED)


LOW_ORDER = [0, 1, P - 1, P, P + 1, *(value | 1 << 255 for value in (0, 1, P - 1, P, P + 1))]
ORDER_8 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")


@pytest.mark.parametrize("share", [*(n.to_bytes(32, "little") for n in LOW_ORDER), ORDER_8])
async def test_key_shares_of_low_order(scene: Scene, share: bytes) -> None:
    """ephemeral of low order, zero, all ones, p, p+1, 31 or 33 bytes"""
    text = scene.pen.json(client_key_share=share)
    # It shows in the key agreement, after the nonce was admitted.
    await scene.refuses(text, (400, "invalid_key"), nonces=1)
    await scene.refuses(text, REPLAYED)


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64, 1216])
async def test_key_shares_of_another_length(scene: Scene, length: int) -> None:
    """ephemeral of low order, zero, all ones, p, p+1, 31 or 33 bytes"""
    await scene.refuses(scene.pen.json(client_key_share=b"\t" * length), (400, "invalid_key"))


async def test_key_share_of_all_ones(scene: Scene) -> None:
    """ephemeral of low order, zero, all ones, p, p+1, 31 or 33 bytes"""
    await scene.accepts(scene.pen.json(client_key_share=b"\xff" * 32))


def mixed_order_key() -> bytes:
    good = edwards.decode(SigningKey.generate().verifying_key_bytes)
    assert good is not None
    return edwards.encode(edwards.add(good, edwards.torsion_generator()))


BAD_KEYS = {
    **{f"small order {number}": key for number, key in enumerate(edwards.SMALL_ORDER_ENCODINGS)},
    "p": P.to_bytes(32, "little"),
    "p + 3": (P + 3).to_bytes(32, "little"),
    "x = 0 with a sign": (1 | 1 << 255).to_bytes(32, "little"),
    "all ones": b"\xff" * 32,
    "no point": b"\2" + bytes(31),
    "mixed order": mixed_order_key(),
    "31 bytes": b"\1" * 31,
    "33 bytes": b"\1" * 33,
    "nothing": b"",
}


@pytest.mark.parametrize("title", BAD_KEYS)
async def test_bad_identity_keys(scene: Scene, title: str) -> None:
    """small-order, non-canonical or mixed-order identity key registered"""
    did, key = f"did:example:{secrets.token_hex(8)}", BAD_KEYS[title]
    good = unpadded(SigningKey.generate().verifying_key_bytes)
    async with scene.arena.unharmed():
        for keys in ([unpadded(key)], [good, unpadded(key)]):
            answer = await scene.arena.admin.post("/v1/dids", json={"did": did, "keys": keys})
            assert (answer.status_code, code_of(answer)) == (400, "invalid_key")
        assert (await scene.arena.admin.get(f"/v1/dids/{did}")).status_code == 404
        if len(key) == 32:
            named = Initiate(scene.pen.m1(client_public_key=key), bytes(64))
            answer = await scene.send(named)
            assert (answer.status_code, code_of(answer)) in {(400, "invalid_key"), REFUSED}


SUITES: dict[tuple[int, ...], Verdict] = {
    (2, 7): (400, "unsupported_suite"),
    (0x0101,): (400, "unsupported_suite"),
    (0,): (400, "unsupported_suite"),
    (): MALFORMED,
    (1, 1): MALFORMED,
    (2, 2): MALFORMED,
    (1, 2, 3, 4, 5): MALFORMED,
    (65_536,): MALFORMED,
}


@pytest.mark.parametrize("suites", SUITES)
async def test_suites(scene: Scene, suites: tuple[int, ...]) -> None:
    """suites: none known; empty, duplicate, too many"""
    honest = scene.pen.signed(scene.pen.m1())
    fields = json.loads(carriers.encode_initiate(honest)) | {"suites": suites}
    await scene.refuses(json.dumps(fields).encode(), SUITES[suites])
    if len(suites) < 5 and all(suite < 65_536 for suite in suites):
        await scene.refuses(scene.pen.json(suites=suites), SUITES[suites])


async def test_unknown_suites_are_skipped(scene: Scene) -> None:
    """suites: none known; empty, duplicate, too many"""
    assert json.loads(await scene.accepts(scene.pen.json(suites=(9, 8, 7, 1))))["suite"] == 1


async def test_m1_signed_ahead(scene: Scene) -> None:
    """M1 signed for a future time by someone who once could ask for signatures"""
    future = scene.pen.m1(timestamp_ms=now_ms() + 3_600_000)
    wanted = schedule.signing_input(b"initiate", schedule.th1(future.encode()))
    with pytest.raises(UsageError, match="64 spaces"):
        scene.client.key.sign(wanted)
    await scene.refuses(scene.pen.signed(future), STALE)


async def test_m1_signed_ahead_meets_a_challenge(tmp_path: Path) -> None:
    """M1 signed for a future time by someone who once could ask for signatures"""
    settings = attack_settings(tmp_path, {"handshake.challenges": "always"})
    async with open_arena(settings) as arena:
        client, other = await arena.registered(), await arena.registered()
        scene = Scene(arena, client)
        await scene.refuses(scene.pen.json(), (401, "challenge_required"))
        fresh = await challenge_of(scene)
        for wrong in (
            bytes(25),
            fresh[:-1],
            fresh + b"\0",
            fresh[:-1] + bytes([fresh[-1] ^ 1]),
            await challenge_of(Scene(arena, other)),
            fresh[:1] + (now_ms() - 61_000).to_bytes(8, "big") + fresh[9:],
        ):
            await scene.refuses(scene.pen.json(challenge=wrong), (401, "challenge_required"))
        await scene.accepts(scene.pen.json(challenge=fresh))


async def challenge_of(scene: Scene) -> bytes:
    answer = await scene.send(scene.pen.json())
    return base64.urlsafe_b64decode(answer.json()["challenge"] + "==")


async def test_m1_signed_ahead_meets_a_signed_m3(tmp_path: Path) -> None:
    """M1 signed for a future time by someone who once could ask for signatures"""
    settings = attack_settings(tmp_path, {"handshake.confirmation": "signature"})
    async with open_arena(settings) as arena:
        client = await arena.registered()
        scene = Scene(arena, client)
        m3, session = await answered(client)
        async with arena.unharmed():
            for message in (m3, m3 + bytes(64), m3 + client.key.sign(m3)):
                answer = await scene.send(encode_json("confirm", message), COMPLETE)
                assert (answer.status_code, code_of(answer)) == REFUSED
            record = await client.send_record(session.session_id, session.seal(b"in?"))
            assert (record.status_code, code_of(record)) == REFUSED
        await client.handshake(sign_confirmation=True)


FORGED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "suite not offered": lambda m2: m2 | {"suite": 7},
    "reserved suite": lambda m2: m2 | {"suite": 2},
    "other server_did": lambda m2: m2 | {"server_did": "did:example:other"},
    "longer life": lambda m2: m2 | {"expires_at": m2["expires_at"] + 1},
    "life beyond a day": lambda m2: m2 | {"expires_at": m2["expires_at"] + 86_400_000},
    "no life": lambda m2: m2 | {"expires_at": 0},
    "no silence allowed": lambda m2: m2 | {"idle_timeout": 0},
    "other session": lambda m2: m2 | {"session_id": "00000000-0000-0000-0000-000000000000"},
}


@pytest.mark.parametrize("title", FORGED)
async def test_an_m2_that_was_changed(scene: Scene, title: str) -> None:
    """M2 with a suite not offered, other server_did, expiry beyond policy"""
    attempt = await scene.client.attempt(suites=[1, 7])
    honest = (await scene.client.send_m1(attempt)).content
    forged = json.dumps(FORGED[title](json.loads(honest))).encode()
    assert refuses_m2(attempt, forged)
    with pytest.raises(SessionStateError, match="spent"):
        attempt.finish(decode_json("accept", honest))


async def test_a_gateway_that_grants_more_than_the_client_wants(scene: Scene) -> None:
    """M2 with a suite not offered, other server_did, expiry beyond policy"""
    assert scene.arena.gateway.settings.session.max_age == 3600
    attempt = await scene.client.attempt(max_lifetime_s=3_599)
    assert refuses_m2(attempt, (await scene.client.send_m1(attempt)).content)


async def test_an_m2_of_another_attempt(scene: Scene) -> None:
    """M2 with a suite not offered, other server_did, expiry beyond policy"""
    one, other = [await scene.client.attempt() for _ in range(2)]
    answer = (await scene.client.send_m1(one)).content
    assert refuses_m2(other, answer)
    one.finish(decode_json("accept", answer))


def refuses_m2(attempt: Attempt, text: bytes) -> bool:
    with pytest.raises(PeerError) as caught:
        attempt.finish(decode_json("accept", text))
    return attempt.closed and caught.value.code == "authentication_failed"


async def test_handshakes_that_nobody_confirms(tmp_path: Path) -> None:
    """M1 answered, never confirmed, from 10^5 clients

    The cap is a number of the settings, here 50: what the next 100,000 meet is what the next 100
    meet. Those that were established before stay, and a worker has room again after ten seconds.
    """
    settings = attack_settings(
        tmp_path,
        {
            "admission.policy": "any_did_key",
            "session.max_half_open": 50,
            "session.max_half_open_per_client": 5,
        },
    )
    async with open_arena(settings) as arena:
        client = arena.agent()
        session = await client.handshake()
        greedy = Forger(arena, SigningKey.generate())
        codes = [(await client.post(INITIATE, greedy.json())).status_code for _ in range(10)]
        assert codes == [200] * 5 + [503] * 5, "one client alone"
        outcomes = []
        for _ in range(150):
            stranger = Forger(arena, SigningKey.generate())
            answer = await client.post(INITIATE, stranger.json())
            outcomes.append(answer.status_code)
            if answer.status_code == 503:
                assert code_of(answer) == "overloaded"
                assert int(answer.headers["retry-after"]) >= 1
        assert outcomes == [200] * 45 + [503] * 105
        assert len(arena.gateway.manager) == 51
        assert await client.ask(session, b"still here") == b"still here"
        await arena.look()
        arena.gateway.manager._served.make_room(now_ms() + 10_001)
        assert len(arena.gateway.manager) == 1
        assert await client.ask(session, b"still here") == b"still here"


async def test_initiators_refuse_to_ask_for_what_gateways_refuse(scene: Scene) -> None:
    key = await scene.client.server_key()
    for suites in ((), (1, 1), (1, 2, 3, 4, 5)):
        with pytest.raises(UsageError):
            Initiator(scene.client.key, key, suites=suites).initiate()
