"""A batch of request nonces is its nonces, one by one."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_native import CapacityError, ReplayDetectedError, ReplaySet, UsageError
from tests.agents import NOW_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sage_native.replay import Admissions

Verdict: TypeAlias = Literal["admitted", "refused", "full"]
Ends: TypeAlias = "int | Sequence[int] | NDArray[np.integer]"

ALICE, BOB = "did:example:alice", "did:example:bob"
SOON_MS = NOW_MS + 120_000
HORIZON_MS = 180_000


def numbered(count: int, first: int = 0) -> NDArray[np.uint8]:
    """Rows of 8 bytes, all different."""
    return np.arange(first, first + count, dtype=np.uint64).view(np.uint8).reshape(count, 8)


def single(
    replays: ReplaySet, scope: str, nonce: bytes, until_ms: int, *, purpose: str, now_ms: int
) -> Verdict:
    try:
        replays.admit(scope, nonce, until_ms, purpose=purpose, now_ms=now_ms)
    except ReplayDetectedError:
        return "refused"
    except CapacityError:
        return "full"
    return "admitted"


def verdicts(admissions: Admissions) -> list[Verdict]:
    assert not np.any(admissions.admitted & admissions.full)
    return [
        "admitted" if admitted else "full" if full else "refused"
        for admitted, full in zip(
            admissions.admitted.tolist(), admissions.full.tolist(), strict=True
        )
    ]


@dataclasses.dataclass(frozen=True)
class Batch:
    """A batch, and the forms in which it is handed in."""

    scopes: list[str]
    nonces: list[bytes]
    ends_ms: list[int]
    purpose: str
    now_ms: int
    scope_form: str
    nonce_form: str
    end_form: str

    def admit_many(self, replays: ReplaySet) -> list[Verdict]:
        return verdicts(
            replays.admit_many(
                self._scopes(),
                self._nonces(),
                self._ends(),
                purpose=self.purpose,
                now_ms=self.now_ms,
            )
        )

    def admit_each(self, replays: ReplaySet) -> list[Verdict]:
        return [
            single(replays, *one, purpose=self.purpose, now_ms=self.now_ms)
            for one in zip(self.scopes, self.nonces, self.ends_ms, strict=True)
        ]

    def _scopes(self) -> str | Sequence[str]:
        forms = {"one": ALICE, "tuple": tuple(self.scopes), "list": self.scopes}
        return forms[self.scope_form]

    def _nonces(self) -> list[bytes] | NDArray[np.uint8]:
        if self.nonce_form == "list":
            return self.nonces
        return np.frombuffer(b"".join(self.nonces), np.uint8).reshape(len(self.nonces), 2)

    def _ends(self) -> Ends:
        if self.end_form == "one":
            return self.ends_ms[0] if self.ends_ms else NOW_MS
        if self.end_form == "tuple":
            return tuple(self.ends_ms)
        return self.ends_ms if self.end_form == "list" else np.array(self.ends_ms, self.end_form)


@st.composite
def batches(draw: st.DrawFn) -> list[Batch]:
    """Batches with many duplicates, in one and over several, while the clock goes both ways."""
    scopes = st.sampled_from([ALICE, BOB, ""])
    nonces = st.builds(bytes, st.tuples(st.integers(0, 3), st.integers(0, 5)))
    aheads_ms = st.sampled_from([-5000, -1, 0, 1, 500, 1023, 1024, 30_000, HORIZON_MS])
    drawn, now_ms = [], NOW_MS
    for _ in range(draw(st.integers(1, 4))):
        now_ms += draw(st.sampled_from([0, 0, 1, 700, 2500, -3000, 200_000]))
        scope_form = draw(st.sampled_from(["one", "list", "tuple"]))
        end_form = draw(st.sampled_from(["one", "list", "tuple", "int64", "uint64"]))
        one = st.tuples(
            st.just(ALICE) if scope_form == "one" else scopes,
            nonces,
            st.just(draw(aheads_ms)) if end_form == "one" else aheads_ms,
        )
        # More than 64 are taken in several steps.
        items = draw(st.lists(one, max_size=20)) * draw(st.sampled_from([1, 1, 9]))
        drawn.append(
            Batch(
                [scope for scope, _, _ in items],
                [nonce for _, nonce, _ in items],
                [now_ms + ahead_ms for _, _, ahead_ms in items],
                draw(st.sampled_from(["", "", "another"])),
                now_ms,
                scope_form,
                draw(st.sampled_from(["list", "array"])),
                end_form,
            )
        )
    return drawn


# A set for one nonce has a handful of places; it is soon full, and then so are both.
@given(batches(), st.sampled_from([1, 1000]))
def test_admit_many_is_admit(drawn: list[Batch], capacity: int) -> None:
    many, one = ReplaySet(capacity), ReplaySet(capacity)
    for batch in drawn:
        assert batch.admit_many(many) == batch.admit_each(one)
    assert many.statistics() == one.statistics()


def test_of_equal_ones_the_first_is_admitted() -> None:
    replays = ReplaySet(10_000)
    nonces = np.concatenate([numbered(1000), numbered(1000)[::-1], numbered(1000)])
    admitted = replays.admit_many(ALICE, nonces, SOON_MS, now_ms=NOW_MS).admitted
    assert admitted.tolist() == [True] * 1000 + [False] * 2000
    assert not replays.admit_many(ALICE, nonces, SOON_MS, now_ms=NOW_MS).admitted.any()


def test_equal_ones_of_several_scopes_are_others() -> None:
    replays = ReplaySet(100)
    found = replays.admit_many([ALICE, BOB, ALICE, BOB], [b"12345678"] * 4, SOON_MS, now_ms=NOW_MS)
    assert found.admitted.tolist() == [True, True, False, False]


def test_a_refusal_changes_nothing_for_its_neighbours() -> None:
    replays = ReplaySet(100)
    ends_ms = [SOON_MS, NOW_MS, SOON_MS, NOW_MS - 1, NOW_MS + 1]
    found = replays.admit_many(ALICE, numbered(5), ends_ms, now_ms=NOW_MS)
    assert found.admitted.tolist() == [True, False, True, False, True]
    assert not found.full.any()
    held = replays.statistics()
    assert (held.admitted, held.given_up, held.replayed) == (3, 2, 0)


def test_verdicts_are_read_only() -> None:
    found = ReplaySet(100).admit_many(ALICE, numbered(3), SOON_MS, now_ms=NOW_MS)
    for array in (found.admitted, found.full):
        assert array.dtype == np.bool_
        assert array.shape == (3,)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = True
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.admitted = found.full  # type: ignore[misc]


@pytest.mark.parametrize("nonces", [[], (), np.empty((0, 32), np.uint8)], ids=repr)
@pytest.mark.parametrize("scopes", [ALICE, [], ()], ids=repr)
@pytest.mark.parametrize("ends_ms", [SOON_MS, [], (), np.empty(0, np.int64)], ids=repr)
def test_nothing_is_a_batch(
    scopes: str | Sequence[str], nonces: list[bytes] | NDArray[np.uint8], ends_ms: Ends
) -> None:
    replays = ReplaySet(100)
    found = replays.admit_many(scopes, nonces, ends_ms, now_ms=NOW_MS)
    assert found.admitted.shape == found.full.shape == (0,)
    assert found.admitted.dtype == found.full.dtype == np.bool_
    assert len(replays) == 0


def test_one_is_a_batch() -> None:
    replays = ReplaySet(100)
    for expected in (True, False):
        found = replays.admit_many([ALICE], [b"12345678"], [SOON_MS], now_ms=NOW_MS)
        assert found.admitted.tolist() == [expected]


@pytest.mark.parametrize(
    ("scopes", "ends_ms", "says"),
    [
        ([ALICE] * 2, SOON_MS, "scopes must be as many as nonces: 2 are not 3"),
        ([ALICE] * 4, SOON_MS, "scopes must be as many as nonces: 4 are not 3"),
        ([], SOON_MS, "scopes must be as many as nonces: 0 are not 3"),
        (ALICE, [SOON_MS] * 2, "remember_until_ms must be as many as nonces: 2 are not 3"),
        (ALICE, np.full(4, SOON_MS), "remember_until_ms must be as many as nonces: 4 are not 3"),
        ([ALICE] * 3, [], "remember_until_ms must be as many as nonces: 0 are not 3"),
    ],
    ids=["fewer scopes", "more scopes", "no scopes", "fewer ends", "more ends", "no ends"],
)
def test_batches_of_different_lengths_name_both(
    scopes: str | Sequence[str], ends_ms: Ends, says: str
) -> None:
    replays = ReplaySet(100)
    with pytest.raises(UsageError, match=says):
        replays.admit_many(scopes, numbered(3), ends_ms, now_ms=NOW_MS)
    assert len(replays) == 0


@pytest.mark.parametrize(
    ("ends_ms", "says"),
    [
        (np.full(2, float(SOON_MS)), "whole numbers.* float64"),
        ([SOON_MS, SOON_MS + 0.5], "whole numbers.* float64"),
        (np.array([True, False]), "whole numbers.* bool"),
        ([SOON_MS, -1], "not be negative, as -1 is"),
        (np.array([-(2**63), SOON_MS]), f"not be negative, as -{2**63} is"),
        (np.full((1, 2), SOON_MS), "one-dimensional, not 2-dimensional"),
        (np.full((2, 1), SOON_MS, np.uint64), "one-dimensional, not 2-dimensional"),
    ],
    ids=["float", "fraction", "bool", "negative", "most negative", "row", "column"],
)
def test_ends_that_are_none_are_refused(ends_ms: Ends, says: str) -> None:
    replays = ReplaySet(100)
    with pytest.raises(UsageError, match=f"remember_until_ms must .*{says}"):
        replays.admit_many(ALICE, numbered(2), ends_ms, now_ms=NOW_MS)
    assert len(replays) == 0


@pytest.mark.parametrize(
    "ends_ms",
    [
        [NOW_MS, SOON_MS],
        (NOW_MS, SOON_MS),
        np.array([NOW_MS, SOON_MS], np.int64),
        np.array([NOW_MS, SOON_MS], np.uint64),
        np.array([NOW_MS, SOON_MS], ">i8"),
        np.array([NOW_MS, 0, SOON_MS, 0])[::2],
        [np.int64(NOW_MS), np.int64(SOON_MS)],
        range(NOW_MS, SOON_MS + 1, SOON_MS - NOW_MS),
    ],
    ids=["list", "tuple", "int64", "uint64", "other byte order", "strided", "scalars", "range"],
)
def test_ends_are_whole_numbers_whatever_holds_them(ends_ms: Ends) -> None:
    replays = ReplaySet(100)
    found = replays.admit_many(ALICE, numbered(2), ends_ms, now_ms=NOW_MS)
    assert found.admitted.tolist() == [False, True]
    [(forgotten_ms, live)] = replays.statistics().generations
    assert (forgotten_ms, live) == ((SOON_MS // 1024 + 1) * 1024, 1)


def test_nonces_that_are_no_batch_are_refused() -> None:
    replays = ReplaySet(100)
    with pytest.raises(UsageError, match="two-dimensional"):
        replays.admit_many(ALICE, np.zeros(8, np.uint8), SOON_MS, now_ms=NOW_MS)
    for bad in ([b"12345678", "12345678"], [bytearray(8)], np.zeros((2, 8), np.uint16), b"12"):
        with pytest.raises((TypeError, UsageError)):
            replays.admit_many(ALICE, bad, SOON_MS, now_ms=NOW_MS)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        replays.admit_many([ALICE, 7], numbered(2), SOON_MS, now_ms=NOW_MS)  # type: ignore[list-item]
    assert len(replays) == 0


def test_a_flood_is_answered_with_full() -> None:
    replays = ReplaySet(1000)
    nonces = numbered(20_000)
    first = replays.admit_many(ALICE, nonces, SOON_MS, now_ms=NOW_MS)
    assert np.array_equal(first.full, ~first.admitted)
    assert 1000 <= first.admitted.sum() < 20_000
    assert len(replays) == first.admitted.sum()
    # What was admitted is a replay now, and no place has become free.
    again = replays.admit_many(ALICE, nonces, SOON_MS, now_ms=NOW_MS + 1000)
    assert not again.admitted.any()
    assert np.array_equal(again.full, first.full)
    over_ms = SOON_MS + 2000
    assert replays.admit_many(ALICE, nonces[:1000], over_ms + 1, now_ms=over_ms).admitted.all()


@pytest.mark.parametrize("at", [0, 70, 99])
def test_one_that_is_too_far_ahead_is_the_callers_mistake(at: int) -> None:
    replays = ReplaySet(1000)
    ends_ms = np.full(100, SOON_MS)
    ends_ms[at] = NOW_MS + 10 * HORIZON_MS
    with pytest.raises(UsageError, match=rf"{10 * HORIZON_MS} ms, .* {HORIZON_MS} ms ahead"):
        replays.admit_many(ALICE, numbered(100), ends_ms, now_ms=NOW_MS)
    with pytest.raises(UsageError):
        replays.admit_many(ALICE, numbered(100), int(ends_ms[at]), now_ms=NOW_MS)
    assert len(replays) == 0, "nothing was admitted"
    assert replays.admit_many(ALICE, numbered(100), SOON_MS, now_ms=NOW_MS).admitted.all()


def test_large_batches_race_and_each_nonce_is_admitted_once() -> None:
    """Batches of this size are worked on by several threads at once."""
    count, thread_count = 100_000, 4
    replays, started = ReplaySet(count), threading.Barrier(thread_count)
    nonces = numbered(count)
    admitted = np.zeros((thread_count, count), np.bool_)

    def present(mine: NDArray[np.bool_], step: int) -> None:
        started.wait()
        found = replays.admit_many(ALICE, nonces[::step].copy(), SOON_MS, now_ms=NOW_MS)
        mine[:] = found.admitted[::step]

    threads = [
        threading.Thread(target=present, args=(mine, 1 if at % 2 else -1))
        for at, mine in enumerate(admitted)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (admitted.sum(axis=0) == 1).all()
    held = replays.statistics()
    assert (held.live, held.admitted) == (count, count)
    assert held.replayed == (thread_count - 1) * count
