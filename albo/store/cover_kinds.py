"""The kinds of stored covers with their suffixes, and the reasons for lost and damaged ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.limits import digest_of

if TYPE_CHECKING:
    from albo.records import Digest


SUFFIXES: dict[str, str] = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/bmp": "bmp",
    "image/tiff": "tif",
}
"""The suffix of a cover's file for each known MIME type."""

OTHER_KIND = "application/octet-stream"
"""The MIME type of a cover of unknown kind."""

OTHER_SUFFIX = "img"
"""The suffix of a cover of unknown kind."""

ALL_SUFFIXES = (*SUFFIXES.values(), OTHER_SUFFIX)
"""Every suffix that a cover's file may have."""

GONE = "not in the store any more; `albo harvest` fetches it again"
"""Why a cover that was deleted cannot be read."""

DAMAGED = "damaged: its bytes are not those of its digest; `albo harvest` fetches it again"
"""Why a cover with changed bytes cannot be read."""


def check_digest(digest: Digest, data: bytes) -> None:
    """Raise ValueError if a digest is not that of the data."""
    if digest_of(data) != digest:
        raise ValueError(f"{digest.hex()} is not the digest of these {len(data):,} bytes")


def plain_kind(kind: str) -> str:
    """Return a MIME type in lower case and without its parameters."""
    return kind.partition(";")[0].strip().lower()
