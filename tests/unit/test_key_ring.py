"""The key-encryption keys of a deployment."""

from __future__ import annotations

import pytest

from sage_native import KeyEncryptionKey
from sage_native.exceptions import ConfigurationError, KeyUnavailableError
from sage_native.sessions import KeyRing


def keys(*names: str) -> list[KeyEncryptionKey]:
    return [KeyEncryptionKey(name, bytes([number]) * 32) for number, name in enumerate(names)]


def test_the_current_key_wraps_and_all_open() -> None:
    current, older, oldest = keys("2026", "2025", "2024")
    ring = KeyRing(current, older, oldest)
    assert ring.current is current
    assert [ring.key(name) for name in ("2026", "2025", "2024")] == [current, older, oldest]
    assert ring.older_ids() == ["2025", "2024"]


def test_a_key_that_is_missing_is_named_with_those_that_are_there() -> None:
    with pytest.raises(KeyUnavailableError, match="'2023' is not loaded; loaded are: 2026, 2025"):
        KeyRing(*keys("2026", "2025")).key("2023")


def test_two_keys_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="2 key-encryption keys have the id"):
        KeyRing(*keys("2026", "2025", "2025"))
    with pytest.raises(ConfigurationError, match="2 key-encryption keys have the id"):
        KeyRing(*keys("2026", "2026"))


def test_it_shows_names_alone() -> None:
    ring = KeyRing(*keys("2026", "2025"))
    assert repr(ring) == "KeyRing(current='2026', older=['2025'])"
