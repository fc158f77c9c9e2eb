"""One face for the two implementations of a session, so that either can stand on either side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sage_native.protocol import decode_json, encode_json
from tests.agents import NOW_MS
from tests.reference import carriers
from tests.reference.messages import R1, RekeyReply
from tests.reference.records import FLAG_BINARY_HTTP
from tests.reference.setups import derived_bytes

if TYPE_CHECKING:
    from sage_native import Session
    from tests.reference import session as reference


class Side(Protocol):
    """What both implementations do. Messages are in their binary carriers."""

    def seal(self, plaintext: bytes, aad: bytes, *, binary_http: bool) -> bytes: ...
    def open(self, record: bytes, aad: bytes) -> bytes: ...
    def export(self, label: str, context: bytes, length: int) -> bytes: ...
    def ask(self) -> bytes: ...
    def answer(self, request: bytes) -> bytes: ...
    def accept(self, reply: bytes) -> None: ...


@dataclass(frozen=True)
class Native:
    """The product. Rekey messages come and go through its JSON carriers."""

    session: Session

    def seal(self, plaintext: bytes, aad: bytes, *, binary_http: bool) -> bytes:
        return self.session.seal(plaintext, aad=aad, binary_http=binary_http, now_ms=NOW_MS)

    def open(self, record: bytes, aad: bytes) -> bytes:
        return self.session.open(record, aad=aad, now_ms=NOW_MS)

    def export(self, label: str, context: bytes, length: int) -> bytes:
        return self.session.export(label, context, length, now_ms=NOW_MS)

    def ask(self) -> bytes:
        request = self.session.rekey_request(now_ms=NOW_MS)
        return carriers.decode_r1(encode_json("rekey_request", request)).encode()

    def answer(self, request: bytes) -> bytes:
        text = carriers.encode_r1(R1.decode(request))
        reply = self.session.answer_rekey(decode_json("rekey_request", text), now_ms=NOW_MS)
        return carriers.decode_rekey_reply(encode_json("rekey_reply", reply)).encode()

    def accept(self, reply: bytes) -> None:
        text = carriers.encode_rekey_reply(RekeyReply.decode(reply))
        self.session.accept_rekey(decode_json("rekey_reply", text), now_ms=NOW_MS)


@dataclass(frozen=True)
class Reference:
    """The oracle."""

    session: reference.Session

    def seal(self, plaintext: bytes, aad: bytes, *, binary_http: bool) -> bytes:
        flags = FLAG_BINARY_HTTP if binary_http else 0
        return self.session.seal(plaintext, now_ms=NOW_MS, aad=aad, flags=flags)

    def open(self, record: bytes, aad: bytes) -> bytes:
        return self.session.open(record, now_ms=NOW_MS, aad=aad).plaintext

    def export(self, label: str, context: bytes, length: int) -> bytes:
        return self.session.export(label.encode(), context, length)

    def ask(self) -> bytes:
        return self.session.rekey_request(derived_bytes(f"ask {self.session.epoch}")).encode()

    def answer(self, request: bytes) -> bytes:
        nonce = derived_bytes(f"answer {self.session.epoch}")
        reply = self.session.rekey_answer(R1.decode(request), nonce=nonce, now_ms=NOW_MS)
        return reply.encode()

    def accept(self, reply: bytes) -> None:
        self.session.rekey_finish(RekeyReply.decode(reply), now_ms=NOW_MS)
