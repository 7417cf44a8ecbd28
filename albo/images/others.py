"""Read the headers of PNG, WebP, GIF and BMP within limits.

PNG, WebP and GIF are walked here, not by Pillow's plugins. Those allocate by the size that a header
states, or warn of it on standard error, before anybody can hold it against the limits; and of
half of the broken files they give a worse reason (docs/decisions.md has the measurement).
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from albo.errors import BadCover
from albo.images.formats import (
    CONVERT,
    MAX_PARTS,
    CheckedBytes,
    open_with_pillow,
    orientation_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


# PNG (ISO/IEC 15948)

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
    """Yield name, body and checksum up to and with IEND, or as far as the chunks are whole.

    Where the end is missing the decoder says whether a pixel is.
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
    """Rescale the transparent colour as Pillow rescales the samples that it is compared with."""
    if name != b"tRNS" or colour not in {_PNG_GREY, _PNG_RGB}:
        return body
    key = struct.unpack(f">{len(body) // 2}H", body[: len(body) // 2 * 2])
    if colour == _PNG_RGB and depth == _PNG_DEEP:
        key = tuple(value >> 8 for value in key)
    elif colour == _PNG_GREY and depth in {2, 4}:
        key = tuple(value * 255 // (2**depth - 1) % 256 for value in key)
    return struct.pack(f">{len(key)}H", *key)


# WebP (RFC 9649)


def read_webp(data: bytes) -> CheckedBytes:
    """Check the chunks of a WebP. Raises BadCover, EOFError if cut."""
    (length,) = struct.unpack_from("<I", data, 4)
    if 8 + length > len(data) + 1:  # the last byte may be padding that was not written
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


# GIF (CompuServe, 89a)


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
            # Without its disposal method, for which Pillow allocates a canvas ahead of time.
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


_MAX_GIF_BLOCKS = 300_000  # of 255 bytes each: more than the largest file has


def _gif_palette(flags: int) -> int:
    """Bytes of the colour table that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_blocks_end(data: bytes, position: int, budget: Iterator[int]) -> int:
    """Skip blocks, each a length and as many bytes, up to and with the empty one."""
    for _ in budget:
        if position >= len(data) or not data[position]:
            return position + 1
        position += 1 + data[position]
    raise BadCover(f"damaged GIF: more than {_MAX_GIF_BLOCKS:,} blocks; save it anew")


# BMP, whose header Pillow's plugin reads without allocating anything

_BY_RUNS = frozenset({1, 2})  # compressions
_MAX_RUNS = 2**23  # bytes, which Pillow decodes in Python


def read_bmp(data: bytes) -> CheckedBytes:
    """Check the header of a BMP. Raises BadCover, and what Pillow raises for a malformed one."""
    image = open_with_pillow(CheckedBytes("BMP", 0, 0, data))
    if image.info.get("compression") in _BY_RUNS and len(data) > _MAX_RUNS:
        raise BadCover(f"a run-length BMP of more than {_MAX_RUNS:,} bytes {CONVERT}")
    return CheckedBytes("BMP", *image.size, data)
