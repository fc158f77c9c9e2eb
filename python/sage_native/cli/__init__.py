"""The command line, ``sage-native``: keys, signatures, a demonstration, measured rates, databases.

It needs the extra ``sage-native[cli]``. Without it ``main`` says so; nothing else here is imported
before that is known.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

EXTRA_MODULES = frozenset({"cyclopts", "rich"})
MISSING_EXTRA = "sage-native needs its command line extra: pip install 'sage-native[cli]'"


def main() -> None:
    """Run the command in ``sys.argv`` and exit.

    Exit status: 0 done; 1 a signature, a peer, a database or the demonstration failed; 2 wrong
    usage, or the extra is missing; 130 interrupted.
    """
    try:
        from sage_native.cli.app import run  # noqa: PLC0415 - the extra may be missing
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA_MODULES:
            raise
        print(MISSING_EXTRA, file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
