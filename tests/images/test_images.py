"""From bytes to pixels: every format and mode, and everything that is no cover."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from albo.errors import BadCover
from albo.images import (
    IMAGE_SUFFIXES,
    Facts,
    Picture,
    decode,
    examine,
    has_image_signature,
    open_image,
)
from albo.images import decoding as images
from albo.images.flattening import flatten
from albo.limits import Limits, digest_of
from albo.store import read_file
from tests.broken_covers import (
    broken_covers,
    drawn,
    grey_tiff,
    png,
    png_chunk,
    saved,
    write_broken_covers,
)

if TYPE_CHECKING:
    from pathlib import Path

ART = drawn()
SIZE = 48
FORMATS = {
    "JPEG": saved(ART, "JPEG", quality=95, subsampling=0),
    "progressive": saved(ART, "JPEG", progressive=True),
    "PNG": saved(ART, "PNG"),
    "WebP": saved(ART, "WEBP", lossless=True),
    "lossy WebP": saved(ART, "WEBP"),
    "GIF": saved(ART.quantize(256), "GIF"),
    "BMP": saved(ART, "BMP"),
    "TIFF": saved(ART, "TIFF"),
    "LZW TIFF": saved(ART, "TIFF", compression="tiff_lzw"),
    "JPEG TIFF": saved(ART, "TIFF", compression="jpeg", quality=95),
}
SHOWN = {"GIF": ART.quantize(256).convert("RGB")}
BROKEN = broken_covers()


def squeezed(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def exif_of(orientation: int, order: str = "<", kind: str = "H") -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHI{kind}", 274, {"H": 3, "I": 4}[kind], 1, orientation)
    entry = entry.ljust(12, b"\0")
    return head + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def with_chunks(file: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks put after its header."""
    return file[:33] + b"".join(chunks) + file[33:]


# Files


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(FORMATS["JPEG"])
    assert read_file(str(tmp_path / "a.jpg")) == FORMATS["JPEG"]
    assert digest_of(FORMATS["JPEG"]) == hashlib.sha256(FORMATS["JPEG"]).digest()


def test_the_limit_on_bytes_is_inclusive(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(bytes(100))
    assert len(read_file(str(tmp_path / "a.jpg"), Limits(max_bytes=100))) == 100
    with pytest.raises(BadCover, match=r"^100 bytes is over the limit of 99: "):
        read_file(str(tmp_path / "a.jpg"), Limits(max_bytes=99))


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(2**36)
    with pytest.raises(BadCover, match=r"^68,719,476,736 bytes is over the limit of 67,108,864"):
        read_file(str(tmp_path / "a.jpg"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.jpg", "^no such file"),
        ("folder.jpg", "^a folder, not an image file"),
        ("pipe.jpg", "^a pipe, socket or device"),
        ("empty.jpg", r"^empty file \(0 bytes\)"),
        ("dangling.jpg", "^no such file"),
        ("loop.jpg", "^cannot be read: Too many levels of symbolic links"),
        ("nul\0.jpg", "^no such file: the name holds"),
        ("x" * 300, "^cannot be read: File name too long"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(BadCover, match=reason):
        read_file(f"{tmp_path}/{name}")


def test_devices_are_not_read() -> None:
    with pytest.raises(BadCover, match=r"^a pipe, socket or device"):
        read_file("/dev/zero")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "a.jpg").chmod(0)
    with pytest.raises(BadCover, match=r"^no permission to read it"):
        read_file(str(tmp_path / "a.jpg"))


def test_a_file_that_lies_about_its_size_is_read_to_its_end() -> None:
    path = "/proc/self/maps"
    if not os.path.exists(path):  # noqa: PTH110 the same string is read
        pytest.skip("no /proc here")
    assert len(read_file(path)) > 1000
    with pytest.raises(BadCover, match=r"^1,001 bytes is over the limit of 1,000"):
        read_file(path, Limits(max_bytes=1000))


# Formats and modes


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(name: str) -> None:
    data = FORMATS[name]
    assert has_image_signature(data[:16])
    pixels = decode(data, SIZE)
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    loss = {"lossy WebP": 4.0, "progressive": 4.0, "JPEG": 2.0, "JPEG TIFF": 4.0}
    shown = SHOWN.get(name, ART)
    assert difference(pixels, squeezed(shown)) <= loss.get(name, 0.0)
    image = open_image(data)
    assert (image.mode, image.size) == ("RGB", ART.size)
    assert difference(np.asarray(image), np.asarray(shown)) <= loss.get(name, 0.0)


@pytest.mark.parametrize(
    "head", [b"", b"BM", b"BM is how this text", b"RIFF\0\0\0\0WAVEfmt ", b"<"]
)
def test_other_bytes_have_no_signature(head: bytes) -> None:
    assert not has_image_signature(head)


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"} <= (
        IMAGE_SUFFIXES
    )
    assert all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in IMAGE_SUFFIXES)


@pytest.mark.parametrize(
    ("resample", "method"),
    [
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
        ("lanczos", Image.Resampling.LANCZOS),
    ],
)
def test_the_filter_is_the_one_asked_for(resample: images.Resample, method: int) -> None:
    expected = np.asarray(ART.resize((SIZE, SIZE), Image.Resampling(method)))
    assert np.array_equal(decode(FORMATS["PNG"], SIZE, resample), expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB", "RGBA", "LA", "PA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(ART, *profiles, outputMode="LAB")
    else:
        grey = mode in {"1", "LA", "PA"}
        image = ART.convert("L" if grey else "RGB").convert(mode)
    expected = image.convert("RGB") if mode != "LAB" else ART
    flat = flatten(image)
    assert flat.mode == "RGB"
    assert difference(np.asarray(flat), np.asarray(expected)) < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "P"])
def test_every_mode_of_tiff_is_read(mode: str) -> None:
    image = ART.convert(mode)
    pixels = decode(saved(image, "TIFF"), SIZE)
    assert difference(pixels, squeezed(image.convert("RGB"))) <= 1


@given(grey=st.integers(0, 255), alpha=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_transparency_lies_over_white(grey: int, alpha: int) -> None:
    expected = round(grey * alpha / 255 + 255 - alpha)
    rgba = Image.new("RGBA", (20, 20), (grey, grey, grey, alpha))
    two = Image.new("LA", (20, 20), (grey, alpha))
    for data in (
        saved(rgba, "PNG"),
        saved(two, "PNG"),
        saved(rgba, "TIFF"),
        saved(rgba, "WEBP", lossless=True, exact=True),
    ):
        pixels = decode(data, 16)
        assert np.abs(pixels.astype(int) - expected).max() <= 1
    assert abs(flatten(rgba.convert("RGBa")).getpixel((0, 0))[0] - expected) <= 1
    assert abs(flatten(two.convert("La")).getpixel((0, 0))[0] - expected) <= 1


def test_a_premultiplied_tiff_is_read_as_such() -> None:
    # Grey 100 at half opacity is stored as 50; over white it is 100 / 2 + 255 / 2.
    image = grey_tiff(20, 20, bytes((50, 128)) * 400, t277=(3, 2), t338=(3, 1))
    image = image.replace(
        struct.pack("<HHII", 258, 3, 1, 8), struct.pack("<HHIHH", 258, 3, 2, 8, 8)
    )
    assert np.abs(decode(image, 16).astype(int) - 177).max() <= 2


def test_the_transparent_parts_of_a_gif_and_a_palette_png_are_white() -> None:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([255, 0, 0, 0, 0, 255] + [0] * 750)
    image.paste(0, (0, 0, 16, 32))
    for data in (
        saved(image, "GIF", transparency=0),
        saved(image, "PNG", transparency=0),
        saved(image, "PNG", transparency=b"\0\xff"),
    ):
        pixels = np.asarray(open_image(data))
        assert (pixels[:, :16] == 255).all()
        assert (pixels[:, 16:] == (0, 0, 255)).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("colour", [0, 2])
def test_the_transparent_colour_of_a_png_is_white_at_every_depth(depth: int, colour: int) -> None:
    if colour == 2 and depth < 8:
        pytest.skip("PNG has no such pixels")
    samples, width = (3 if colour else 1), 32
    top = 2**depth - 1
    key = [1, top, 1][:samples] if depth > 1 else [0]
    row = [key] * 16 + [[0] * samples if depth > 1 else [1]] * 16
    bits = "".join(f"{value:0{depth}b}" for pixel in row for value in pixel)
    line = b"\0" + int(bits, 2).to_bytes(len(bits) // 8)
    body = png_chunk(b"IDAT", zlib.compress(line * width))
    chunk = png_chunk(b"tRNS", struct.pack(f">{samples}H", *key))
    pixels = np.asarray(open_image(png(width, width, chunk, body, depth=depth, colour=colour)))
    assert (pixels[:, :16] == 255).all()
    assert (pixels[:, 16:] == (255 if depth == 1 else 0)).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_of_a_tiff_is_of_8_bits_or_16(bits: int) -> None:
    colours = [value * (1 if bits == 8 else 257) for value in range(255, -1, -1)] * 3
    stored = np.asarray(ART.convert("L"))
    data = grey_tiff(160, 120, stored.tobytes(), t262=(3, 3), t320=(3, *colours))
    assert np.array_equal(np.asarray(open_image(data))[..., 0], 255 - stored)


def test_strips_beyond_the_picture_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = np.asarray(ART.convert("L"))
    more = {"t278": (4, 60), "t273": (4, 8, 8 + 60 * 160, *[8] * 9), "t279": (4, *[60 * 160] * 11)}
    data = grey_tiff(160, 120, stored.tobytes(), **more)
    tiles = []
    load = TiffImageFile.load

    def counting(image: TiffImageFile) -> object:
        tiles.extend(image.tile)
        return load(image)

    monkeypatch.setattr(TiffImageFile, "load", counting)
    assert np.array_equal(np.asarray(open_image(data))[..., 0], stored)
    assert len(tiles) == 2


# Deep grey


def ramp(kind: str) -> np.ndarray:
    """A ramp from 0 to 1, as 16-bit numbers or reals; its eight-bit form is the same ramp."""
    values = np.tile(np.linspace(0, 1, 64), (32, 1))
    return values.astype(np.float32) if kind == "F" else np.round(values * 65535).astype("<u2")


def twelve_bits(values: np.ndarray) -> bytes:
    """Two numbers in three bytes."""
    bits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)
    return np.packbits(bits[:, 4:]).tobytes()


def expected_ramp() -> np.ndarray:
    return np.round(np.tile(np.linspace(0, 255, 64), (32, 1)))[..., None]


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.fromarray(ramp("I;16")), "PNG"),
        saved(Image.fromarray(ramp("I;16")), "TIFF"),
        saved(Image.fromarray(ramp("I;16")), "TIFF", compression="tiff_lzw"),
        saved(Image.fromarray(ramp("I;16").astype(np.int32)), "TIFF"),
        saved(Image.fromarray(ramp("I;16").astype(np.int32) * 9 - 70_000), "TIFF"),
        saved(Image.fromarray(ramp("F")), "TIFF"),
        saved(Image.fromarray(ramp("F") * 5000 - 100), "TIFF"),
        grey_tiff(64, 32, ramp("I;16").astype("<u4").tobytes(), t258=(3, 32)),
        grey_tiff(
            64, 32, (ramp("I;16").astype("<u4") * 65537).tobytes(), t258=(3, 32), t339=(3, 1)
        ),
        grey_tiff(64, 32, twelve_bits(ramp("I;16") >> 4), t258=(3, 12)),
    ],
    ids=[
        *("png", "tiff", "lzw", "I", "I of its own range", "F", "F of its own range"),
        *("unsigned", "unsigned of its own range", "12 bits"),
    ],
)
def test_deep_grey_is_rescaled_not_clipped(data: bytes) -> None:
    pixels = np.asarray(open_image(data)).astype(int)
    assert np.abs(pixels - expected_ramp()).max() <= 1


def test_deep_grey_that_counts_from_white() -> None:
    pixels = ramp("I;16").tobytes()
    data = grey_tiff(64, 32, pixels, t258=(3, 16), t262=(3, 0))
    assert np.abs(np.asarray(open_image(data)).astype(int) - (255 - expected_ramp())).max() <= 1


def test_reals_that_are_no_numbers_are_black() -> None:
    values = ramp("F")
    values[:8] = np.nan
    values[8:16] = np.inf
    pixels = np.asarray(open_image(saved(Image.fromarray(values), "TIFF")))
    assert (pixels[:16] == 0).all()
    assert pixels[16:].max() == 255
    assert not decode(saved(Image.fromarray(np.full((32, 32), np.nan, "f4")), "TIFF"), 16).any()
    assert not decode(saved(Image.fromarray(np.full((32, 32), 7e30, "f4")), "TIFF"), 16).any()


@pytest.mark.parametrize("colour", [2, 6])
def test_sixteen_bit_colour_keeps_its_high_byte(colour: int) -> None:
    pixel = [0x80FF, 0x1000, 0xFFFF, 0xFFFF][: 3 if colour == 2 else 4]
    line = b"\0" + struct.pack(f">{len(pixel)}H", *pixel) * 32
    body = png_chunk(b"IDAT", zlib.compress(line * 32))
    pixels = decode(png(32, 32, body, depth=16, colour=colour), 16)
    assert (pixels == (0x80, 0x10, 0xFF)).all()


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if name == "WEBP" else {}
    data = saved(ART, name, exif=exif, **options)
    with Image.open(BytesIO(data)) as stored:
        expected = ImageOps.exif_transpose(stored).convert("RGB")
    upright = open_image(data)
    assert upright.size == expected.size
    assert np.array_equal(np.asarray(upright), np.asarray(expected))
    # A square picture of the upright one, up to the direction in which it was resized first.
    loss = 2.5 if name == "JPEG" else 0.5
    assert difference(decode(data, SIZE), squeezed(expected)) <= loss


@given(orientation=st.integers(1, 8), order=st.sampled_from("<>"), kind=st.sampled_from("HI"))
@settings(max_examples=30, deadline=None)
def test_turning_commutes_with_squeezing(orientation: int, order: str, kind: str) -> None:
    plain = decode(FORMATS["JPEG"], SIZE)
    segment = b"Exif\0\0" + exif_of(orientation, order, kind)
    turned = decode(with_segment(FORMATS["JPEG"], 0xE1, segment), SIZE)
    expected = plain.swapaxes(0, 1) if orientation >= 5 else plain
    expected = expected[::-1] if orientation in {3, 4, 7, 8} else expected
    expected = expected[:, ::-1] if orientation in {2, 3, 6, 7} else expected
    assert np.array_equal(turned, expected)


def test_the_orientation_of_a_png_may_have_the_head_of_that_of_a_jpeg() -> None:
    turned = with_chunks(FORMATS["PNG"], png_chunk(b"eXIf", b"Exif\0\0" + exif_of(6)))
    assert open_image(turned).size == ART.size[::-1]


@given(st.binary(max_size=80), st.sampled_from([b"", b"II*\0", b"MM\0*", exif_of(6)[:16]]))
@settings(max_examples=100, deadline=None)
def test_a_malformed_exif_block_fails_no_cover(noise: bytes, head: bytes) -> None:
    for data in (
        with_segment(FORMATS["JPEG"], 0xE1, b"Exif\0\0" + head + noise),
        with_chunks(FORMATS["PNG"], png_chunk(b"eXIf", head + noise)),
    ):
        assert open_image(data).size in {ART.size, ART.size[::-1]}


# JPEG


JPEGS = {
    "baseline": saved(ART, "JPEG"),
    "progressive": saved(ART, "JPEG", progressive=True),
    "restarts": saved(ART, "JPEG", restart_marker_blocks=3),
    "grey": saved(ART.convert("L"), "JPEG"),
    "grey, odd sampling": re.sub(
        rb"(\xff\xc0\0\x0b.{5}\x01\x01)\x11", b"\\g<1>\x22", saved(ART.convert("L"), "JPEG")
    ),
    "rgb": saved(ART, "JPEG", keep_rgb=True),
    "cmyk": saved(ART.convert("CMYK"), "JPEG"),
    **{
        name: simplejpeg.encode_jpeg(np.ascontiguousarray(ART), colorsubsampling=name)
        for name in ("422", "420", "440", "411")
    },
}


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("size", [16, 48, 224])
def test_both_decoders_agree(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "odd" not in name or b"\x01\x22" in JPEGS[name][:400]
    fast = decode(JPEGS[name], size)
    with Image.open(BytesIO(JPEGS[name])) as whole:
        full = np.asarray(whole.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
    assert difference(fast, full) < 6

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("Unsupported marker type 0x00")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    assert difference(fast, decode(JPEGS[name], size)) < 4


def test_the_decoders_agree_on_real_covers(itunes36: Path) -> None:
    worst = []
    for path in sorted((itunes36 / "images").rglob("*.jpg"))[::18]:
        data = read_file(str(path))
        with Image.open(BytesIO(data)) as whole:
            full = np.asarray(whole.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
        worst.append(difference(decode(data, 224), full))
    assert len(worst) >= 25
    assert np.mean(worst) < 2.5
    assert max(worst) < 8


def without_adobe(jpeg: bytes) -> bytes:
    place = jpeg.index(b"\xff\xee\0\x0eAdobe")
    return jpeg[:place] + jpeg[place + 16 :]


def test_cmyk_looks_right_inverted_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    inks = ART.convert("CMYK")
    adobe = saved(inks, "JPEG", quality=95)  # Pillow writes them inverted, with Adobe's segment
    plain = without_adobe(saved(inks.point(lambda ink: 255 - ink), "JPEG", quality=95))
    stored = np.ascontiguousarray(255 - np.asarray(inks))
    ycck = simplejpeg.encode_jpeg(stored, quality=95, colorspace="CMYK")
    expected = squeezed(inks.convert("RGB"))
    for data in (adobe, plain, ycck):
        assert difference(decode(data, SIZE), expected) < 4

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("Could not determine subsampling level of JPEG image")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    for data in (adobe, plain, ycck):
        assert difference(decode(data, SIZE), expected) < 4


def test_an_arithmetic_coded_jpeg_is_read_or_refused() -> None:
    # Not every build of libjpeg has the coder: whichever it is, the answer is no other exception.
    data = FORMATS["JPEG"].replace(b"\xff\xc0", b"\xff\xc9", 1)
    with pytest.raises(BadCover, match=r"^(damaged|truncated) JPEG"):
        decode(data, SIZE)


@pytest.mark.parametrize("name", ["baseline", "progressive", "cmyk", "restarts"])
def test_trailing_bytes_are_no_damage(name: str) -> None:
    data = JPEGS[name]
    for tail in (b"\0", b"trailing bytes " * 1000, b"\xff\xda" * 1000, data):
        assert np.array_equal(decode(data + tail, SIZE), decode(data, SIZE))


def test_a_sequential_jpeg_may_lack_its_end_marker() -> None:
    data = JPEGS["baseline"]
    for cut in (data[:-2], data[:-1]):
        assert np.array_equal(decode(cut, SIZE), decode(data, SIZE))
    with pytest.raises(BadCover, match=r"^truncated JPEG"):
        decode(data[:-12], SIZE)
    with pytest.raises(BadCover, match=r"^truncated JPEG"):
        decode(JPEGS["progressive"][:-2], SIZE)


def test_a_sequential_jpeg_may_have_one_scan_a_channel() -> None:
    channels = [saved(channel, "JPEG", quality=95) for channel in ART.split()]
    grey = channels[0]
    frame, scan = grey.index(b"\xff\xc0"), grey.index(b"\xff\xda")
    size = grey[frame + 4 : frame + 9]
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    head = grey[:frame] + b"\xff\xc0\0\x11" + size + b"\3" + components
    head += grey[frame + 13 : scan]
    head = with_segment(head[:2] + head[20:], 0xEE, b"Adobe\0\x64\0\0\0\0\0")  # for JFIF, in RGB
    for number, channel in enumerate(channels, 1):
        head += b"\xff\xda\0\x08\1" + bytes((number, 0, 0, 63, 0)) + channel[scan + 10 : -2]
    assert difference(decode(head + b"\xff\xd9", SIZE), squeezed(ART)) < 2


@pytest.mark.parametrize("padding", [bytes(1), bytes(8), bytes(100), b" " * 100], ids=len)
@pytest.mark.parametrize("name", ["baseline", "progressive", "restarts"])
def test_padding_at_the_end_is_no_damage(name: str, padding: bytes) -> None:
    data = JPEGS[name]
    assert np.array_equal(decode(data[:-2] + padding + data[-2:], SIZE), decode(data, SIZE))
    if name != "progressive":
        assert np.array_equal(decode(data[:-2] + padding, SIZE), decode(data, SIZE))


def test_a_zero_between_scans_is_no_damage() -> None:
    data = JPEGS["progressive"]
    first = data.index(b"\xff\xda") + 2
    padded = data[:first] + re.sub(rb"(?=\xff[\xc4\xda])", b"\0", data[first:])
    assert np.array_equal(decode(padded, SIZE), decode(data, SIZE))
    for broken in (padded[:-2], padded[: len(padded) // 2] + b"\xff\xd9"):
        with pytest.raises(BadCover, match=r"^(damaged|truncated) JPEG"):
            decode(broken, SIZE)


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("name", ["baseline", "restarts"])
def test_padding_stands_for_no_pixels(name: str, end: bytes) -> None:
    data = JPEGS[name]
    for lost in (8, 40, len(data) // 2):
        with pytest.raises(BadCover, match=r"^(damaged|truncated) JPEG"):
            decode(data[: -2 - lost] + bytes(lost) + end, SIZE)


def test_a_wrong_spectrum_in_a_sequential_scan_hides_no_truncation() -> None:
    data = JPEGS["baseline"]
    odd = data.replace(b"\0\x3f\0", b"\0\0\0", 1)
    assert np.array_equal(decode(odd, SIZE), decode(data, SIZE))
    with pytest.raises(BadCover, match=r"^damaged JPEG: premature end of data"):
        decode(odd[: len(odd) // 2] + b"\xff\xd9", SIZE)


def test_no_jpeg_cut_in_its_pixels_is_taken_for_whole() -> None:
    for name in ("baseline", "progressive", "grey", "cmyk", "420"):
        data = JPEGS[name]
        for end in range(40, len(data) - 20, 97):
            with pytest.raises(BadCover):
                decode(data[:end], 16)


@pytest.mark.parametrize("max_side", [8, 33, 160, 1000, None])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF"])
def test_an_image_is_scaled_down_at_its_shape(name: str, max_side: int | None) -> None:
    image = open_image(FORMATS[name], max_side=max_side)
    side = min(max_side or 160, 160)
    assert image.size == (side, round(side * 120 / 160))
    small = SHOWN.get(name, ART).resize(image.size, Image.Resampling.BICUBIC)
    assert difference(np.asarray(image), np.asarray(small)) < 6


# Only the first picture, and nothing but pixels


def test_only_the_first_picture_counts() -> None:
    other = Image.new("RGB", ART.size, "red")
    for name, options in (
        ("MPO", {}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
    ):
        data = saved(ART, name, save_all=True, append_images=[other.copy()], **options)
        assert difference(decode(data, SIZE), squeezed(ART)) < 3, name
    frames = ART.quantize(), other.quantize()
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2)
    assert np.array_equal(decode(data, SIZE), squeezed(frames[0]))


def test_what_pixels_do_not_depend_on_is_not_even_unpacked() -> None:
    bomb = zlib.compress(bytes(2**26), 9)
    data = with_chunks(
        FORMATS["PNG"],
        png_chunk(b"iCCP", b"bomb\0\0" + bomb),
        png_chunk(b"zTXt", b"bomb\0\0" + bomb),
        png_chunk(b"acTL", bytes(8)),
        png_chunk(b"gAMA", b"\0"),
    )
    assert np.array_equal(decode(data, SIZE), decode(FORMATS["PNG"], SIZE))
    jpeg = with_segment(FORMATS["JPEG"], 0xE2, b"ICC_PROFILE\0\1\1" + bytes(500))
    jpeg = with_segment(jpeg, 0xE2, b"MPF\0II*\0\xff\xff\xff\xff")
    jpeg = with_segment(jpeg, 0xED, b"Photoshop 3.0\0008BIM" + bytes(3))
    assert np.array_equal(decode(jpeg, SIZE), decode(FORMATS["JPEG"], SIZE))


# What is no cover


@pytest.mark.parametrize("name", BROKEN)
def test_broken_covers_are_refused_with_the_reason(name: str) -> None:
    data, reason = BROKEN[name]
    for read in (lambda: decode(data, 64), lambda: open_image(data, max_side=64)):
        with pytest.raises(BadCover, match=reason) as refusal:
            read()
        assert "\n" not in str(refusal.value)
        assert len(str(refusal.value)) < 240


def test_the_corpus_is_written_whole(tmp_path: Path) -> None:
    reasons = write_broken_covers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(reasons) == set(BROKEN)
    assert {path.suffix for path in tmp_path.iterdir()} <= IMAGE_SUFFIXES


def test_limits_hold_for_every_format() -> None:
    for data in FORMATS.values():
        pixels = ART.width * ART.height
        assert decode(data, 16, limits=Limits(len(data), pixels)).any()
        with pytest.raises(BadCover, match=r"^160 x 120 pixels is over the limit of 19,199 "):
            decode(data, 16, limits=Limits(max_pixels=pixels - 1))
        with pytest.raises(BadCover, match=r"bytes is over the limit of"):
            open_image(data, Limits(max_bytes=len(data) - 1))


def test_the_smallest_and_longest_covers_are_read() -> None:
    for size in ((55, 55), (16, 16), (16, 128), (128, 16)):
        assert decode(saved(drawn(*size), "PNG"), SIZE).shape == (SIZE, SIZE, 3)
    for size in ((15, 16), (16, 129)):
        with pytest.raises(BadCover, match="to be a cover"):
            decode(saved(drawn(*size), "PNG"), SIZE)


@pytest.mark.whole
def test_bombs_take_no_memory() -> None:
    program = (
        "import resource\n"
        "from albo.errors import BadCover\n"
        "from albo.images import decode\n"
        "from tests.broken_covers import broken_covers, drawn, saved\n"
        "corpus = broken_covers()\n"
        "for name in ('JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF'):\n"
        "    decode(saved(drawn(), name), 16)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for data, _ in corpus.values():\n"
        "    try:\n"
        "        decode(data, 64)\n"
        "    except BadCover:\n"
        "        pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    answer = subprocess.run(  # noqa: S603 our own program
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(answer.stdout) < 32 * 1024  # KiB
    assert answer.stderr == ""


# Laws


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_pixels_or_a_reason(data: bytes) -> None:
    try:
        pixels = decode(data, 16)
    except BadCover:
        return
    assert pixels.shape == (16, 16, 3)


@pytest.mark.whole
@given(
    name=st.sampled_from(sorted(FORMATS)),
    cut=st.integers(0, 4000),
    edits=st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=6)), max_size=4),
)
@settings(max_examples=400, deadline=None)
def test_any_mutation_is_pixels_or_a_reason(
    name: str, cut: int, edits: list[tuple[int, bytes]]
) -> None:
    data = bytearray(FORMATS[name])
    for place, noise in edits:
        # Half of the edits go to the header, where the structure is.
        start = place % (len(data) if place % 2 else min(120, len(data)))
        data[start : start + len(noise)] = noise
    if cut < 500:
        del data[cut * len(data) // 500 :]
    limits = Limits(max_pixels=10**6)
    for read in (
        lambda: decode(bytes(data), 16, limits=limits),
        lambda: open_image(bytes(data), limits),
    ):
        try:
            found = np.asarray(read())
        except BadCover:
            continue
        assert found.dtype == np.uint8
        assert found.ndim == 3


@pytest.mark.parametrize(
    "image",
    [Image.new("F", (2000, 2000)), Image.new("I;16", (2000, 2000))],
    ids=lambda image: image.mode,
)
def test_deep_grey_is_rescaled_by_bands(image: Image.Image) -> None:
    data = saved(image, "TIFF", compression="tiff_adobe_deflate")
    decode(data, 16)
    tracemalloc.start()
    decode(data, 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 2**20


def test_what_needs_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(images, "_load", full)
    for read in (lambda: decode(FORMATS["PNG"], SIZE), lambda: open_image(FORMATS["PNG"])):
        with pytest.raises(BadCover, match=r"^this PNG needs more memory .* lower --max-mpx$"):
            read()


@pytest.mark.parametrize(("name", "together"), [("PNG", 1), ("progressive", 1), ("JPEG", 2)])
def test_giants_are_decoded_one_at_a_time(
    name: str, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_GIANT", 10_000)
    load, inside, most = images._load, [], []

    def counting(*given: object) -> Image.Image:
        inside.append(1)
        time.sleep(0.05)
        most.append(len(inside))
        inside.pop()
        return load(*given)

    monkeypatch.setattr(images, "_load", counting)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda data: decode(data, SIZE), [FORMATS[name]] * 2))
    assert max(most) == together


@pytest.mark.parametrize("name", [*FORMATS])
def test_a_picture_at_two_sizes_is_what_each_is_alone(name: str) -> None:
    for size, side in ((16, 24), (24, 16), (64, None)):
        picture = Picture(FORMATS[name])
        assert np.array_equal(picture.square(size), decode(FORMATS[name], size))
        alone = open_image(FORMATS[name], max_side=side)
        assert picture.page(side).tobytes() == alone.tobytes()


@pytest.mark.parametrize(
    ("format_name", "sizes", "decodings"),
    [("PNG", (224, 640), 1), ("JPEG", (224, 640), 2), ("JPEG", (630, 640), 1)],
)
def test_a_picture_is_checked_once_and_decoded_as_seldom_as_costs_no_accuracy(
    format_name: str,
    sizes: tuple[int, int],
    decodings: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = BytesIO()
    Image.effect_noise((1000, 1000), 64).convert("RGB").save(written, format_name)
    counted: list[str] = []
    for name in ("_inspect", "_load"):
        act = getattr(images, name)
        monkeypatch.setattr(
            images, name, lambda *given, _n=name, _act=act: (counted.append(_n), _act(*given))[1]
        )
    picture = Picture(written.getvalue())
    picture.square(sizes[0])
    picture.page(sizes[1])
    assert counted.count("_inspect") == 1
    assert counted.count("_load") == decodings


@pytest.mark.whole
def test_threads_change_nothing() -> None:
    filters = list(warnings.filters)
    ceiling = Image.MAX_IMAGE_PIXELS
    work = [*FORMATS.values(), *(data for data, _ in BROKEN.values())] * 4

    def answer(data: bytes) -> bytes | str:
        try:
            return decode(data, 32).tobytes()
        except BadCover as refusal:
            return str(refusal)

    serial = [answer(data) for data in work]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, work)) == serial
    assert warnings.filters == filters
    assert ceiling == Image.MAX_IMAGE_PIXELS


def test_a_limit_that_the_program_gave_pillow_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    for data in FORMATS.values():
        with pytest.raises(BadCover, match="is over the limit of 10,000"):
            decode(data, 16)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(FORMATS["PNG"], 16).any()


# --- examining -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_whole_is_said_to_be_what_it_is(name: str) -> None:
    facts = examine(FORMATS[name])
    kind = {"progressive": "jpeg", "lossy WebP": "webp"}.get(
        name, name.rsplit(maxsplit=1)[-1].lower()
    )
    assert facts == Facts(f"image/{kind}", *ART.size)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused_without_a_pixel_kept(name: str) -> None:
    data, reason = BROKEN[name]
    with pytest.raises(BadCover, match=reason):
        examine(data)


def test_sizes_are_those_of_the_upright_cover() -> None:
    lying = images._LYING
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        facts = examine(saved(ART, "JPEG", exif=exif))
        across = ART.size if orientation not in lying else ART.size[::-1]
        assert (facts.width, facts.height) == across


@pytest.mark.parametrize("name", ["JPEG", "progressive"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_what_is_cut_short_is_seen_wherever_decoding_sees_it(name: str, mode: str) -> None:
    data = saved(ART.convert(mode), "JPEG", progressive=name == "progressive", quality=90)
    for length in range(64, len(data), len(data) // 40):
        seen = []
        for look in (examine, lambda cut: decode(cut, SIZE)):
            try:
                look(data[:length])
            except BadCover as error:
                seen.append(str(error))
        assert len(seen) in {0, 2}, f"{length} of {len(data)} bytes: {seen}"
