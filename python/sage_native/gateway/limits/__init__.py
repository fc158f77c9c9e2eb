"""What one client may cost: rate, time, bytes and places, each bounded in fixed memory."""

from __future__ import annotations

from .addresses import ClientAddresses
from .bodies import (
    BodyDeadlines,
    BodyTooLargeError,
    BodyTooSlowError,
    ClientGoneError,
    UnsupportedEncodingError,
    UnsupportedTypeError,
    read_body,
)
from .buckets import TokenBuckets
from .in_flight import InFlight

__all__ = [
    "BodyDeadlines",
    "BodyTooLargeError",
    "BodyTooSlowError",
    "ClientAddresses",
    "ClientGoneError",
    "InFlight",
    "TokenBuckets",
    "UnsupportedEncodingError",
    "UnsupportedTypeError",
    "read_body",
]
