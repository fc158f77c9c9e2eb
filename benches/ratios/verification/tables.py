"""The tables of docs/performance.md, and of the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benches.ratios.report import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .results import Against, KeyTable, Report, WrongBatch

WAYS = {
    "cache": "`VerifyingKeyCache`",
    "expanded": "`expand()`",
    "cold": "`verify_many`, cold",
    "one key": "`verify_many`, one key",
    "dalek": "dalek, whole batch",
    "pyca": "pyca",
    "PyNaCl": "PyNaCl",
}


def lines(report: Report) -> Iterator[str]:
    """Give what belongs between the markers, line by line."""
    yield from _about(report)
    yield ""
    yield from _against(report, "batch", "batch")
    yield ""
    yield from _against(report, "keys", "keys")
    yield ""
    yield "| way | batch | wrong | good batch | with wrong ones | ratio | spread |"
    yield "|---|--:|--:|--:|--:|--:|:-:|"
    for one in report.wrong:
        yield _wrong(one)


def _about(report: Report) -> Iterator[str]:
    machine, table = report.facts["machine"], report.table
    libraries = [machine["openssl"]]
    if "ed25519-dalek" in report.facts:  # not in runs that were recorded before it stood beside
        libraries.append(f"ed25519-dalek {report.facts['ed25519-dalek']}")
    yield f"* Processor: {machine['cpu']}, class *{machine['class']}*; {', '.join(libraries)}"
    yield f"* Taken: {report.facts['taken_at']} at commit `{report.facts['commit']}`"
    yield (
        f"* Memory: {table.key_len:,} bytes for a registered key, {table.table_len:,} bytes for its"
        f" table ({table.table_len / 1024:.1f} KiB); the default budget of"
        f" {table.budget_len / 1024**2:.0f} MiB has room for {_room(table):,} keys with tables"
    )
    yield (
        f"* A table is built in {duration(table.build_ns)}. A single verification takes"
        f" {duration(table.cold_ns)} without it and {duration(table.hot_ns)} with it, so it has"
        f" paid for itself after {table.pays_after:.0f} signatures"
    )


def _room(table: KeyTable) -> int:
    return table.budget_len // (table.key_len + table.table_len)


def _against(report: Report, against: Against, head: str) -> Iterator[str]:
    points = [one for one in report.points if one.against == against]
    names = list(dict.fromkeys(one.way for one in points))
    heads = [WAYS[name] for name in names]
    yield f"| {' | '.join([head, *heads, 'tables'])} |"
    yield "|--:" * (len(heads) + 2) + "|"
    for count in dict.fromkeys(one.count for one in points):
        here = {one.way: one for one in points if one.count == count}
        costs = [
            duration(here[name].each_ns) + (" (noisy)" if here[name].is_noisy else "")
            for name in names
        ]
        tables = here["cache"].tables
        yield f"| {' | '.join([f'{count:,}', *costs, f'{tables:,}'])} |"


def _wrong(one: WrongBatch) -> str:
    cells = (
        WAYS[one.way],
        f"{one.batch_len:,}",
        f"{one.wrong_count:,}",
        duration(one.good_ns),
        duration(one.wrong_ns),
        f"**{one.ratio:.2f}**" + (" (noisy)" if one.is_noisy else ""),
        f"{one.low:.2f} – {one.high:.2f}",
    )
    return f"| {' | '.join(cells)} |"
