"""The published vectors on processors with less: other kernels, the same bytes.

``OPENSSL_ia32cap`` takes instructions away from AWS-LC (its crypto/fipsmodule/cpucap/cpu_intel.c);
``SAGE_NATIVE_PORTABLE`` takes this project's own kernels away, so that short records, too, are
sealed by the library.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.published import rerun
from tests.published.table import OWN, TABLE

# Bits of CPUID: leaf 1 has EDX in the low half and ECX in the high one, leaf 7 EBX and ECX.
PCLMULQDQ, SSSE3, AES, AVX = (1 << 32 + bit for bit in (1, 9, 25, 28))
SSE4_1, SSE4_2, MOVBE, FMA = (1 << 32 + bit for bit in (19, 20, 22, 12))
BMI1, AVX2, BMI2, ADX, SHA = (1 << bit for bit in (3, 5, 8, 19, 29))
AVX512 = sum(1 << bit for bit in (16, 17, 21, 28, 30, 31))
VAES, VPCLMULQDQ = 1 << 32 + 9, 1 << 32 + 10
WIDE = AVX512 | VAES | VPCLMULQDQ

# What is taken away: (from leaf 1, from leaf 7).
PROCESSORS = {
    "without AVX-512": (0, WIDE),
    "without AVX2, BMI and ADX": (0, WIDE | AVX2 | BMI1 | BMI2 | ADX | SHA),
    "without AVX": (AVX | FMA, WIDE | AVX2 | BMI1 | BMI2 | SHA),
    "without AES": (AES | PCLMULQDQ, VAES | VPCLMULQDQ),
    "of 2003": (
        PCLMULQDQ | SSSE3 | AES | AVX | SSE4_1 | SSE4_2 | MOVBE | FMA,
        WIDE | AVX2 | BMI1 | BMI2 | ADX | SHA,
    ),
}


def run(**variables: str) -> dict[str, Any]:
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-m", "tests.published.rerun"],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        timeout=180,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def assert_right(answer: dict[str, Any]) -> None:
    rows = {**TABLE, **OWN}
    assert answer["executed"] == {name: rows[name][1].executed for name in rerun.NAMES}
    assert sum(answer["executed"].values()) == 4593
    digest = hashlib.sha256()
    for length in rerun.LONG_LENGTHS:
        text, aad = rerun.long_text(length), rerun.long_text(length // 2)
        digest.update(AESGCM(rerun.LONG_KEY).encrypt(rerun.LONG_NONCE, text, aad))
    assert answer["long_digest"] == digest.hexdigest()


@pytest.fixture(scope="module")
def portable() -> dict[str, Any]:
    return run(SAGE_NATIVE_PORTABLE="1")


def test_without_our_own_kernels(portable: dict[str, Any]) -> None:
    assert portable["kernels"] == []
    assert_right(portable)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="masks the features of x86-64")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_on_another_processor(processor: str) -> None:
    leaf_1, leaf_7 = PROCESSORS[processor]
    answer = run(SAGE_NATIVE_PORTABLE="1", OPENSSL_ia32cap=f"~{leaf_1:#x}:~{leaf_7:#x}")
    assert_right(answer)
