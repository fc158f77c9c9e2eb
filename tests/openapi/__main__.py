"""Writes what follows from ``api/openapi.yaml``: ``python -m tests.openapi``.

``--check`` writes nothing and fails when a file on disk differs by a byte.
"""

from __future__ import annotations

import argparse
import sys

from .derived import derived_files, stale_files


def main(arguments: list[str] | None = None) -> int:
    """Write or check all files; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write or check what api/openapi.yaml makes.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    if not parser.parse_args(arguments).check:
        for path, data in derived_files().items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
    stale = stale_files()
    if stale:
        sys.stderr.write(f"not what api/openapi.yaml makes: {', '.join(map(str, stale))}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
