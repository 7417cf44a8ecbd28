"""From bytes to pixels: the one path of every cover, stored or asked about.

A file is read in two steps. `_inspect` parses the container in Python: it finds the size and the
orientation, checks the limits, and writes a clean copy with only the parts that pixels depend on.
Then a decoder turns the clean copy into pixels. So decoders never see EXIF, ICC, XMP, text or a
second picture, which cause most attacks and most of Pillow's warnings. Filtering `warnings`, which
is not thread-safe, is not needed, and no setting of Pillow is changed.

An ICC profile is ignored on purpose. Most covers have none, copies of one artwork often differ only
in it, and the networks were trained on pixels as stored. So every cover is treated as sRGB.
"""

from __future__ import annotations

import re
import struct
import threading
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from albo.errors import BadCover
from albo.images.bmp import read_bmp
from albo.images.flattening import flatten
from albo.images.formats import (
    CONVERT,
    CheckedBytes,
    format_of,
    open_with_pillow,
    reason_foreign,
)
from albo.images.gif import read_gif
from albo.images.jpeg import JPEG_CMYK, decode_scaled_jpeg, load_jpeg, read_jpeg
from albo.images.png import read_png
from albo.images.tiff import read_tiff
from albo.images.webp import read_webp
from albo.limits import DEFAULT_LIMITS, Limits, check_bytes
from albo.texts import in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL import Image

    from albo.records import Pixels


Resample: TypeAlias = Literal["bilinear", "bicubic", "lanczos"]

_LYING = (5, 6, 7, 8)  # EXIF orientations that need a quarter turn

SHORTEST_SIDE = 16
"""Covers with a shorter side are refused: images smaller than a favicon are spacers and tracking
pixels. The smallest thumbnails of shops have 55 pixels."""

LONGEST_ASPECT = 8.0
"""Covers with a larger ratio of sides are refused: a cover is squeezed to a square. A gatefold (2),
a J-card (3) or a six-panel booklet (6) stays recognisable, a web banner (8.1) does not."""


# Pixels


def decode(
    data: bytes,
    size: int,
    resample: Resample = "bicubic",
    limits: Limits = DEFAULT_LIMITS,
) -> Pixels:
    """
    Decode a whole cover, uncropped, and squeeze it to a square.

    JPEG is decoded at the smallest eighth of its size (DCT scaling, ITU-T T.81 coefficients) that
    still has `size` pixels on both sides, then resized with antialiasing. Transparency is put over
    white, EXIF orientation is applied, grey of more than 8 bits is rescaled, ICC profiles are
    ignored. Thread-safe: decoding and resizing release the GIL. Pictures above 16 megapixels that
    must be decoded whole are decoded one at a time, to bound memory.

    Parameters
    ----------
    data
        The bytes of a JPEG, PNG, WebP, GIF (first frame), BMP or TIFF (first page) file.
    size
        Width and height of the result in pixels.
    resample
        The filter, as Pillow names it.
    limits
        The limits of the file, checked before any pixel is decoded.

    Returns
    -------
    pixels
        uint8 (size, size, 3), RGB, C-contiguous, writable.

    Raises
    ------
    BadCover
        With the reason in one line, for bytes that do not decode to a whole picture.
    """
    return Picture(data, limits).square(size, resample)


def open_image(
    data: bytes, limits: Limits = DEFAULT_LIMITS, max_side: int | None = None
) -> Image.Image:
    """
    Decode a cover as `decode` does, in its own shape.

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
    return Picture(data, limits).page(max_side)


class Picture:
    """A cover whose bytes are checked once, to be decoded at one or several sizes.

    Most formats are decoded once, whole, for all sizes. A JPEG is decoded once for each eighth that
    its DCT scaling uses, for two reasons. A vector must not depend on the other sizes asked of its
    cover: 224 pixels made from 750 differ from those made from 250 (cosine 0.994 on average). And
    decoding 250 and 750 pixels together costs less than decoding all 1,000 once.

    Parameters
    ----------
    data
        As for `decode`.
    limits
        As for `decode`.

    Raises
    ------
    BadCover
        As `decode`. The methods raise it too, for damage that only decoding shows.
    """

    def __init__(self, data: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
        self._cover = _inspect(data, limits)
        self._decoded: dict[int, Image.Image] = {}

    @property
    def facts(self) -> Facts:
        """What its header says: its kind, its size, its colours."""
        return _facts_of(self._cover)

    def square(self, size: int, resample: Resample = "bicubic") -> Pixels:
        """Return the whole cover, squeezed to a square as `decode` does."""
        with self._at_work():
            image = self._at_least((size, size)).resize((size, size), _filter(resample))
            return np.array(_upright(image, self._cover.orientation))

    def page(self, max_side: int | None = None) -> Image.Image:
        """Return the cover at its own shape, as `open_image` does."""
        cover = self._cover
        shrink = min(1.0, max_side / max(cover.width, cover.height)) if max_side else 1.0
        size = max(1, round(cover.width * shrink)), max(1, round(cover.height * shrink))
        with self._at_work():
            image = self._at_least(size)
            if image.size != size:
                image = image.resize(size, _filter("bicubic"))
            return _upright(image, cover.orientation)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with _one_reason(self._cover.format), _turn(self._cover):
            yield

    def _at_least(self, least: tuple[int, int]) -> Image.Image:
        eighths = _eighths(self._cover, least)
        if eighths not in self._decoded:
            self._decoded[eighths] = _load(self._cover, least)
        return self._decoded[eighths]


def _eighths(cover: CheckedBytes, least: tuple[int, int]) -> int:
    """Return the scale, in eighths, at which a cover still has `least` pixels."""
    if cover.format != "JPEG":
        return _WHOLE
    width, height = least
    for eighths in range(1, _WHOLE):
        if cover.width * eighths >= width * _WHOLE and cover.height * eighths >= height * _WHOLE:
            return eighths
    return _WHOLE


_WHOLE = 8


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about a cover that decodes completely."""

    kind: str
    """MIME type, such as `image/jpeg`."""
    width: int
    """In pixels, upright."""
    height: int
    """In pixels, upright."""
    is_cmyk: bool = False
    """Whether it has the four colours of printing, which shops do not take."""


def examine(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Facts:
    """
    Check, as cheaply as possible, that a cover decodes to its last pixel.

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
    return _facts_of(cover)


def _facts_of(cover: CheckedBytes) -> Facts:
    size = cover.width, cover.height
    width, height = reversed(size) if cover.orientation in _LYING else size
    return Facts(f"image/{cover.format.lower()}", width, height, cover.channels == JPEG_CMYK)


def _read_through(cover: CheckedBytes) -> None:
    """Decode to the last pixel, and keep no pixels."""
    if cover.format == "JPEG" and cover.channels != JPEG_CMYK:
        # Colour data is interleaved, so it is read too, but not converted into pixels.
        with suppress(ValueError):
            decode_scaled_jpeg(cover, (1, 1), "GRAY")
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


def _inspect(data: bytes, limits: Limits) -> CheckedBytes:
    if not data:
        raise BadCover("empty file (0 bytes): fetch it again")
    check_bytes(len(data), limits.max_bytes)
    name = format_of(data[:32])
    if name is None:
        raise BadCover(reason_foreign(data))
    with _one_reason(name):
        read = FORMATS[name]
        cover = read(data)
    _check_shape(cover, limits.max_pixels)
    return cover


def _check_shape(cover: CheckedBytes, max_pixels: int) -> None:
    from PIL import Image

    width, height = cover.width, cover.height
    shape = f"{width} x {height} pixels"
    # Pillow's limit holds too, since a program may have set it. Pillow itself only warns at first.
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
    """Turn any error of a decoder into a `BadCover`; `name` is the format."""
    try:
        yield
    except BadCover:
        raise
    except MemoryError as error:
        raise BadCover(
            f"this {name} needs more memory than there is: save a smaller copy, or lower --max-mpx"
        ) from error
    except Exception as error:  # decoders raise almost any error on hostile bytes
        raise BadCover(_reason_damaged(name, error)) from error


_GIANT = 16_000_000  # pixels, of up to 20 bytes each during decoding
_GIANTS = threading.Lock()


def _turn(cover: CheckedBytes) -> AbstractContextManager[object]:
    """Let only one picture above 16 megapixels be decoded at a time, to bound memory.

    A sequential JPEG does not wait: it is scaled row by row.
    """
    scaled = cover.format == "JPEG" and not cover.progressive
    return nullcontext() if scaled or cover.width * cover.height <= _GIANT else _GIANTS


def _reason_damaged(name: str, error: Exception) -> str:
    text = in_one_line(error, 160).rstrip(".;: ")
    if isinstance(error, struct.error | IndexError | EOFError) or re.search(
        "truncated|not enough image data|Premature end of JPEG file", text
    ):
        return f"truncated {name}: the file ends before the picture does; fetch it again"
    text = text.removeprefix("Corrupt JPEG data: ")
    if re.match("unknown pixel mode|Unsupported BMP (compression|bitfields)", text):
        return f"this kind of {name} {CONVERT}"
    if isinstance(error, KeyError):
        text = f"nothing is known of {text}"
    return f"damaged {name}: {text or type(error).__name__}; fetch it again"


FORMATS: dict[str, Callable[[bytes], CheckedBytes]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "WebP": read_webp,
    "GIF": read_gif,
    "BMP": read_bmp,
    "TIFF": read_tiff,
}
"""How the header of each format is read."""


# Decoding


def _load(cover: CheckedBytes, least: tuple[int, int]) -> Image.Image:
    """Decode to RGB, not rotated; at a smaller size if that is cheaper, but not below `least`."""
    if cover.format == "JPEG":
        return load_jpeg(cover, least)
    image = open_with_pillow(cover)
    if image.size != (cover.width, cover.height):
        raise BadCover(f"damaged {cover.format}: it states two sizes; fetch it again")
    image.load()
    return flatten(image, cover.grey)
