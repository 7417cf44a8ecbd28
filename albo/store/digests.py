"""Digests in tables: 32 bytes for each cover, as Arrow columns and as sums over sets."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from albo.records import Digest


DIGEST_BYTES = 32
"""Length of a digest, which is a SHA-256."""

MODULUS = 1 << 256
"""Sums of digests are taken modulo this number, so a sum is as long as a digest."""


def digest_column(digests: Sequence[Digest]) -> pa.Array:
    """Make the column of digests. Raises ValueError if one is not 32 bytes long."""
    import pyarrow as pa

    if any(len(digest) != DIGEST_BYTES for digest in digests):
        raise ValueError(f"digests have {DIGEST_BYTES} bytes")
    blob = pa.py_buffer(b"".join(digests))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(DIGEST_BYTES), len(digests), [None, blob])


def digest_bytes(table: pa.Table) -> bytes:
    """Return the digests of a table, one after the other, 32 bytes each."""
    pieces = []
    for chunk in table.column("digest").chunks:
        start, size = chunk.offset * DIGEST_BYTES, len(chunk) * DIGEST_BYTES
        pieces.append(chunk.buffers()[1].slice(start, size).to_pybytes())
    return b"".join(pieces)


def split_digests(blob: bytes) -> list[Digest]:
    """Split joined digests."""
    return [blob[at : at + DIGEST_BYTES] for at in range(0, len(blob), DIGEST_BYTES)]


def digests_of(table: pa.Table) -> list[Digest]:
    """Return the digests of a table, row by row."""
    return split_digests(digest_bytes(table))


def sum_of(blob: bytes) -> int:
    """Return the sum of digests as little-endian numbers, modulo 2^256: the same in any order."""
    words = np.frombuffer(blob, "<u4").reshape(-1, 8).sum(axis=0, dtype=np.uint64)
    return sum(int(word) << (32 * place) for place, word in enumerate(words)) % MODULUS


def state_of(fingerprint: str, rows: int, total: int) -> str:
    """Make a token of a set of covers, 16 hex digits.

    Parameters
    ----------
    fingerprint
        The fingerprint of the backbone or reader that made the rows.
    rows
        The number of covers.
    total
        The sum of their digests, see `sum_of`.
    """
    return hashlib.sha256(f"{fingerprint} {rows} {total:x}".encode()).hexdigest()[:16]
