"""What became of the cases of one file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """Each case of a file lands in exactly one of the three.

    Attributes:
        executed: Ran to the bytes or the verdict that the file states.
        refused: The API has no such type of input, and the refusal was asserted.
        excluded: Not run.
    """

    executed: int = 0
    refused: int = 0
    excluded: int = 0
