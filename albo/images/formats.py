"""The format of bytes, and the reason why other bytes are not a cover."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageFile

_JPEG = {"jpg", "jpeg", "jpe", "jfif", "mpo"}
_OTHERS = {"png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff"}
_UNREAD = {"heic", "heif", "avif", "jxl", "jp2"}

IMAGE_SUFFIXES: frozenset[str] = frozenset(f".{suffix}" for suffix in _JPEG | _OTHERS | _UNREAD)
"""Suffixes of image files, lower case with the dot. Some are of formats that `decode` refuses: the
user learns the reason, and no cover is silently ignored."""


def has_image_signature(head: bytes) -> bool:
    """Whether a file that begins with `head` (16 bytes or more) is of a format `decode` reads."""
    return format_of(head) is not None


# Inspection


@dataclass(frozen=True, slots=True)
class Grey:
    """How grey of more than 8 bits is stored."""

    white: int = 65535
    """The largest integer."""
    unsigned: bool = False
    """Whether integers of 32 bits are unsigned; Pillow reads them as signed."""
    negative: bool = False
    """Whether 0 is white; Pillow ignores that."""


@dataclass(frozen=True, slots=True)
class CheckedBytes:
    """A file whose structure has been read, but not its pixels."""

    format: str
    """A key of `PLUGINS`."""
    width: int
    """As stored, before the orientation."""
    height: int
    """As stored, before the orientation."""
    clean: bytes
    """The file with only the parts that its pixels depend on."""
    orientation: int = 1
    """EXIF's, 1 to 8."""
    grey: Grey = Grey()
    """For grey of more than 8 bits."""
    channels: int = 3
    """Of a JPEG."""
    progressive: bool = False
    """Of a JPEG."""
    adobe: bool = False
    """Whether a JPEG has Adobe's segment."""


# The format of a file


def format_of(head: bytes) -> str | None:
    """Name the format by its first 16 bytes."""
    for prefix, name in _SIGNATURES:
        if head.startswith(prefix):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    # Many texts begin with "BM", so the size of the second header, at byte 14, is checked too.
    if head[:2] == b"BM" and head[14:15] in _BMP_HEADERS and head[15:16] == b"\0":
        return "BMP"
    return None


_BMP_HEADERS = tuple(bytes((n,)) for n in (12, 40, 52, 56, 64, 108, 124))

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)

CONVERT = "is not supported: convert it to JPEG or PNG"
_AUDIO = "audio, not an image: give the cover that is inside it as a file of its own"

# The first bytes of a file, and the reason; the first match counts.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)", f"HEIC {CONVERT}"),
    (rb"....ftyp(avif|avis)", f"AVIF {CONVERT}"),
    (rb"....ftypM4[AB]", f"MPEG-4 {_AUDIO}"),
    (rb"....ftyp", "MPEG-4 film or sound, not an image"),
    (rb"\0\0\0\x0cJXL |\xff\x0a", f"JPEG XL {CONVERT}"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", f"JPEG 2000 {CONVERT}"),
    (rb"II\x2b\0|MM\0\x2b", f"BigTIFF {CONVERT}"),
    (rb"8BPS", f"a Photoshop document {CONVERT}"),
    (rb"%PDF-", "PDF document, not an image: export the page as JPEG or PNG"),
    (rb"ID3|\xff[\xfb\xfa\xf3\xf2]", f"MP3 {_AUDIO}"),
    (rb"fLaC", f"FLAC {_AUDIO}"),
    (rb"OggS", f"Ogg {_AUDIO}"),
    (rb"RIFF....WAVE", f"WAV {_AUDIO}"),
    (rb"PK\x03\x04", "ZIP archive, not an image: unpack it"),
    (rb"version https://git-lfs", "Git LFS pointer, not the image: run git lfs pull"),
)


def reason_foreign(data: bytes) -> str:
    """Return the kind of a file that albo cannot read as an image."""
    for beginning, reason in _FOREIGN:
        if re.match(beginning, data, re.DOTALL):
            return reason
    if not data.strip(b"\0"):
        return f"{len(data):,} bytes, all of them zero: its contents were lost; fetch it again"
    text = _text_of(data)
    if text is None:
        return f"no image format that albo reads (it begins with {data[:8].hex(' ')})"
    return _reason_text(text.lstrip("\ufeff \t\r\n"))


def _text_of(data: bytes) -> str | None:
    """Return the first 2,000 bytes as text, or None if they are not text."""
    head = data[:2000]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) // 2 * 2].decode("utf-16", errors="replace")
    if re.search(rb"[\0-\x08\x0e-\x1a]", head):
        return None
    try:
        return head.decode()
    except UnicodeDecodeError as error:
        # Only the last character may be incomplete, cut by the end of the head.
        return head[: error.start].decode() if len(data) > error.start > len(head) - 4 else None


def _reason_text(text: str) -> str:
    if re.search(r"(?i)<!doctype html|<html|<head\b|<body\b", text):
        return "HTML page, not an image: the server sent a page instead; fetch it again"
    if re.search(r"(?i)<svg\b|<!doctype svg", text):
        return "SVG drawing, not an image of pixels: export it as PNG"
    if text.startswith("<"):
        return "XML document, not an image"
    if re.match(r'[{\[]\s*(?:["{\[\d}\]-]|true|false|null|$)', text):
        return "JSON text, not an image: the server sent a message instead; fetch it again"
    return "text, not an image"


# Orientation


def orientation_of(exif: bytes) -> int:
    """Orientation, 1 to 8, of an EXIF block (a TIFF header and its first directory).

    1 if there is none or the block is malformed: bad metadata does not refuse a cover. XMP and the
    raw EXIF profiles that ImageMagick puts into texts of a PNG are not read.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, place)
            if tag == ORIENTATION:
                number = {TIFF_SHORT: "H", _LONG: "I"}[kind]
                (value,) = struct.unpack_from(f"{order}{number}", exif, place + 8)
                return value if value in range(1, 9) else 1
    except (struct.error, KeyError):
        pass
    return 1


ORIENTATION = 274
TIFF_SHORT, _LONG = 3, 4
SAMPLE_BITS = 8
MAX_PARTS = 100_000


PLUGINS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "WebP": "WebP",
    "GIF": "Gif",
    "BMP": "Bmp",
    "TIFF": "Tiff",
}
"""The name of Pillow's plugin for each format."""


def open_with_pillow(cover: CheckedBytes) -> ImageFile.ImageFile:
    """Open with Pillow's class for the format, so that no bytes can start another plugin.

    (`Image.open` would also make an MPO of a phone's JPEG and look for its other pictures.)
    """
    import importlib

    name = PLUGINS[cover.format]
    plugin = getattr(importlib.import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
    image: ImageFile.ImageFile = plugin(BytesIO(cover.clean))
    return image
