"""The insides of AES and SHA-256 that libraries keep to themselves."""

from __future__ import annotations

from functools import reduce
from operator import xor


def times(a: int, b: int) -> int:
    """Multiply in the field of AES (FIPS 197 §4.2)."""
    product = 0
    while b:
        product ^= a * (b & 1)
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def substituted(byte: int) -> int:
    """SubBytes (FIPS 197 §5.1.1)."""
    inverse = next((other for other in range(256) if times(byte, other) == 1), 0)
    turned = (inverse << 8 | inverse) * 0x1_0001
    return reduce(xor, (turned >> shift & 0xFF for shift in (4, 5, 6, 7, 8)), 0x63)


def aes_256_schedule(key: bytes) -> bytes:
    """The 15 round keys (FIPS 197 §5.2)."""
    words = [key[at : at + 4] for at in range(0, 32, 4)]
    constant = 1
    for at in range(8, 60):
        word = words[-1]
        if at % 8 == 0:
            word = bytes(map(substituted, word[1:] + word[:1]))
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = times(constant, 2)
        elif at % 8 == 4:
            word = bytes(map(substituted, word))
        words.append(bytes(map(xor, words[-8], word)))
    return b"".join(words)


PRIMES = [n for n in range(2, 312) if all(n % factor for factor in range(2, n))]
MASK = 0xFFFF_FFFF


def root(n: int, degree: int) -> int:
    """The first 32 bits after the point of the root of n."""
    low, high = 0, n << 32
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= n << 32 * degree else (low, middle)
    return low & MASK


def sha256_state(block: bytes) -> list[int]:
    """The eight words after one block of 64 bytes (FIPS 180-4 §6.2.2)."""

    def rotated(word: int, *by: int) -> int:
        return reduce(xor, ((word >> n | word << 32 - n) & MASK for n in by))

    start = [root(prime, 2) for prime in PRIMES[:8]]
    w = [int.from_bytes(block[at : at + 4], "big") for at in range(0, 64, 4)]
    for at in range(16, 64):
        low = rotated(w[at - 15], 7, 18) ^ w[at - 15] >> 3
        high = rotated(w[at - 2], 17, 19) ^ w[at - 2] >> 10
        w.append((w[at - 16] + low + w[at - 7] + high) & MASK)
    a, b, c, d, e, f, g, h = start
    for at in range(64):
        first = h + rotated(e, 6, 11, 25) + (e & f ^ ~e & g) + root(PRIMES[at], 3) + w[at]
        second = rotated(a, 2, 13, 22) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (first + second) & MASK, a, b, c, (d + first) & MASK, e, f, g
    return [(old + new) & MASK for old, new in zip(start, (a, b, c, d, e, f, g, h), strict=True)]
