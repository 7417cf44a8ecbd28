"""WebP (RFC 9649): its chunks are checked.

albo parses them itself, because Pillow's plugin allocates memory by the size in a header
before the limits can be checked.
"""

from __future__ import annotations

import struct

from albo.errors import BadCover
from albo.images.formats import MAX_PARTS, CheckedBytes, orientation_of


def read_webp(data: bytes) -> CheckedBytes:
    """Check the chunks of a WebP. Raises BadCover, EOFError if cut."""
    (length,) = struct.unpack_from("<I", data, 4)
    if 8 + length > len(data) + 1:  # the last byte may be missing padding
        raise EOFError
    size: tuple[int, int] | None = None
    orientation = 1
    position = 12
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            break
        name, length = struct.unpack_from("<4sI", data, position)
        if size is None:
            size = _webp_size(name, data, position + 8)
        if name == b"EXIF":
            orientation = orientation_of(data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    if size is None:
        raise BadCover("damaged WebP: no picture in it; fetch it again")
    return CheckedBytes("WebP", *size, data, orientation)


def _webp_size(name: bytes, data: bytes, start: int) -> tuple[int, int] | None:
    if name == b"VP8X":
        width, high, height, high_too = struct.unpack_from("<HBHB", data, start + 4)
        return width + (high << 16) + 1, height + (high_too << 16) + 1
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, start + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, start + 6)
        return width & 0x3FFF, height & 0x3FFF
    return None
