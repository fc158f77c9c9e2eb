"""The rows: one module per group, each with its `ROWS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .aead import ROWS as AEAD
from .agreement import ROWS as AGREEMENT
from .boundary import ROWS as BOUNDARY
from .gateway import ROWS as GATEWAY
from .handshakes import ROWS as HANDSHAKES
from .kdf import ROWS as KDF
from .observability import ROWS as OBSERVABILITY
from .records import ROWS as RECORDS
from .replay import ROWS as REPLAY
from .signatures import ROWS as SIGNATURES
from .storage import ROWS as STORAGE

if TYPE_CHECKING:
    from benches.ratios.sides import Row


def all_rows() -> list[Row]:
    """Return every row that can be measured, in the order of the table."""
    crypto = (SIGNATURES, AGREEMENT, AEAD, KDF)
    groups = (*crypto, RECORDS, REPLAY, HANDSHAKES, GATEWAY, BOUNDARY, STORAGE, OBSERVABILITY)
    rows = [row for group in groups for row in group]
    return sorted(rows, key=lambda row: row.number)
