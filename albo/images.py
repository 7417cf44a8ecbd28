"""From bytes to pixels: the one path that every cover takes, of the corpus and query alike.

A file is read in two steps. `_inspect` walks the container in Python, as far as its structure
goes: it finds the size and the orientation, holds both against the limits, and writes a clean copy
with only the parts that pixels depend on. Then a decoder turns the clean copy into pixels.
Decoders thereby never see EXIF, ICC, XMP, text or a second picture, which is where hostile files
and Pillow's warnings come from: nothing has to be filtered out of `warnings`, which no thread can
do safely, and no setting of Pillow has to be changed.

An ICC profile is ignored on purpose. Most covers have none, copies of one artwork often differ in
nothing else, and the networks were trained on pixels as stored: every cover is treated as sRGB.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
import stat
import struct
import threading
import zlib
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from albo.errors import BadCover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from PIL import Image, ImageFile

    from albo.records import Digest, Pixels

Resample: TypeAlias = Literal["bilinear", "bicubic", "lanczos"]

_LYING = (5, 6, 7, 8)  # EXIF orientations that a quarter turn puts right

SHORTEST_SIDE = 16
"""Covers with a shorter side are refused: below a favicon's size there is no artwork to look at,
only spacers and tracking pixels. The smallest thumbnails that shops serve have 55 pixels."""

LONGEST_ASPECT = 8.0
"""Covers longer than this times their width are refused: a cover is squeezed to a square, which
a gatefold (2), a J-card (3) or a six-panel booklet (6) survives and a web banner (8.1) does not."""

_JPEG = {"jpg", "jpeg", "jpe", "jfif", "mpo"}
_OTHERS = {"png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff"}
_UNREAD = {"heic", "heif", "avif", "jxl", "jp2"}
_URL_IN_PATH = re.compile(r"(^|/)[A-Za-z][A-Za-z0-9+.-]+:/")  # joining paths makes // one

IMAGE_SUFFIXES: frozenset[str] = frozenset(f".{suffix}" for suffix in _JPEG | _OTHERS | _UNREAD)
"""Suffixes, lower case with the dot, of files that are meant as images; some of them in formats
that `decode` refuses with the reason, which is better than to pass over a cover in silence."""


@dataclass(frozen=True)
class Limits:
    """What a cover may cost.

    max_bytes : size of the file. max_pixels : width times height, as the file's header says.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 64_000_000


_DEFAULT_LIMITS = Limits()


# Files


def read_file(path: str, limits: Limits = _DEFAULT_LIMITS) -> bytes:
    """
    Read a whole file, never more than the limit, and never waiting for a pipe or a device.

    Raises
    ------
    BadCover
        No such file, no permission, not a regular file, empty, or larger than `limits.max_bytes`.
    """
    # A pipe without a writer blocks its opener unless O_NONBLOCK is given; files do not care.
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise BadCover(_reason_unreadable(error)) from error
    try:
        data = _read_descriptor(descriptor, limits.max_bytes)
    except OSError as error:
        raise BadCover(_reason_unreadable(error)) from error
    finally:
        os.close(descriptor)
    if not data:
        raise BadCover("empty file (0 bytes): fetch it again")
    return data


def _read_descriptor(descriptor: int, max_bytes: int) -> bytes:
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise BadCover("a folder, not an image file")
    if not stat.S_ISREG(status.st_mode):
        raise BadCover("a pipe, socket or device, not an image file")
    check_bytes(status.st_size, max_bytes)
    # The file may have grown since, or lie about its size as files under /proc do.
    parts = [os.read(descriptor, status.st_size + 1)]
    length = len(parts[0])
    while length <= max_bytes and parts[-1]:
        parts.append(os.read(descriptor, min(max_bytes + 1 - length, 2**20)))
        length += len(parts[-1])
    check_bytes(length, max_bytes)
    return b"".join(part for part in parts if part)  # of one part: that part, not a copy


def _reason_unreadable(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return "no such file: the name holds characters that no file name can"
    if error.errno == errno.ENOENT and _URL_IN_PATH.search(str(error.filename)):
        return "a URL; albo reads files only: download it and name the file"
    if error.errno == errno.ENOENT:
        return "no such file: it was moved or deleted, or the link points nowhere"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "no permission to read it: change the file's mode or owner"
    return f"cannot be read: {_one_line(error.strerror or str(error))}"


def digest_of(data: bytes) -> Digest:
    """SHA-256 of a file's bytes: 32 bytes, the name of a cover."""
    return hashlib.sha256(data).digest()


def has_image_signature(head: bytes) -> bool:
    """Whether a file that begins with `head` (16 bytes or more) is of a format `decode` reads."""
    return _format_of(head) is not None


# Pixels


def decode(
    data: bytes,
    size: int,
    resample: Resample = "bicubic",
    limits: Limits = _DEFAULT_LIMITS,
) -> Pixels:
    """
    Decode a cover and squeeze the whole of it, uncropped, to a square.

    JPEG is decoded at the smallest eighth of its size (DCT scaling, ITU-T T.81 coefficients) that
    still has `size` pixels on both sides, then resized with antialiasing. Transparency lies over
    white, EXIF orientation is applied, deep grey is rescaled, ICC profiles are ignored. Safe in
    threads: decoding and resizing release the GIL. Where a picture above 16 megapixels has to be
    decoded whole, it waits for the others of its kind, for the sake of memory.

    Parameters
    ----------
    data
        The bytes of a JPEG, PNG, WebP, GIF (first frame), BMP or TIFF (first page) file.
    size
        Width and height of the result in pixels.
    resample
        The filter, as Pillow names it.
    limits
        What the file may cost; checked before any pixel is decoded.

    Returns
    -------
    pixels
        uint8 (size, size, 3), RGB, C-contiguous, writable.

    Raises
    ------
    BadCover
        With the reason in one line, for whatever bytes cannot be shown whole.
    """
    cover = _inspect(data, limits)
    with _one_reason(cover.format), _turn(cover):
        image = _load(cover, (size, size)).resize((size, size), _filter(resample))
        return np.array(_upright(image, cover.orientation))


def open_image(
    data: bytes, limits: Limits = _DEFAULT_LIMITS, max_side: int | None = None
) -> Image.Image:
    """
    Decode a cover at its own shape, as `decode` sees it.

    Parameters
    ----------
    data
        As for `decode`.
    limits
        As for `decode`.
    max_side
        If given, the image is scaled down (never up) so that its longer side is at most this
        many pixels; for a JPEG that is much cheaper than scaling it afterwards.

    Returns
    -------
    image
        A loaded Pillow image of mode RGB, upright.

    Raises
    ------
    BadCover
        As `decode`.
    """
    cover = _inspect(data, limits)
    shrink = min(1.0, max_side / max(cover.width, cover.height)) if max_side else 1.0
    size = max(1, round(cover.width * shrink)), max(1, round(cover.height * shrink))
    with _one_reason(cover.format), _turn(cover):
        image = _load(cover, size)
        if image.size != size:
            image = image.resize(size, _filter("bicubic"))
        return _upright(image, cover.orientation)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a cover that was found whole.

    kind : MIME type, such as `image/jpeg`. width, height : in pixels, upright.
    """

    kind: str
    width: int
    height: int


def examine(data: bytes, limits: Limits = _DEFAULT_LIMITS) -> Facts:
    """
    See whether a cover decodes to its last pixel, as cheaply as that can be seen.

    Parameters
    ----------
    data
        As for `decode`.
    limits
        As for `decode`.

    Raises
    ------
    BadCover
        As `decode`.
    """
    cover = _inspect(data, limits)
    with _one_reason(cover.format), _turn(cover):
        _read_through(cover)
    size = cover.width, cover.height
    width, height = reversed(size) if cover.orientation in _LYING else size
    return Facts(f"image/{cover.format.lower()}", width, height)


def _read_through(cover: _Cover) -> None:
    """Decode to the last pixel, and keep none."""
    if cover.format == "JPEG" and cover.channels != _CMYK:
        # Colours are read as well, for they are interleaved, but not made into pixels.
        with suppress(ValueError):
            _scaled(cover, (1, 1), "GRAY")
            return
    _load(cover, (1, 1))


def _filter(resample: Resample) -> Image.Resampling:
    from PIL import Image

    return {
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }[resample]


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Apply an EXIF orientation, 1 to 8 (Exif 2.32, tag 0x0112)."""
    from PIL import Image

    method = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    return image if method is None else image.transpose(method)


# Inspection


@dataclass(frozen=True, slots=True)
class _Grey:
    """How grey of more than 8 bits is stored.

    white : the largest integer. unsigned : whether integers of 32 bits are, which Pillow takes for
    signed. negative : whether it counts from white, which Pillow does not regard.
    """

    white: int = 65535
    unsigned: bool = False
    negative: bool = False


@dataclass(frozen=True, slots=True)
class _Cover:
    """A file whose structure has been read, and nothing of its pixels yet.

    width, height : as stored, before the orientation. clean : the same picture without anything
    that its pixels do not depend on. grey : for grey of more than 8 bits. The rest is for JPEG.
    """

    format: str
    width: int
    height: int
    clean: bytes
    orientation: int = 1
    grey: _Grey = _Grey()
    channels: int = 3
    progressive: bool = False
    adobe: bool = False


def _inspect(data: bytes, limits: Limits) -> _Cover:
    if not data:
        raise BadCover("empty file (0 bytes): fetch it again")
    check_bytes(len(data), limits.max_bytes)
    name = _format_of(data[:32])
    if name is None:
        raise BadCover(_reason_foreign(data))
    with _one_reason(name):
        read, _ = _FORMATS[name]
        cover = read(data)
    _check_shape(cover, limits.max_pixels)
    return cover


def check_bytes(length: int, max_bytes: int) -> None:
    """Raise BadCover, with both numbers, where a file has more bytes than the limit."""
    if length > max_bytes:
        raise BadCover(
            f"{length:,} bytes is over the limit of {max_bytes:,}: save a smaller copy of it"
        )


def _check_shape(cover: _Cover, max_pixels: int) -> None:
    from PIL import Image

    width, height = cover.width, cover.height
    shape = f"{width} x {height} pixels"
    # Pillow warns above its own limit and refuses above twice that; a program that set it meant it.
    ceiling = min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels)
    if width * height > ceiling:
        raise BadCover(f"{shape} is over the limit of {ceiling:,} in all: save a smaller copy")
    if min(width, height) < SHORTEST_SIDE:
        raise BadCover(
            f"{shape} is too small to be a cover: the shorter side needs {SHORTEST_SIDE} or more"
        )
    if max(width, height) > LONGEST_ASPECT * min(width, height):
        raise BadCover(
            f"{shape} is too long to be a cover: the limit is {LONGEST_ASPECT:g} to 1; crop it"
        )


@contextmanager
def _one_reason(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a `BadCover`; `name` is the format it was reading."""
    try:
        yield
    except BadCover:
        raise
    except MemoryError as error:
        raise BadCover(
            f"this {name} needs more memory than there is: save a smaller copy, or lower --max-mpx"
        ) from error
    except Exception as error:  # so broad because decoders raise nearly anything on hostile bytes
        raise BadCover(_reason_damaged(name, error)) from error


_GIANT = 16_000_000  # pixels, which take up to 20 bytes each while they are decoded
_GIANTS = threading.Lock()


def _turn(cover: _Cover) -> AbstractContextManager[object]:
    """Let giants through one at a time; a sequential JPEG never is one, as it is scaled by rows."""
    scaled = cover.format == "JPEG" and not cover.progressive
    return nullcontext() if scaled or cover.width * cover.height <= _GIANT else _GIANTS


def _reason_damaged(name: str, error: Exception) -> str:
    text = _one_line(str(error))
    if isinstance(error, struct.error | IndexError | EOFError) or re.search(
        "truncated|not enough image data|Premature end of JPEG file", text
    ):
        return f"truncated {name}: the file ends before the picture does; fetch it again"
    text = text.removeprefix("Corrupt JPEG data: ")
    if re.match("unknown pixel mode|Unsupported BMP (compression|bitfields)", text):
        return f"this kind of {name} {_CONVERT}"
    if isinstance(error, KeyError):
        text = f"nothing is known of {text}"
    return f"damaged {name}: {text or type(error).__name__}; fetch it again"


def _one_line(text: str) -> str:
    """Foreign text as part of a message: one line, printable, not long."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text[:400]).split())
    return words[:160].rstrip(".;: ")


# What a file is


def _format_of(head: bytes) -> str | None:
    """Name the format by its first 16 bytes."""
    for prefix, name in _SIGNATURES:
        if head.startswith(prefix):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    # "BM" alone begins too many texts: the size of the second header follows at byte 14.
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

_CONVERT = "is not supported: convert it to JPEG or PNG"
_AUDIO = "audio, not an image: give the cover that is inside it as a file of its own"

# What the file begins with, and the reason; the first that matches.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)", f"HEIC {_CONVERT}"),
    (rb"....ftyp(avif|avis)", f"AVIF {_CONVERT}"),
    (rb"....ftypM4[AB]", f"MPEG-4 {_AUDIO}"),
    (rb"....ftyp", "MPEG-4 film or sound, not an image"),
    (rb"\0\0\0\x0cJXL |\xff\x0a", f"JPEG XL {_CONVERT}"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", f"JPEG 2000 {_CONVERT}"),
    (rb"II\x2b\0|MM\0\x2b", f"BigTIFF {_CONVERT}"),
    (rb"8BPS", f"a Photoshop document {_CONVERT}"),
    (rb"%PDF-", "PDF document, not an image: export the page as JPEG or PNG"),
    (rb"ID3|\xff[\xfb\xfa\xf3\xf2]", f"MP3 {_AUDIO}"),
    (rb"fLaC", f"FLAC {_AUDIO}"),
    (rb"OggS", f"Ogg {_AUDIO}"),
    (rb"RIFF....WAVE", f"WAV {_AUDIO}"),
    (rb"PK\x03\x04", "ZIP archive, not an image: unpack it"),
    (rb"version https://git-lfs", "Git LFS pointer, not the image: run git lfs pull"),
)


def _reason_foreign(data: bytes) -> str:
    """Say what a file is that is no image albo reads."""
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
    """Return the first 2,000 bytes as text, or None where they are none."""
    head = data[:2000]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) // 2 * 2].decode("utf-16", errors="replace")
    if re.search(rb"[\0-\x08\x0e-\x1a]", head):
        return None
    try:
        return head.decode()
    except UnicodeDecodeError as error:
        # A character may be cut in two by the end of the head, and nowhere else.
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


def _orientation(exif: bytes) -> int:
    """Orientation, 1 to 8, of an EXIF block (a TIFF header and its first directory).

    1 where there is none or the block is malformed: a cover does not fail for its metadata. XMP and
    the raw EXIF profiles that ImageMagick puts into texts of a PNG are not read.
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
            if tag == _ORIENTATION:
                number = {_SHORT: "H", _LONG: "I"}[kind]
                (value,) = struct.unpack_from(f"{order}{number}", exif, place + 8)
                return value if value in range(1, 9) else 1
    except (struct.error, KeyError):
        pass
    return 1


_ORIENTATION = 274
_SHORT, _LONG = 3, 4


# JPEG (ITU-T T.81)

_SOF = frozenset(bytes((n,)) for n in range(0xC0, 0xD0) if n not in {0xC4, 0xC8, 0xCC})
_SOF_PROGRESSIVE = frozenset({b"\xc2", b"\xca"})
_TABLES = frozenset({b"\xc4", b"\xcc", b"\xdb", b"\xdd"})
_JFIF, _EXIF, _ADOBE = b"\xe0", b"\xe1", b"\xee"
_BEGIN, _END, _SCAN = b"\xd8", b"\xd9", b"\xda"
# With a length after them: all but the padding, TEM and RST0 to RST7, which are skipped.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_SAMPLE_BITS = 8
_CMYK = 4
_MAX_PARTS = 100_000
_MAX_SCANS = 100  # of a progressive JPEG; encoders write about 10
_MAX_PADDING = 16


class _JpegReader:
    """Takes the segments of a JPEG before its first scan, and keeps what pixels depend on."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.frame: tuple[bytes, bytes] | None = None
        self.orientation: int | None = None
        self.jfif = False
        self.transform: int | None = None

    def take(self, marker: bytes, body: bytes) -> None:
        if marker in {_BEGIN, _END}:
            raise BadCover("damaged JPEG: it ends before its first scan; fetch it again")
        if marker in _SOF:
            if self.frame is not None:
                raise BadCover("damaged JPEG: two frames in one picture; fetch it again")
            self.frame = marker, body
            self._keep(marker, body)
        elif marker in _TABLES:
            self._keep(marker, body)
        elif marker == _JFIF:
            self.jfif = self.jfif or body.startswith(b"JFIF\0")
        elif marker == _EXIF and body.startswith(b"Exif\0") and self.orientation is None:
            self.orientation = _orientation(body[6:])
        elif marker == _ADOBE and body.startswith(b"Adobe"):
            self.transform = body[11]

    def _keep(self, marker: bytes, body: bytes) -> None:
        self.kept.append(b"\xff" + marker + struct.pack(">H", len(body) + 2) + body)

    def cover(self, scans: bytes, count: int) -> _Cover:
        """Describe the picture; `scans` is all from the first of `count` scans on."""
        if self.frame is None:
            raise BadCover("damaged JPEG: no frame before its first scan; fetch it again")
        marker, body = self.frame
        bits, height, width, channels = struct.unpack_from(">BHHB", body)
        if bits != _SAMPLE_BITS:
            raise BadCover(f"a JPEG of {bits} bits a channel {_CONVERT} of {_SAMPLE_BITS}")
        progressive = marker in _SOF_PROGRESSIVE
        # Decoders go over the whole picture for every scan, be it empty.
        most = _MAX_SCANS if progressive else min(channels, _CMYK)
        if count > most:
            raise BadCover(f"a JPEG of {count:,} scans where {most} are the most: save it anew")
        if not progressive:
            scans = _with_whole_spectrum(scans)
        return _Cover(
            "JPEG",
            width,
            height,
            b"".join((b"\xff", _BEGIN, self._colour(channels), *self.kept, scans)),
            self.orientation or 1,
            channels=channels,
            progressive=progressive,
            adobe=self.transform is not None,
        )

    def _colour(self, channels: int) -> bytes:
        """Write the JFIF and Adobe segments anew: decoders choose the colour space by them."""
        jfif = b"\xff\xe0\0\x10JFIF\0\1\2\0\0\1\0\1\0\0" if self.jfif else b""
        if self.transform is None:
            return jfif
        unknown = 2 if channels == _CMYK else 1  # what libjpeg takes it for, with a warning
        transform = self.transform if self.transform in {0, 1, 2} else unknown
        return jfif + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes((transform,))


def _with_whole_spectrum(scans: bytes) -> bytes:
    """Put 0 to 63 where a sequential scan says which coefficients it holds: it holds all.

    Some encoders write something else. libjpeg reads on, but with a complaint, and since it gives
    the first complaint only, a truncation would go unseen behind that.
    """
    (length,) = struct.unpack_from(">H", scans, 2)
    end = 2 + length
    if scans[end - 3 : end] == b"\0\x3f\0" or length > len(scans):
        return scans
    return b"".join((scans[: end - 3], b"\0\x3f\0", scans[end:]))


def _segments(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield marker, beginning and end of each segment, up to and with the end of the picture.

    What lies between two of them are pixels and padding. A segment may end beyond the file, and
    the picture without its end marker.
    """
    position = 2
    for _ in range(_MAX_PARTS):
        found = _MARKER.search(data, position)
        if found is None:
            return
        position = found.end()
        if found[1] not in {_BEGIN, _END}:
            position += max(int.from_bytes(data[position : position + 2], "big"), 2)
        yield found[1], found.start(), position
        if found[1] == _END:
            return
    raise BadCover(f"damaged JPEG: more than {_MAX_PARTS:,} segments; save it anew")


def _read_jpeg(data: bytes) -> _Cover:
    reader = _JpegReader()
    scans: list[int] = []
    end = len(data)
    for marker, start, stop in _segments(data):
        if marker == _SCAN:
            scans.append(start)
        elif scans:
            end = stop if marker == _END else end
        elif stop > len(data):
            raise EOFError
        else:
            reader.take(marker, data[start + 4 : stop])
    if not scans:
        raise EOFError
    return reader.cover(data[scans[0] : end], len(scans))


def _load_jpeg(cover: _Cover, least: tuple[int, int]) -> Image.Image:
    """Decode at the smallest scale that has the `least` width and height, in RGB.

    simplejpeg (libjpeg-turbo) rather than Pillow: it scales by eighths, and it reports the
    recoverable errors that Pillow hides, by which a half grey cover is known from a whole one.
    """
    from PIL import Image

    try:
        pixels = _scaled(cover, least, "CMYK" if cover.channels == _CMYK else "RGB")
    except ValueError as error:
        if re.match("Corrupt JPEG data|Premature end|Inconsistent", str(error)):
            raise
        return _load_odd_jpeg(cover, least)
    if cover.channels != _CMYK:
        return Image.fromarray(pixels)
    # Adobe's programs store ink as 255 - ink, and say so by their segment.
    layout = "CMYK;I" if cover.adobe else "CMYK"
    size = pixels.shape[1], pixels.shape[0]
    return Image.frombytes("CMYK", size, pixels.tobytes(), "raw", layout).convert("RGB")


def _load_odd_jpeg(cover: _Cover, least: tuple[int, int]) -> Image.Image:
    """Decode by Pillow, which may know what simplejpeg does not."""
    from PIL import ImageChops

    image = _opened(cover)
    image.draft("RGB", least)
    image.load()
    if image.mode == "CMYK" and not cover.adobe:  # Pillow takes every CMYK JPEG for Adobe's
        return ImageChops.invert(image).convert("RGB")
    return image.convert("RGB")


def _scaled(cover: _Cover, least: tuple[int, int], colorspace: str) -> Pixels:
    """uint8 (height, width, channels); raises ValueError with libjpeg's first complaint."""
    import simplejpeg

    def decoded(data: bytes, *, strict: bool = True) -> Pixels:
        try:
            pixels: Pixels = simplejpeg.decode_jpeg(
                data, colorspace, min_width=least[0], min_height=least[1], strict=strict
            )
        except ValueError as error:
            if strict and _is_harmless(str(error)):
                return decoded(data, strict=False)
            raise
        return pixels

    try:
        return decoded(cover.clean)
    except ValueError as complaint:
        mended = _mended(cover, str(complaint))
        if mended == cover.clean:
            raise
        try:
            return decoded(mended)
        except ValueError:
            raise complaint from None


def _mended(cover: _Cover, complaint: str) -> bytes:
    """Cut off the padding that libjpeg complains of; the picture must then decode without it."""
    if not re.match(r"Corrupt JPEG data: 1 extraneous bytes before marker 0x(c4|da)", complaint):
        return _with_end(cover)
    # An encoder that puts a zero after one scan does after all; libjpeg names the first only.
    parts = []
    position = 0
    for _, start, stop in _segments(cover.clean):
        parts += [cover.clean[position:start].removesuffix(b"\0"), cover.clean[start:stop]]
        position = stop
    return b"".join((*parts, cover.clean[position:]))


def _with_end(cover: _Cover) -> bytes:
    """Put the end marker right after the last pixel, in place of a run of one byte.

    With it there, libjpeg complains again if a pixel is missing. Not so for a progressive JPEG,
    whose later scans refine the whole picture: there only the marker is proof that all came.
    """
    end = b"\xff" + _END
    if cover.progressive and not cover.clean.endswith(end):
        return cover.clean
    scans = cover.clean.removesuffix(end)
    bare = scans.rstrip(scans[-1:])
    if len(scans) - len(bare) <= _MAX_PADDING:
        return scans + end
    return bare + (b"\0" if bare.endswith(b"\xff") else b"") + end  # among pixels 255 has a 0 after


def _is_harmless(reason: str) -> bool:
    """Tell padding after the last pixel, a few bytes, from lost blocks, which leave many.

    libjpeg reports its first complaint only, and this one comes after all pixels are decoded.
    """
    found = re.match(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9", reason)
    return found is not None and int(found[1]) <= _MAX_PADDING


# PNG (ISO/IEC 15948)

_PNG_END = b"IEND"
_PNG_GREY, _PNG_RGB, _PNG_DEEP = 0, 2, 16
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})


def _read_png(data: bytes) -> _Cover:
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if data[12:16] != b"IHDR":
        raise BadCover("damaged PNG: its first chunk is no header; fetch it again")
    kept: list[bytes] = [data[:8]]
    orientation = 1
    seen = set()
    for name, body, checksum in _png_chunks(data):
        seen.add(name)
        if name == b"eXIf":
            orientation = _orientation(body)
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
    return _Cover("PNG", width, height, b"".join(kept), orientation)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield name, body and checksum up to and with IEND, or as far as the chunks are whole.

    Where the end is missing the decoder says whether a pixel is.
    """
    position = 8
    for _ in range(_MAX_PARTS):
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
    raise BadCover(f"damaged PNG: more than {_MAX_PARTS:,} chunks; save it anew")


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


def _read_webp(data: bytes) -> _Cover:
    (length,) = struct.unpack_from("<I", data, 4)
    if 8 + length > len(data) + 1:  # the last byte may be padding that was not written
        raise EOFError
    size: tuple[int, int] | None = None
    orientation = 1
    position = 12
    for _ in range(_MAX_PARTS):
        if position + 8 > len(data):
            break
        name, length = struct.unpack_from("<4sI", data, position)
        if size is None:
            size = _webp_size(name, data, position + 8)
        if name == b"EXIF":
            orientation = _orientation(data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    if size is None:
        raise BadCover("damaged WebP: no picture in it; fetch it again")
    return _Cover("WebP", *size, data, orientation)


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


def _read_gif(data: bytes) -> _Cover:
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
    return _Cover("GIF", max(width, left + across), max(height, top + down), b"".join(kept))


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


# BMP

_BMP_CORE = 12  # size of OS/2's header, whose numbers have 16 bits
_BMP_BY_RUNS = (b"\1\0\0\0", b"\2\0\0\0")
_MAX_RUNS = 2**23  # bytes, which Pillow decodes in Python


def _read_bmp(data: bytes) -> _Cover:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == _BMP_CORE else "<ii", data, 18)
    by_runs = header != _BMP_CORE and data[30:34] in _BMP_BY_RUNS
    if by_runs and len(data) > _MAX_RUNS:
        raise BadCover(f"a run-length BMP of more than {_MAX_RUNS:,} bytes {_CONVERT}")
    return _Cover("BMP", abs(width), abs(height), data)


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
_TIFF_MOST = 2**18  # numbers of one tag that are taken; no palette has more
# None, LZW, JPEG, deflate twice, PackBits. Fax is in two colours, and its decoder in libtiff writes
# to standard error; the rest is rare, its decoders little tried.
_TIFF_COMPRESSIONS = frozenset({1, 5, 7, 8, 32773, 32946})

_Entry: TypeAlias = tuple[int, int, bytes]


class _TiffReader:
    """The first directory of a TIFF: its tags, as `(type, count, bytes)`, and what they say."""

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
        kind, count, raw = self.entries.get(tag, (_SHORT, 0, b""))
        if kind not in _TIFF_NUMBERS:
            raise BadCover(f"damaged TIFF: tag {tag} holds no whole number; fetch it again")
        return struct.unpack(f"{self.order}{count}{_TIFF_NUMBERS[kind]}", raw)

    def number(self, tag: int, default: int) -> int:
        return (*self.numbers(tag), default)[0]

    def set_numbers(self, tag: int, *numbers: int) -> None:
        raw = struct.pack(f"{self.order}{len(numbers)}H", *numbers)
        self.entries[tag] = _SHORT, len(numbers), raw

    def keep_parts(self, width: int, height: int) -> None:
        """Drop the strips or tiles beyond the picture: Pillow would decode each of them.

        A picture of which one is missing is refused: Pillow would leave it black.
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
        if needed > _MAX_PARTS:
            raise BadCover(f"a TIFF of {needed:,} strips or tiles: save it anew, in fewer")
        return needed

    def clean(self) -> bytes:
        """Write the file with a directory of only the kept tags, at its end."""
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


def _read_tiff(data: bytes) -> _Cover:
    reader = _TiffReader(data)
    width, height = reader.number(_TIFF_WIDTH, 0), reader.number(_TIFF_HEIGHT, 0)
    if not (width and height):
        raise BadCover("damaged TIFF: it has no width or height; fetch it again")
    compression = reader.number(_TIFF_COMPRESSION, 1)
    if compression not in _TIFF_COMPRESSIONS:
        raise BadCover(f"TIFF compression {compression} {_CONVERT}")
    reader.keep_parts(width, height)
    # Pillow turns by this tag itself; as for every other format, that is done here.
    orientation = reader.number(_ORIENTATION, 1)
    reader.entries.pop(_ORIENTATION, None)
    bits = max(reader.numbers(_TIFF_BITS), default=1)
    grey = _Grey(
        white=2 ** min(bits, 16) - 1,
        unsigned=bits == 32 and set(reader.numbers(_TIFF_FORMAT)) <= {1},  # noqa: PLR2004
        negative=bits > _SAMPLE_BITS and reader.number(_TIFF_COLOUR, 0) == 0,
    )
    if grey.negative:
        reader.set_numbers(_TIFF_COLOUR, 1)
    palette = reader.numbers(_TIFF_PALETTE)
    if palette and max(palette) >> _SAMPLE_BITS == 0:  # of 8 bits where the format asks for 16
        reader.set_numbers(_TIFF_PALETTE, *(value * 257 for value in palette))
    return _Cover("TIFF", width, height, reader.clean(), orientation, grey)


_FORMATS: dict[str, tuple[Callable[[bytes], _Cover], str]] = {
    "JPEG": (_read_jpeg, "Jpeg"),
    "PNG": (_read_png, "Png"),
    "WebP": (_read_webp, "WebP"),
    "GIF": (_read_gif, "Gif"),
    "BMP": (_read_bmp, "Bmp"),
    "TIFF": (_read_tiff, "Tiff"),
}
"""How each format is read, and what Pillow calls its plugin."""


# Decoding


def _load(cover: _Cover, least: tuple[int, int]) -> Image.Image:
    """Decode to RGB, as stored; where it is cheaper at a smaller size, but at `least` that."""
    if cover.format == "JPEG":
        return _load_jpeg(cover, least)
    image = _opened(cover)
    if image.size != (cover.width, cover.height):
        raise BadCover(f"damaged {cover.format}: it states two sizes; fetch it again")
    image.load()
    return _flattened(image, cover.grey)


def _opened(cover: _Cover) -> ImageFile.ImageFile:
    """Open with Pillow's class for the format: no other plugin can be reached by any bytes.

    (`Image.open` would also make an MPO of a phone's JPEG and look for its other pictures.)
    """
    import importlib

    _, name = _FORMATS[cover.format]
    plugin = getattr(importlib.import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
    image: ImageFile.ImageFile = plugin(BytesIO(cover.clean))
    return image


def _flattened(image: Image.Image, grey: _Grey = _Grey()) -> Image.Image:
    """Turn any of Pillow's modes into RGB: deep grey rescaled, transparency over white.

    Both by bands of rows, for each is more than one copy of the pixels.
    """
    from PIL import Image

    deep = image.mode.startswith(("I", "F"))
    if not (deep or image.has_transparency_data):
        return image if image.mode == "RGB" else image.convert("RGB")
    span = _span(image, grey) if deep else (0.0, 0.0)
    canvas = Image.new("RGB", image.size, "white")
    for box in _bands(image):
        band = image.crop(box)
        if deep:
            canvas.paste(_eight_bits(band, span, grey), box)
        else:
            band = band.convert(band.mode.upper()).convert("RGBA")  # La and RGBa: unmultiplied
            canvas.paste(band, box, band.getchannel("A"))
    return canvas


def _bands(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


_BAND = 2**18  # pixels


def _numbers(image: Image.Image, grey: _Grey) -> NDArray[np.float64]:
    stored = np.asarray(image)
    values = (stored.view(np.uint32) if grey.unsigned else stored).astype(np.float64)
    return np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)


def _span(image: Image.Image, grey: _Grey) -> tuple[float, float]:
    """Black and white of a grey image of more than 8 bits: mode I;16, I or F.

    Integers span 0 to white and reals 0 to 1 where they keep to that; where they do not, no
    convention says what is white, and their own range is taken.
    """
    low, high = math.inf, -math.inf
    for box in _bands(image):
        values = _numbers(image.crop(box), grey)
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    white = 1.0 if image.mode == "F" else float(grey.white)
    return (0.0, white) if low >= 0.0 and high <= white else (low, high)


def _eight_bits(image: Image.Image, span: tuple[float, float], grey: _Grey) -> Image.Image:
    """Rescale a grey image of more than 8 bits to mode L."""
    from PIL import Image

    low, high = span
    values = _numbers(image, grey)
    values -= low
    values *= 255.0 / (high - low) if high > low else 0.0
    values += 0.5
    shown = values.astype(np.uint8)
    if grey.negative:
        shown = 255 - shown
    key = image.info.get("transparency")
    if isinstance(key, int):
        shown[np.asarray(image) == key] = 255
    return Image.fromarray(shown)
