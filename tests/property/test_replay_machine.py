"""A replay set in a file, under a clock that jumps both ways, against its definition.

Two handles use one file and are closed and opened again at any time. Every step is done to the set
and to the naive model, and both must say the same: the verdict, its reason, and what is remembered
afterwards.

Held over every history, whatever the model says: no nonce is admitted twice for one end.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sage_native import CapacityError, ReplayDetectedError, ReplaySet, UsageError
from tests.agents import NOW_MS

HORIZON_MS: Final = 180_000
GENERATION_MS: Final = 1024
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
# A set for so few nonces is one line of seven places; in one for a thousand all of them fit.
PLACES: Final = {4: 7, 1000: 1000}

Verdict: TypeAlias = Literal["admitted", "replayed", "given_up", "full", "too_far_ahead"]


class Name(NamedTuple):
    """A nonce as the set tells it apart."""

    purpose: str
    scope: str
    nonce: bytes


class Asked(NamedTuple):
    """A nonce, and until when it is to be remembered."""

    name: Name
    until_ms: int


@dataclass
class Model:
    """Everything that is remembered, and what was given up.

    Attributes:
        place_count: How many names fit.
        forgotten_at_ms: When each name is forgotten: at the end of the generation of its end.
        given_up_before_ms: The start of the latest generation in which something was admitted or
            could have been. Time never runs back behind it.
    """

    place_count: int
    forgotten_at_ms: dict[Name, int] = field(default_factory=dict)
    given_up_before_ms: int = 0

    def ahead_ms(self, until_ms: int, now_ms: int) -> int:
        return until_ms - max(now_ms, self.given_up_before_ms)

    def is_too_far_ahead(self, until_ms: int, now_ms: int) -> bool:
        return self.ahead_ms(until_ms, now_ms) > HORIZON_MS + GENERATION_MS

    def admit(self, asked: Asked, now_ms: int) -> Verdict:
        if self.ahead_ms(asked.until_ms, now_ms) <= 0:
            return "given_up"
        if self.is_too_far_ahead(asked.until_ms, now_ms):
            return "too_far_ahead"
        self.advance(now_ms)
        if asked.name in self.forgotten_at_ms:
            return "replayed"
        if len(self.forgotten_at_ms) >= self.place_count:
            return "full"
        self.forgotten_at_ms[asked.name] = start_of(asked.until_ms) + GENERATION_MS
        return "admitted"

    def advance(self, now_ms: int) -> None:
        self.given_up_before_ms = max(self.given_up_before_ms, start_of(now_ms))
        self.forgotten_at_ms = {
            name: end_ms
            for name, end_ms in self.forgotten_at_ms.items()
            if end_ms > self.given_up_before_ms
        }


def start_of(time_ms: int) -> int:
    """When the generation of a time began."""
    return time_ms // GENERATION_MS * GENERATION_MS


@dataclass
class Handle:
    """One of those who use the file, and what it has answered since it opened it."""

    replays: ReplaySet
    answered: Counter[Verdict] = field(default_factory=Counter)


names = st.builds(
    Name,
    st.sampled_from(["", "", "", "another"]),
    st.sampled_from(["did:example:alice", "did:example:bob", ""]),
    st.sampled_from([bytes([number]) for number in range(6)]),
)
aheads_ms = st.one_of(
    st.integers(0, HORIZON_MS + GENERATION_MS),
    st.integers(-1, 3 * GENERATION_MS),
    st.integers(HORIZON_MS - 1, HORIZON_MS + GENERATION_MS),
    st.integers(-5000, 400_000),
)
handles = st.integers(0, 1)
indexes = st.integers(0, 1 << 16)


class Replays(RuleBasedStateMachine):
    """The machine."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "replays"
        self.now_ms = NOW_MS
        self.asked: list[Asked] = []
        self.admitted: set[Asked] = set()

    @initialize(capacity=st.sampled_from(sorted(PLACES)), offset_ms=st.integers(0, GENERATION_MS))
    def begin(self, capacity: int, offset_ms: int) -> None:
        self.capacity, self.model = capacity, Model(PLACES[capacity])
        self.now_ms = self.since_ms = NOW_MS + offset_ms
        self.handles = [self.opened(), self.opened()]

    def opened(self) -> Handle:
        return Handle(ReplaySet.open(self.path, capacity=self.capacity, now_ms=self.now_ms))

    def teardown(self) -> None:
        self.handles = []
        self.directory.cleanup()

    # What is asked.

    @rule(handle=handles, name=names, ahead_ms=aheads_ms)
    def present(self, handle: int, name: Name, ahead_ms: int) -> None:
        self.admit(handle, Asked(name, max(0, self.now_ms + ahead_ms)))

    @precondition(lambda self: self.asked)
    @rule(handle=handles, index=indexes, recent=st.booleans())
    def replay(self, handle: int, index: int, recent: bool) -> None:  # noqa: FBT001 - drawn
        """Present once more what was presented before, end and all."""
        last = self.asked[-8:] if recent else self.asked
        self.admit(handle, last[index % len(last)])

    @rule(
        handle=handles,
        purpose=st.sampled_from(["", "another"]),
        drawn=st.lists(st.tuples(names, aheads_ms), max_size=20),
        replayed=st.lists(indexes, max_size=10),
        repeat=st.sampled_from([1, 1, 5]),
    )
    def present_many(
        self,
        handle: int,
        purpose: str,
        drawn: list[tuple[Name, int]],
        replayed: list[int],
        repeat: int,
    ) -> None:
        """Present a batch: new ones, old ones, and the same ones several times."""
        batch = [
            Asked(name._replace(purpose=purpose), max(0, self.now_ms + ahead_ms))
            for name, ahead_ms in drawn
        ]
        batch += [self.asked[index % len(self.asked)] for index in replayed if self.asked]
        batch = [one for one in batch if one.name.purpose == purpose] * repeat
        too_far = [one for one in batch if self.model.is_too_far_ahead(one.until_ms, self.now_ms)]
        if too_far:
            # Then nothing of the batch is admitted, as the model shows by standing still.
            self.refuse_many(handle, purpose, batch)
            batch = [one for one in batch if one not in too_far]
        self.admit_many(handle, purpose, batch)

    def admit(self, at: int, asked: Asked) -> None:
        handle, ahead_ms = self.handles[at], self.model.ahead_ms(asked.until_ms, self.now_ms)
        verdict = verdict_of(handle.replays, asked, self.now_ms, ahead_ms)
        assert verdict == self.model.admit(asked, self.now_ms)
        self.note(handle, asked, verdict)

    def admit_many(self, at: int, purpose: str, batch: list[Asked]) -> None:
        handle = self.handles[at]
        found = handle.replays.admit_many(
            [one.name.scope for one in batch],
            [one.name.nonce for one in batch],
            [one.until_ms for one in batch],
            purpose=purpose,
            now_ms=self.now_ms,
        )
        for one, admitted, full in zip(
            batch, found.admitted.tolist(), found.full.tolist(), strict=True
        ):
            expected = self.model.admit(one, self.now_ms)
            assert (admitted, full) == (expected == "admitted", expected == "full")
            self.note(handle, one, expected)

    def refuse_many(self, at: int, purpose: str, batch: list[Asked]) -> None:
        try:
            self.handles[at].replays.admit_many(
                [one.name.scope for one in batch],
                [one.name.nonce for one in batch],
                [one.until_ms for one in batch],
                purpose=purpose,
                now_ms=self.now_ms,
            )
        except UsageError:
            return
        raise AssertionError("was not refused")

    def note(self, handle: Handle, asked: Asked, verdict: Verdict) -> None:
        self.asked.append(asked)
        handle.answered[verdict] += 1
        if verdict == "admitted":
            assert asked not in self.admitted, "admitted twice"
            self.admitted.add(asked)

    # The clock, and the file.

    @rule(later_ms=st.integers(0, 3000))
    def wait(self, later_ms: int) -> None:
        self.now_ms += later_ms

    @rule(
        jump_ms=st.one_of(
            st.integers(-3000, 3000),
            st.integers(-2 * HORIZON_MS, 2 * HORIZON_MS),
            # So many generations that tags come round again, and much more.
            st.sampled_from([600, 1024, 2047, 2048, 4095, 4096, 4097, 9000]).map(
                lambda count: count * GENERATION_MS
            ),
            st.sampled_from([-HOUR_MS, HOUR_MS, -DAY_MS, DAY_MS, -30 * DAY_MS, 30 * DAY_MS]),
        )
    )
    def jump(self, jump_ms: int) -> None:
        self.now_ms += jump_ms

    @rule()
    def set_the_clock_right(self) -> None:
        """Back to where the set has come, which is as far as it ever was."""
        self.now_ms = max(self.since_ms, self.model.given_up_before_ms)

    @rule(handle=handles)
    def open_again(self, handle: int) -> None:
        self.handles[handle] = self.opened()

    @rule()
    def open_all_again(self) -> None:
        """For a moment nobody has the file open."""
        self.handles.clear()
        self.handles += [self.opened(), self.opened()]

    # What must hold.

    @invariant()
    def everybody_sees_what_the_model_remembers(self) -> None:
        generations = sorted(Counter(self.model.forgotten_at_ms.values()).items())
        for handle in self.handles:
            held = handle.replays.statistics()
            assert list(held.generations) == generations
            assert held.live == len(handle.replays) == len(self.model.forgotten_at_ms)
            assert held.spent == 0
            assert held.given_up_before_ms == self.model.given_up_before_ms
            answered = handle.answered
            assert (held.admitted, held.replayed) == (answered["admitted"], answered["replayed"])
            assert (held.given_up, held.full) == (answered["given_up"], answered["full"])
            assert handle.replays.remembers_since_ms == self.since_ms


def verdict_of(replays: ReplaySet, asked: Asked, now_ms: int, ahead_ms: int) -> Verdict:
    """Present one nonce, and read the verdict from the error."""
    (purpose, scope, nonce), until_ms = asked
    try:
        replays.admit(scope, nonce, until_ms, purpose=purpose, now_ms=now_ms)
    except ReplayDetectedError as error:
        return "given_up" if "given up" in str(error) else "replayed"
    except CapacityError:
        return "full"
    except UsageError as error:
        if f"for {ahead_ms} ms, but the table looks {HORIZON_MS} ms ahead" not in str(error):
            raise
        return "too_far_ahead"
    return "admitted"


Replays.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestReplays = Replays.TestCase
