"""Asking before something cannot be taken back."""

from __future__ import annotations

import sys
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from sage_native.cli import console
from sage_native.exceptions import UsageError

__all__ = ["Yes", "confirm"]

Yes: TypeAlias = Annotated[bool, Parameter(name="--yes", negative=())]


def confirm(consequence: str, *, yes: bool) -> None:
    """Go on if the user wants it.

    Args:
        consequence: What would happen, as a sentence without its end.
        yes: The user has said so already.

    Raises:
        UsageError: There is no terminal to ask at, or the answer is no. Nothing was done.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and console.notes.is_terminal):
        raise UsageError(f"{consequence}; give --yes if that is what you want")
    try:
        answer = console.notes.input(f"{consequence}. Go on? [y/N] ", markup=False)
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was done")
