"""GIF (CompuServe, 89a): its blocks are checked, and its first picture is kept.

albo parses them itself, because Pillow's plugin allocates memory by the size in a header
before the limits can be checked.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from albo.errors import BadCover
from albo.images.formats import CheckedBytes

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_gif(data: bytes) -> CheckedBytes:
    """Check the blocks of a GIF; keep its first picture. Raises BadCover, EOFError if cut."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _gif_palette(flags)
    kept = [data[:position]]
    control = b""
    budget = iter(range(_MAX_GIF_BLOCKS))
    while data[position : position + 1] == b"!":
        end = _gif_blocks_end(data, position + 2, budget)
        if data[position + 1 : position + 3] == b"\xf9\x04" and end == position + 8:
            # Without its disposal method, for which Pillow would allocate a canvas.
            control = data[position : position + 3] + bytes((data[position + 3] & 1,))
            control += data[position + 4 : end]
        position = end
    if position >= len(data):
        raise EOFError
    if data[position : position + 1] != b",":
        raise BadCover("damaged GIF: no picture in it; fetch it again")
    left, top, across, down, flags = struct.unpack_from("<4HB", data, position + 1)
    end = _gif_blocks_end(data, position + 10 + _gif_palette(flags) + 1, budget)
    kept += [control, data[position:end], b";"]
    return CheckedBytes("GIF", max(width, left + across), max(height, top + down), b"".join(kept))


_MAX_GIF_BLOCKS = 300_000  # of 255 bytes each: more than the largest file can have


def _gif_palette(flags: int) -> int:
    """Return the size in bytes of the colour table that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_blocks_end(data: bytes, position: int, budget: Iterator[int]) -> int:
    """Skip blocks (each a length and that many bytes), including the final empty one."""
    for _ in budget:
        if position >= len(data) or not data[position]:
            return position + 1
        position += 1 + data[position]
    raise BadCover(f"damaged GIF: more than {_MAX_GIF_BLOCKS:,} blocks; save it anew")
