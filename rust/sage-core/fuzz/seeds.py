"""Writes the messages of ``tests/vectors`` as a first corpus: ``seeds.py FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

VECTORS = Path(__file__).resolve().parents[3] / "tests" / "vectors"


def main(folder: Path) -> None:
    """Write one file for each message."""
    cases = json.loads((VECTORS / "negative.json").read_bytes())["cases"]
    messages = {bytes.fromhex(case["message"]) for case in cases if "message" in case}
    for number, message in enumerate(sorted(messages)):
        (folder / f"vector-{number}").write_bytes(b"\0" + message)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
