"""JPEG: check its segments, and decode it at a scaled size."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from albo.errors import BadCover
from albo.images.formats import (
    CONVERT,
    MAX_PARTS,
    SAMPLE_BITS,
    CheckedBytes,
    open_with_pillow,
    orientation_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from albo.records import Pixels


# JPEG (ITU-T T.81)

_SOF = frozenset(bytes((n,)) for n in range(0xC0, 0xD0) if n not in {0xC4, 0xC8, 0xCC})
_SOF_PROGRESSIVE = frozenset({b"\xc2", b"\xca"})
_TABLES = frozenset({b"\xc4", b"\xcc", b"\xdb", b"\xdd"})
_JFIF, _EXIF, _ADOBE = b"\xe0", b"\xe1", b"\xee"
_BEGIN, _END, _SCAN = b"\xd8", b"\xd9", b"\xda"
# Markers with a length after them: all except padding, TEM and RST0 to RST7, which are skipped.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
JPEG_CMYK = 4
_MAX_SCANS = 100  # of a progressive JPEG; encoders write about 10
_MAX_PADDING = 16


class _JpegReader:
    """Takes the segments before the first scan, and keeps those that pixels depend on."""

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
            self.orientation = orientation_of(body[6:])
        elif marker == _ADOBE and body.startswith(b"Adobe"):
            self.transform = body[11]

    def _keep(self, marker: bytes, body: bytes) -> None:
        self.kept.append(b"\xff" + marker + struct.pack(">H", len(body) + 2) + body)

    def cover(self, scans: bytes, count: int) -> CheckedBytes:
        """Describe the picture; `scans` holds the bytes from the first of `count` scans on."""
        if self.frame is None:
            raise BadCover("damaged JPEG: no frame before its first scan; fetch it again")
        marker, body = self.frame
        bits, height, width, channels = struct.unpack_from(">BHHB", body)
        if bits != SAMPLE_BITS:
            raise BadCover(f"a JPEG of {bits} bits a channel {CONVERT} of {SAMPLE_BITS}")
        progressive = marker in _SOF_PROGRESSIVE
        # Decoders process the whole picture for every scan, even an empty one.
        most = _MAX_SCANS if progressive else min(channels, JPEG_CMYK)
        if count > most:
            raise BadCover(f"a JPEG of {count:,} scans where {most} are the most: save it anew")
        if not progressive:
            scans = _with_whole_spectrum(scans)
        return CheckedBytes(
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
        """Rewrite the JFIF and Adobe segments, by which decoders choose the colour space."""
        jfif = b"\xff\xe0\0\x10JFIF\0\1\2\0\0\1\0\1\0\0" if self.jfif else b""
        if self.transform is None:
            return jfif
        unknown = 2 if channels == JPEG_CMYK else 1  # libjpeg's choice, made with a warning
        transform = self.transform if self.transform in {0, 1, 2} else unknown
        return jfif + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes((transform,))


def _with_whole_spectrum(scans: bytes) -> bytes:
    """Set the range of coefficients of a sequential scan to 0 to 63: it holds them all.

    Some encoders write another range. libjpeg then reports that, and reports only its first
    complaint, so a truncation would not be noticed.
    """
    (length,) = struct.unpack_from(">H", scans, 2)
    end = 2 + length
    if scans[end - 3 : end] == b"\0\x3f\0" or length > len(scans):
        return scans
    return b"".join((scans[: end - 3], b"\0\x3f\0", scans[end:]))


def _segments(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield marker, start and stop of each segment, including the end of the picture.

    Between two segments are pixels and padding. A segment may end beyond the file, and the end
    marker may be missing.
    """
    position = 2
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, position)
        if found is None:
            return
        position = found.end()
        if found[1] not in {_BEGIN, _END}:
            position += max(int.from_bytes(data[position : position + 2], "big"), 2)
        yield found[1], found.start(), position
        if found[1] == _END:
            return
    raise BadCover(f"damaged JPEG: more than {MAX_PARTS:,} segments; save it anew")


def read_jpeg(data: bytes) -> CheckedBytes:
    """Check the segments of a JPEG; keep those that pixels depend on. Raises BadCover, EOFError."""
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


def load_jpeg(cover: CheckedBytes, least: tuple[int, int]) -> Image.Image:
    """Decode at the smallest scale that has the `least` width and height, in RGB.

    It uses simplejpeg (libjpeg-turbo), not Pillow: it scales by eighths, and it reports the
    recoverable errors that Pillow hides, such as a truncation that leaves half a cover grey.
    """
    from PIL import Image

    try:
        pixels = decode_scaled_jpeg(cover, least, "CMYK" if cover.channels == JPEG_CMYK else "RGB")
    except ValueError as error:
        if re.match("Corrupt JPEG data|Premature end|Inconsistent", str(error)):
            raise
        return _load_odd_jpeg(cover, least)
    if cover.channels != JPEG_CMYK:
        return Image.fromarray(pixels)
    # Adobe's programs store ink as 255 - ink, and add the Adobe segment.
    layout = "CMYK;I" if cover.adobe else "CMYK"
    size = pixels.shape[1], pixels.shape[0]
    return Image.frombytes("CMYK", size, pixels.tobytes(), "raw", layout).convert("RGB")


def _load_odd_jpeg(cover: CheckedBytes, least: tuple[int, int]) -> Image.Image:
    """Decode with Pillow, which supports some files that simplejpeg does not."""
    from PIL import ImageChops

    image = open_with_pillow(cover)
    image.draft("RGB", least)
    image.load()
    if image.mode == "CMYK" and not cover.adobe:  # Pillow treats every CMYK JPEG as Adobe's
        return ImageChops.invert(image).convert("RGB")
    return image.convert("RGB")


def decode_scaled_jpeg(cover: CheckedBytes, least: tuple[int, int], colorspace: str) -> Pixels:
    """Decode to uint8 (height, width, channels). Raises ValueError with libjpeg's complaint."""
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


def _mended(cover: CheckedBytes, complaint: str) -> bytes:
    """Remove the padding that libjpeg reports; the picture must then decode without it."""
    if not re.match(r"Corrupt JPEG data: 1 extraneous bytes before marker 0x(c4|da)", complaint):
        return _with_end(cover)
    # An encoder that adds a zero after one scan does so after all; libjpeg reports only one.
    parts = []
    position = 0
    for _, start, stop in _segments(cover.clean):
        parts += [cover.clean[position:start].removesuffix(b"\0"), cover.clean[start:stop]]
        position = stop
    return b"".join((*parts, cover.clean[position:]))


def _with_end(cover: CheckedBytes) -> bytes:
    """Put the end marker right after the last pixel, in place of a run of equal bytes.

    Then libjpeg reports any missing pixel. It does not in a progressive JPEG, whose later scans
    refine the whole picture: only the original end marker proves that it is complete.
    """
    end = b"\xff" + _END
    if cover.progressive and not cover.clean.endswith(end):
        return cover.clean
    scans = cover.clean.removesuffix(end)
    bare = scans.rstrip(scans[-1:])
    if len(scans) - len(bare) <= _MAX_PADDING:
        return scans + end
    return bare + (b"\0" if bare.endswith(b"\xff") else b"") + end  # in pixel data a 0 follows 255


def _is_harmless(reason: str) -> bool:
    """Whether extra bytes are padding after the last pixel: lost blocks leave many more.

    libjpeg reports its first complaint only, and this one comes after all pixels are decoded.
    """
    found = re.match(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9", reason)
    return found is not None and int(found[1]) <= _MAX_PADDING
