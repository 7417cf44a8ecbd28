"""TIFF: read the headers within limits.

Pillow's plugin does not check enough: it shows a picture with a missing strip, decodes millions of
tiles, and reports through `warnings` and libtiff's lines on standard error.
"""

from __future__ import annotations

import math
import struct
from typing import TypeAlias

from albo.errors import BadCover
from albo.images.formats import (
    CONVERT,
    MAX_PARTS,
    ORIENTATION,
    SAMPLE_BITS,
    TIFF_SHORT,
    CheckedBytes,
    Grey,
)

# TIFF 6.0

_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_COMPRESSION, _TIFF_COLOUR = 256, 257, 258, 259, 262
_TIFF_STRIPS, _TIFF_STRIP_ROWS, _TIFF_STRIP_BYTES = 273, 278, 279
_TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT, _TIFF_TILES, _TIFF_TILE_BYTES = 322, 323, 324, 325
_TIFF_SAMPLES, _TIFF_PLANAR, _TIFF_PALETTE, _TIFF_FORMAT = 277, 284, 320, 339
# Tags that hold one number, and those that hold several; every other tag is left out.
_TIFF_ONE = frozenset({256, 257, 259, 262, 266, 274, 277, 278, 284, 317, 322, 323, 531})
_TIFF_MANY = frozenset({258, 273, 279, 320, 324, 325, 338, 339, 347, 529, 530, 532})
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TIFF_INLINE = 4
_TIFF_SEPARATE = 2
_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I"}
_TIFF_MOST = 2**18  # most numbers read of one tag; no palette has more
# None, LZW, JPEG, deflate (two codes), PackBits. Fax has two colours only, and libtiff's decoder
# for it writes to standard error. The others are rare, and their decoders little tested.
_TIFF_COMPRESSIONS = frozenset({1, 5, 7, 8, 32773, 32946})

_Entry: TypeAlias = tuple[int, int, bytes]


class _TiffReader:
    """The first directory of a TIFF: its tags, as `(type, count, bytes)`, and their values."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.entries: dict[int, _Entry] = {}
        (start,) = struct.unpack_from(f"{self.order}I", data, 4)
        (count,) = struct.unpack_from(f"{self.order}H", data, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            self._take(place)

    def _take(self, place: int) -> None:
        tag, kind, count = struct.unpack_from(f"{self.order}HHI", self.data, place)
        if tag in self.entries or tag not in _TIFF_ONE | _TIFF_MANY or kind not in _TIFF_SIZES:
            return
        count = 1 if tag in _TIFF_ONE else min(count, _TIFF_MOST)
        size = count * _TIFF_SIZES[kind]
        start = place + 8
        if size > _TIFF_INLINE:
            (start,) = struct.unpack_from(f"{self.order}I", self.data, start)
        if start + size > len(self.data):
            raise EOFError
        self.entries[tag] = kind, count, self.data[start : start + size]

    def numbers(self, tag: int) -> tuple[int, ...]:
        kind, count, raw = self.entries.get(tag, (TIFF_SHORT, 0, b""))
        if kind not in _TIFF_NUMBERS:
            raise BadCover(f"damaged TIFF: tag {tag} holds no whole number; fetch it again")
        return struct.unpack(f"{self.order}{count}{_TIFF_NUMBERS[kind]}", raw)

    def number(self, tag: int, default: int) -> int:
        return (*self.numbers(tag), default)[0]

    def set_numbers(self, tag: int, *numbers: int) -> None:
        raw = struct.pack(f"{self.order}{len(numbers)}H", *numbers)
        self.entries[tag] = TIFF_SHORT, len(numbers), raw

    def keep_parts(self, width: int, height: int) -> None:
        """Drop the strips or tiles beyond the picture, each of which Pillow would decode.

        A picture with a missing one is refused: Pillow would leave that part black.
        """
        tiled = _TIFF_TILES in self.entries and _TIFF_STRIPS not in self.entries
        needed = self._count_parts(width, height, tiled=tiled)
        parts = (_TIFF_TILES, _TIFF_TILE_BYTES) if tiled else (_TIFF_STRIPS, _TIFF_STRIP_BYTES)
        for tag in self.entries.keys() & parts:
            kind, count, raw = self.entries[tag]
            self.entries[tag] = kind, min(count, needed), raw[: needed * _TIFF_SIZES[kind]]
        offsets, lengths = map(self.numbers, parts)
        if len(offsets) < needed or any(offset >= len(self.data) for offset in offsets):
            raise EOFError
        packed = self.number(_TIFF_COMPRESSION, 1) != 1
        if packed and any(a + n > len(self.data) for a, n in zip(offsets, lengths, strict=False)):
            raise EOFError

    def _count_parts(self, width: int, height: int, *, tiled: bool) -> int:
        across = self.number(_TIFF_TILE_WIDTH, 0) if tiled else width
        down = self.number(_TIFF_TILE_HEIGHT if tiled else _TIFF_STRIP_ROWS, height)
        if not (across and down):
            raise BadCover("damaged TIFF: its tiles or strips have no size; fetch it again")
        if tiled and across * down > 4 * max(width * height, 2**20):
            raise BadCover(f"damaged TIFF: tiles of {across} x {down} pixels; save it anew")
        separate = self.number(_TIFF_PLANAR, 1) == _TIFF_SEPARATE
        planes = self.number(_TIFF_SAMPLES, 1) if separate else 1
        needed = math.ceil(width / across) * math.ceil(height / down) * planes
        if needed > MAX_PARTS:
            raise BadCover(f"a TIFF of {needed:,} strips or tiles: save it anew, in fewer")
        return needed

    def clean(self) -> bytes:
        """Return the file with a directory of only the kept tags at its end."""
        body = self.data + bytes(len(self.data) % 2)
        start = len(body)
        overflow = start + 2 + 12 * len(self.entries) + 4
        directory = struct.pack(f"{self.order}H", len(self.entries))
        values = b""
        for tag, (kind, count, raw) in sorted(self.entries.items()):
            directory += struct.pack(f"{self.order}HHI", tag, kind, count)
            if len(raw) <= _TIFF_INLINE:
                directory += raw.ljust(_TIFF_INLINE, b"\0")
            else:
                directory += struct.pack(f"{self.order}I", overflow + len(values))
                values += raw + bytes(len(raw) % 2)
        head = self.data[:4] + struct.pack(f"{self.order}I", start)
        return b"".join((head, body[8:], directory, bytes(4), values))


def read_tiff(data: bytes) -> CheckedBytes:
    """Check the first directory of a TIFF; keep the tags that pixels depend on. Raises BadCover."""
    reader = _TiffReader(data)
    width, height = reader.number(_TIFF_WIDTH, 0), reader.number(_TIFF_HEIGHT, 0)
    if not (width and height):
        raise BadCover("damaged TIFF: it has no width or height; fetch it again")
    compression = reader.number(_TIFF_COMPRESSION, 1)
    if compression not in _TIFF_COMPRESSIONS:
        raise BadCover(f"TIFF compression {compression} {CONVERT}")
    reader.keep_parts(width, height)
    # Pillow would rotate by this tag; albo does so itself, as for every format.
    orientation = reader.number(ORIENTATION, 1)
    reader.entries.pop(ORIENTATION, None)
    bits = max(reader.numbers(_TIFF_BITS), default=1)
    grey = Grey(
        white=2 ** min(bits, 16) - 1,
        unsigned=bits == 32 and set(reader.numbers(_TIFF_FORMAT)) <= {1},  # noqa: PLR2004
        negative=bits > SAMPLE_BITS and reader.number(_TIFF_COLOUR, 0) == 0,
    )
    if grey.negative:
        reader.set_numbers(_TIFF_COLOUR, 1)
    palette = reader.numbers(_TIFF_PALETTE)
    if palette and max(palette) >> SAMPLE_BITS == 0:  # of 8 bits, although the format requires 16
        reader.set_numbers(_TIFF_PALETTE, *(value * 257 for value in palette))
    return CheckedBytes("TIFF", width, height, reader.clean(), orientation, grey)
