"""What ``synchronous_standby_names`` says about the standby that takes over.

A commit waits for some of the standbys that are named, or for all. Where it waits for some, another
may be promoted: under ``ANY`` whichever was slower, under ``FIRST`` one of a higher rank that was
away for a while, during which the next one was waited for. The nonces of that while are lost then,
and the setting cannot tell whether whoever promotes looks for the standby that has them. Where it
waits for all that are named, it does not matter which is promoted.

``*`` names whoever connects, so nobody knows of how many it waits for one.

Source: PostgreSQL, "Multiple Synchronous Standbys", and the grammar of syncrep_gram.y.
"""

from __future__ import annotations

import re

__all__ = ["lack_of_standbys"]

_COUNTED = re.compile(r"\s*(?:(?:FIRST|ANY)\s+)?(\d+)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r'"((?:[^"]|"")+)"|([^\s,"]+)')


def lack_of_standbys(setting: str) -> str | None:
    """Return why a commit does not wait for every standby that is named; None if it does.

    Args:
        setting: The value of ``synchronous_standby_names``, as a running server has it.
    """
    counted = _COUNTED.fullmatch(setting)
    wait_for, listed = (int(counted[1]), counted[2]) if counted else (1, setting)
    # Names are compared without their case; one that is named twice is one standby.
    names = {(quoted or plain).lower() for quoted, plain in _NAME.findall(listed)}
    if not names:
        return "synchronous_standby_names names no standby"
    if "*" in names:
        return f"synchronous_standby_names = {setting!r} takes any standby for the one to wait for"
    if wait_for < len(names):
        return (
            f"synchronous_standby_names = {setting!r} waits for {wait_for} of {len(names)} "
            "standbys, and one that lacks the last commits may be promoted"
        )
    return None
