"""What a stored cover is: its kind by its bytes, its file name, and whether it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.limits import digest_of

if TYPE_CHECKING:
    from albo.records import Digest


SUFFIXES = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/bmp": "bmp",
    "image/tiff": "tif",
}
OTHER_KIND = "application/octet-stream"
OTHER_SUFFIX = "img"
ALL_SUFFIXES = (*SUFFIXES.values(), OTHER_SUFFIX)
GONE = "not in the store any more; `albo harvest` fetches it again"
DAMAGED = "damaged: its bytes are not those of its digest; `albo harvest` fetches it again"


# Checks at the door


def check_digest(digest: Digest, data: bytes) -> None:
    if digest_of(data) != digest:
        raise ValueError(f"{digest.hex()} is not the digest of these {len(data):,} bytes")


def plain_kind(kind: str) -> str:
    return kind.partition(";")[0].strip().lower()
