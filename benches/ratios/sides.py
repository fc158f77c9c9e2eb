"""What is timed: one call of one contender, with arguments made beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle, islice, repeat
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Arguments: TypeAlias = tuple[object, ...]
    Prepare: TypeAlias = Callable[[int], Iterable[Arguments]]
    Standing: TypeAlias = Literal["due", "next", "beside"]
    Unit: TypeAlias = Literal["x", "ns"]


@dataclass(frozen=True)
class Side:
    """One contender.

    Attributes:
        call: What is timed.
        prepare: Gives the arguments of so many calls, outside the timed region.
        operation_count: How many operations one call does, for figures per operation.
        seen: What can be compared of a result with the other side's, where results differ by
            nature: a random key pair, a record that must be opened first.
        waits: A call waits for another process, such as a database server: that this process does
            not run meanwhile is no interruption.
        clock: What is read in ns before and after a slice instead of the time on the wall, such as
            the CPU time of a server.
    """

    call: Callable[..., object]
    prepare: Prepare
    operation_count: int = 1
    seen: Callable[[Any], object] = lambda result: result
    waits: bool = False
    clock: Callable[[], int] | None = None


def always(*arguments: object) -> Prepare:
    """Prepare the same arguments for every call."""
    return lambda count: repeat(arguments, count)


def in_turn(choices: Sequence[Arguments]) -> Prepare:
    """Prepare one of several arguments after the other, round and round."""
    return lambda count: islice(cycle(choices), count)


def by_turns(side_of: Callable[[int], Side], count: int) -> Side:
    """Return a side whose slices are those of so many sides, one after the other.

    Args:
        side_of: Makes the side of a number; each has a clock of its own.
        count: How many there are.
    """
    turns = cycle([side_of(number) for number in range(count)])
    at_work = next(turns)

    def prepare(call_count: int) -> Iterable[Arguments]:
        nonlocal at_work
        at_work = next(turns)
        return at_work.prepare(call_count)

    def call(*arguments: object) -> object:
        return at_work.call(*arguments)

    def clock() -> int:
        assert at_work.clock is not None
        return at_work.clock()

    return replace(at_work, call=call, prepare=prepare, clock=clock)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        number: The row of the goals that it belongs to.
        operation: What is done, in words.
        peer: Against what.
        sides: Makes both contenders, ours first; called once, when the row is measured.
        must: The line below which the row is missed, or above which if the unit is ns.
        goal: Where it is going.
        standing: "due" rows have a verdict; "next" rows show theirs for orientation; "beside"
            rows are further peers without a line of their own.
        unit: "x" for peer over ours; "ns" for ours minus peer.
    """

    number: int
    operation: str
    peer: str
    sides: Callable[[], tuple[Side, Side]]
    must: float | None = None
    goal: float | None = None
    standing: Standing = "due"
    unit: Unit = "x"
