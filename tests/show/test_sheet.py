"""Contact sheets: any text, any image, and nothing outside its box."""

from __future__ import annotations

import csv
import io
import unicodedata
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from albo.errors import CannotWrite, UsageError
from albo.show import Bar, SheetRow, Tile, draw_sheet, lettering, save_sheet, sheet
from albo.show.lettering import PAPER, clean_text
from albo.show.sheet import draw_grid

if TYPE_CHECKING:
    from pathlib import Path

BLUE = Image.new("RGB", (40, 40), (30, 60, 200))

HOSTILE = [
    "",
    "   ",
    "two\nlines\r\nand a\ttab",
    "\x00\x07\x1b[31mred\x1b[0m\x7f",
    "\u202egnp.live\u202c \u2066x\u2069 \u200f",
    "x" * 10_000,
    "W" * 10_000 + "\n" * 10_000,
    "party \U0001f389\U0001f44d\U0001f3fd \u2603\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "방탄소년단 화양연화",
    "椎名林檎 無罪モラトリアム",
    "فيروز معرفتي فيك",
    "Björk — Ágætis byrjun",
    "Z" + "\u0321\u0362\u0338" * 300,
    "\ud800 lone surrogate",
    "\ufffe\uffff\U0010ffff",
]


def rim_is_paper(image: Image.Image, tile: int) -> bool:
    """Tell whether the whole outer margin has the colour of the ground."""
    rim = round(20 * tile / 180)
    pixels = np.asarray(image)
    parts = (pixels[:rim], pixels[-rim:], pixels[:, :rim], pixels[:, -rim:])
    return all((part == PAPER).all() for part in parts)


def hostile_row(text: str, neighbours: int = 3) -> SheetRow:
    tile = Tile(BLUE, text, text, text)
    missing = Tile(None, text, text, text)
    bars = tuple(Bar(text, value, mark=bool(k % 2)) for k, value in enumerate((0.9, 0.1, 0.0)))
    return SheetRow(missing, (tile, missing, tile)[:neighbours], bars)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("tile", [48, 120])
def test_no_text_leaves_its_box(text: str, tile: int) -> None:
    rows = [hostile_row(text), hostile_row(text, 1), hostile_row(text, 0)]
    assert rim_is_paper(draw_sheet(rows, text, text, tile), tile)
    tiles = [Tile(BLUE, text, text, text)] * 5
    assert rim_is_paper(draw_grid(tiles, text, 3, tile), tile)


def test_a_long_title_does_not_reach_the_next_tile() -> None:
    """The gap between two tiles stays blank, whatever stands below them."""
    long = draw_grid([Tile(BLUE, "W" * 999, "W" * 999, "W" * 999)] * 2, "two", 2, 160)
    pixels = np.asarray(long)
    left, gap = round(28 * 160 / 180) + 160, round(14 * 160 / 180)
    head = pixels.shape[0] // 4
    assert (pixels[head:, left : left + gap] == PAPER).all()
    below = pixels[-80:, left - 160 : left]
    assert not (below == PAPER).all()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=600))
def test_clean_text_is_one_short_printable_line(text: str) -> None:
    clean = clean_text(text)
    assert len(clean) <= 400
    assert clean == clean.strip()
    assert not any(unicodedata.category(letter)[0] == "C" for letter in clean)
    assert "\n" not in clean
    assert "  " not in clean
    assert clean_text(clean) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("two\nlines", "two lines"),
        ("a\u202eb\u2066c", "abc"),
        ("\x1b[31mred", "[31mred"),
        ("e\u0301", "é"),
        ("Z\u0321\u0322\u0327\u0328", "Z\u0321\u0322"),
        ("방탄", "방탄"),
        ("\u2603\ufe0f", "\u2603"),
        (" \u00a0 ", ""),
    ],
)
def test_clean_text_by_example(text: str, clean: str) -> None:
    assert clean_text(text) == clean


@pytest.fixture
def no_system_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only Pillow's own font, as on a bare machine."""
    monkeypatch.setattr(lettering, "_FALLBACK_FONTS", ())
    lettering._set_in_font.cache_clear()
    yield
    lettering._set_in_font.cache_clear()


@pytest.mark.usefixtures("no_system_fonts")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Plain", "Plain"),
        ("Björk Ágætis", "Bjork Ag…tis"),
        ("방탄소년단 live", "… live"),
        ("椎名 林檎", "…"),
        ("\U0001f389 party \U0001f389", "… party …"),
    ],
)
def test_what_no_font_has_becomes_an_ellipsis(text: str, shown: str) -> None:
    assert lettering._set_in_font(text) == ("", shown)


@pytest.mark.usefixtures("no_system_fonts")
@pytest.mark.parametrize("text", HOSTILE)
def test_a_bare_machine_draws_every_text(text: str) -> None:
    assert rim_is_paper(draw_sheet([hostile_row(text)], text, text, 60), 60)


def test_a_shortened_text_is_as_long_as_fits() -> None:
    font = lettering._font("", 20)
    assert font is not None
    text = "The Rise and Fall of a Long Title"
    for width in range(0, 400, 7):
        fitted = lettering._fitted(text, font, width)
        assert font.getlength(fitted) <= width
        if fitted not in {"", text}:
            assert fitted.endswith("…")
            longer = text[: len(fitted) + 2].rstrip() + "…"
            assert font.getlength(longer) > width


def test_empty_sheets_say_so_and_have_a_size() -> None:
    for image in (draw_sheet([], "nothing"), draw_grid([], "nothing")):
        assert image.mode == "RGB"
        assert min(image.size) > 100
        assert rim_is_paper(image, 160)
        assert (np.asarray(image) != PAPER).any()


def test_rows_may_have_neither_neighbours_nor_bars() -> None:
    alone = draw_sheet([SheetRow(Tile(BLUE, "alone"), ())], "one", tile=100)
    both = draw_sheet([SheetRow(Tile(BLUE, "a"), (Tile(BLUE, "b"),), (Bar("c", 1.0),))], "two")
    assert alone.width < both.width
    assert rim_is_paper(alone, 100)


def test_a_missing_image_is_drawn_as_words() -> None:
    missing = np.asarray(draw_grid([Tile(None, "x")], "t", tile=200))
    white = Image.new("RGB", (9, 9), "white")
    blank = np.asarray(draw_grid([Tile(white, "x")], "t", tile=200))
    assert missing.shape == blank.shape
    dark = (missing.max(axis=2) < 130).sum() - (blank.max(axis=2) < 130).sum()
    assert dark > 150


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (1, 1), "red"),
        Image.new("RGB", (3000, 1), "red"),
        Image.new("RGB", (1, 3000), "red"),
        Image.new("RGB", (0, 5)),
        Image.new("RGBA", (30, 40), (255, 0, 0, 0)),
        Image.new("LA", (30, 40)),
        Image.new("P", (30, 40)),
        Image.new("1", (30, 40)),
        Image.new("CMYK", (30, 40)),
        Image.new("I;16", (30, 40)),
        Image.new("F", (30, 40)),
        Image.new("YCbCr", (30, 40)),
    ],
    ids=lambda image: f"{image.mode} {image.size}",
)
def test_any_picture_stays_in_its_square(image: Image.Image) -> None:
    assert rim_is_paper(draw_grid([Tile(image, "a")] * 2, "t", tile=90), 90)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF"])
def test_a_file_found_damaged_when_drawn_is_a_missing_image(kind: str) -> None:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind)
    whole = stream.getvalue()
    half = Image.open(io.BytesIO(whole[:200] + b"\x00" * 9 if kind == "PNG" else whole[:-1500]))
    damaged = draw_grid([Tile(half, "a")], "t")
    assert damaged.tobytes() == draw_grid([Tile(None, "a")], "t").tobytes()


def test_pictures_keep_their_proportions_and_transparency_is_white() -> None:
    wide = Image.new("RGB", (200, 100), (255, 0, 0))
    pixels = np.asarray(draw_grid([Tile(wide, "")], "", tile=120)).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    assert (len(rows), len(columns)) == (60, 120)
    clear = Image.new("RGBA", (50, 50), (255, 0, 0, 0))
    pixels = np.asarray(draw_grid([Tile(clear, "")], "", tile=120))
    assert (pixels == (255, 255, 255)).all(axis=2).sum() > 100 * 100


def test_the_picture_given_is_not_changed() -> None:
    image = Image.new("RGB", (180, 180), "white")
    before = image.tobytes()
    draw_sheet([SheetRow(Tile(image, "a", mark="query"), ())], "t")
    assert image.tobytes() == before


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.001, 0.5, 1.0, 7.0, np.nan, np.inf, -np.inf])
def test_any_value_keeps_its_bar_in_the_column(value: float) -> None:
    row = SheetRow(Tile(BLUE, "a"), (), (Bar("genre", value, mark=True),))
    assert rim_is_paper(draw_sheet([row], "t", tile=100), 100)


def test_longer_bars_for_larger_values() -> None:
    def ink(value: float) -> int:
        row = SheetRow(Tile(BLUE, "a"), (), (Bar("", value, mark=True),))
        return int((np.asarray(draw_sheet([row], "t")) == (36, 76, 140)).all(axis=2).sum())

    assert ink(0.0) == 0
    assert 0 < ink(0.25) < ink(0.5) < ink(1.0)


@pytest.mark.parametrize(
    ("value", "printed"),
    [(0.0, "0 %"), (0.004, "< 1 %"), (0.414, "41 %"), (1.0, "100 %"), (float("nan"), "n/a")],
)
def test_values_are_printed(value: float, printed: str) -> None:
    assert sheet._percent(value) == printed


def test_marked_bars_differ_in_more_than_colour() -> None:
    """In greys, a marked bar is still solid and an unmarked one hollow."""

    def dark(mark: bool) -> int:
        row = SheetRow(Tile(BLUE, "a"), (), (Bar("", 1.0, mark=mark),))
        page = np.asarray(draw_sheet([row], "t").convert("L"))
        return int((page[:, -300:] < 110).sum())

    assert dark(True) > 2 * dark(False)


def test_more_bars_than_fit_are_counted_not_overflowed() -> None:
    many = tuple(Bar(f"genre {k}", 1 / (k + 1)) for k in range(200))
    one = draw_sheet([SheetRow(Tile(BLUE, "a"), (), many)], "t")
    few = draw_sheet([SheetRow(Tile(BLUE, "a"), (), many[:1])], "t")
    assert one.size == few.size
    assert rim_is_paper(one, 180)


def test_the_same_rows_make_the_same_picture() -> None:
    row = hostile_row("Same")
    assert draw_sheet([row], "t").tobytes() == draw_sheet([row], "t").tobytes()


@pytest.mark.parametrize("tile", [0, 47, 1001, -180])
def test_tile_sizes_out_of_range_are_refused(tile: int) -> None:
    with pytest.raises(UsageError, match=f"tiles of {tile} px .* 48 to 1000"):
        draw_sheet([], "t", tile=tile)
    with pytest.raises(UsageError, match=f"tiles of {tile} px .* 48 to 1000"):
        draw_grid([], "t", tile=tile)


def test_sheets_too_large_to_open_are_refused_before_they_are_drawn() -> None:
    row = SheetRow(Tile(BLUE, "a"), ())
    with pytest.raises(UsageError, match=r"a sheet of 5000 rows .* draw fewer"):
        draw_sheet([row] * 5000, "t")
    with pytest.raises(UsageError, match=r"a sheet of 90000 covers .* 120 Mpx"):
        draw_grid([Tile(BLUE, "a")] * 90_000, "t", columns=300)
    with pytest.raises(UsageError, match="0 columns were asked for"):
        draw_grid([], "t", columns=0)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("b.JPG", "JPEG"), ("c.jpeg", "JPEG")]
)
def test_save_by_suffix_leaves_one_file(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "new" / name
    save_sheet(draw_sheet([], "t"), path)
    save_sheet(draw_sheet([hostile_row("again")], "t"), path)
    with Image.open(path) as image:
        image.load()
        assert image.format == kind
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.txt"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.png or \.jpg"):
        save_sheet(draw_sheet([], "t"), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotWrite, match="cannot write"):
        save_sheet(draw_sheet([], "t"), tmp_path / "file" / "a.png")


def test_a_sheet_of_real_covers(itunes36: Path) -> None:
    with (itunes36 / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))[::60]
    tiles = [Tile(Image.open(itunes36 / r["file"]), r["album"], r["artist"]) for r in rows]
    image = draw_sheet(
        [SheetRow(tiles[0], tuple(tiles[1:]), (Bar("Jazz", 0.4),))], "real", "covers"
    )
    for tile in tiles:
        assert tile.image is not None
        tile.image.close()
    assert rim_is_paper(image, 180)
    assert np.asarray(image).std() > 30
