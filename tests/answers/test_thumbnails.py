"""Thumbnails: what can still be read on a cover of 55 pixels, with the real reader."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw, ImageFont

from albo.answers import THUMBNAIL, Title
from albo.answers.thumbnails import Thumbnail, shrink
from albo.records import Line, Words
from albo.words import open_reader

if TYPE_CHECKING:
    from albo.words import Reader

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def reader() -> Reader:
    return open_reader(single=True)


def titled(*lines: tuple[str, int, int], size: tuple[int, int] = (640, 640)) -> Image.Image:
    """Draw lines of text, each so many pixels high and so far down, black on white."""
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    for text, top, height in lines:
        pen.text((30, top), text, "black", ImageFont.load_default(height))
    return image


def shrunk(reader: Reader, cover: Image.Image, title: str = "") -> Thumbnail:
    (words,) = reader.read([cover])
    return shrink(cover, words, reader.read_at, title)


def test_a_huge_line_can_be_read_at_55_pixels_and_a_tiny_one_cannot(reader: Reader) -> None:
    cover = titled(("recorded in one afternoon", 60, 22), ("METAL", 220, 180))
    found = shrunk(reader, cover)
    assert [line.text for line in found.lines] == ["METAL", "recorded in one afternoon"]
    huge, tiny = found.lines
    assert found.title == Title("METAL", False, 1.0, 1.0, huge.pixels)
    assert (huge.legible, tiny.legible) == (True, False)
    # 180 pixels of letters are 130 of capitals and a rim: of 640 pixels, 55 are left.
    assert 8 < huge.pixels < 22
    assert 1 < tiny.pixels < 4
    small = Image.open(io.BytesIO(found.picture))
    assert (small.format, small.size) == ("PNG", (THUMBNAIL, THUMBNAIL))


def test_a_thumbnail_keeps_the_shape_of_its_cover(reader: Reader) -> None:
    found = shrunk(reader, titled(("JAZZ", 40, 150), size=(800, 400)))
    assert Image.open(io.BytesIO(found.picture)).size == (55, 28)
    assert found.title is not None
    assert found.title.legible


def test_a_line_is_as_high_as_its_letters_however_it_is_turned(reader: Reader) -> None:
    """Corners go clockwise as the text is read: here it runs upwards along the left edge."""
    upwards = Line("SIDEWAYS", (0.0, 0.9, 0.0, 0.1, 0.2, 0.1, 0.2, 0.9), 1.0)
    level = Line("LEVEL", (0.3, 0.5, 0.9, 0.5, 0.9, 0.6, 0.3, 0.6), 1.0)
    found = shrink(titled(), Words((level, upwards)), reader.read_at)
    assert [(line.text, round(line.pixels, 3)) for line in found.lines] == [
        ("SIDEWAYS", 11.0),
        ("LEVEL", 5.5),
    ]
    assert not any(line.legible for line in found.lines), "nothing of it is there"


@pytest.mark.parametrize("words", [None, Words(), Words(error="its words could not be read")])
def test_a_cover_without_words_has_a_thumbnail_and_no_title(
    reader: Reader, words: Words | None
) -> None:
    found = shrink(titled(("METAL", 220, 180)), words, reader.read_at)
    assert (found.lines, found.title) == ((), None)
    assert Image.open(io.BytesIO(found.picture)).size == (55, 55)


@pytest.mark.parametrize("size", [(1, 1), (20, 31), (2000, 3)])
def test_covers_of_any_size_have_thumbnails(reader: Reader, size: tuple[int, int]) -> None:
    line = Line("x", (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0), 1.0)
    found = shrink(Image.new("RGB", size), Words((line,)), reader.read_at)
    small = Image.open(io.BytesIO(found.picture))
    assert max(small.size) <= 55
    assert found.title is not None
    assert found.title.pixels == pytest.approx(small.height)


def test_what_nobody_sees_is_not_read(reader: Reader) -> None:
    """A reader evens out what it looks at: to it, light grey on white is black on white."""

    def faint(grey: int) -> Thumbnail:
        image = Image.new("RGB", (640, 640), (250, 250, 250))
        font = ImageFont.load_default(180)
        ImageDraw.Draw(image).text((30, 220), "METAL", (grey,) * 3, font)
        return shrunk(reader, image)

    for grey, legible in ((120, True), (240, False)):
        title = faint(grey).title
        assert title is not None
        assert (title.text, title.legible) == ("METAL", legible)


def test_a_title_in_several_lines_is_one(reader: Reader) -> None:
    found = shrunk(reader, titled(("HAVE", 40, 150), ("BLUES", 220, 150), ("Roy", 500, 40)))
    assert found.title == Title(
        "HAVE BLUES", is_named=False, on_cover=1.0, share=1.0, pixels=found.lines[0].pixels
    )


def test_a_named_title_is_sought_on_the_cover(reader: Reader) -> None:
    cover = titled(("METAL", 220, 180), ("recorded in one afternoon", 60, 22))

    def seek(title: str) -> Title | None:
        return shrunk(reader, cover, title).title

    metal, small, other = seek("Metal!"), seek("One Afternoon"), seek("Night Train")
    assert metal is not None
    assert small is not None
    assert (metal.text, metal.is_named, metal.is_found, metal.legible) == (
        "Metal!",
        True,
        True,
        True,
    )
    assert 8 < metal.pixels < 22
    assert (small.is_found, small.legible) == (True, False)
    assert 1 < small.pixels < 4
    assert other == Title("Night Train", is_named=True, on_cover=0.0, share=0.0, pixels=0.0)


def test_a_named_title_is_not_found_where_nothing_is_read(reader: Reader) -> None:
    assert shrunk(reader, titled(), "Night Train").title == Title(
        "Night Train", True, False, 0.0, 0.0
    )
    unread = shrink(titled(), None, reader.read_at, "Night Train")
    assert unread.title is None, "nobody looked"
