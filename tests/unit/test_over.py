"""Ids of sessions that nothing brings back."""

from __future__ import annotations

from sage_native.sessions.over import Over


def test_an_id_is_kept_until_its_row_is_gone() -> None:
    over = Over()
    over.add("a")
    assert "a" in over
    assert over.due() == ["a"]
    over.deleted("a")
    assert "a" not in over
    assert over.due() == []
    over.deleted("a")
    assert len(over) == 0


def test_an_id_whose_row_may_still_come_is_deleted_twice() -> None:
    now_s = 100.0
    over = Over(clock=lambda: now_s)
    over.add("a", for_s=60)
    over.add("a")
    assert over.due() == ["a"]
    over.deleted("a")
    now_s = 159.9
    assert "a" in over
    assert over.due() == []
    now_s = 160.0
    assert over.due() == ["a"]
    assert "a" in over, "until the store has answered"
    over.deleted("a")
    assert len(over) == 0
