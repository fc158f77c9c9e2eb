"""What holds a secret shows it to nobody: not printed, not pickled, not copied, not in tracebacks.

What is left in memory: ``tests/erasure``.
"""

from __future__ import annotations

import base64
import copy
import logging
import os
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from sage_native import (
    AeadKey,
    EphemeralSecret,
    KeyEncryptionKey,
    Prk,
    SessionStateError,
    SigningKey,
    StaticSecret,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = os.urandom(32)
PEER = StaticSecret(bytes([9]) * 32).public_key

MAKERS: dict[str, Callable[[], Any]] = {
    "SigningKey": lambda: SigningKey(SECRET),
    "StaticSecret": lambda: StaticSecret(SECRET),
    "AeadKey": lambda: AeadKey(SECRET),
    "KeyEncryptionKey": lambda: KeyEncryptionKey("id", SECRET),
    "Prk": lambda: Prk.from_bytes(SECRET),
    "SharedSecret": lambda: StaticSecret(SECRET).exchange(PEER),
    "EphemeralSecret": EphemeralSecret,
}
# Every operation of each, which must be refused once it is closed.
USES: dict[str, list[Callable[[Any], object]]] = {
    "SigningKey": [
        lambda key: key.to_bytes(),
        lambda key: key.sign(b""),
        lambda key: key.sign_many([b""]),
        lambda key: key.to_pem(),
        lambda key: key.to_der(),
        lambda key: key.to_openssh(),
        lambda key: key.to_jwk(),
    ],
    "StaticSecret": [
        lambda secret: secret.to_bytes(),
        lambda secret: secret.exchange(PEER),
        lambda secret: secret.to_pem(),
        lambda secret: secret.to_der(),
        lambda secret: secret.to_jwk(),
    ],
    "AeadKey": [
        lambda key: key.seal(bytes(12), b""),
        lambda key: key.open(bytes(12), bytes(16)),
        lambda key: key.seal_into(bytes(12), b"", bytearray(16)),
        lambda key: key.open_into(bytes(12), bytes(16), bytearray()),
        lambda key: key.seal_many([bytes(12)], [b""]),
        lambda key: key.open_many([bytes(12)], [bytes(16)]),
    ],
    "KeyEncryptionKey": [],  # used by sessions alone: see the tests of wrapping
    "Prk": [lambda prk: prk.expand(b"", 32)],
    "SharedSecret": [lambda shared: shared.extract(), lambda shared: shared.danger_to_bytes()],
    "EphemeralSecret": [lambda secret: secret.exchange(PEER)],
}
# What may be asked of a closed object: names, public halves, and the closing itself.
HARMLESS = {
    "close",
    "closed",
    "did",
    "kek_id",
    "verifying_key",
    "verifying_key_bytes",
    "public_key",
    "public_key_bytes",
}
CONSTRUCTORS = {
    "generate",
    "from_bytes",
    "from_pem",
    "from_der",
    "from_openssh",
    "from_jwk",
    "extract",
}

every_kind = pytest.mark.parametrize("kind", MAKERS)


def spellings(secret: bytes) -> list[str]:
    """The ways in which four bytes or more of a secret could stand in a text."""
    spelled = []
    for at in range(0, 32, 4):
        piece = secret[at : at + 4]
        spelled += [
            piece.hex(),
            piece.hex(" "),
            piece.hex(":"),
            repr(piece)[2:-1],
            str(list(piece))[1:-1],
        ]
    for encoded in (base64.b64encode(secret), base64.urlsafe_b64encode(secret)):
        spelled += [encoded[at : at + 8].decode() for at in range(0, 40, 8)]
    return spelled


def assert_silent(text: str, secret: bytes = SECRET) -> None:
    for spelling in spellings(secret):
        assert spelling.lower() not in text.lower()


@every_kind
def test_nothing_printed(kind: str) -> None:
    thing = MAKERS[kind]()
    for text in (repr(thing), str(thing), format(thing), f"{thing!a}", f"{thing}", ascii([thing])):
        assert_silent(text)
        assert len(text) < 100
    record = logging.makeLogRecord({"msg": "%s %r %s", "args": (thing, thing, {"key": thing})})
    assert_silent(logging.Formatter().format(record))


def test_reprs() -> None:
    key = SigningKey(SECRET)
    assert repr(key) == f"SigningKey({key.did})"
    assert repr(StaticSecret(SECRET)) == "StaticSecret(..)"
    assert repr(AeadKey(SECRET)) == "AeadKey(..)"
    assert repr(Prk.from_bytes(SECRET)) == "Prk(..)"
    assert repr(EphemeralSecret()) == "EphemeralSecret(..)"
    assert repr(StaticSecret(SECRET).exchange(PEER)) == "SharedSecret(..)"


@every_kind
@pytest.mark.parametrize("state", ["open", "closed"])
def test_not_pickled_and_not_copied(kind: str, state: str) -> None:
    thing = MAKERS[kind]()
    if state == "closed":
        thing.close()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for value in (thing, [thing], {"key": thing}):
            with pytest.raises(TypeError, match=f"{kind} holds a secret and cannot be pickled"):
                pickle.dumps(value, protocol)
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=f"{kind} holds a secret and cannot be copied"):
            copied(thing)
    with pytest.raises(TypeError):
        thing.__reduce_ex__(4)


def test_a_subclass_is_not_copied_either() -> None:
    class Agent(SigningKey):
        __slots__ = ("name",)

    agent = Agent(SECRET)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="holds a secret"):
            copied(agent)


@every_kind
def test_no_attributes_of_its_own(kind: str) -> None:
    thing = MAKERS[kind]()
    with pytest.raises(TypeError, match="__dict__"):
        vars(thing)
    with pytest.raises(AttributeError):
        thing.note = "x"
    with pytest.raises(TypeError):
        memoryview(thing)
    with pytest.raises(TypeError):
        bytes(thing)


@every_kind
def test_no_public_attribute_shows_it(kind: str) -> None:
    thing = MAKERS[kind]()
    for name in set(dir(thing)) & HARMLESS - {"close"}:
        value = getattr(thing, name)
        assert_silent(repr(value))
        assert SECRET[:8] not in (value if isinstance(value, bytes) else b"")


@every_kind
def test_tracebacks_with_locals(kind: str) -> None:
    """As error reporters print them: with the repr of every local in every frame."""
    thing = MAKERS[kind]()

    def inner(held: object) -> None:
        again = [held, {"key": held}, (held,)]
        if kind != "nothing":
            AeadKey(b"\x07")
        assert again

    def outer() -> None:
        holder = thing
        inner(holder)

    with pytest.raises(UsageError) as caught:
        outer()
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(shown.format())
    assert "held = " in text
    assert_silent(text)


REFUSED: list[Callable[[bytes], object]] = [
    lambda secret: SigningKey(secret + b"x"),
    lambda secret: StaticSecret(secret[:31]),
    lambda secret: AeadKey(secret * 2),
    lambda secret: KeyEncryptionKey("id", secret[1:]),
    lambda secret: KeyEncryptionKey("", secret),
    lambda secret: Prk.from_bytes(secret + secret),
    SigningKey.from_pem,
    lambda secret: SigningKey.from_der(b"\x30\x2e\x02\x01\x00" + secret),
    SigningKey.from_openssh,
    lambda secret: SigningKey.from_jwk(
        {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "d": base64.b64encode(secret).decode()}
    ),
    lambda secret: SigningKey.from_jwk(
        {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "d": base64url(secret)}
    ),
    lambda secret: SigningKey.from_pem(SigningKey(SECRET).to_pem(password=secret), password=b"x"),
]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize("refused", REFUSED)
def test_refusals_do_not_quote_the_key(refused: Callable[[bytes], object]) -> None:
    with pytest.raises(UsageError) as caught:
        refused(SECRET)
    error: BaseException | None = caught.value
    while error is not None:
        assert_silent(repr(error))
        assert_silent(str(error))
        error = error.__cause__ or error.__context__


@every_kind
def test_after_close_every_operation_is_refused(kind: str) -> None:
    thing = MAKERS[kind]()
    thing.close()
    thing.close()
    assert thing.closed
    for use in USES[kind]:
        with pytest.raises(SessionStateError, match=f"this {kind} is closed or spent"):
            use(thing)
    for name in set(dir(thing)) & HARMLESS - {"close"}:
        assert_silent(repr(getattr(thing, name)))
    assert_silent(repr(thing))


@every_kind
def test_no_operation_is_forgotten_above(kind: str) -> None:
    public = {name for name in dir(MAKERS[kind]()) if not name.startswith("_")}
    constructors = CONSTRUCTORS if kind != "SharedSecret" else set()
    used = {name for use in USES[kind] for name in use.__code__.co_names}
    assert public - HARMLESS - constructors <= used


@every_kind
def test_blocks_close(kind: str) -> None:
    with MAKERS[kind]() as thing:
        assert not thing.closed
    assert thing.closed


@every_kind
def test_secrets_do_not_compare_by_value(kind: str) -> None:
    """Nobody builds a table of secrets or an oracle out of ``==``."""
    first, second = MAKERS[kind](), MAKERS[kind]()
    assert first != second
    assert first == first  # noqa: PLR0124 - identity is what is asked
