"""Writes ``tests/vectors/*.json``: ``python -m tests.reference.generate``.

The files are a function of this package alone: no clock, no randomness. ``--check`` writes
nothing and fails when a file on disk differs by a byte.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .generators import ed25519, handshake, negative, records

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS_DIR: Final = Path(__file__).resolve().parent.parent / "vectors"

BUILDERS: Final[dict[str, Callable[[], dict[str, object]]]] = {
    "ed25519_strict.json": ed25519.build,
    "handshake.json": handshake.build,
    "negative.json": negative.build,
    "records.json": records.build,
}


def render(name: str) -> bytes:
    """Return the bytes of one file."""
    text = json.dumps(BUILDERS[name](), indent=1, ensure_ascii=True)
    return text.encode("ascii") + b"\n"


def main(arguments: list[str] | None = None) -> int:
    """Write or check all files; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write or check tests/vectors.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args(arguments).check
    stale = []
    for name in BUILDERS:
        path, data = VECTORS_DIR / name, render(name)
        if check:
            stale += [] if path.is_file() and path.read_bytes() == data else [name]
        else:
            path.write_bytes(data)
    if stale:
        sys.stderr.write(f"differ from what the generator makes: {', '.join(stale)}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
