"""The refusal of a peer: a code of the protocol, nothing else."""

from __future__ import annotations


class RefusedError(Exception):
    """The message was refused; `code` is the protocol's error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
