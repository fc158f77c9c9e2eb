"""Keys that come often get a table: after enough of what was new, in bounded number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_native import SigningKey
from sage_native.gateway import hot_keys
from sage_native.gateway.hot_keys import AFTER, HotKeys

if TYPE_CHECKING:
    import pytest


def test_a_key_gets_its_table_after_enough_handshakes() -> None:
    hot = HotKeys()
    signing, other = SigningKey.generate(), SigningKey.generate()
    listed = (other.verifying_key, signing.verifying_key)
    for _ in range(AFTER - 1):
        hot.proved(hot.of(listed), signing.verifying_key_bytes)
        assert [key.is_expanded for key in hot.of(listed)] == [False, False]
    hot.proved(hot.of(listed), signing.verifying_key_bytes)
    expanded = hot.of(listed)
    assert [key.is_expanded for key in expanded] == [False, True]
    assert list(expanded) == list(listed), "they are the same keys"
    expanded[1].verify(signing.sign(b"x"), b"x")
    assert not expanded[1].is_valid(other.sign(b"x"), b"x")


def test_tables_are_bounded_and_the_one_not_used_goes() -> None:
    hot = HotKeys(max_count=2)
    first, second, third = (SigningKey.generate() for _ in range(3))

    def prove(key: SigningKey) -> None:
        for _ in range(AFTER):
            hot.proved(hot.of([key.verifying_key]), key.verifying_key_bytes)

    prove(first)
    prove(second)
    prove(first)
    prove(third)
    are_hot = [hot.of([key.verifying_key])[0].is_expanded for key in (first, second, third)]
    assert are_hot == [True, False, True]
    assert len(hot) == 2


def test_what_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_keys, "MAX_COUNTED", 20)
    hot = HotKeys()
    for _ in range(50):
        key = SigningKey.generate()
        hot.proved([key.verifying_key], key.verifying_key_bytes)
        hot.proved([key.verifying_key], bytes(32))
    assert len(hot) == 0
    assert len(hot._counts) <= 20


def test_it_tells_what_it_has_done() -> None:
    hot = HotKeys(max_count=1)
    keys = [SigningKey.generate() for _ in range(2)]
    for key in keys:
        for _ in range(AFTER):
            hot.proved(hot.of([key.verifying_key]), key.verifying_key_bytes)
    hot.of([key.verifying_key for key in keys])
    hot.proved([SigningKey.generate().verifying_key], bytes(32))
    told = hot.statistics()
    assert (told.hits, told.misses) == (1, 2 * AFTER + 1)
    assert (told.promotions, told.evictions) == (2, 1)
    assert (told.registered, told.expanded) == (1, 1)
    assert told.used_bytes == told.budget_bytes == hot_keys.TABLE_LEN
