"""Connections whose client does not take its answer.

An answer that nobody reads fills the buffers of the kernel and then waits; the server has no timer
for that, and the connection keeps its place for ever. The kernel has one: ``TCP_USER_TIMEOUT`` (RFC
5482) ends a connection whose peer takes nothing for so long. Accepted connections inherit it from
the socket that listens, so it is set there, once.

The server opens that socket by itself, after the application has started, and does not hand it
out. It is found among the open files of the process. Linux only: elsewhere nothing is done.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Final

from sage_native.exceptions import UsageError

_TRIES: Final = 100
_BETWEEN_S: Final = 0.1
_MAX_S: Final = 86_400


async def end_unread(after_s: float) -> int:
    """Have the kernel end every connection whose peer takes no byte for ``after_s``.

    For a process that serves and does nothing else: it concerns all of its listening TCP sockets.
    Start it as a task while the application starts; it waits until the first of them is there.

    Args:
        after_s: Seconds without progress, at most a day. The network may be slow: do not go below
            10 in earnest.

    Returns:
        How many listening sockets were set: 0 if there was none within 10 seconds, or not on Linux.

    Raises:
        UsageError: ``after_s`` is out of range.
    """
    if not 0.001 <= after_s <= _MAX_S:
        raise UsageError(f"after_s is {after_s}; choose 0.001 to {_MAX_S}")
    if sys.platform != "linux":
        return 0
    for _ in range(_TRIES):
        count = sum(_set(int(entry.name), after_s) for entry in Path("/proc/self/fd").iterdir())
        if count:
            return count
        await asyncio.sleep(_BETWEEN_S)
    return 0


def _set(descriptor: int, after_s: float) -> bool:
    """Set one file, if it is a socket that listens for TCP."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with socket.socket(fileno=os.dup(descriptor)) as one:
            if one.family not in {socket.AF_INET, socket.AF_INET6}:
                return False
            if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return False
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(after_s * 1000))
    except OSError:  # closed since it was listed
        return False
    return True
