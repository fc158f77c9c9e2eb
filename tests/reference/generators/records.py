"""``records.json``: records, rekeys and replay windows, step by step.

Source: docs/protocol.md, "Records", "HTTP carrier of records", "Rekey and resume".
"""

from __future__ import annotations

from tests.reference import carriers
from tests.reference.messages import R1, RekeyReply, session_id_text
from tests.reference.primitives import hkdf_label
from tests.reference.records import (
    C2S,
    FLAG_BINARY_HTTP,
    FLAG_CLOSE,
    FLAG_REKEY_WANTED,
    HTTP_REQUEST_AAD,
    HTTP_RESPONSE_AAD,
    S2C,
    Header,
    RecordKey,
)
from tests.reference.rekey import RekeyMacKeys, next_secret
from tests.reference.setups import derived_bytes
from tests.reference.window import Window

Step = dict[str, object]
SUITE = 1


def build() -> dict[str, object]:
    """Return the file."""
    return {
        "description": (
            "Record protection. A case of kind 'session' starts from two secrets and goes through "
            "its steps in order; 'window' offers sequence numbers to one replay window; "
            "'hkdf_label' shows the info structure. Byte strings are lower-case hex."
        ),
        "source": "python -m tests.reference.generate; docs/protocol.md",
        "cases": [
            *(_plain_case(), _rekey_case(), _adopted_case(), _extreme_case(), _http_case()),
            *_window_cases(),
            *_label_cases(),
        ],
    }


class Script:
    """A session written down: its secrets and the steps so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session_id = derived_bytes(f"{name} session", 16)
        self.epoch = 0
        self.secrets = {
            C2S: derived_bytes(f"{name} c2s"),
            S2C: derived_bytes(f"{name} s2c"),
        }
        self.start = dict(self.secrets)
        self.steps: list[Step] = []

    def record(
        self,
        direction: int,
        seq: int,
        plaintext: bytes,
        *,
        flags: int = 0,
        aad: bytes = b"",
        process: str = "one",
    ) -> bytes:
        """Add a record; returns it."""
        incarnation = derived_bytes(f"{self.name} incarnation {direction} {process}", 16)
        key = RecordKey.derive(self.secrets[direction], incarnation)
        header = Header(SUITE, direction, flags, self.session_id, incarnation, self.epoch, seq)
        record = key.seal(header, plaintext, aad)
        self.steps.append(
            {
                "op": "record",
                "direction": direction,
                "flags": flags,
                "incarnation": incarnation.hex(),
                "epoch": self.epoch,
                "seq": seq,
                "aad": aad.hex(),
                "plaintext": plaintext.hex(),
                "key": key.key.hex(),
                "iv": key.iv.hex(),
                "nonce": key.nonce(seq).hex(),
                "record": record.hex(),
            }
        )
        return record

    def rekey(self, *, other_r1: bool = False) -> None:
        """Add a rekey; with `other_r1` the client's own R1 lost against another one."""
        keys = RekeyMacKeys.derive(self.secrets[C2S], self.secrets[S2C])
        sent = self._r1(keys, "sent")
        committed = self._r1(keys, "committed") if other_r1 else sent
        r2 = keys.make_r2(committed, derived_bytes(f"{self.name} nonce s {self.epoch}"))
        reply = RekeyReply(r2, committed if other_r1 else None)
        self.secrets = {
            direction: next_secret(secret, committed, r2)
            for direction, secret in self.secrets.items()
        }
        self.steps.append(
            {
                "op": "rekey",
                "epoch": self.epoch,
                "mac_key_c": keys.client.hex(),
                "mac_key_s": keys.server.hex(),
                "nonce_c": sent.nonce.hex(),
                "nonce_s": r2.nonce.hex(),
                "r1": sent.encode().hex(),
                "r1_json": carriers.encode_r1(sent).decode(),
                "r1_committed": committed.encode().hex(),
                "r2": r2.encode().hex(),
                "reply": reply.encode().hex(),
                "reply_json": carriers.encode_rekey_reply(reply).decode(),
                "next_c2s": self.secrets[C2S].hex(),
                "next_s2c": self.secrets[S2C].hex(),
            }
        )
        self.epoch += 1

    def _r1(self, keys: RekeyMacKeys, name: str) -> R1:
        nonce = derived_bytes(f"{self.name} nonce c {self.epoch} {name}")
        return keys.make_r1(self.session_id, self.epoch, nonce)

    def case(self, comment: str) -> dict[str, object]:
        """Return the case."""
        return {
            "name": self.name,
            "kind": "session",
            "comment": comment,
            "suite": SUITE,
            "session_id": self.session_id.hex(),
            "session_id_text": session_id_text(self.session_id),
            "c2s_0": self.start[C2S].hex(),
            "s2c_0": self.start[S2C].hex(),
            "steps": self.steps,
        }


def _plain_case() -> dict[str, object]:
    script = Script("both directions")
    script.record(C2S, 0, b"hello")
    script.record(S2C, 0, b"hello yourself")
    script.record(C2S, 1, b"", aad=b"caller aad")
    script.record(C2S, 3, bytes(64), aad=bytes(range(256)))
    script.record(C2S, 2, b"late, still inside the window")
    script.record(C2S, 0, b"another worker, its own sequence", process="two")
    script.record(S2C, 0, b"another worker answers", process="two")
    script.record(S2C, 1, b"asks for a rekey", flags=FLAG_REKEY_WANTED)
    script.record(S2C, 2, bytes(range(256)) * 16, flags=FLAG_BINARY_HTTP)
    script.record(C2S, 4, b"", flags=FLAG_CLOSE)
    return script.case("several incarnations, flags, aad, empty and 4 KiB plaintext, then close")


def _rekey_case() -> dict[str, object]:
    script = Script("across rekeys")
    for _ in range(3):
        script.record(C2S, 0, b"request in epoch %d" % script.epoch)
        script.record(S2C, 0, b"answer in epoch %d" % script.epoch)
        script.rekey()
    script.record(C2S, 0, b"after three rekeys", flags=FLAG_REKEY_WANTED | FLAG_BINARY_HTTP)
    return script.case("sequence numbers start again in every epoch, keys never repeat")


def _adopted_case() -> dict[str, object]:
    script = Script("adopted R1")
    script.record(C2S, 0, b"before")
    script.rekey(other_r1=True)
    script.record(C2S, 0, b"after")
    script.record(S2C, 0, b"after as well")
    return script.case("the server had committed another R1; the client adopts it with its R2")


def _extreme_case() -> dict[str, object]:
    script = Script("extreme numbers")
    script.record(C2S, 2**32 - 1, b"seq of 32 bits")
    script.record(C2S, 2**32, b"one more")
    script.record(C2S, 2**64 - 1, b"the last number there is")
    script.epoch = 2**32 - 1
    script.record(S2C, 0, b"the last epoch there is")
    return script.case(
        "encoding only: no honest sender gets here; the epoch is set, not reached by rekeys"
    )


def _http_case() -> dict[str, object]:
    script = Script("HTTP request and answer")
    request = script.record(
        C2S, 0, b"binary HTTP request", flags=FLAG_BINARY_HTTP, aad=HTTP_REQUEST_AAD
    )
    answer_aad = HTTP_RESPONSE_AAD + request[:48]
    script.record(S2C, 0, b"binary HTTP answer", flags=FLAG_BINARY_HTTP, aad=answer_aad)
    return script.case("the aad of an answer ends in the 48-byte header of its request")


def _window_cases() -> list[dict[str, object]]:
    offers: dict[str, tuple[int, ...]] = {
        "in order": (0, 1, 2, 2, 1, 0, 3),
        "reverse inside the window": (*range(20, -1, -1), 0, 20),
        "left edge": (1023, 0, 0, 1024, 1, 0, 2, 1025, 1, 2),
        "jump clears": (5, 6000, 5, 4976, 4977, 4976, 5999, 7023, 5999, 6000),
        "word boundaries": (63, 64, 0, 63, 64, 127, 128, 1087, 63, 64, 1151, 128, 127, 129),
        "one ring apart": (7, 1031, 7, 8, 2055, 1031, 1032, 1032),
        "the end of the numbers": (2**64 - 1, 0, 2**64 - 1024, 2**64 - 1025, 2**64 - 1),
        "first is large": (2**63, 0, 2**63 - 1023, 2**63 - 1024, 2**63),
    }
    cases: list[dict[str, object]] = []
    for name, numbers in offers.items():
        window = Window()
        verdicts = [[seq, window.admit(seq)] for seq in numbers]
        cases.append(
            {
                "name": f"window: {name}",
                "kind": "window",
                "comment": "pairs of sequence number and verdict, one window, in order",
                "offers": verdicts,
            }
        )
    return cases


def _label_cases() -> list[dict[str, object]]:
    rows = ((b"finish c", bytes(32), 32), (b"rekey", b"", 32), (b"record", bytes(16), 44))
    return [
        {
            "name": f"label: {label.decode()}",
            "kind": "hkdf_label",
            "comment": "the info input of HKDF-Expand",
            "label": label.hex(),
            "context": context.hex(),
            "length": length,
            "info": hkdf_label(label, context, length).hex(),
        }
        for label, context, length in rows
    ]
