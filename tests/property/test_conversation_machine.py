"""Two sessions over a network that loses, reorders and repeats, between processes that die.

Every step is done to the sessions and to the naive model (``model.py``), and both must say the
same. Stores are written as the protocol wants it: the server's row before it answers a rekey, the
client's right after it accepted one. In between either may die.

Held over every history: a message is delivered at most once and never altered; no two records
share (session, direction, incarnation, epoch, sequence number); the server is at most one epoch
ahead; and from wherever they are, two rekey round trips bring both sides together.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sage_native import KeyEncryptionKey, Session, resolve_did_key
from sage_native.protocol import RecordHeader, WrappedSession
from tests.agents import NOW_MS, REFUSED, Agents, code_of
from tests.property.model import DELIVERED, REKEY_REQUIRED, Committed, End, Name, Slot

KEK = KeyEncryptionKey("machine", bytes(32))
STORE = "machine"
DAY_S = 86_400
indexes = st.integers(0, 1 << 16)


@dataclass(frozen=True)
class Packet:
    """A record on its way."""

    slot: Slot
    record: bytes
    plaintext: bytes
    is_close: bool = False


@dataclass(frozen=True)
class Answer:
    """A rekey reply on its way, with the R1 that it belongs to."""

    epoch: int
    request: bytes
    reply: bytes


class Conversation(RuleBasedStateMachine):
    """The machine."""

    def __init__(self) -> None:
        super().__init__()
        agents = Agents()
        attempt = agents.initiator.initiate(now_ms=NOW_MS)
        request = agents.responder.read(attempt.message, now_ms=NOW_MS)
        request.authenticate(resolve_did_key(request.client_did))
        reply, server = request.accept(lifetime_s=DAY_S, idle_timeout_s=DAY_S, now_ms=NOW_MS)
        self.m3, client = attempt.finish(reply, now_ms=NOW_MS)
        self.sessions: dict[Name, Session] = {"client": client, "server": server}
        self.ends: dict[Name, End] = {
            "client": End("client"),
            "server": End("server", is_half_open=True),
        }
        self.rows: dict[Name, tuple[WrappedSession, Committed | None]] = {}
        self.now_ms = NOW_MS
        self.packets: list[Packet] = []
        self.requests: list[bytes] = []
        self.answers: list[Answer] = []
        self.slots: set[Slot] = set()
        self.delivered: set[bytes] = set()
        self.step_count = 0
        self.server_forgot_m3 = False
        self.store("client", None)

    # Records.

    @rule(name=st.sampled_from(["client", "server"]), plaintext=st.binary(max_size=40))
    def seal(self, name: Name, plaintext: bytes) -> None:
        expected = self.ends[name].may_seal
        if expected is not None:
            assert code_of(self.sessions[name].seal, plaintext, now_ms=self.now_ms) == expected
            return
        record = self.sessions[name].seal(plaintext, now_ms=self.now_ms)
        assert self.send(name, record, plaintext).epoch == self.ends[name].epoch

    @rule(request=indexes, plaintext=st.binary(max_size=40))
    def answer_late(self, request: int, plaintext: bytes) -> None:
        """Seal an answer in the epoch of a request that came before the rekey."""
        server, before = self.ends["server"], self.ends["server"].epoch - 1
        late = [one for one in self.packets if one.slot.epoch == before]
        if not late or server.may_seal is not None:
            return
        answered = late[request % len(late)].record
        session = self.sessions["server"]
        if server.seen_before is None:
            code = code_of(session.seal, plaintext, answers=answered, now_ms=self.now_ms)
            assert code == REKEY_REQUIRED
            return
        record = session.seal(plaintext, answers=answered, now_ms=self.now_ms)
        assert self.send("server", record, plaintext).epoch == before

    def send(self, name: Name, record: bytes, plaintext: bytes, *, is_close: bool = False) -> Slot:
        header = RecordHeader.parse(record)
        slot = Slot(name, header.incarnation, header.epoch, header.seq)
        assert slot not in self.slots, "key and nonce repeated"
        self.slots.add(slot)
        self.packets.append(Packet(slot, record, plaintext, is_close))
        return slot

    @precondition(lambda self: self.packets)
    @rule(index=indexes, recent=st.booleans())
    def deliver(self, index: int, recent: bool) -> None:  # noqa: FBT001 - drawn
        """Deliver any packet that was ever sent, or one of the last few."""
        last = self.packets[-4:] if recent else self.packets
        self.hand_over(last[index % len(last)])

    def hand_over(self, packet: Packet) -> str | None:
        name: Name = "client" if packet.slot.sender == "server" else "server"
        session, end = self.sessions[name], self.ends[name]
        expected = end.deliver(packet.slot)
        if expected is not DELIVERED:
            assert code_of(session.open, packet.record, now_ms=self.now_ms) == expected
            return expected
        assert session.open(packet.record, now_ms=self.now_ms) == packet.plaintext
        assert packet.record not in self.delivered, "delivered twice"
        self.delivered.add(packet.record)
        if packet.is_close:
            self.end(name)
        return None

    @precondition(lambda self: self.packets)
    @rule(index=indexes, bit=indexes)
    def deliver_altered(self, index: int, bit: int) -> None:
        packet = self.packets[index % len(self.packets)]
        at = bit % (len(packet.record) * 8)
        record = bytearray(packet.record)
        record[at // 8] ^= 1 << at % 8
        name: Name = "client" if packet.slot.sender == "server" else "server"
        code = code_of(self.sessions[name].open, record, now_ms=self.now_ms)
        assert code in (REFUSED, "malformed_request")

    # Confirmation, time, end.

    @precondition(lambda self: self.now_ms == NOW_MS and not self.ends["server"].is_closed)
    @rule()
    def confirm(self) -> None:
        code = code_of(self.sessions["server"].confirm, self.m3, now_ms=self.now_ms)
        assert code == (REFUSED if self.server_forgot_m3 else None)
        self.ends["server"].is_half_open = False

    @precondition(lambda self: not self.ends["server"].is_half_open)
    @rule()
    def wait(self) -> None:
        """Let the record keys of the epoch before go."""
        self.now_ms += 60_000
        for end in self.ends.values():
            end.seen_before = None

    @precondition(lambda self: self.step_count > 30)
    @rule(name=st.sampled_from(["client", "server"]))
    def close(self, name: Name) -> None:
        if self.ends[name].may_seal is None:
            record = self.sessions[name].seal_close(now_ms=self.now_ms)
            self.send(name, record, b"", is_close=True)
            self.end(name)

    def end(self, name: Name) -> None:
        self.ends[name].is_closed = True
        self.rows.pop(name, None)
        assert self.sessions[name].state == "closed"

    # Processes that die.

    def store(self, name: Name, committed: Committed | None) -> None:
        row = self.sessions[name].wrap(KEK, store=STORE, now_ms=self.now_ms)
        assert row is not None
        self.rows[name] = (row, committed)

    @precondition(lambda self: not self.ends["server"].is_half_open)
    @rule(name=st.sampled_from(["client", "server"]))
    def restart(self, name: Name) -> None:
        if name == "server" and "server" not in self.rows and not self.ends["server"].is_closed:
            self.store("server", self.ends["server"].committed)
        if name in self.rows:
            self.load(name)

    def load(self, name: Name) -> None:
        self.server_forgot_m3 |= name == "server"
        row, committed = self.rows[name]
        self.sessions[name] = row.unwrap(KEK, store=STORE, now_ms=self.now_ms)
        self.ends[name].restart(row.epoch, committed)

    # Rekey: any R1 and any reply may come, at any time, any number of times.

    @precondition(lambda self: not self.ends["client"].is_closed)
    @rule()
    def ask(self) -> None:
        client = self.ends["client"]
        request = self.sessions["client"].rekey_request(now_ms=self.now_ms)
        assert client.asked in (None, request), "an R1 repeats unchanged"
        client.asked = request
        self.requests.append(request)

    @precondition(lambda self: "client" in self.rows)
    @rule()
    def ask_from_another_process(self) -> None:
        """A second worker of the client, with the same row."""
        other = self.rows["client"][0].unwrap(KEK, store=STORE, now_ms=self.now_ms)
        self.requests.append(other.rekey_request(now_ms=self.now_ms))

    @precondition(lambda self: self.requests)
    @rule(index=indexes, recent=st.booleans(), dies=st.booleans())
    def deliver_request(self, index: int, recent: bool, dies: bool) -> None:  # noqa: FBT001
        last = self.requests[-2:] if recent else self.requests
        self.answer(last[index % len(last)], dies=dies)

    def answer(self, request: bytes, *, dies: bool = False) -> Answer | None:
        """Let the server answer an R1; it may die after it stored and before it answers."""
        server, session = self.ends["server"], self.sessions["server"]
        epoch = int.from_bytes(request[16:20], "big")
        again = server.committed is not None and server.committed.epoch == epoch
        if server.is_closed or server.is_half_open or not (again or epoch == server.epoch):
            assert code_of(session.answer_rekey, request, now_ms=self.now_ms) == REFUSED
            return None
        prepared = session.prepare_rekey(request, now_ms=self.now_ms)
        assert prepared.is_committed == again
        row = session.wrap(KEK, store=STORE, prepared=prepared, now_ms=self.now_ms)
        assert (row is None) == again
        if row is not None:
            self.rows["server"] = (row, Committed(epoch, request, None))
        if dies and row is not None:
            self.load("server")
            return None
        reply = session.commit_rekey(prepared, now_ms=self.now_ms)
        return self.note_answer(request, epoch, reply, is_new=not again)

    def note_answer(self, request: bytes, epoch: int, reply: bytes, *, is_new: bool) -> Answer:
        server = self.ends["server"]
        if is_new:
            server.advance()
            server.committed = Committed(epoch, request, None)
        assert server.committed is not None
        committed = server.committed.request
        assert reply[64:] == (b"" if request == committed else committed)
        assert server.committed.reply in (None, reply[:64]), "two R2 for one epoch"
        server.committed = Committed(epoch, committed, reply[:64])
        row, stored = self.rows["server"]
        if stored is not None and stored.epoch == epoch:
            self.rows["server"] = (row, server.committed)
        self.answers.append(Answer(epoch, committed, reply))
        return self.answers[-1]

    @precondition(lambda self: self.answers)
    @rule(index=indexes, recent=st.booleans(), dies=st.booleans())
    def deliver_answer(self, index: int, recent: bool, dies: bool) -> None:  # noqa: FBT001
        last = self.answers[-2:] if recent else self.answers
        self.accept(last[index % len(last)], dies=dies)

    def accept(self, answer: Answer, *, dies: bool = False) -> None:
        """Let the client take a reply; it may die before it stores."""
        client, session = self.ends["client"], self.sessions["client"]
        fits = answer.request == client.asked or len(answer.reply) > 64
        if client.is_closed or client.asked is None or answer.epoch != client.epoch or not fits:
            assert code_of(session.accept_rekey, answer.reply, now_ms=self.now_ms) == REFUSED
            return
        session.accept_rekey(answer.reply, now_ms=self.now_ms)
        client.advance()
        if dies:
            self.load("client")
        else:
            self.store("client", None)

    # What must hold.

    @rule()
    def meet_again(self) -> None:
        """Two round trips bring them together; often one is enough."""
        if any(end.is_closed or end.is_half_open for end in self.ends.values()):
            return
        for _ in range(2):
            self.ask()
            answer = self.answer(self.requests[-1])
            assert answer is not None
            self.accept(answer)
            if not self.ends["server"].windows_lost:
                break
        assert self.ends["client"].epoch == self.ends["server"].epoch
        for name in self.ends:
            self.seal(name, b"together again")
            assert self.hand_over(self.packets[-1]) is DELIVERED

    def teardown(self) -> None:
        self.meet_again()

    @invariant()
    def epochs_are_close(self) -> None:
        self.step_count += 1
        if any(end.is_closed for end in self.ends.values()):
            return
        for name, end in self.ends.items():
            assert self.sessions[name].epoch == end.epoch
        assert self.ends["server"].epoch - self.ends["client"].epoch in (0, 1)


Conversation.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestConversation = Conversation.TestCase
