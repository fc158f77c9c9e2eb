"""How a key-encryption key is written down: 32 random bytes, raw, in base64 or in hex.

What holds a key here is a bytearray, so that whoever is done with it can erase it.
"""

from __future__ import annotations

import base64
import binascii

__all__ = ["KEY_LEN", "decode_kek"]

KEY_LEN = 32
# 32 random bytes hold about 30 different ones; fewer than 16 are a placeholder, never a key.
_MIN_DIFFERENT_BYTES = 16
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def decode_kek(content: bytearray) -> bytearray | None:
    """Return the key that was written down.

    Args:
        content: 32 raw bytes; or base64 in either alphabet or hex, with white space around it.

    Returns:
        32 bytes; None if there is no key, or one that cannot have been drawn at random.
    """
    # Text of 32 signs is not taken for raw bytes: that would be a short key, or a password.
    is_text = all(32 <= byte < 127 or byte in b"\r\n\t" for byte in content)
    if not is_text:
        key = bytearray(content)
    else:
        text = bytes(content).strip()
        try:
            if len(text) == 2 * KEY_LEN:
                key = bytearray(binascii.unhexlify(text))
            else:
                padded = text + b"=" * (-len(text) % 4)
                key = bytearray(base64.b64decode(padded.translate(_TO_STANDARD), validate=True))
        except ValueError:
            return None
    if len(key) != KEY_LEN or len(set(key)) < _MIN_DIFFERENT_BYTES:
        return None
    return key
