"""One value as an array of equal rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Three, so that a case has a neighbour on both sides.
COUNT = 3


def rows_of(value: bytes, count: int = COUNT) -> NDArray[np.uint8]:
    return np.frombuffer(value * count, np.uint8).reshape(count, len(value))
