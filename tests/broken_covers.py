"""A corpus of files that are no covers, each with the reason that must be given for it."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


def drawn(width: int = 160, height: int = 120) -> Image.Image:
    """A picture with broad shapes in many colours, none of them alike in the four corners."""
    grid = np.random.default_rng(7).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    grid[0, 0], grid[0, -1], grid[-1, 0], grid[-1, -1] = (
        (250, 10, 10),
        (10, 250, 10),
        (10, 10, 250),
        (250, 250, 10),
    )
    return Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    """The bytes of a file of that format."""
    buffer = BytesIO()
    image.copy().save(buffer, name, **options)  # saving leaves settings on an image
    return buffer.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    """One chunk of a PNG, with its checksum."""
    return (
        struct.pack(">I4s", len(body), name)
        + body
        + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
    )


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of the given chunks, which need not be what its header says."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def tiff(tags: dict[int, tuple[int, ...]], pixels: bytes = b"") -> bytes:
    """A little-endian TIFF: tag -> (type, *numbers), and pixels from byte 8 on."""
    directory, values = struct.pack("<H", len(tags)), b""
    start = 8 + len(pixels)
    overflow = start + 2 + 12 * len(tags) + 4
    for tag, (kind, *numbers) in sorted(tags.items()):
        raw = struct.pack(f"<{len(numbers)}{'BBBHI'[kind]}", *numbers)
        directory += struct.pack("<HHI", tag, kind, len(numbers))
        if len(raw) > 4:
            raw, values = struct.pack("<I", overflow + len(values)), values + raw
        directory += raw.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", start) + pixels + directory + bytes(4) + values


def grey_tiff(width: int, height: int, pixels: bytes, **more: tuple[int, ...]) -> bytes:
    """An uncompressed grey TIFF of one strip; `more` replaces tags, by names such as `t278`."""
    tags = {256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, 1), 262: (3, 1)}
    tags |= {273: (4, 8), 277: (3, 1), 278: (4, height), 279: (4, len(pixels))}
    tags |= {int(name[1:]): value for name, value in more.items()}
    return tiff(tags, pixels)


def without_strips(data: bytes) -> bytes:
    """A file of `grey_tiff` whose strips have become an unknown tag."""
    return data.replace(b"\x11\1\4\0", b"\x10\1\4\0", 1)


def bomb_of_scans(scans: int = 600, **options: object) -> bytes:
    """A JPEG that repeats the beginning of its last scan over and over."""
    data = saved(drawn(), "JPEG", **options)
    start = data.rfind(b"\xff\xda")
    scan = data[start : start + 2 + data[start + 3]]
    return data[:-2] + scan * scans + b"\xff\xd9"


def _flipped(data: bytes, start: int, length: int = 64) -> bytes:
    middle = bytes(byte ^ 0x5A for byte in data[start : start + length])
    return data[:start] + middle + data[start + length :]


def _truncated() -> dict[str, tuple[bytes, str]]:
    art = drawn()
    jpeg, scans = saved(art, "JPEG"), saved(art, "JPEG", progressive=True)
    whole = {
        "half.jpg": jpeg,
        "half_progressive.jpg": scans,
        "half.png": saved(art, "PNG"),
        "half.gif": saved(art.convert("P"), "GIF"),
        "half.bmp": saved(art, "BMP"),
        "half.webp": saved(art, "WEBP"),
        "half_raw.tif": saved(art, "TIFF"),
        "half_lzw.tif": saved(art, "TIFF", compression="tiff_lzw"),
    }
    cut = {
        name: (data[: len(data) // 2], "^truncated (JPEG|PNG|GIF|BMP|WebP|TIFF): ")
        for name, data in whole.items()
    }
    return cut | {
        "cut_in_header.jpg": (jpeg[:100], "^truncated JPEG"),
        "half_with_end.jpg": (jpeg[: len(jpeg) // 2] + b"\xff\xd9", "^damaged JPEG: .*premature"),
        "no_end_progressive.jpg": (scans[:-2], "^truncated JPEG"),
        "signature_only.png": (b"\x89PNG\r\n\x1a\n", "^truncated PNG"),
        "header_only.png": (saved(art, "PNG")[:33], "^truncated PNG"),
        "header_only.gif": (saved(art, "GIF")[:13], "^truncated GIF"),
        "missing_strip.tif": (grey_tiff(32, 32, bytes(1024), t278=(4, 8)), "^truncated TIFF"),
        "bad_offset.tif": (grey_tiff(32, 32, bytes(1024), t273=(4, 1 << 30)), "^truncated TIFF"),
    }


def _damaged() -> dict[str, tuple[bytes, str]]:
    art = drawn()
    scans, lossless = saved(art, "JPEG", progressive=True), saved(art, "PNG")
    page = saved(art, "JPEG")
    start = page.find(b"\xff\xda") + 14
    lost = page[:start] + page[start + 900 :]
    huge = grey_tiff(32, 32, bytes(1024), t322=(4, 1 << 16), t323=(4, 1 << 16), t324=(4, 8))
    return {
        "flipped_progressive.jpg": (_flipped(scans, len(scans) * 2 // 3), "^damaged JPEG: "),
        "flipped.png": (_flipped(lossless, len(lossless) // 2), "^damaged PNG: wrong checksum"),
        "lost_blocks.jpg": (lost, "^damaged JPEG: .*premature end of data"),
        "garbage.jpg": (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8, "^(damaged|truncated) JPEG"),
        "no_frame.jpg": (
            b"\xff\xd8\xff\xda\0\x08\1\1\0\0\x3f\0\xff\xd9",
            "^damaged JPEG: no frame",
        ),
        "twelve_bits.jpg": (page.replace(b"\0\x11\x08\0", b"\0\x11\x0c\0", 1), "12 bits"),
        "no_pixels.png": (png(64, 64), "^damaged PNG: no picture"),
        "bad_zlib.png": (png(64, 64, png_chunk(b"IDAT", b"not zlib at all")), "^damaged PNG"),
        "no_picture.gif": (b"GIF89a\x40\0\x40\0\0\0\0;", "^damaged GIF: no picture"),
        "no_picture.webp": (b"RIFF\x04\0\0\0WEBP", "^damaged WebP: no picture"),
        "bad_chunks.webp": (saved(art, "WEBP")[:12] + b"VP8X" + bytes(64), "^(damaged|truncated)"),
        "odd_depth.bmp": (
            saved(art, "BMP")[:28] + b"\x07" + saved(art, "BMP")[29:],
            "^damaged BMP",
        ),
        "no_size.tif": (tiff({256: (4, 64)}), "^damaged TIFF: it has no width or height"),
        "old_jpeg.tif": (grey_tiff(32, 32, bytes(1024), t259=(3, 6)), "compression 6 is not"),
        "fax.tif": (saved(art.convert("1"), "TIFF", compression="group3"), "compression 3 is not"),
        "reals.tif": (
            grey_tiff(32, 32, bytes(8192), t258=(3, 64), t339=(3, 3)),
            "^this kind of TIFF is not supported: convert it",
        ),
        "jpeg_inside.bmp": (
            saved(art, "BMP")[:30] + b"\4" + saved(art, "BMP")[31:],
            "^this kind of BMP is not supported: convert it",
        ),
        "huge_tiles.tif": (without_strips(huge), "^damaged TIFF: tiles of 65536 x 65536"),
    }


def _bombs() -> dict[str, tuple[bytes, str]]:
    over = r"over the limit of 64,000,000 in all: save a smaller copy$"
    row = zlib.compress(bytes(2**20))
    page = saved(drawn(), "JPEG")
    frame = page.find(b"\xff\xc0") + 5
    drawing = saved(drawn(), "BMP")
    tiny = grey_tiff(2000, 2000, bytes(64), t322=(3, 1), t323=(3, 1), t324=(1, 8), t325=(1, 1))
    return {
        "bomb.png": (png(60_000, 60_000, png_chunk(b"IDAT", row)), over),
        "bomb.jpg": (page[:frame] + b"\xff\xff\xff\xff" + page[frame + 4 :], over),
        "bomb_canvas.gif": (b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;", over),
        "bomb_frame.gif": (b"GIF89a\x40\0\x40\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2D\1\0;", over),
        "bomb.tif": (grey_tiff(60_000, 60_000, bytes(64)), over),
        "tiny_tiles.tif": (without_strips(tiny), "^a TIFF of 4,000,000 strips or tiles"),
        "bomb.bmp": (drawing[:18] + struct.pack("<ii", 60_000, -60_000) + drawing[26:], over),
        "runs.bmp": (
            drawing[:30] + b"\1" + drawing[31:] + bytes(2**23),
            "^a run-length BMP",
        ),
        "extensions.gif": (b"GIF89a\x40\0\x40\0\0\0\0" + b"!\xfe\0" * 400_000, "300,000 blocks"),
        "comment.gif": (b"GIF89a\x40\0\x40\0\0\0\0!\xfe" + b"\1x" * 400_000, "300,000 blocks"),
        "bomb.webp": (
            b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\x03\xff\xff\x03",
            over,
        ),
        "scans.jpg": (bomb_of_scans(), "^a JPEG of 601 scans where 3 are the most"),
        "scans_progressive.jpg": (bomb_of_scans(progressive=True), "scans where 100 are the most"),
    }


def _no_covers() -> dict[str, tuple[bytes, str]]:
    return {
        "pixel.png": (saved(drawn(1, 1), "PNG"), "^1 x 1 pixels is too small to be a cover"),
        "pixel.jpg": (saved(drawn(1, 1), "JPEG"), "^1 x 1 pixels is too small to be a cover"),
        "pixel.gif": (saved(drawn(1, 1), "GIF"), "^1 x 1 pixels is too small to be a cover"),
        "spacer.png": (saved(drawn(600, 15), "PNG"), "^600 x 15 pixels is too small"),
        "banner.jpg": (saved(drawn(728, 90), "JPEG"), "^728 x 90 pixels is too long to be a cover"),
    }


def _foreign() -> dict[str, tuple[bytes, str]]:
    box = struct.Struct(">I4s4sI")
    return {
        "empty.jpg": (b"", r"^empty file \(0 bytes\)"),
        "zeros.jpg": (bytes(5000), "^5,000 bytes, all of them zero"),
        "page.jpg": (
            b"\n<!DOCTYPE html><html><body>404 Not Found</body>",
            "^HTML page, not an image",
        ),
        "fragment.jpg": (b"\xef\xbb\xbf  <HTML><HEAD><TITLE>x", "^HTML page, not an image"),
        "denied.jpg": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "^XML document"),
        "drawing.png": (b"<?xml version='1.0'?><svg xmlns='x'></svg>", "^SVG drawing"),
        "message.jpg": (b'{"error": "rate limited"}', "^JSON text, not an image"),
        "note.jpg": (b"I'll send the cover tomorrow.\n", "^text, not an image$"),
        "bm.bmp": (b"BM is how this text begins, and it is no bitmap", "^text, not an image"),
        "wide.txt.jpg": ("plain words".encode("utf-16"), "^text, not an image"),
        "phone.heic": (box.pack(24, b"ftyp", b"heic", 0) + bytes(8), "^HEIC is not supported"),
        "new.avif": (box.pack(24, b"ftyp", b"avif", 0) + bytes(8), "^AVIF is not supported"),
        "song.jpg": (b"ID3\x04" + bytes(100), "^MP3 audio, not an image"),
        "song.png": (b"fLaC\0\0\0\x22" + bytes(40), "^FLAC audio, not an image"),
        "wave.jpg": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "^WAV audio"),
        "booklet.jpg": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "^PDF document, not an image"),
        "layers.jpg": (b"8BPS\0\1" + bytes(20), "^a Photoshop document is not supported"),
        "archive.jpg": (b"PK\3\4" + bytes(30), "^ZIP archive"),
        "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\n", "^Git LFS pointer"),
        "noise.jpg": (bytes(range(128, 256)) * 4, "^no image format that albo reads"),
        "big.tif": (b"II+\0\x08\0\0\0" + bytes(40), "^BigTIFF is not supported"),
    }


def broken_covers() -> dict[str, tuple[bytes, str]]:
    """File name -> its bytes, and the regular expression that the reason must match."""
    return _truncated() | _damaged() | _bombs() | _no_covers() | _foreign()


def write_broken_covers(folder: Path) -> dict[str, str]:
    """Write the corpus into a folder; file name -> regular expression for the reason."""
    reasons = {}
    for name, (data, reason) in broken_covers().items():
        (folder / name).write_bytes(data)
        reasons[name] = reason
    return reasons
