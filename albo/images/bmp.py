"""BMP: Pillow's plugin reads its header without allocating memory for pixels."""

from __future__ import annotations

from albo.errors import BadCover
from albo.images.formats import CONVERT, CheckedBytes, open_with_pillow

_BY_RUNS = frozenset({1, 2})  # compressions
_MAX_RUNS = 2**23  # bytes, which Pillow decodes in Python


def read_bmp(data: bytes) -> CheckedBytes:
    """Check the header of a BMP. Raises BadCover, and Pillow's errors for a malformed one."""
    image = open_with_pillow(CheckedBytes("BMP", 0, 0, data))
    if image.info.get("compression") in _BY_RUNS and len(data) > _MAX_RUNS:
        raise BadCover(f"a run-length BMP of more than {_MAX_RUNS:,} bytes {CONVERT}")
    return CheckedBytes("BMP", *image.size, data)
