"""The table of rates that ``demo`` and ``bench`` share: who is measured, and how it is laid out."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from statistics import median

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sage_native.cli import contestants
from sage_native.cli.console import notes, out
from sage_native.cli.measure import Comparison, compare

__all__ = ["OURS", "Measured", "footnotes", "measure", "peer_versions", "show"]

OURS = "sage_native"
PEERS = ("cryptography", "PyNaCl")
PEER_NOTES = (
    "Handshake: for the others, its public-key operations alone (2 key pairs, 2 agreements,"
    " 2 signatures, 2 verifications).",
    "Seal and open are AES-256-GCM; PyNaCl keeps no key for it and expands one every time.",
)


@dataclass(frozen=True)
class Measured:
    """One row of the table."""

    operation: str
    comparison: Comparison
    peers: tuple[str, ...]


def peer_versions() -> dict[str, str]:
    """Return the versions of the libraries that are here to be compared with."""
    versions = {}
    for name in PEERS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def measure(*, round_count: int, slice_s: float) -> list[Measured]:
    """Measure every operation of every library that is installed.

    Args:
        round_count: How many slices each library gets for each operation.
        slice_s: How long a slice takes, in seconds.
    """
    inputs = contestants.Inputs()
    calls = {
        OURS: contestants.native_calls(inputs),
        "cryptography": contestants.cryptography_calls(inputs),
    }
    if "PyNaCl" in peer_versions():
        calls["PyNaCl"] = contestants.pynacl_calls(inputs)
    rows = []
    with notes.status("measuring") as status:
        for number, operation in enumerate(contestants.OPERATIONS, 1):
            status.update(f"measuring {operation} ({number} of {len(contestants.OPERATIONS)})")
            able = {name: of[operation] for name, of in calls.items() if operation in of}
            comparison = compare(able, round_count=round_count, slice_s=slice_s)
            rows.append(Measured(operation, comparison, tuple(able)[1:]))
    return rows


def show(rows: list[Measured]) -> None:
    """Print the table, and below it what a reader must know."""
    out.print(Padding(_table(rows), (0, 0, 0, 1), expand=False))
    for line in footnotes():
        out.print(Padding(Text(line, style="dim"), (0, 0, 0, 2)))


def _table(rows: list[Measured]) -> Table:
    """Lay the rows out: calls per second, and how many times faster than each peer."""
    peers = [name for name in PEERS if any(name in row.peers for row in rows)]
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    result.add_column("calls per second", no_wrap=True)
    result.add_column(OURS, justify="right", no_wrap=True)
    for name in peers:
        result.add_column(name, justify="right", no_wrap=True)
        result.add_column("ratio", justify="right", no_wrap=True)
    for row in rows:
        cells = [cell for name in peers for cell in (_rate(row, name), _ratio(row, name))]
        result.add_row(row.operation, Text(_rate(row, OURS), style="bold"), *cells)
    return result


def footnotes() -> list[str]:
    """Return what a reader must know beside the table."""
    versions = peer_versions()
    present = PEER_NOTES if "PyNaCl" in versions else PEER_NOTES[:1]
    return [
        *present,
        *(f"{name} is not installed: no column for it" for name in PEERS if name not in versions),
    ]


def _rate(row: Measured, name: str) -> str:
    if name != OURS and name not in row.peers:
        return "–"
    return f"{row.comparison.rate(name):,.0f}"


def _ratio(row: Measured, name: str) -> Text:
    if name not in row.peers:
        return Text("–")
    middle = median(row.comparison.ratios(OURS, name))
    return Text(f"{middle:.2f}×", style="green" if middle >= 1 else "yellow")
