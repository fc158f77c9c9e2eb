"""A panic in the native module is a bug, and Python survives it."""

import subprocess
import sys

SURVIVES = """
from sage_native import SigningKey
from sage_native._native import _panic_probe
for threads in (1, 2, 5):
    try:
        _panic_probe(threads=threads)
    except BaseException as error:
        print(type(error).__name__, error)
print(len(SigningKey.generate().sign(b"still here")))
"""


def test_a_panic_is_an_exception_and_the_process_goes_on() -> None:
    run = subprocess.run(
        [sys.executable, "-c", SURVIVES], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.splitlines() == [*["PanicException asked for"] * 3, "64"]
    # Each thread of a batch said so, and each was waited for.
    assert run.stderr.count("asked for") == 1 + 2 + 5
