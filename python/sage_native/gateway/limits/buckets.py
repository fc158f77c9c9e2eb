"""Token buckets for any number of keys, in memory that does not grow with them.

A bucket is one float: the moment at which it will be full again (the *theoretical arrival time* of
the generic cell rate algorithm, ITU-T I.371). To take a token moves that moment one interval into
the future; a bucket refuses when the moment would lie further ahead than a full burst takes to
fill. Nothing runs in the background and nothing is evicted: time itself fills the buckets.

Keys are not stored. A hash gives each key two slots. The fuller of the two is its bucket, and what
it takes is written to both. A key therefore never gets more than its rate, whatever others do. It
may get less, when strangers are busy in both of its slots: with n busy keys in s slots that happens
to about (2n / s)² of the others, which is 0.1 % for 1,000 in 65,536. Nobody can aim at the slots of
somebody else, because the hash starts with a random salt that never leaves the process. That holds
also where PYTHONHASHSEED makes Python's own hash predictable.

One object belongs to one worker process. Several workers each allow the full rate.
"""

from __future__ import annotations

import secrets
from typing import Final

from sage_native.exceptions import UsageError

_MAX_SLOTS: Final = 1 << 24
_ROUNDING: Final = 1e-3  # of one token: what adding floats may lose, below what anybody notices


class TokenBuckets:
    """One bucket for each key: ``burst`` tokens at once, then ``rate_per_s``.

    Args:
        rate_per_s: Tokens that come back each second, above 0.
        burst: Tokens in a full bucket, at least 1.
        slots: Buckets in memory, at most 32 bytes each; rounded up to a power of two. At most
            16,777,216.

    Raises:
        UsageError: One of the three is out of range.
    """

    __slots__ = ("_burst", "_full_at", "_interval_s", "_mask", "_salt", "_salt_bytes", "_span_s")

    def __init__(self, rate_per_s: float, burst: int, slots: int = 65_536) -> None:
        if not 0 < rate_per_s < float("inf"):
            raise UsageError(f"rate_per_s is {rate_per_s}; a rate is above 0 and finite")
        if burst < 1:
            raise UsageError(f"burst is {burst}; a bucket holds at least 1 token")
        if not 1 <= slots <= _MAX_SLOTS:
            raise UsageError(f"slots is {slots}; choose 1 to {_MAX_SLOTS}")
        slots = 1 << (slots - 1).bit_length()
        self._burst = burst
        self._interval_s = 1 / rate_per_s
        self._span_s = (burst + _ROUNDING) / rate_per_s
        self._mask = slots - 1
        self._full_at = [0.0] * slots  # a list: an array makes a new float for each look
        self._salt = secrets.token_urlsafe(12)
        self._salt_bytes = self._salt.encode()

    def take(self, key: str | bytes, now_s: float, cost: float = 1) -> float:
        """Take ``cost`` tokens from the bucket of ``key``, or say how long to wait.

        A refusal changes nothing: whoever asks too often is not pushed further back by asking. A
        cost above ``burst`` is granted to a full bucket and paid back before the next one.

        Args:
            key: Whose bucket: an address, a DID.
            now_s: A clock that never goes back, such as ``time.monotonic()``.
            cost: How many tokens, at least 0; the length of a batch.

        Returns:
            0.0 when taken, otherwise the seconds after which this would be granted.

        Cost: about 0.4 µs.
        """
        chosen = hash(self._salt + key if isinstance(key, str) else self._salt_bytes + key)
        full_at = self._full_at
        mask = self._mask
        first = chosen & mask
        second = chosen >> 32 & mask
        first_s = full_at[first]
        second_s = full_at[second]
        # Written out: calls of min and max would take a third of the time of all this.
        start_s = first_s if first_s < second_s else second_s  # noqa: FURB136
        if start_s < now_s:  # noqa: PLR1730
            start_s = now_s
        needed = cost if cost < self._burst else self._burst  # noqa: FURB136
        wait_s = start_s - now_s - self._span_s + needed * self._interval_s
        if wait_s > 0:
            return wait_s
        start_s += cost * self._interval_s
        if first_s < start_s:
            full_at[first] = start_s
        if second_s < start_s:
            full_at[second] = start_s
        return 0.0

    def wait(self, key: str | bytes, now_s: float) -> float:
        """Say how long to wait for one token, and take nothing.

        Returns:
            0.0 if there is one now.
        """
        # Written out, as ``take`` is.
        chosen = hash(self._salt + key if isinstance(key, str) else self._salt_bytes + key)
        full_at = self._full_at
        first_s = full_at[chosen & self._mask]
        second_s = full_at[chosen >> 32 & self._mask]
        start_s = first_s if first_s < second_s else second_s  # noqa: FURB136
        wait_s = start_s - now_s - self._span_s + self._interval_s
        return wait_s if wait_s > 0 else 0.0

    def charge(self, key: str | bytes, now_s: float) -> float:
        """Take a token in any case, on credit if there is none.

        Returns:
            As ``take``: 0.0, or how long it takes until the debt is paid back.
        """
        wait_s = self.take(key, now_s)
        if wait_s:
            first, second = self._slots_of(key)
            full_at_s = min(self._full_at[first], self._full_at[second]) + self._interval_s
            for slot in (first, second):
                self._full_at[slot] = max(self._full_at[slot], full_at_s)
        return wait_s

    def _slots_of(self, key: str | bytes) -> tuple[int, int]:
        chosen = hash(self._salt + key if isinstance(key, str) else self._salt_bytes + key)
        return chosen & self._mask, chosen >> 32 & self._mask
