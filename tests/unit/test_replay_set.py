"""The replay set: each request nonce once, whatever the clock does and whoever shares the set."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import re
import signal
import sys
import threading
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sage_native import CapacityError, ReplayDetectedError, ReplaySet, UsageError
from tests.agents import NOW_MS, Agents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALICE = "did:example:alice"
NONCE = bytes(range(32))
SOON_MS = NOW_MS + 120_000
HORIZON_MS = 180_000
# Entries are forgotten at the next multiple of this.
GENERATION_MS = 1024
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
from_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def numbered(number: int) -> bytes:
    return number.to_bytes(8, "big")


def is_admitted(
    replays: ReplaySet,
    nonce: bytes,
    until_ms: int = SOON_MS,
    *,
    scope: str = ALICE,
    purpose: str = "",
    now_ms: int = NOW_MS,
) -> bool:
    try:
        replays.admit(scope, nonce, until_ms, purpose=purpose, now_ms=now_ms)
    except ReplayDetectedError:
        return False
    return True


def test_admits_once() -> None:
    replays = ReplaySet(100)
    assert is_admitted(replays, NONCE)
    for later_ms in (0, 1, GENERATION_MS, 60_000, 119_999, 120_000, 200_000, DAY_MS):
        assert not is_admitted(replays, NONCE, now_ms=NOW_MS + later_ms)
    assert is_admitted(replays, NONCE[:-1])


def test_another_end_is_no_other_nonce() -> None:
    replays = ReplaySet(100)
    assert is_admitted(replays, NONCE)
    for until_ms in (NOW_MS + 1, SOON_MS - 1, SOON_MS + 1, NOW_MS + HORIZON_MS):
        assert not is_admitted(replays, NONCE, until_ms)
    assert len(replays) == 1


def test_is_admitted_again_when_it_was_forgotten() -> None:
    """A nonce of another request that happens to be the same, long after."""
    replays = ReplaySet(100)
    assert is_admitted(replays, NONCE)
    over_ms = SOON_MS + GENERATION_MS
    assert is_admitted(replays, NONCE, over_ms + 1000, now_ms=over_ms)
    assert not is_admitted(replays, NONCE, over_ms + 1000, now_ms=over_ms)


def test_scope_and_purpose_and_nonce_are_told_apart() -> None:
    """Where one ends and the next begins counts."""
    names = [
        ("", "", b"abc"),
        ("", "a", b"bc"),
        ("", "ab", b"c"),
        ("", "abc", b""),
        ("a", "", b"bc"),
        ("a", "b", b"c"),
        ("ab", "c", b""),
        ("abc", "", b""),
        ("", "", b"abc\0"),
        ("", "", b""),
        ("", "", b"\0"),
        ("", ALICE, bytes(1000)),
        ("", ALICE, bytes(1001)),
        ("", ALICE * 100, b"abc"),
        ("", "ä€", b"abc"),
    ]
    replays = ReplaySet(100)
    for expected in (True, False):
        for purpose, scope, nonce in names:
            admitted = is_admitted(replays, nonce, scope=scope, purpose=purpose)
            assert admitted is expected, (purpose, scope, nonce)
    assert len(replays) == len(names)


@pytest.mark.parametrize(
    "held",
    [
        bytearray(NONCE),
        memoryview(NONCE),
        memoryview(bytearray(64) + NONCE)[64:],
        np.frombuffer(NONCE, np.uint8),
        np.frombuffer(NONCE * 3, np.uint8).reshape(3, 32)[1],
    ],
    ids=["bytearray", "memoryview", "part", "array", "row"],
)
def test_a_nonce_is_its_bytes_whatever_holds_them(
    held: bytearray | memoryview | np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> None:
    replays = ReplaySet(100)
    replays.admit(ALICE, held, SOON_MS, now_ms=NOW_MS)
    assert not is_admitted(replays, NONCE)
    with pytest.raises(ReplayDetectedError):
        replays.admit(ALICE, held, SOON_MS, now_ms=NOW_MS)


def test_what_is_no_bytes_is_refused() -> None:
    replays = ReplaySet(100)
    with pytest.raises(UsageError, match="not contiguous: copy it first"):
        replays.admit(ALICE, np.zeros((32, 2), np.uint8)[:, 0], SOON_MS, now_ms=NOW_MS)
    for bad in ("text", 7, None, [1, 2]):
        with pytest.raises(TypeError):
            replays.admit(ALICE, bad, SOON_MS, now_ms=NOW_MS)  # type: ignore[arg-type]
    assert len(replays) == 0


# Time.


@pytest.mark.parametrize("until_ms", [0, NOW_MS - DAY_MS, NOW_MS - 1, NOW_MS])
def test_what_is_over_is_refused(until_ms: int) -> None:
    replays = ReplaySet(100)
    with pytest.raises(ReplayDetectedError, match="time that is over") as refused:
        replays.admit(ALICE, NONCE, until_ms, now_ms=NOW_MS)
    assert refused.value.code == "replay_detected"
    assert (len(replays), replays.statistics().given_up) == (0, 1)
    assert is_admitted(replays, NONCE, NOW_MS + 1)


@pytest.mark.parametrize("ahead_ms", [HORIZON_MS + GENERATION_MS + 1, DAY_MS])
def test_too_far_ahead_names_both_numbers(ahead_ms: int) -> None:
    replays = ReplaySet(100)
    with pytest.raises(UsageError, match=rf"for {ahead_ms} ms, .* {HORIZON_MS} ms ahead"):
        replays.admit(ALICE, NONCE, NOW_MS + ahead_ms, now_ms=NOW_MS)
    assert len(replays) == 0
    assert is_admitted(replays, NONCE, NOW_MS + HORIZON_MS)


def test_the_horizon_is_what_was_asked_for() -> None:
    month_ms = 31 * DAY_MS
    replays = ReplaySet(100, horizon_ms=month_ms)
    assert is_admitted(replays, NONCE, NOW_MS + month_ms)
    assert not is_admitted(replays, NONCE, NOW_MS + month_ms, now_ms=NOW_MS + month_ms - 1)
    shortest = ReplaySet(100, horizon_ms=1)
    assert is_admitted(shortest, NONCE, NOW_MS + 1)
    with pytest.raises(UsageError):
        shortest.admit(ALICE, NONCE, NOW_MS + 10_000, now_ms=NOW_MS)


def test_a_clock_that_runs_back_forgets_nothing() -> None:
    replays = ReplaySet(100)
    assert is_admitted(replays, NONCE)
    for back_ms in (1, GENERATION_MS, 60_000, HOUR_MS, 365 * DAY_MS, NOW_MS):
        now_ms = NOW_MS - back_ms
        assert not is_admitted(replays, NONCE, now_ms=now_ms)
        # What such a clock thinks fresh may have been admitted and forgotten.
        assert not is_admitted(replays, numbered(back_ms), NOW_MS, now_ms=now_ms)
        # What is of the time that was seen last goes on.
        assert is_admitted(replays, numbered(back_ms), SOON_MS, now_ms=now_ms)


def test_a_clock_that_ran_ahead_refuses_too_much_and_admits_nothing_twice() -> None:
    replays = ReplaySet(100)
    assert is_admitted(replays, NONCE)
    ahead_ms = NOW_MS + DAY_MS
    assert is_admitted(replays, b"of tomorrow", ahead_ms + 1000, now_ms=ahead_ms)
    assert not is_admitted(replays, NONCE)
    assert not is_admitted(replays, b"of today")
    given_up_ms = replays.statistics().given_up_before_ms
    assert ahead_ms - GENERATION_MS < given_up_ms <= ahead_ms
    assert is_admitted(replays, b"of today", ahead_ms + 1000, now_ms=ahead_ms)


def test_a_clock_alone_gives_nothing_up() -> None:
    """A clock that runs ahead for a moment does no harm while requests are of another time."""
    replays = ReplaySet(100)
    assert is_admitted(replays, NONCE)
    for number in range(10):
        assert not is_admitted(replays, numbered(number), now_ms=NOW_MS + DAY_MS)
    assert replays.statistics().given_up_before_ms <= NOW_MS
    assert not is_admitted(replays, NONCE)
    assert is_admitted(replays, numbered(0))


# Room.


def test_full_evicts_nobody() -> None:
    replays, count = ReplaySet(100), 2000
    admitted = [nonce for nonce in map(numbered, range(count)) if fits(replays, nonce)]
    assert 100 <= len(admitted) < count
    assert len(replays) == len(admitted)
    assert replays.statistics().full == count - len(admitted)
    assert not any(is_admitted(replays, nonce, now_ms=NOW_MS + 60_000) for nonce in admitted)


def fits(replays: ReplaySet, nonce: bytes) -> bool:
    try:
        return is_admitted(replays, nonce)
    except CapacityError:
        return False


def test_full_says_for_how_many_the_set_is_made() -> None:
    replays = ReplaySet(1)
    while fits(replays, numbered(len(replays))):
        pass
    with pytest.raises(CapacityError, match=r"the table is made for 1$") as full:
        replays.admit(ALICE, NONCE, SOON_MS, now_ms=NOW_MS)
    assert full.value.code == "store_full"


def test_there_is_room_again_when_something_is_over() -> None:
    replays = ReplaySet(100)
    for turn in range(50):
        now_ms = NOW_MS + turn * 2 * GENERATION_MS
        for number in range(100):
            assert is_admitted(replays, numbered(turn * 100 + number), now_ms + 500, now_ms=now_ms)
        assert len(replays) == 100


@pytest.mark.parametrize("capacity", [1, 2, 7, 8, 1000])
def test_as_many_as_were_asked_for_fit(capacity: int) -> None:
    replays = ReplaySet(capacity)
    assert all(is_admitted(replays, numbered(number)) for number in range(capacity))
    assert len(replays) == capacity


# The object.


def test_says_what_it_is() -> None:
    replays = ReplaySet(1000, horizon_ms=5000, now_ms=NOW_MS)
    assert (replays.capacity, replays.horizon_ms, replays.path) == (1000, 5000, None)
    assert replays.remembers_since_ms == NOW_MS
    assert repr(replays) == "ReplaySet(1000, horizon_ms=5000)"
    assert bool(replays)
    assert len(replays) == 0
    default = ReplaySet()
    assert (default.capacity, default.horizon_ms) == (1_000_000, HORIZON_MS)


@pytest.mark.parametrize(
    ("capacity", "horizon_ms", "name"),
    [
        (0, HORIZON_MS, "capacity"),
        (2**32 + 1, HORIZON_MS, "capacity"),
        (100, 0, "horizon_ms"),
        (100, 31 * DAY_MS + 1, "horizon_ms"),
    ],
)
def test_a_size_out_of_range_is_refused(capacity: int, horizon_ms: int, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} must be 1 to"):
        ReplaySet(capacity, horizon_ms=horizon_ms)


def test_not_pickled_and_not_copied() -> None:
    replays = ReplaySet(100)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(replays, protocol)
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be copied"):
            copied(replays)


def test_admits_for_a_responder() -> None:
    agents = Agents()
    message = agents.initiator.initiate(now_ms=NOW_MS).message
    agents.responder.respond(message, now_ms=NOW_MS)
    with pytest.raises(ReplayDetectedError):
        agents.responder.respond(message, now_ms=NOW_MS)
    request = agents.responder.read(message, now_ms=NOW_MS)
    named = (agents.admitted, request.nonce, request.remember_until_ms)
    assert not is_admitted(*named, scope=request.client_did)
    assert is_admitted(*named, scope=request.client_did, purpose="another")
    assert len(agents.admitted) == 2


def test_statistics_count_what_is_held_and_what_was_answered() -> None:
    replays = ReplaySet(1000)
    ends_ms = [NOW_MS + 1 + number * 500 for number in range(200)]
    for number, until_ms in enumerate(ends_ms):
        assert is_admitted(replays, numbered(number), until_ms)
    for number in (0, 1, 199):
        assert not is_admitted(replays, numbered(number))
    assert not is_admitted(replays, numbered(0), NOW_MS)

    held = replays.statistics()
    forgotten_ms = Counter((until_ms // GENERATION_MS + 1) * GENERATION_MS for until_ms in ends_ms)
    assert list(held.generations) == sorted(forgotten_ms.items())
    assert held.live == len(replays) == sum(live for _, live in held.generations) == 200
    assert (held.admitted, held.replayed, held.given_up, held.full) == (200, 3, 1, 0)
    assert (held.capacity, held.spent) == (1000, 0)
    assert NOW_MS - GENERATION_MS < held.given_up_before_ms <= NOW_MS
    assert held.memory_len == ReplaySet(1000).statistics().memory_len > 8 * 1000


def test_statistics_drop_what_is_over() -> None:
    replays = ReplaySet(1000)
    for number in range(100):
        assert is_admitted(replays, numbered(number), NOW_MS + 1 + number * GENERATION_MS)
    now_ms = NOW_MS + 40 * GENERATION_MS
    assert is_admitted(replays, NONCE, now_ms + HORIZON_MS, now_ms=now_ms)
    held = replays.statistics()
    assert (held.live, held.given_up_before_ms) == (61, now_ms)
    assert all(end_ms > now_ms for end_ms, _ in held.generations)


# Who shares it.


@needs_fork
@from_threads
def test_a_child_shares_the_set_without_a_path() -> None:
    """Both ways, and while both live."""
    replays = ReplaySet(100)
    assert is_admitted(replays, b"before")
    to_child, to_parent = os.pipe(), os.pipe()

    def child() -> bool:
        found = [not is_admitted(replays, b"before"), is_admitted(replays, b"of the child")]
        os.write(to_parent[1], b"!")
        os.read(to_child[0], 1)
        return all(found) and not is_admitted(replays, b"of the parent")

    finish = fork(child)
    assert os.read(to_parent[0], 1) == b"!"
    assert not is_admitted(replays, b"of the child")
    assert is_admitted(replays, b"of the parent")
    os.write(to_child[1], b"!")
    assert finish()
    assert len(replays) == 3
    assert replays.statistics().admitted == 2, "each process counts for itself"
    for end in (*to_child, *to_parent):
        os.close(end)


@needs_fork
@from_threads
def test_of_many_children_one_gets_each_nonce() -> None:
    replays, count = ReplaySet(10_000), 2000
    reader, writer = os.pipe()

    def child(step: int) -> bool:
        for number in range(count)[::step]:
            if is_admitted(replays, numbered(number)):
                os.write(writer, numbered(number))
        return True

    # Half of them come from the other end.
    children = [fork(partial(child, step)) for step in (1, -1, 1, -1)]
    os.close(writer)
    with os.fdopen(reader, "rb") as admitted:
        numbers = np.frombuffer(admitted.read(), ">u8")
    assert all(finish() for finish in children)
    assert sorted(numbers.tolist()) == list(range(count))
    assert not any(is_admitted(replays, numbered(number)) for number in range(count))


def fork(work: Callable[[], bool]) -> Callable[[], bool]:
    """Start a child; what comes back waits for it and says whether its work returned True."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        is_well = False
        try:
            is_well = work()
        finally:
            os._exit(0 if is_well else 1)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads change places as often as the interpreter lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_switching")
def test_of_many_threads_one_gets_each_nonce() -> None:
    thread_count, count = 8, 20_000
    replays, started = ReplaySet(count), threading.Barrier(thread_count)
    admitted: list[list[int]] = [[] for _ in range(thread_count)]

    def present(mine: list[int], step: int) -> None:
        started.wait()
        for number in range(count)[::step]:
            try:
                replays.admit(ALICE, numbered(number), SOON_MS, now_ms=NOW_MS)
            except ReplayDetectedError:
                continue
            mine.append(number)

    threads = [
        threading.Thread(target=present, args=(mine, 1 if at % 2 else -1))
        for at, mine in enumerate(admitted)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for mine in admitted for number in mine) == list(range(count))
    held = replays.statistics()
    assert (held.live, held.admitted) == (count, count)
    assert held.replayed == (thread_count - 1) * count


class Whole:
    """A number of another type, as numpy has them."""

    def __index__(self) -> int:
        return SOON_MS


@pytest.mark.parametrize("number", [SOON_MS, np.int64(SOON_MS), np.uint64(SOON_MS), Whole()])
def test_takes_every_whole_number(number: int) -> None:
    assert is_admitted(ReplaySet(100), NONCE, number)
    assert not is_admitted(ReplaySet(100), NONCE, SOON_MS, now_ms=number)


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1])
def test_takes_numbers_of_64_bits(number: int) -> None:
    assert is_admitted(ReplaySet(100), NONCE, number, now_ms=number - 1)
    with pytest.raises(UsageError, match=f"{number} ms"):
        ReplaySet(100).admit(ALICE, NONCE, number, now_ms=0)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (-1, OverflowError),
        (-(2**63), OverflowError),
        (-(2**80), OverflowError),
        (2**64, OverflowError),
        (1.0, TypeError),
        ("1", TypeError),
    ],
)
def test_refuses_what_is_no_time(number: int, error: type[Exception]) -> None:
    replays = ReplaySet(100)
    with pytest.raises(error):
        replays.admit(ALICE, NONCE, number)
    with pytest.raises(error):
        replays.admit(ALICE, NONCE, SOON_MS, now_ms=number)
    assert len(replays) == 0


def told(*arguments: object, **named: object) -> tuple[str, str, int]:
    """Return what a set answers, in words, and how many nonces it holds then."""
    replays = ReplaySet(100)
    admit: Callable[..., object] = replays.admit
    try:
        answer = repr(admit(*arguments, **named))
    except Exception as error:  # noqa: BLE001 - whatever it is
        answer = f"{type(error).__name__}: {error}"
    counts = replays.statistics()
    return answer, repr((counts.admitted, counts.replayed, counts.given_up)), len(replays)


@pytest.mark.parametrize("scope", [ALICE, "", "did:web:bücher.example", "\ud800", b"bytes", None])
@pytest.mark.parametrize("nonce", [NONCE, b"", bytearray(NONCE), memoryview(NONCE), "text", None])
@pytest.mark.parametrize("end_ms", [-1, 0, 2**62, 2**63, 2**64, True, 1.0, None, np.int64(5)])
def test_the_short_way_answers_as_the_long_one(scope: str, nonce: bytes, end_ms: int) -> None:
    """Arguments by position go past PyO3; those by name do not."""
    names = {"scope": scope, "nonce": nonce, "remember_until_ms": end_ms}
    soon = {**names, "remember_until_ms": time.time_ns() // 1_000_000 + 60_000}
    for named in (names, soon):
        short, long = told(*named.values()), told(**named)
        assert [_without_digits(one) for one in short] == [_without_digits(one) for one in long]


def _without_digits(text: object) -> str:
    """Leave out how far ahead of the clock something lies."""
    return re.sub(r"\d{6,}", "#", str(text))


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 6, 7, 20])
def test_counts_its_arguments(count: int) -> None:
    admit: Callable[..., None] = ReplaySet(100).admit
    with pytest.raises(TypeError, match=r"admit\(\) (missing|takes)"):
        admit(*[ALICE] * count)


def test_both_ways_lead_to_one_memory() -> None:
    replays = ReplaySet(100)
    end_ms = time.time_ns() // 1_000_000 + 60_000
    replays.admit(ALICE, NONCE, end_ms)
    with pytest.raises(ReplayDetectedError):
        replays.admit(scope=ALICE, nonce=NONCE, remember_until_ms=end_ms)
    replays.admit(ALICE, nonce=b"another", remember_until_ms=end_ms)
    with pytest.raises(ReplayDetectedError):
        replays.admit(ALICE, b"another", end_ms)
    replays.admit(ALICE, NONCE, end_ms, purpose="another")
    assert len(replays) == 3
    counts = replays.statistics()
    assert (counts.admitted, counts.replayed) == (3, 2)


def test_a_set_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="doesn't apply"):
        ReplaySet.admit(object(), ALICE, NONCE, SOON_MS)  # type: ignore[arg-type]


def test_says_what_it_takes() -> None:
    assert [*inspect.signature(ReplaySet.admit).parameters] == [
        *("self", "scope", "nonce", "remember_until_ms", "purpose", "now_ms"),
    ]
    assert (ReplaySet.admit.__doc__ or "").startswith("Admit a request nonce exactly once.")
