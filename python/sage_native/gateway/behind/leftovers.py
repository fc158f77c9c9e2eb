"""Bytes that an upstream sends after its answer.

If they came along with the answer's last bytes, they wait in the buffer of the HTTP/1.1 reader, and
the next answer that is read from this connection, for another peer perhaps, would begin with them:
who can write part of an answer whose length is wrong could answer for the upstream. Such a
connection is not used again. (Bytes that come later are seen by the connection pool itself.)

The reader's buffer is no public part of httpx2. Where it cannot be found, every connection counts
as one with leftovers, which costs speed and nothing else; a test says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

__all__ = ["has_leftovers"]


def has_leftovers(response: httpx2.Response) -> bool:
    """Return whether more than the answer was received. Asked when its content has been read."""
    place: object = response.stream
    for name in ("_httpcore_stream", "_stream", "_connection", "_h11_state", "trailing_data"):
        place = getattr(place, name, None)
    match place:
        case (bytes(left), bool()):
            return bool(left)
        case _:
            return True
