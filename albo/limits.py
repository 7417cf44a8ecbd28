"""The limits of files and pictures, and the digest of bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from albo.errors import BadCover

if TYPE_CHECKING:
    from albo.records import Digest


@dataclass(frozen=True)
class Limits:
    """The largest file and picture of a cover."""

    max_bytes: int = 64 * 2**20
    """The size of the file in bytes."""
    max_pixels: int = 64_000_000
    """Width times height, as the file's header says."""


DEFAULT_LIMITS = Limits()


def digest_of(data: bytes) -> Digest:
    """Return the SHA-256 of a file's bytes: 32 bytes, which identify a cover."""
    return hashlib.sha256(data).digest()


def check_bytes(length: int, max_bytes: int) -> None:
    """Raise BadCover, with both numbers, if a file has more bytes than the limit."""
    if length > max_bytes:
        raise BadCover(
            f"{length:,} bytes is over the limit of {max_bytes:,}: save a smaller copy of it"
        )
