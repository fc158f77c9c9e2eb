"""The gateway's peer speaks the protocol, and the generator of load counts right answers only."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from benches.peers.errors import RefusedError
from benches.peers.gateway import carriers, session_file
from benches.peers.gateway.session_file import SessionFile, SessionRow
from benches.peers.gateway.wrapping import Wrapper
from benches.ratios.http import contenders
from benches.ratios.http.agents import JSON, RECORD, Clients, checked_echo, echoes, same
from benches.ratios.http.cpu import Cores, cpu_ns, tree
from benches.ratios.http.latency import Latency
from benches.ratios.http.load import Load
from benches.ratios.http.memory import MemoryUse
from benches.ratios.http.messages import Answer, WrongAnswerError, get, post, take
from benches.ratios.http.report import Report, tables
from sage_native import Initiator, KeyEncryptionKey, SigningKey
from sage_native.exceptions import KeyUnavailableError
from sage_native.protocol import WrappedSession, decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benches.ratios.http.contenders import Contender
    from benches.ratios.http.load import Dialogue

CLIENT_COUNT = 4


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contender]:
    directory = tmp_path_factory.mktemp("peer") / "state"
    started = contenders.peer(directory, client_count=CLIENT_COUNT)
    try:
        yield started
    finally:
        started.server.stop()


@pytest.fixture
def load(peer: Contender) -> Iterator[Load]:
    peer.clients.sessions.clear()
    with Load(peer.server.port, 3) as load:
        yield load


def refusal(request: bytes, status: int, code: str) -> Dialogue:
    answer = yield request
    assert json.loads(answer.expect(status)) == {
        "type": f"urn:sage:problem:{code}",
        "status": status,
    }


def first_message(clients: Clients) -> bytes:
    """Return the request with a fresh M1 of a client that is registered."""
    (dialogue,) = clients.handshakes(1)
    return next(dialogue)


def test_the_peer_makes_sessions_and_answers_their_records(peer: Contender, load: Load) -> None:
    done = load.run(peer.clients.handshakes(10))
    assert (done.count, len(done.latencies_ns), len(peer.clients.sessions)) == (10, 10, 10)
    for _ in range(2):
        opened = [checked_echo(session, b"hello") for session in peer.clients.sessions]
        assert load.run(opened).count == 10
    assert load.run(echoes(peer.clients.sessions, bytes(64), 25)).count == 25


def test_the_peer_lets_a_first_record_confirm(load: Load) -> None:
    client, server_key = SigningKey(bytes(31) + b"\1"), SigningKey(contenders.SERVER_SEED)
    attempt = Initiator(client, server_key.verifying_key).initiate()

    def unconfirmed() -> Dialogue:
        body = encode_json("initiate", attempt.message)
        answer = yield post("/v1/handshake/initiate", body, JSON)
        _, session = attempt.finish(decode_json("accept", answer.expect(200)))
        yield from checked_echo(session, b"first")
        yield from checked_echo(session, b"second")

    assert load.run([unconfirmed()]).count == 1


def test_the_peer_refuses_what_the_protocol_refuses(peer: Contender, load: Load) -> None:
    stranger = SigningKey.generate()
    server_key = SigningKey(contenders.SERVER_SEED).verifying_key
    unknown = encode_json("initiate", Initiator(stranger, server_key).initiate().message)
    elsewhere = encode_json(
        "initiate", Initiator(stranger, stranger.verifying_key).initiate().message
    )
    again = first_message(peer.clients)
    load.run(peer.clients.handshakes(1))
    (session,) = peer.clients.sessions
    record = session.seal(b"once", aad=b"SAGE-HTTP/1 request")
    message = post(f"/v1/sessions/{session.session_id}/messages", record, RECORD)
    initiate, other = "/v1/handshake/initiate", "/v1/sessions/" + "0" * 36 + "/messages"
    load.run([*same(again, 1), *same(message, 1)])
    refusals = [
        refusal(post(initiate, unknown, JSON), 401, "authentication_failed"),
        refusal(post(initiate, elsewhere, JSON), 421, "misdirected"),
        refusal(post(initiate, b"{}", JSON), 400, "malformed_request"),
        refusal(post(initiate, b" " * 16_385, JSON), 413, "payload_too_large"),
        refusal(post(initiate, unknown, "text/plain"), 415, "unsupported_media_type"),
        refusal(again, 409, "replay_detected"),
        refusal(message, 409, "replay_detected"),
        refusal(post(other, record, RECORD), 401, "authentication_failed"),
    ]
    assert load.run(refusals).count == len(refusals)


def test_a_wrong_status_fails_the_run(peer: Contender) -> None:
    """Nothing that is refused is ever counted as done."""
    again = first_message(peer.clients)
    for run in (Load.run, lambda load, dialogues: load.paced(dialogues, 0.001)):
        with Load(peer.server.port, 2) as load, pytest.raises(WrongAnswerError, match="status 4"):
            run(load, [*same(again, 1), *same(again, 1)])


def test_paced_dialogues_all_end(load: Load) -> None:
    done = load.paced(same(get("/v1/health"), 20), 0.001)
    assert (done.count, len(done.latencies_ns)) == (20, 20)
    assert done.elapsed_ns >= 19_000_000


def test_processes_are_known_with_their_cpu_time(peer: Contender, load: Load) -> None:
    pids = tree(peer.server.process.pid)
    assert pids[0] == peer.server.process.pid
    before_ns = cpu_ns(pids)
    load.run(peer.clients.handshakes(5))
    assert cpu_ns(pids) > before_ns
    assert peer.server.resident_len() > 1 << 20
    cores = Cores.split()
    assert cores.generator
    assert cores.servers


@contextmanager
def answering(*pieces: bytes) -> Iterator[int]:
    """Serve one connection: read a request, send the pieces, one after the other, and hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1 << 16)
                for piece in pieces:
                    connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


def test_an_answer_may_come_in_pieces() -> None:
    with answering(HEAD[:7], HEAD[7:] + b"he", b"llo") as port, Load(port, 1) as load:
        assert load.run(same(get("/"), 1)).count == 1


@pytest.mark.parametrize(
    "said", [b"", HEAD + b"hell", b"HTTP/1.1 200 OK\r\n\r\n", HEAD + b"hello!"]
)
def test_half_an_answer_is_none(said: bytes) -> None:
    with answering(said) as port, Load(port, 1) as load, pytest.raises(WrongAnswerError):
        load.run(same(get("/"), 1))


def test_answers_are_taken_apart() -> None:
    assert take(HEAD + b"hello") == Answer(200, b"hello")
    assert take(HEAD + b"hell") is None
    assert take(b"HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n") == Answer(204, b"")
    with pytest.raises(WrongAnswerError, match="status 503 instead of 200"):
        Answer(503, b"overloaded").expect(200)


def test_closed_connections_are_opened_anew(peer: Contender) -> None:
    with Load(peer.server.port, 2) as load:
        load.run(same(get("/v1/health"), 2))
        for one in load._connections:
            one.socket.shutdown(socket.SHUT_RDWR)
        load.refresh()
        assert load.run(same(get("/v1/health"), 4)).count == 4


# The peer's own parts


def m1_text() -> tuple[bytes, bytes]:
    client, server = SigningKey.generate(), SigningKey.generate()
    message = Initiator(client, server.verifying_key).initiate(challenge=bytes(25)).message
    return message, encode_json("initiate", message)


def test_carriers_are_those_of_the_protocol(peer: Contender, load: Load) -> None:
    message, text = m1_text()
    assert carriers.read_initiate(text) == message
    spread = json.dumps(json.loads(text), indent=1).encode()
    assert carriers.read_initiate(spread) == message
    for confirm in (bytes(range(48)), bytes(range(112))):
        assert carriers.read_confirm(encode_json("confirm", confirm)) == confirm
    accept: list[bytes] = []

    def initiation() -> Dialogue:
        answer = yield first_message(peer.clients)
        accept.append(answer.expect(200))

    load.run([initiation()])
    assert carriers.write_accept(decode_json("accept", accept[0])) == accept[0]


MUTATIONS: list[tuple[bytes, bytes]] = [
    (b'"version":1', b'"version":2'),
    (b'"version":1', b'"version":1.0'),
    (b'"version":1', b'"version":1,"version":1'),
    (b'"version":1', b'"version":1,"unknown":1'),
    (b'"suites":[1]', b'"suites":[]'),
    (b'"suites":[1]', b'"suites":null'),
    (b'"suites":[1]', b'"suites":[1,2,3,4,5]'),
    (b'"nonce":"', b'"nonce":"+'),
    (b'"nonce":"', b'"nonce":"AAAA'),
    (b'"challenge":"', b'"challenge":"='),
    (b'"challenge":"AAAA', b'"challenge":"'),
    (b'"client_did":"did:key:', b'"client_did":"did:key:\xc3\xa9'),
    (b'"client_public_key":"', b'"client_public_key":"AAAA'),
    (b'"timestamp":', b'"timestamp":-'),
    (b"{", b"[{"),
    (b"}", b"}x"),
    (b"}", b""),
    (b'"signature"', b'"Signature"'),
]


@pytest.mark.parametrize(("old", "new"), MUTATIONS)
def test_carriers_refuse_what_the_protocol_refuses(old: bytes, new: bytes) -> None:
    """Where ours takes a mutation, as an unusual but allowed spelling, so must the peer."""
    _, text = m1_text()
    mutated = text.replace(old, new, 1)
    assert mutated != text
    try:
        wanted = decode_json("initiate", mutated)
    except Exception:  # noqa: BLE001 - whatever ours is called
        with pytest.raises(RefusedError):
            carriers.read_initiate(mutated)
    else:
        assert carriers.read_initiate(mutated) == wanted


@pytest.mark.parametrize("last", "BCDEFGHIJKLMNOP")
def test_base64url_is_canonical(last: str) -> None:
    """43 characters hold 258 bits: the last two must be zero."""
    body = b'{"session_id":"%s","confirmation":"%s"}' % (
        carriers.dashed(bytes(16)).encode(),
        b"A" * 42 + last.encode(),
    )
    if last in "EIM":
        assert len(carriers.read_confirm(body)) == 48
    else:
        with pytest.raises(RefusedError, match="malformed_request"):
            carriers.read_confirm(body)


def test_wrapped_secrets_are_bound_as_ours_are() -> None:
    """Our own unwrapping gets as far as the plaintext, so the key and associated data are right."""
    client_did, server_did = "did:key:z6MkA", "did:key:z6MkB"
    wrapped = Wrapper("kek-1", bytes(32), "gateway").wrap(
        b"secret",
        session_id=bytes(16),
        client_did=client_did.encode(),
        server_did=server_did.encode(),
        created_ms=1_000,
        expires_ms=2_000,
        epoch=0,
    )
    assert len(wrapped) == 12 + 6 + 16
    row = WrappedSession(
        session_id=carriers.dashed(bytes(16)),
        client_did=client_did,
        server_did=server_did,
        created_ms=1_000,
        expires_ms=2_000,
        epoch=0,
        kek_id="kek-1",
        wrapped_secret=wrapped,
    )
    kek = KeyEncryptionKey("kek-1", bytes(32))
    new = KeyEncryptionKey("kek-2", bytes(range(32)))
    row.rewrap(kek, new, store="gateway")
    with pytest.raises(KeyUnavailableError):
        row.rewrap(kek, new, store="elsewhere")


def row(number: int, client_did: str) -> SessionRow:
    return SessionRow(f"id-{number}", client_did, "did:key:z6MkB", 1, 2, 0, "kek-1", b"x", 600, 1)


async def test_sessions_are_stored_under_their_conditions(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    session_file.register(path, {"did:key:z6MkA": bytes(32)})
    file = SessionFile(path, synchronous="NORMAL", max_sessions_per_client=2)
    known = [file.create(row(number, "did:key:z6MkA")) for number in range(3)]
    unknown = file.create(row(9, "did:key:z6MkC"))
    await known[0]
    await known[1]
    for refused in (known[2], unknown):
        with pytest.raises(RefusedError, match="authentication_failed"):
            await refused
    file.close()
    connection = session_file.connect(path, "NORMAL")
    stored = connection.execute("SELECT session_id FROM sessions ORDER BY 1").fetchall()
    assert stored == [("id-0",), ("id-1",)]
    connection.close()


def test_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    latency = Latency("ours", "handshake", 1, 200, 1_600, 1.5, 2.25, 3.125)
    report = Report({"commit": "abc"}, [latency], [MemoryUse("ours", 10_000, 1_234.5)])
    path = tmp_path / "gateway.json"
    report.write(path)
    assert Report.read(path) == report
    text = "\n".join(tables(report))
    assert "| ours | handshake | 1 | 200/s | 1.50 ms | 2.25 ms | 3.12 ms |" in text
    assert "| ours | 10,000 | 1,234 |" in text
