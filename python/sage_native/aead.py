"""AES-256-GCM under nonces of the caller's own, and keys for secrets at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from sage_native._native import AeadKey as NativeAeadKey
from sage_native._native import KeyEncryptionKey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sage_native._native import _Array, _Batch, _Items

__all__ = ["AeadKey", "KeyEncryptionKey"]

TAG_LEN = 16


class AeadKey(NativeAeadKey):
    """An AES-256-GCM key, 32 bytes, with its schedule expanded once.

    The caller owns the nonces: the same nonce twice under one key gives both plaintexts and the
    authentication key away. ``Session`` keeps its own count; prefer it.
    """

    __slots__ = ()

    @overload
    def seal_many(
        self, nonces: _Batch, plaintexts: _Items, aads: _Batch | None = None
    ) -> list[bytes]: ...
    @overload
    def seal_many(
        self, nonces: _Batch, plaintexts: _Array, aads: _Batch | None = None
    ) -> NDArray[np.uint8]: ...
    def seal_many(
        self, nonces: _Batch, plaintexts: _Batch, aads: _Batch | None = None
    ) -> list[bytes] | NDArray[np.uint8]:
        """Seal each plaintext under its nonce.

        Args:
            nonces: A list of 12-byte bytes, or an array (count, 12) of uint8, none twice.
            plaintexts: A list of bytes, or an array (count, length) of uint8.
            aads: Associated data, as many; none if left out.

        Returns:
            For a list, a list of ``ciphertext || tag(16)``; for an array, a read-only array
            (count, length + 16) of uint8.

        Raises:
            UsageError: The batches differ in length, or a nonce is not 12 bytes long.
            SessionStateError: The key is closed.

        Cost: one crossing; the interpreter lock is released for large batches.
        Source: NIST SP 800-38D §7.1.
        """
        sealed = self._seal_many(nonces, plaintexts, aads)
        if isinstance(sealed, list):
            return sealed
        import numpy as np  # noqa: PLC0415 - arrays alone need numpy

        row_len = np.shape(plaintexts)[1] + TAG_LEN
        return np.frombuffer(sealed, np.uint8).reshape(-1, row_len)

    @overload
    def open_many(
        self, nonces: _Batch, sealed: _Items, aads: _Batch | None = None
    ) -> list[bytes | None]: ...
    @overload
    def open_many(
        self, nonces: _Batch, sealed: _Array, aads: _Batch | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]: ...
    def open_many(
        self, nonces: _Batch, sealed: _Batch, aads: _Batch | None = None
    ) -> list[bytes | None] | tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Open each ``ciphertext || tag(16)`` under its nonce.

        Args:
            nonces: A list of 12-byte bytes, or an array (count, 12) of uint8.
            sealed: A list of bytes, or an array (count, length) of uint8, 16 bytes at least.
            aads: Associated data, as many; none if left out.

        Returns:
            For a list, a list with the plaintext, or None where the tag is wrong. For an array, the
            read-only pair of plaintexts (count, length - 16) of uint8 and verdicts (count,) of
            bool; a row with the verdict False holds zeros.

        Raises:
            UsageError: The batches differ in length, or a nonce or item has a wrong one.
            SessionStateError: The key is closed.

        Cost: one crossing; the interpreter lock is released for large batches.
        Source: NIST SP 800-38D §7.2.
        """
        opened = self._open_many(nonces, sealed, aads)
        if isinstance(opened, list):
            return opened
        import numpy as np  # noqa: PLC0415 - arrays alone need numpy

        rows, verdicts = opened
        verdict_array = np.frombuffer(verdicts, np.bool_)
        # Without rows nobody has looked whether they would be long enough.
        shape = (len(verdict_array), max(np.shape(sealed)[1] - TAG_LEN, 0))
        return np.frombuffer(rows, np.uint8).reshape(shape), verdict_array
