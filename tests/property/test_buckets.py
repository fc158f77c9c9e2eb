"""A bucket against its definition: never more than burst + rate × time, never less than due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sage_native.gateway.limits import TokenBuckets

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.floats(0, 3, allow_nan=False),
        st.integers(0, 12),
    ),
    max_size=60,
)
RATES = st.floats(0.01, 1000, allow_nan=False)
BURSTS = st.integers(1, 10)


class Bucket:
    """Tokens that are counted, as everybody would write it."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self.rate_per_s, self.burst = rate_per_s, burst
        self.tokens, self.at_s = float(burst), 0.0

    def fill(self, now_s: float) -> None:
        self.tokens = min(self.burst, self.tokens + (now_s - self.at_s) * self.rate_per_s)
        self.at_s = now_s


@given(rate=RATES, burst=BURSTS, steps=STEPS, start_s=st.sampled_from([0.0, 1e6]))
def test_it_is_a_token_bucket(
    rate: float, burst: int, steps: list[tuple[str, float, int]], start_s: float
) -> None:
    buckets = TokenBuckets(rate, burst)
    models = {key: Bucket(rate, burst) for key in "abc"}
    now_s = start_s
    for key, wait_s, cost in steps:
        now_s += wait_s
        model = models[key]
        model.fill(now_s)
        needed = min(cost, burst)
        refused_s = buckets.take(key, now_s, cost)
        if refused_s == 0.0:
            assert model.tokens >= needed - 0.01
            model.tokens -= cost
        else:
            assert model.tokens < needed + 0.01
            assert abs((needed - model.tokens) / rate - refused_s) <= 0.02 / rate


@given(
    keys=st.lists(st.text(max_size=4), min_size=1, max_size=60),
    slots=st.integers(1, 4),
    burst=BURSTS,
)
def test_collisions_never_give_anybody_more(keys: list[str], slots: int, burst: int) -> None:
    buckets = TokenBuckets(0.001, burst, slots)
    granted: dict[str, int] = {}
    for key in keys:
        if buckets.take(key, 1.0) == 0.0:
            granted[key] = granted.get(key, 0) + 1
    assert all(count <= burst for count in granted.values())
    assert sum(granted.values()) >= min(burst, len(keys))
