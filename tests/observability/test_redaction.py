"""What a log line may hold: known fields, with values of their kind, and nothing else."""

from __future__ import annotations

import base64
import os
import time
from typing import TYPE_CHECKING

import pytest

from sage_native import SigningKey
from sage_native.observability.fields import FIELDS, Field, Kind
from sage_native.observability.pseudonyms import KEY_LEN, Pseudonyms
from sage_native.observability.redaction import MAX_TEXT_LEN, Redaction

if TYPE_CHECKING:
    from collections.abc import Callable

PSEUDONYMS = Pseudonyms(bytes(KEY_LEN))
DID = SigningKey.from_bytes(bytes(32)).did
SESSION_ID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def redaction() -> Redaction:
    return Redaction(PSEUDONYMS)


def test_known_fields_stay_in_their_order(redaction: Redaction) -> None:
    line = {"event": "request", "status": 200, "duration_ms": 0.5, "problem": "not_found"}
    assert redaction(line) == line
    assert list(redaction(line)) == list(line)


def test_unknown_fields_are_left_out_and_counted(redaction: Redaction) -> None:
    line = {"event": "made", "password": "hunter2", "key": "secret", "count": 1}
    assert redaction(line) == {"event": "made", "count": 1, "fields_dropped": 2}
    assert redaction.dropped_count == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("event", b"bytes"),
        ("error", bytearray(b"bytes")),
        ("error", {"a": 1}),
        ("problem", ["a"]),
        ("count", "three"),
        ("did", 7),
        ("session", b"bytes"),
        ("exception", 1),
    ],
)
def test_values_of_another_kind_are_left_out(
    redaction: Redaction, name: str, value: object
) -> None:
    assert redaction({name: value}) == {"fields_dropped": 1}


def test_nothing_said_is_nothing_written(redaction: Redaction) -> None:
    assert redaction({"did": None, "unknown": None, "count": 0}) == {"count": 0}


def test_an_application_adds_fields_and_changes_none() -> None:
    more = {"page": Field(Kind.NUMBER, "Which."), "did": Field(Kind.TEXT, "In clear?")}
    written = Redaction(PSEUDONYMS, more)({"page": 3, "did": DID})
    assert written == {"page": 3, "did": PSEUDONYMS.of_did(DID)}


def test_ids_are_written_as_pseudonyms(redaction: Redaction) -> None:
    written = redaction({"client": DID, "server": DID, "session": SESSION_ID, "did": DID})
    assert set(written.values()) == {PSEUDONYMS.of_did(DID), PSEUDONYMS.of_session(SESSION_ID)}
    for name, field in FIELDS.items():
        if field.kind in {Kind.TEXT, Kind.TRACE}:
            text = redaction({name: f"at {DID}, in {SESSION_ID}: {DID.upper()}"})[name]
            assert DID not in str(text)
            assert SESSION_ID not in str(text)
            assert str(text).startswith(f"at {PSEUDONYMS.of_did(DID)}, in session~")


SPELLED: list[Callable[[bytes], str]] = [
    repr,
    bytes.hex,
    lambda secret: secret.hex().upper(),
    lambda secret: base64.b64encode(secret).decode(),
    lambda secret: base64.urlsafe_b64encode(secret).rstrip(b"=").decode(),
    lambda secret: f"f({secret!r}, b'')",
    lambda secret: f"key={base64.b64encode(secret).decode()}; next",
]


@pytest.mark.parametrize("spell", SPELLED)
def test_bytes_and_keys_in_free_text_are_masked(
    redaction: Redaction, spell: Callable[[bytes], str]
) -> None:
    secrets = [os.urandom(32) for _ in range(50)]
    secrets.append(b"it's quoted \" and 'closed\\' in many ways")
    secrets.append(base64.b64decode("Qgul/swQfdvld+VYRXbMUJqghQaVEnPINNGbxwGSCVw="))  # no digit
    for secret in secrets:
        text = spell(secret)
        for padding in ("", "x" * (MAX_TEXT_LEN - 60)):  # also where a text is cut
            written = str(redaction.text(f"{padding} refused {text} for ever"))
            for start in range(0, len(text) - 16, 8):
                piece = text[start : start + 16]
                if piece.isalnum() and not piece.isdigit() and "key=" not in piece:
                    assert piece not in written, (text, written)


@pytest.mark.parametrize(
    "text",
    [
        "/usr/lib/python3.11/site-packages/sage_native/gateway/routes/handshake.py",
        "test_a_name_that_is_long_but_made_of_words_and_1_number",
        "3,141 requests were cut off after 30 s of draining",
        "key-encryption key 'kek-1' is not loaded; loaded are: kek-2",
    ],
)
def test_plain_words_stay(redaction: Redaction, text: str) -> None:
    assert redaction.text(text) == text


@pytest.mark.parametrize(
    "sign", ["\n", "\r", "\x1b[31m", "\x00", "\x7f", "\x9b", "\u202e", "\ud800"]
)
def test_what_does_not_print_is_escaped(redaction: Redaction, sign: str) -> None:
    line = redaction({"event": f"a{sign}b", "route": f"a{sign}b", "exception": f"a{sign}b"})
    for name, value in line.items():
        lines = str(value).split("\n") if name == "exception" else [str(value)]
        assert all(one.isprintable() for one in lines), (name, value)


@pytest.mark.parametrize(
    "text", ["a/" * 100_000, "A1a" * 100_000, "did:" * 100_000, "b'\\" * 99_999]
)
def test_long_texts_are_cut_and_cost_little(redaction: Redaction, text: str) -> None:
    started_s = time.thread_time()
    assert len(redaction.text(text)) <= MAX_TEXT_LEN
    assert time.thread_time() - started_s < 5  # else it looks at every character from every other


# Pseudonyms.


def test_a_pseudonym_is_the_same_under_one_key_alone() -> None:
    one, same, other = (Pseudonyms(key) for key in (b"k" * 32, b"k" * 32, b"o" * 32))
    assert one.of_did(DID) == one.of_did(DID) == same.of_did(DID) == one.of(DID)
    assert one.of_session(SESSION_ID) == same.of_session(SESSION_ID) == one.of(SESSION_ID)
    assert one.of_did(DID) != other.of_did(DID)
    assert one.of_did("x").split("~")[1] != one.of_session("x").split("~")[1]
    assert "k" * 32 not in repr(one)


def test_pseudonyms_are_short_and_say_what_they_stand_for() -> None:
    kind, _, digits = PSEUDONYMS.of_did(DID).partition("~")
    assert (kind, len(bytes.fromhex(digits))) == ("did", 8)
    assert PSEUDONYMS.of_session("\ud800 whatever").startswith("session~")


def test_what_is_remembered_of_ids_is_bounded() -> None:
    pseudonyms = Pseudonyms.random()
    first = pseudonyms.of_session("0")
    for number in range(10_000):
        pseudonyms.of_session(str(number))
    pseudonyms.of_session("x" * 10_000)
    assert len(pseudonyms._known) <= 4096
    assert all(len(text) <= 256 for _, text in pseudonyms._known)
    assert pseudonyms.of_session("0") == first


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonyms(bytes(31))
