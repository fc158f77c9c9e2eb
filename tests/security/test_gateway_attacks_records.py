"""Attacks on records and sessions at a running gateway. Each docstring begins with its row."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sage_native import KeyEncryptionKey
from sage_native.exceptions import AuthenticationError, RekeyRequiredError
from sage_native.gateway.behind import HandlerBehind
from sage_native.gateway.gateway import SESSION_STORE
from sage_native.gateway.key_secrets import new_keks
from sage_native.gateway.routes.records import REQUEST_AAD, RESPONSE_AAD
from sage_native.protocol import RecordHeader, decode_json, encode_json
from tests.agents import bit_flips
from tests.gateways import code_of
from tests.security.gateway.arena import Arena, attack_settings, open_arena, watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    import httpx2

    from sage_native import Session
    from sage_native.config import Settings
    from sage_native.gateway.peers import Peer
    from tests.gateways import Agent

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED, REPLAYED = (401, "authentication_failed"), (409, "replay_detected")
REKEY_REQUIRED, MALFORMED = (409, "rekey_required"), (400, "malformed_request")
OK = (200, "")


class Ledger:
    """What is behind the gateway: it notes every message that arrives."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.arrived = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def answer(self, peer: Peer, message: bytes) -> bytes:
        self.taken.append(message)
        self.arrived.set()
        await self.may_answer.wait()
        assert peer.did
        return b"answer to " + message

    def behind(self) -> HandlerBehind:
        return HandlerBehind(self.answer)


class Talk:
    """An open session, and the pen in its client's hand."""

    def __init__(self, arena: Arena, agent: Agent, session: Session, ledger: Ledger) -> None:
        self.arena, self.agent, self.session, self.ledger = arena, agent, session, ledger

    def seal(self, message: bytes = b"message") -> bytes:
        return self.session.seal(message, aad=REQUEST_AAD)

    async def send(self, record: bytes, session_id: str | None = None) -> httpx2.Response:
        return await self.agent.send_record(session_id or id_of(record), record)

    async def verdict(self, record: bytes, session_id: str | None = None) -> tuple[int, str]:
        answer = await self.send(record, session_id)
        return answer.status_code, "" if answer.status_code == 200 else code_of(answer)

    async def delivers(self, record: bytes) -> bytes:
        answer = await self.send(record)
        assert answer.status_code == 200, answer.text
        return self.session.open(answer.content, aad=RESPONSE_AAD + record[:48])

    async def refuses(
        self, record: bytes, verdict: tuple[int, str], session_id: str | None = None
    ) -> None:
        taken = len(self.ledger.taken)
        async with self.arena.unharmed():
            assert await self.verdict(record, session_id) == verdict
        assert len(self.ledger.taken) == taken, "delivered"

    async def at(self, arena: Arena, ledger: Ledger | None = None) -> Talk:
        """Return the same session, as it is spoken with another worker."""
        agent = arena.agent(self.agent.key)
        return Talk(arena, agent, self.session, self.ledger if ledger is None else ledger)


def id_of(record: bytes) -> str:
    digits = record[4:20].hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def renamed(record: bytes, session: Session) -> bytes:
    return record[:4] + bytes.fromhex(session.session_id.replace("-", "")) + record[20:]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Arena, Ledger]]:
    ledger = Ledger()
    settings = attack_settings(tmp_path_factory.mktemp("records"))
    async with open_arena(settings, behind=ledger.behind()) as arena:
        yield arena, ledger


@pytest.fixture
def arena(
    site: tuple[Arena, Ledger],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Arena]:
    with watched(site[0], caplog, capfd) as arena:
        yield arena


async def talk_of(arena: Arena, ledger: Ledger) -> Talk:
    agent = await arena.registered()
    return Talk(arena, agent, await agent.handshake(), ledger)


@pytest_asyncio.fixture(loop_scope="module")
async def talk(arena: Arena, site: tuple[Arena, Ledger]) -> Talk:
    return await talk_of(arena, site[1])


async def test_replayed_records(talk: Talk) -> None:
    """record replayed at once, after the window slid, after rekey, after restart"""
    first = talk.seal()
    await talk.delivers(first)
    await talk.refuses(first, REPLAYED)
    for record in [talk.seal(b"newer") for _ in range(1_100)]:
        assert (await talk.send(record)).status_code == 200
    await talk.refuses(first, REPLAYED)
    await talk.agent.rekey(talk.session)
    await talk.refuses(first, REPLAYED)
    await talk.delivers(talk.seal())
    assert await talk.verdict(first) in {REPLAYED, REFUSED}


async def test_records_replayed_elsewhere(tmp_path: Path) -> None:
    """record replayed at once, after the window slid, after rekey, after restart"""
    settings, ledger = attack_settings(tmp_path), Ledger()
    async with (
        open_arena(settings, behind=ledger.behind()) as here,
        open_arena(settings, behind=ledger.behind(), aged=False) as there,
    ):
        talk = await talk_of(here, ledger)
        first = talk.seal()
        await talk.delivers(first)
        elsewhere = await talk.at(there)
        await refuses_anywhere(elsewhere, first)
        second = talk.seal()
        await elsewhere.delivers(second)
        await talk.refuses(second, REPLAYED)
    async with open_arena(settings, behind=ledger.behind(), aged=False) as restarted:
        again = await talk.at(restarted)
        for record in (first, second):
            await refuses_anywhere(again, record)
        assert len(ledger.taken) == 2
        await again.delivers(talk.seal())


async def refuses_anywhere(talk: Talk, record: bytes) -> None:
    """As ``refuses``, where the session may be loaded for the first time."""
    taken = len(talk.ledger.taken)
    assert await talk.verdict(record) == REPLAYED
    assert len(talk.ledger.taken) == taken
    await talk.arena.look()


async def test_a_record_replayed_after_the_windows_were_lost(tmp_path: Path) -> None:
    """record replayed at once, after the window slid, after rekey, after restart"""
    settings, ledger = attack_settings(tmp_path), Ledger()
    async with open_arena(settings, behind=ledger.behind()) as arena:
        talk = await talk_of(arena, ledger)
        record = talk.seal()
        await talk.delivers(record)
    (settings.state_dir / "windows.table").unlink()
    async with open_arena(settings, behind=ledger.behind(), aged=False) as restarted:
        again = await talk.at(restarted)
        assert await again.verdict(record) == REKEY_REQUIRED
        await again.agent.rekey(talk.session)
        await again.refuses(record, REFUSED)
        await again.delivers(talk.seal())
    assert len(ledger.taken) == 2


@pytest.mark.parametrize("order", ["reverse", "random"])
async def test_reordered_records(talk: Talk, order: str) -> None:
    """records in reverse or random order inside the window"""
    records = [talk.seal(b"%d" % number) for number in range(1_024)]
    shuffled = records[::-1]
    if order == "random":
        random.Random(1024).shuffle(shuffled)
    del talk.ledger.taken[:]
    for record in shuffled:
        assert (await talk.send(record)).status_code == 200
    assert sorted(talk.ledger.taken, key=int) == [b"%d" % number for number in range(1_024)]
    async with talk.arena.unharmed():
        assert {await talk.verdict(record) for record in records[::64]} == {REPLAYED}
    assert len(talk.ledger.taken) == 1_024


SEQUENCES = (1, 1_024, 2**24 - 1, 2**24, 2**32, 2**63, 2**64 - 1)


@pytest.mark.parametrize("seq", SEQUENCES)
async def test_a_forged_sequence_number(talk: Talk, seq: int) -> None:
    """forged record with seq 2^63"""
    record = talk.seal()
    await talk.refuses(record[:40] + seq.to_bytes(8, "big") + record[48:], REFUSED)
    await talk.delivers(record)


async def test_every_bit_of_a_record(talk: Talk) -> None:
    """bit flipped in header, ciphertext, tag; own record reflected; c2s as s2c; record of session
    A on session B

    The path names the session that the header names, so that nothing stops a record earlier.
    """
    record, taken = talk.seal(b"sixteen bytes.."), len(talk.ledger.taken)
    async with talk.arena.unharmed():
        for at, flipped in enumerate(bit_flips(record)):
            verdict = await talk.verdict(flipped)
            # An unknown version, direction or flag is no record at all.
            is_form = at // 8 in {0, 2, 3}
            assert verdict == REFUSED or (is_form and verdict[0] == 400), (at, verdict)
    assert len(talk.ledger.taken) == taken
    await talk.delivers(record)


async def test_records_that_are_cut_or_longer(talk: Talk) -> None:
    """bit flipped in header, ciphertext, tag; own record reflected; c2s as s2c; record of session
    A on session B"""
    record = talk.seal()
    for other in (b"", record[:1], record[:20], record[:47], record[:63]):
        await talk.refuses(other, MALFORMED, talk.session.session_id)
    for other in (record[:64], record[:-1], record + b"\0", record[:-16]):
        verdict = await talk.verdict(other, talk.session.session_id)
        assert verdict in {REFUSED, MALFORMED}
    await talk.delivers(record)


async def test_paths_that_spell_a_session_otherwise(talk: Talk) -> None:
    """bit flipped in header, ciphertext, tag; own record reflected; c2s as s2c; record of session
    A on session B"""
    record, spelt = talk.seal(), talk.session.session_id
    digits = spelt.replace("-", "")
    for other in (
        *(digits, spelt.upper(), f"{spelt}-", f"-{spelt}", f"{spelt[:-1]}-{spelt[-1]}"),
        *(f"{digits[:4]}-{digits[4:12]}-{spelt[14:]}", f"----{digits}", f"{digits}----"),
    ):
        await talk.refuses(record, MALFORMED, other)
    await talk.delivers(record)


async def test_misplaced_records(talk: Talk) -> None:
    """bit flipped in header, ciphertext, tag; own record reflected; c2s as s2c; record of session
    A on session B"""
    other = await talk_of(talk.arena, talk.ledger)
    first = talk.seal()
    answer = (await talk.send(first)).content
    await talk.refuses(answer, REFUSED)
    turned = bytearray(answer)
    turned[2] ^= 1
    await talk.refuses(bytes(turned), REFUSED)
    request = talk.seal()
    as_answer = request[:2] + b"\1" + request[3:]
    await talk.refuses(as_answer, REFUSED)
    await other.refuses(request, MALFORMED, other.session.session_id)
    await other.refuses(renamed(request, other.session), REFUSED)
    await talk.delivers(request)
    assert talk.session.open(answer, aad=RESPONSE_AAD + first[:48])


async def test_swapped_answers(talk: Talk) -> None:
    """answer to request A given for request B; forged `rekey_required` after delivery"""
    requests = [talk.seal(name) for name in (b"A", b"B")]
    answers = [(await talk.send(request)).content for request in requests]
    for request, wrong in zip(requests, answers[::-1], strict=True):
        with pytest.raises(AuthenticationError):
            talk.session.open(wrong, aad=RESPONSE_AAD + request[:48])
    for request, right in zip(requests, answers, strict=True):
        opened = talk.session.open(right, aad=RESPONSE_AAD + request[:48])
        assert opened in {b"answer to A", b"answer to B"}


async def test_forged_rekey_required(talk: Talk) -> None:
    """answer to request A given for request B; forged `rekey_required` after delivery

    The client believes it, rekeys, and sends the same bytes again, as a client may.
    """
    late, transfer = talk.seal(b"late"), talk.seal(b"transfer once")
    assert (await talk.send(transfer)).status_code == 200
    await talk.agent.rekey(talk.session)
    await talk.refuses(transfer, REPLAYED)
    await talk.refuses(late, REKEY_REQUIRED)
    assert talk.ledger.taken.count(b"transfer once") == 1


async def rekey_of(talk: Talk, request: bytes) -> bytes:
    answer = await talk.agent.post(
        f"/v1/sessions/{id_of(bytes(4) + request[:16])}/rekey",
        encode_json("rekey_request", request),
    )
    assert answer.status_code == 200, answer.text
    return decode_json("rekey_reply", answer.content)


async def test_lost_and_repeated_rekey(talk: Talk) -> None:
    """R2 lost, R1 repeated, two different R1 at once from two workers, crash between R2 and the
    first record"""
    request = talk.session.rekey_request()
    lost = await rekey_of(talk, request)
    assert talk.session.rekey_request() == request
    assert await rekey_of(talk, request) == lost
    talk.session.accept_rekey(lost)
    await talk.delivers(talk.seal())
    async with talk.arena.unharmed():
        answer = await talk.agent.post(
            f"/v1/sessions/{talk.session.session_id}/rekey", encode_json("rekey_request", request)
        )
        assert (answer.status_code, code_of(answer)) == REFUSED, "the secret of its epoch is gone"


async def test_two_rekeys_at_once(tmp_path: Path, client_kek: KeyEncryptionKey) -> None:
    """R2 lost, R1 repeated, two different R1 at once from two workers, crash between R2 and the
    first record"""
    settings, ledger = attack_settings(tmp_path), Ledger()
    async with (
        open_arena(settings, behind=ledger.behind()) as here,
        open_arena(settings, behind=ledger.behind(), aged=False) as there,
    ):
        talk = await talk_of(here, ledger)
        row = talk.session.wrap(client_kek, store="client")
        assert row is not None
        # Two processes of the client, that came back from its store.
        sides = [row.unwrap(client_kek, store="client") for _ in range(2)]
        requests = [side.rekey_request() for side in sides]
        talks = [
            Talk(arena, arena.agent(talk.agent.key), side, ledger)
            for arena, side in zip((here, there), sides, strict=True)
        ]
        replies = await asyncio.gather(*map(rekey_of, talks, requests))
        committed = {reply[:64] for reply in replies}
        assert len(committed) == 1, "one R2"
        assert sorted(len(reply) for reply in replies) == [64, 148], "one R1"
        for one, reply in zip(talks, replies, strict=True):
            one.session.accept_rekey(reply)
            await one.delivers(one.seal())
        crossed = await talks[0].at(there)
        await crossed.delivers(crossed.seal())


@pytest.fixture
def client_kek() -> KeyEncryptionKey:
    return KeyEncryptionKey("client", b"\7" * 32)


async def test_a_crash_after_r2(tmp_path: Path) -> None:
    """R2 lost, R1 repeated, two different R1 at once from two workers, crash between R2 and the
    first record"""
    settings, ledger = attack_settings(tmp_path), Ledger()
    async with open_arena(settings, behind=ledger.behind()) as arena:
        talk = await talk_of(arena, ledger)
        request = talk.session.rekey_request()
        reply = await rekey_of(talk, request)
    async with open_arena(settings, behind=ledger.behind(), aged=False) as restarted:
        again = await talk.at(restarted)
        assert await rekey_of(again, request) == reply
        talk.session.accept_rekey(reply)
        verdict = await again.verdict(again.seal())
        if verdict == REKEY_REQUIRED:
            await again.agent.rekey(talk.session)
        await again.delivers(again.seal())


async def test_forged_rekey_requests(talk: Talk) -> None:
    """R2 lost, R1 repeated, two different R1 at once from two workers, crash between R2 and the
    first record"""
    other = await talk_of(talk.arena, talk.ledger)
    request = talk.session.rekey_request()
    async with talk.arena.unharmed():
        for at in range(16 * 8, 84 * 8):
            flipped = bytearray(request)
            flipped[at // 8] ^= 1 << at % 8
            text = encode_json("rekey_request", bytes(flipped))
            answer = await talk.agent.post(f"/v1/sessions/{talk.session.session_id}/rekey", text)
            assert (answer.status_code, code_of(answer)) == REFUSED, at
        text = encode_json("rekey_request", request)
        answer = await talk.agent.post(f"/v1/sessions/{other.session.session_id}/rekey", text)
        assert (answer.status_code, code_of(answer)) == MALFORMED
    talk.session.accept_rekey(await rekey_of(talk, request))
    await talk.delivers(talk.seal())


async def test_budget(talk: Talk) -> None:
    """budget reached"""
    await talk.delivers(talk.seal())
    served = await talk.arena.gateway.manager.get(talk.session.session_id)
    assert served is not None
    served.skip(records=2**20)
    record = talk.seal()
    answer = (await talk.send(record)).content
    assert RecordHeader.parse(answer).rekey_wanted
    talk.session.open(answer, aad=RESPONSE_AAD + record[:48])
    assert talk.session.rekey_wanted
    served.skip(records=2**24 - 2**20)
    assert await talk.verdict(talk.seal()) == REKEY_REQUIRED
    talk.session.skip(records=2**24)
    with pytest.raises(RekeyRequiredError):
        talk.seal()
    await talk.agent.rekey(talk.session)
    await talk.delivers(talk.seal())
    assert not talk.session.rekey_wanted


async def test_two_workers_of_one_session(tmp_path: Path) -> None:
    """fork after set-up, both seal; two workers, one session

    A gateway never forks after set-up: each worker is started anew. What a fork does to a session
    is tested where sessions are.
    """
    settings, ledger = attack_settings(tmp_path), Ledger()
    async with (
        open_arena(settings, behind=ledger.behind()) as here,
        open_arena(settings, behind=ledger.behind(), aged=False) as there,
    ):
        talk = await talk_of(here, ledger)
        talks = [talk, await talk.at(there)]
        seals = set()
        incarnations: list[set[bytes]] = [set(), set()]
        for number in range(40):
            record = talk.seal()
            answer = (await talks[number % 2].send(record)).content
            header = RecordHeader.parse(answer)
            seals.add((header.incarnation, header.epoch, header.seq))
            incarnations[number % 2].add(header.incarnation)
            talk.session.open(answer, aad=RESPONSE_AAD + record[:48])
        assert len(seals) == 40, "no (key, nonce) twice"
        assert [len(one) for one in incarnations] == [1, 1]
        assert not incarnations[0] & incarnations[1]


async def test_sessions_that_are_not_there(tmp_path: Path, arena: Arena) -> None:
    """expired, deleted, half-open, unknown, other tenant's session"""
    settings = attack_settings(tmp_path, {"handshake.confirmation": "signature"})
    short = settings.session.model_copy(update={"max_age": 1})
    ledger = Ledger()
    async with (
        open_arena(settings, behind=ledger.behind()) as signing,
        open_arena(
            attack_settings(tmp_path / "short").model_copy(update={"session": short}),
            behind=ledger.behind(),
        ) as brief,
    ):
        expired = await talk_of(brief, ledger)
        await expired.delivers(expired.seal())
        late = expired.seal()
        deleted, closed, tenant = [await talk_of(arena, ledger) for _ in range(3)]
        path = f"/v1/sessions/{deleted.session.session_id}"
        assert (await arena.admin.delete(path)).status_code == 204
        farewell = closed.session.seal_close(aad=REQUEST_AAD)
        after_the_end = closed.session.session_id
        assert (await closed.send(farewell)).status_code == 204
        half_open = await half_open_of(signing, ledger)
        unknown = b"\1\1\0\0" + bytes(16) + tenant.seal()[20:]
        garbled = bytearray(tenant.seal())
        garbled[-1] ^= 1
        answers = {
            "deleted": await deleted.send(deleted.seal()),
            "closed": await closed.send(farewell, after_the_end),
            "half-open": await half_open.send(half_open.seal()),
            "unknown": await tenant.send(unknown),
            "other tenant's": await tenant.send(renamed(tenant.seal(), deleted.session)),
            "served, wrong tag": await tenant.send(bytes(garbled)),
            "tenant's own key": await deleted.send(renamed(deleted.seal(), tenant.session)),
        }
        async with asyncio.timeout(20):
            while (answer := await expired.send(late)).status_code != 401:
                late = expired.seal() if expired.session.state == "open" else late
                await asyncio.sleep(0.1)
        answers["expired"] = answer
    first = answers["unknown"]
    assert (first.status_code, code_of(first)) == REFUSED
    for title, one in answers.items():
        assert (one.status_code, one.content) == (401, first.content), title
        assert list(one.headers.items()) == list(first.headers.items()), title


async def half_open_of(arena: Arena, ledger: Ledger) -> Talk:
    agent = await arena.registered()
    attempt = await agent.attempt()
    answer = await agent.send_m1(attempt)
    _, session = attempt.finish(decode_json("accept", answer.content))
    return Talk(arena, agent, session, ledger)


async def test_half_open_sessions_answer_no_rekey(talk: Talk) -> None:
    """expired, deleted, half-open, unknown, other tenant's session"""
    half_open = await half_open_of(talk.arena, talk.ledger)
    session = half_open.session
    async with talk.arena.unharmed():
        for session_id, request in (
            (session.session_id, session.rekey_request()),
            ("0" * 8 + "-0000-0000-0000-" + "0" * 12, bytes(84)),
        ):
            answer = await talk.agent.post(
                f"/v1/sessions/{session_id}/rekey", encode_json("rekey_request", request)
            )
            assert (answer.status_code, code_of(answer)) == REFUSED
        listed = await talk.arena.admin.get(f"/v1/sessions/{session.session_id}")
        assert listed.status_code == 404


async def test_delete_in_flight(tmp_path: Path) -> None:
    """delete while 1,000 requests are in flight"""
    settings, ledger = attack_settings(tmp_path, {"limits.max_in_flight": 2_000}), Ledger()
    async with open_arena(settings, behind=ledger.behind()) as arena:
        talk = await talk_of(arena, ledger)
        await talk.delivers(talk.seal())
        ledger.may_answer.clear()
        del ledger.taken[:]
        records = [talk.seal(b"%d" % number) for number in range(1_000)]
        calls = [asyncio.create_task(talk.send(record)) for record in records]
        while len(ledger.taken) < 900:
            await asyncio.sleep(0.01)
        ended = await arena.admin.delete(f"/v1/sessions/{talk.session.session_id}")
        assert ended.status_code == 204
        ledger.may_answer.set()
        outcomes = [(answer.status_code) for answer in await asyncio.gather(*calls)]
        assert set(outcomes) <= {200, 401}
        assert len(outcomes) == 1_000
        assert (await arena.state()).stored == 0
        await arena.look()
        await talk.refuses(talk.seal(), REFUSED)


def edit(settings: Settings, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(settings.state_dir / "sessions.db")) as database, database:
        assert database.execute(statement, values).rowcount >= 1


COLUMNS: Mapping[str, object] = {
    "client_did": "did:example:mallory",
    "server_did": "did:example:mallory",
    "expires_ms": 2**50,
    "created_ms": 1,
    "kek_id": "kek-2",
    "wrapped_secret": bytes(300),
}
KEY_UNAVAILABLE = (503, "key_unavailable")


@pytest.mark.parametrize("column", [*COLUMNS, "swapped"])
async def test_edited_and_swapped_rows(tmp_path: Path, column: str) -> None:
    """stored row swapped, edited, wrong KEK"""
    settings, ledger = attack_settings(tmp_path), Ledger()
    async with open_arena(settings, behind=ledger.behind()) as arena:
        hit, spared, third = [await talk_of(arena, ledger) for _ in range(3)]
        session_id = stored_id(hit)
    if column == "swapped":
        edit(
            settings,
            "UPDATE sessions SET wrapped_secret = (SELECT wrapped_secret FROM sessions "
            "WHERE session_id = ?) WHERE session_id = ?",
            stored_id(third),
            session_id,
        )
    else:
        edit(
            settings,
            f"UPDATE sessions SET {column} = ? WHERE session_id = ?",  # noqa: S608 - ours
            COLUMNS[column],
            session_id,
        )
    async with open_arena(settings, behind=ledger.behind(), aged=False) as restarted:
        at = await hit.at(restarted)
        assert await at.verdict(at.seal()) == KEY_UNAVAILABLE
        answer = await at.send(at.seal())
        assert int(answer.headers["retry-after"]) >= 1
        for other in (spared, third):
            fine = await other.at(restarted)
            await fine.delivers(fine.seal())
        assert len(ledger.taken) == 2
        await restarted.look()


def stored_id(talk: Talk) -> object:
    return talk.session.session_id


async def test_a_wrong_kek(tmp_path: Path) -> None:
    """stored row swapped, edited, wrong KEK"""
    settings, ledger = attack_settings(tmp_path), Ledger()
    async with open_arena(settings, behind=ledger.behind()) as arena:
        old = await talk_of(arena, ledger)
    secret = settings.state_dir / "secrets" / "kek"
    right = secret.read_bytes()
    for wrong in (new_keks(), new_keks().replace(b"kek-1", b"kek-9")):
        secret.write_bytes(wrong)
        async with open_arena(settings, behind=ledger.behind(), aged=False) as restarted:
            at = await old.at(restarted)
            assert await at.verdict(at.seal()) == KEY_UNAVAILABLE
            fresh = await talk_of(restarted, ledger)
            await fresh.delivers(fresh.seal())
            rekey = await at.agent.post(
                f"/v1/sessions/{old.session.session_id}/rekey",
                encode_json("rekey_request", old.session.rekey_request()),
            )
            assert (rekey.status_code, code_of(rekey)) == KEY_UNAVAILABLE
            await restarted.look()
            assert await restarted.gateway.storage.sessions(SESSION_STORE).get(
                old.session.session_id
            )
    secret.write_bytes(right)
