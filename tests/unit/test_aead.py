"""AES-256-GCM: the buffers it takes and gives, and what it refuses. Bytes: ``tests/published``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sage_native import (
    AeadKey,
    AuthenticationError,
    KeyEncryptionKey,
    SessionStateError,
    UsageError,
)
from tests.doors.sealing import open_sealed, seal

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY, NONCE, AAD = bytes(range(32)), bytes(range(12)), b"associated"
# Around the block, the two short-message kernels (512 and 3,584 bytes) and the library behind.
LENGTHS = [0, 1, 15, 16, 17, 63, 64, 65, 502, 503, 513, 3574, 3575, 3585, 5000, 70_000]


@pytest.fixture
def key() -> AeadKey:
    return AeadKey(KEY)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("aad", [b"", AAD, bytes(4000)])
def test_every_door_seals_as_pyca(length: int, aad: bytes, key: AeadKey) -> None:
    plaintext = bytes(index % 251 for index in range(length))
    sealed = seal(key, NONCE, plaintext, aad)
    assert sealed == AESGCM(KEY).encrypt(NONCE, plaintext, aad)
    assert open_sealed(key, NONCE, sealed, aad) == plaintext


@pytest.mark.parametrize("length", LENGTHS)
def test_every_door_refuses_a_wrong_tag(length: int, key: AeadKey) -> None:
    sealed = key.seal(NONCE, b"\xaa" * length, AAD)
    for at in {0, length // 2, length, len(sealed) - 1}:
        forged = bytearray(sealed)
        forged[at] ^= 0x80
        assert open_sealed(key, NONCE, bytes(forged), AAD) is None
    assert open_sealed(key, NONCE, sealed, AAD + b"x") is None
    assert open_sealed(key, NONCE[::-1], sealed, AAD) is None
    assert open_sealed(AeadKey(), NONCE, sealed, AAD) is None


def test_every_bit_counts(key: AeadKey) -> None:
    sealed = key.seal(NONCE, b"seventeen bytes !", AAD)
    forged = []
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        forged.append(bytes(changed))
    assert key.open_many([NONCE] * len(forged), forged, [AAD] * len(forged)) == [None] * len(forged)


def test_rows_that_do_not_open_hold_zeros(key: AeadKey) -> None:
    """Not what their memory held before: it may have been anything."""
    for length in (1, 40, 600, 5000):
        before = [b"\xab" * (3 * length + size) for size in range(-40, 40)]
        del before
        rows, verdicts = key.open_many(
            np.zeros((3, 12), np.uint8), np.full((3, length + 16), 7, np.uint8)
        )
        assert not verdicts.any()
        assert not rows.any()


def test_large_messages_let_go_of_the_interpreter(key: AeadKey) -> None:
    plaintext = np.arange(5 << 20, dtype=np.uint32).view(np.uint8)
    sealed = key.seal(NONCE, plaintext, AAD)
    assert sealed == AESGCM(KEY).encrypt(NONCE, plaintext.tobytes(), AAD)
    assert key.open(NONCE, sealed, AAD) == plaintext.tobytes()
    out = bytearray(len(plaintext) + 16)
    assert key.seal_into(NONCE, plaintext, out, AAD) == len(out)
    assert out == sealed
    half = plaintext[: 5 << 20].reshape(2, -1)
    nonces = np.array([[0] * 12, [1] * 12], np.uint8)
    rows, verdicts = key.open_many(nonces, key.seal_many(nonces, half))
    assert verdicts.all()
    assert (rows == half).all()


# Batches.


def test_lists_give_lists_and_arrays_give_arrays(key: AeadKey) -> None:
    items = key.seal_many([NONCE, NONCE[::-1]], [b"one", b"three"])
    assert items == [key.seal(NONCE, b"one"), key.seal(NONCE[::-1], b"three")]
    rows = key.seal_many(np.zeros((2, 12), np.uint8), np.zeros((2, 5), np.uint8))
    assert rows.shape == (2, 21)
    assert rows.dtype == np.uint8
    assert not rows.flags.writeable


def test_nonces_and_aads_may_be_of_another_kind_than_plaintexts(key: AeadKey) -> None:
    expected = [key.seal(NONCE, b"abc", AAD)] * 2
    array = np.frombuffer(NONCE * 2, np.uint8).reshape(2, 12)
    aads = np.frombuffer(AAD * 2, np.uint8).reshape(2, -1)
    assert key.seal_many(array, [b"abc"] * 2, (AAD, AAD)) == expected
    assert key.seal_many((NONCE, NONCE), (b"abc", b"abc"), aads) == expected
    assert key.seal_many(array.data, [b"abc"] * 2, aads.data) == expected


def test_empty_batches(key: AeadKey) -> None:
    assert key.seal_many([], []) == []
    assert key.open_many([], []) == []
    assert key.seal_many([], [], []) == []
    assert key.seal_many([], np.zeros((0, 5), np.uint8)).shape == (0, 21)
    for length in (0, 5, 16, 20):
        rows, verdicts = key.open_many([], np.zeros((0, length), np.uint8))
        assert rows.shape == (0, max(length - 16, 0))
        assert verdicts.shape == (0,)
        assert verdicts.dtype == np.bool_


def test_zero_length_rows(key: AeadKey) -> None:
    nonces = np.frombuffer(NONCE * 2, np.uint8).reshape(2, 12)
    rows = key.seal_many(nonces, np.zeros((2, 0), np.uint8), np.zeros((2, 0), np.uint8))
    assert rows.tobytes() == key.seal(NONCE, b"") * 2
    opened, verdicts = key.open_many(nonces, rows)
    assert opened.shape == (2, 0)
    assert verdicts.all()


def test_one_byte_items_are_not_shared_with_the_interpreter(key: AeadKey) -> None:
    """CPython keeps one object for each single byte; writing into it would change all programs."""
    expected = [bytes([value]) for value in range(256)]
    nonces = [NONCE] * 256
    assert key.open_many(nonces, key.seal_many(nonces, expected)) == expected
    assert [bytes([value])[0] for value in range(256)] == list(range(256))
    assert [key.open(NONCE, key.seal(NONCE, item)) for item in expected] == expected


@pytest.mark.parametrize(("nonces", "items", "aads"), [(2, 3, None), (3, 2, None), (2, 2, 3)])
def test_batches_must_be_equally_long(
    nonces: int, items: int, aads: int | None, key: AeadKey
) -> None:
    aad_list = None if aads is None else [AAD] * aads
    with pytest.raises(UsageError, match="must be as many as nonces"):
        key.seal_many([NONCE] * nonces, [b""] * items, aad_list)
    with pytest.raises(UsageError, match="must be as many as nonces"):
        key.open_many([NONCE] * nonces, [bytes(16)] * items, aad_list)


def test_one_bad_item_refuses_the_batch_before_anything_is_done(key: AeadKey) -> None:
    with pytest.raises(UsageError, match="nonce 1 must be 12 bytes long, not 11"):
        key.seal_many([NONCE, NONCE[1:]], [b"", b""])
    with pytest.raises(UsageError, match="nonce 0 must be 12 bytes long, not 13"):
        key.seal_many(np.zeros((2, 13), np.uint8), [b"", b""])
    with pytest.raises(UsageError, match="sealed must be at least 16 bytes long, not 15"):
        key.open_many([NONCE] * 2, [bytes(16), bytes(15)])
    with pytest.raises(UsageError, match="sealed must be at least 16 bytes long, not 15"):
        key.open_many([NONCE] * 2, np.zeros((2, 15), np.uint8))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 8), np.uint8)[:, ::2],
        np.zeros((4, 2), np.uint8).T,
        np.zeros((4, 4), np.uint8)[::2],
        np.zeros((2, 4), np.uint8)[:, ::-1],
        memoryview(bytes(8))[::2],
    ],
)
def test_arrays_must_be_contiguous(array: NDArray[np.uint8], key: AeadKey) -> None:
    with pytest.raises(UsageError, match="is not contiguous: copy it first"):
        key.seal_many([NONCE] * 2, array)
    with pytest.raises(UsageError, match="is not contiguous: copy it first"):
        key.seal(NONCE, array)


@pytest.mark.parametrize("dtype", [np.int8, np.bool_, np.uint16, np.int64, np.float32, "S1", "O"])
def test_arrays_must_hold_uint8(dtype: str, key: AeadKey) -> None:
    with pytest.raises(TypeError, match="expected bytes or a contiguous buffer of bytes"):
        key.seal_many([NONCE] * 2, np.zeros((2, 4), dtype))
    with pytest.raises(TypeError, match="expected bytes or a contiguous buffer of bytes"):
        key.seal(NONCE, np.zeros(4, dtype))


@pytest.mark.parametrize("shape", [(8,), (2, 2, 2)])
def test_batch_arrays_must_have_two_dimensions(shape: tuple[int, ...], key: AeadKey) -> None:
    with pytest.raises(UsageError, match="must be two-dimensional"):
        key.seal_many([NONCE] * 2, np.zeros(shape, np.uint8))


@pytest.mark.parametrize("item", [bytearray(1), memoryview(b"x"), "x", 1, None])
def test_lists_must_hold_bytes(item: object, key: AeadKey) -> None:
    with pytest.raises(TypeError, match="a batch list must hold bytes, not"):
        key.seal_many([NONCE] * 2, [b"", item])  # type: ignore[list-item]


@pytest.mark.parametrize("batch", ["ab", 1, None, {b"a": b"b"}, iter([b"a"])])
def test_batches_are_lists_tuples_or_arrays(batch: object, key: AeadKey) -> None:
    with pytest.raises(TypeError, match="expected bytes or a contiguous buffer of bytes"):
        key.seal_many([NONCE] * 2, batch)  # type: ignore[call-overload]


# Into the caller's buffer.


def test_out_may_be_any_writable_buffer(key: AeadKey) -> None:
    sealed = key.seal(NONCE, b"abc")
    for out in (bytearray(19), memoryview(bytearray(19)), np.zeros(19, np.uint8)):
        assert key.seal_into(NONCE, b"abc", out) == 19
        assert bytes(out) == sealed
        assert key.open_into(NONCE, sealed, out) == 3
        assert bytes(out[:3]) == b"abc"


def test_out_of_no_length(key: AeadKey) -> None:
    sealed = key.seal(NONCE, b"")
    assert key.open_into(NONCE, sealed, bytearray()) == 0


@pytest.mark.parametrize("length", [0, 18])
def test_short_out(length: int, key: AeadKey) -> None:
    out = bytearray(b"\xee" * length)
    with pytest.raises(UsageError, match=f"out must hold at least 19 bytes, not {length}"):
        key.seal_into(NONCE, b"abc", out)
    with pytest.raises(UsageError, match="out must hold at least 4 bytes, not 3"):
        key.open_into(NONCE, key.seal(NONCE, b"abcd"), bytearray(3))
    assert set(out) <= {0xEE}


def test_read_only_out(key: AeadKey) -> None:
    array = np.zeros(19, np.uint8)
    array.flags.writeable = False
    for out in (bytes(19), memoryview(bytes(19)), array):
        with pytest.raises(UsageError, match="out must be a writable buffer"):
            key.seal_into(NONCE, b"abc", out)
        with pytest.raises(UsageError, match="out must be a writable buffer"):
            key.open_into(NONCE, key.seal(NONCE, b"abc"), out)


def test_out_must_be_contiguous_bytes(key: AeadKey) -> None:
    with pytest.raises(UsageError, match="is not contiguous"):
        key.seal_into(NONCE, b"abc", np.zeros(38, np.uint8)[::2])
    with pytest.raises(TypeError, match="expected bytes"):
        key.seal_into(NONCE, b"abc", np.zeros(19, np.int64))


@pytest.mark.parametrize("offset", [-31, -1, 0, 1, 31])
def test_out_must_not_overlap_what_is_read(offset: int, key: AeadKey) -> None:
    memory = bytearray(range(200))
    before = bytes(memory)
    view = memoryview(memory)
    out, where = view[100:148], 100 + offset
    text = view[where : where + 32]
    sealed = view[where : where + 64]
    with pytest.raises(UsageError, match="out must not overlap the input"):
        key.seal_into(NONCE, text, out)
    with pytest.raises(UsageError, match="out must not overlap the input"):
        key.open_into(NONCE, sealed, out)
    with pytest.raises(UsageError, match="out must not overlap the input"):
        key.seal_into(NONCE, bytes(32), view[where : where + 48], view[100:132])
    assert memory == before


def test_out_must_not_overlap_nonce_or_aad(key: AeadKey) -> None:
    memory = memoryview(bytearray(100))
    with pytest.raises(UsageError, match="out must not overlap the input"):
        key.seal_into(memory[18:30], b"abc", memory[:19])
    with pytest.raises(UsageError, match="out must not overlap the input"):
        key.seal_into(NONCE, b"abc", memory[:19], memory[18:50])
    assert not any(memory)


def test_neighbours_do_not_overlap(key: AeadKey) -> None:
    memory = memoryview(bytearray(100))
    assert key.seal_into(memory[:12], memory[12:20], memory[20:44], memory[44:]) == 24
    assert memory[20:44] == key.seal(bytes(12), bytes(8), bytes(56))


# Refusals.


@pytest.mark.parametrize("length", [0, 11, 13, 16])
def test_a_nonce_has_12_bytes(length: int, key: AeadKey) -> None:
    nonce = bytes(length)
    match = f"AES-256-GCM nonce must be 12 bytes long, not {length}"
    with pytest.raises(UsageError, match=match):
        key.seal(nonce, b"")
    with pytest.raises(UsageError, match=match):
        key.open(nonce, bytes(16))
    with pytest.raises(UsageError, match=match):
        key.seal_into(nonce, b"", bytearray(16))
    with pytest.raises(UsageError, match=match):
        key.open_into(nonce, bytes(16), bytearray(0))


@pytest.mark.parametrize("length", range(16))
def test_sealed_holds_a_tag(length: int, key: AeadKey) -> None:
    with pytest.raises(UsageError, match=f"at least 16 bytes long, not {length}"):
        key.open(NONCE, bytes(length))
    with pytest.raises(UsageError, match=f"at least 16 bytes long, not {length}"):
        key.open_into(NONCE, bytes(length), bytearray(16))


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(UsageError, match=f"AES-256-GCM key must be 32 bytes long, not {length}"):
        AeadKey(bytes(length))


def test_refusals_say_nothing_more(key: AeadKey) -> None:
    with pytest.raises(AuthenticationError, match=r"^authentication failed$"):
        key.open(NONCE, bytes(16))


def test_generated_keys_differ() -> None:
    assert len({key.seal(NONCE, b"") for key in (AeadKey(), AeadKey(), AeadKey.generate())}) == 3


def test_closing(key: AeadKey) -> None:
    key.close()
    key.close()
    assert key.closed
    empty, large = np.zeros((1, 0), np.uint8), bytes(5 << 20)
    for use in (
        lambda: key.seal(NONCE, b""),
        lambda: key.open(NONCE, bytes(16)),
        lambda: key.seal_into(NONCE, b"", bytearray(16)),
        lambda: key.open_into(NONCE, bytes(16), bytearray(0)),
        lambda: key.seal_many([NONCE], [b""]),
        lambda: key.open_many([NONCE], [bytes(16)]),
        lambda: key.seal_many([NONCE], empty),
        lambda: key.seal(NONCE, large),
    ):
        with pytest.raises(SessionStateError, match="this AeadKey is closed or spent"):
            use()


# Key-encryption keys: what they do shows in the tests of wrapped sessions.


def test_key_encryption_keys() -> None:
    kek = KeyEncryptionKey("2026-11/eu", KEY)
    assert kek.kek_id == "2026-11/eu"
    assert repr(kek) == 'KeyEncryptionKey(kek_id="2026-11/eu")'
    with kek:
        pass
    assert kek.closed
    assert kek.kek_id == "2026-11/eu"


@pytest.mark.parametrize("kek_id", ["", "a b", "é", "a\n", "x" * 65, "\x7f"])
def test_ids_of_key_encryption_keys(kek_id: str) -> None:
    KeyEncryptionKey("x" * 64, KEY)
    with pytest.raises(UsageError, match="KEK id must be 1 to 64 printable ASCII characters"):
        KeyEncryptionKey(kek_id, KEY)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_length_of_key_encryption_keys(length: int) -> None:
    with pytest.raises(UsageError, match=f"must be 32 bytes long, not {length}"):
        KeyEncryptionKey("id", bytes(length))
