from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import time

import pytest

from sage_native._native import _kernels  # noqa: TID251 - no public name tells
from tests.erasure import forms, holder
from tests.erasure.rounds import aes_256_schedule, sha256_state
from tests.erasure.search import found, found_in, writable_mappings

# What must be there before closing, to show that the search finds it.
HELD = {
    "signing_key": {"seed[0:]", "seed[16:]"},
    "aead_key": {"key[0:]", "key[16:]"},
    "key_encryption_key": {"key[0:]", "key[16:]"},
    "prk": {"inner state[0:]", "inner state[16:]", "outer state[0:]", "outer state[16:]"},
    "extracted_prk": {"inner state[0:]", "outer state[16:]"},
    "static_secret": {"secret[0:]", "secret[16:]", "shared[0:]", "shared[16:]", "inner state[0:]"},
}
# The short-message kernel keeps the schedule; the library makes its own when it needs one.
if any(kernel.startswith("aes-gcm") for kernel in _kernels()):
    HELD["aead_key"] |= {"round keys[0:]", "round keys[192:]"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
@pytest.mark.parametrize("use", holder.USES)
@pytest.mark.parametrize("kind", holder.KINDS)
def test_no_secret_is_left_one_second_after_close(kind: str, use: str) -> None:
    secret = os.urandom(32)
    needles = forms.KINDS[kind](secret)
    command = [sys.executable, "-m", "tests.erasure.holder", kind, use]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(secret)
        assert process.stdout.read(1) == b"r"
        assert found(process.pid, needles).keys() >= HELD[kind]
        process.stdin.write(b"-")
        assert process.stdout.read(1) == b"c"
        closed = time.monotonic()
        # Reading is quick; looking for every form of a secret in it is not, and need not be.
        memory = list(writable_mappings(process.pid))
        assert time.monotonic() - closed < 1
        assert found_in(memory, needles) == {}
        process.stdin.write(b"-")
    assert process.returncode == 0


def test_forms_are_right() -> None:
    """FIPS 197 appendix A.3, and a hash that ends after one block."""
    schedule = aes_256_schedule(
        bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    )
    assert schedule[-16:].hex() == "fe4890d1e6188d0b046df344706c631e"
    padded = b"abc\x80" + bytes(59) + bytes([24])
    assert struct.pack(">8I", *sha256_state(padded)) == hashlib.sha256(b"abc").digest()
