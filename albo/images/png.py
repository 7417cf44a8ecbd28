"""PNG (ISO/IEC 15948): its chunks are checked, and a transparent colour (tRNS) fits the samples.

Decoders then see only the chunks that pixels depend on.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from albo.errors import BadCover
from albo.images.formats import MAX_PARTS, CheckedBytes, orientation_of

if TYPE_CHECKING:
    from collections.abc import Iterator


_PNG_END = b"IEND"
_PNG_GREY, _PNG_RGB, _PNG_DEEP = 0, 2, 16
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})


def read_png(data: bytes) -> CheckedBytes:
    """Check a PNG and keep the chunks that pixels depend on. Raises BadCover, EOFError if cut."""
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if data[12:16] != b"IHDR":
        raise BadCover("damaged PNG: its first chunk is no header; fetch it again")
    kept: list[bytes] = [data[:8]]
    orientation = 1
    seen = set()
    for name, body, checksum in _png_chunks(data):
        seen.add(name)
        if name == b"eXIf":
            orientation = orientation_of(body)
        if name not in _PNG_KEPT:
            continue
        if zlib.crc32(body, zlib.crc32(name)) != checksum:
            raise BadCover(f"damaged PNG: wrong checksum in {name.decode()}; fetch it again")
        kept.append(_png_chunk(name, _eight_bit_key(body, depth, colour, name)))
    if b"IDAT" not in seen:
        if _PNG_END not in seen:
            raise EOFError
        raise BadCover("damaged PNG: no picture in it; fetch it again")
    kept.append(_png_chunk(_PNG_END, b""))
    return CheckedBytes("PNG", width, height, b"".join(kept), orientation)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield name, body and checksum up to IEND, included, or up to the last complete chunk.

    If the end is missing, the decoder finds out whether pixels are missing.
    """
    position = 8
    for _ in range(MAX_PARTS):
        if position + 12 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            return
        (checksum,) = struct.unpack_from(">I", data, end)
        yield name, data[position + 8 : end], checksum
        if name == _PNG_END:
            return
        position = end + 4
    raise BadCover(f"damaged PNG: more than {MAX_PARTS:,} chunks; save it anew")


def _png_chunk(name: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(name))
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", checksum)


def _eight_bit_key(body: bytes, depth: int, colour: int, name: bytes) -> bytes:
    """Rescale the transparent colour as Pillow rescales the samples compared with it."""
    if name != b"tRNS" or colour not in {_PNG_GREY, _PNG_RGB}:
        return body
    key = struct.unpack(f">{len(body) // 2}H", body[: len(body) // 2 * 2])
    if colour == _PNG_RGB and depth == _PNG_DEEP:
        key = tuple(value >> 8 for value in key)
    elif colour == _PNG_GREY and depth in {2, 4}:
        key = tuple(value * 255 // (2**depth - 1) % 256 for value in key)
    return struct.pack(f">{len(key)}H", *key)
