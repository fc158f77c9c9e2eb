"""A short clock probe: how fast is this machine right now?

Shared machines run at half speed for whole minutes, with nothing visible from inside. The probe is
a fixed piece of arithmetic, timed before and after every slice. A slice is steady when both probes
around it are within `TOLERANCE` of the fastest probe of the whole run, and when this process had
the processor nearly all the time: what another process takes away in the middle of a slice, no
probe beside it can see.
"""

from __future__ import annotations

from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    Now: TypeAlias = Callable[[], int]

TOLERANCE = 0.05
SPIN_COUNT = 3
_P = 2**255 - 19


def spin() -> None:
    """Do a fixed amount of integer arithmetic: two modular inversions by powering, about 50 µs."""
    for base in (3, 5):
        pow(base, _P - 2, _P)


class ClockProbe:
    """Times the spin and remembers the fastest time of the run.

    `now` is the time on the wall, `cpu` the processor time of this process, all its threads.
    """

    def __init__(
        self,
        now: Now = perf_counter_ns,
        work: Callable[[], None] = spin,
        cpu: Now = process_time_ns,
    ) -> None:
        self.now = now
        self.cpu = cpu
        self.best_ns = 0
        self._work = work

    def measure(self) -> int:
        """Return the time of the fastest of `SPIN_COUNT` spins in ns.

        The fastest shows the speed of the clock; a single interruption does not count.
        """
        fastest_ns = min(self._time_spin() for _ in range(SPIN_COUNT))
        self.best_ns = min(self.best_ns or fastest_ns, fastest_ns)
        return fastest_ns

    def is_steady(self, *probes_ns: int) -> bool:
        """Say whether all of these probes are near the run's best as it is known by now."""
        return max(probes_ns) <= self.best_ns * (1 + TOLERANCE)

    def _time_spin(self) -> int:
        start = self.now()
        self._work()
        return self.now() - start
