"""Looking for bytes in the memory of another process (Linux)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def writable_mappings(pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and contents of everything that the process can write: heaps, stacks, data."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, permissions, *_ = line.split()
            name = line[73:] or "anonymous"
            if "w" not in permissions or name.startswith(("[vvar", "[vsyscall")):
                continue
            start, end = (int(edge, 16) for edge in span.split("-"))
            memory.seek(start)
            contents = memory.read(end - start)
            while len(contents) < end - start:
                more = memory.read(end - start - len(contents))
                if not more:
                    break
                contents += more
            yield name, contents


def found(pid: int, needles: dict[str, bytes]) -> dict[str, list[str]]:
    """Say which needles lie where: ``{needle: [mapping, …]}``, only those that were found."""
    return found_in(writable_mappings(pid), needles)


def found_in(
    mappings: Iterable[tuple[str, bytes]], needles: dict[str, bytes]
) -> dict[str, list[str]]:
    """As `found`, in memory that was read before."""
    patterns = {name: re.compile(re.escape(needle)) for name, needle in needles.items()}
    places: dict[str, list[str]] = {}
    for mapping, contents in mappings:
        for name, pattern in patterns.items():
            for _ in pattern.finditer(contents):
                places.setdefault(name, []).append(mapping)
    return places
