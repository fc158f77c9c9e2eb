"""The vectors once more, in a process that takes other instructions: prints one JSON object.

``executed`` per file; ``long_digest`` over sealed texts that only the library's long kernels see,
for vectors are short; ``kernels`` are this project's own.
"""

from __future__ import annotations

import hashlib
import json
import sys

from sage_native import AeadKey
from sage_native._native import _kernels  # noqa: TID251 - no public name tells
from tests.published.table import OWN, TABLE

# Everything but the slowest file, whose kind of case others hold too.
NAMES = [name for name in {**TABLE, **OWN} if name != "djb sign.input"]
LONG_KEY, LONG_NONCE = bytes(range(32)), bytes(12)
LONG_LENGTHS = (3585, 4096, 5000, 16_384 + 7, 1 << 20)


def long_text(length: int) -> bytes:
    return (b"0123456789abcdef!" * (length // 17 + 1))[:length]


def main() -> None:
    executed = {}
    for name in NAMES:
        run, expected = {**TABLE, **OWN}[name]
        tally = run()
        assert tally == expected, name
        executed[name] = tally.executed
    key = AeadKey(LONG_KEY)
    digest = hashlib.sha256()
    for length in LONG_LENGTHS:
        digest.update(key.seal(LONG_NONCE, long_text(length), long_text(length // 2)))
    json.dump(
        {
            "executed": executed,
            "long_digest": digest.hexdigest(),
            "kernels": _kernels(),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
