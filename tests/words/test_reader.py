"""The reader: known words in drawn and real covers; nothing hostile makes it long or large."""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from albo.errors import BadCover, MissingReader, RuntimeFailed
from albo.records import Device, Line
from albo.words import boxes, open_reader, prepare, reader, reader_card
from albo.words.boxes import MAX_LINES
from albo.words.reader import OpenVinoReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from albo.records import Words
    from albo.words import Reader

TITLES = ("QUIET RIVERS", "Night Train", "volume 12")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what this module compiles apart from the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def opened() -> Reader:
    return open_reader()


def draw(*lines: str, size: int = 640, letters: int = 48, mode: str = "RGB") -> Image.Image:
    """Write lines below each other, dark on light."""
    image = Image.new(mode, (size, size), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(letters)
    for row, line in enumerate(lines):
        pen.text((size // 10, size // 8 + row * letters * 3), line, "black", font)
    return image


def texts(words: Words) -> list[str]:
    assert words.error == ""
    return [line.text for line in words.lines]


def read_one(opened: Reader, image: Image.Image) -> Words:
    [words] = opened.read([image])
    return words


# --- what it reads -------------------------------------------------------------------------------


@pytest.mark.whole
@pytest.mark.parametrize("letters", [24, 48, 80])
def test_drawn_words_are_read_exactly(opened: Reader, letters: int) -> None:
    words = read_one(opened, draw(*TITLES, letters=letters))
    assert texts(words) == list(TITLES)
    assert all(line.confidence > 0.9 for line in words.lines)


@pytest.mark.whole
def test_a_box_lies_round_its_line(opened: Reader) -> None:
    font = ImageFont.load_default(48)
    left, top, right, bottom = font.getbbox(TITLES[0])
    [line] = read_one(opened, draw(TITLES[0])).lines
    x, y = line.box[::2], line.box[1::2]
    tolerance = 12 / 640
    assert min(x) == pytest.approx((64 + left) / 640, abs=tolerance)
    assert max(x) == pytest.approx((64 + right) / 640, abs=tolerance)
    assert min(y) == pytest.approx((80 + top) / 640, abs=tolerance)
    assert max(y) == pytest.approx((80 + bottom) / 640, abs=tolerance)
    assert x[0] < x[1] > x[3]
    assert y[0] < y[3] > y[1]


@pytest.mark.whole
def test_lines_come_from_top_to_bottom_and_left_to_right(opened: Reader) -> None:
    image = draw("below", letters=40)
    image = image.transform(image.size, Image.Transform.AFFINE, (1, 0, 0, 0, 1, -300), fill=1)
    image.paste("white", (0, 0, 640, 300))
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(40)
    pen.text((400, 60), "right", "black", font)
    pen.text((40, 64), "left", "black", font)
    assert texts(read_one(opened, image)) == ["left", "right", "below"]


@pytest.mark.whole
@pytest.mark.parametrize("angle", [-30, -12, 7, 25])
def test_slanted_words_are_read(opened: Reader, angle: int) -> None:
    image = Image.new("RGB", (640, 640), "white")
    ImageDraw.Draw(image).text((150, 290), "QUIET RIVERS", "black", ImageFont.load_default(48))
    turned = image.rotate(angle, Image.Resampling.BICUBIC, fillcolor="white")
    assert texts(read_one(opened, turned)) == ["QUIET RIVERS"]


@pytest.mark.whole
@pytest.mark.parametrize(
    ("turn", "begins"),
    [(Image.Transpose.ROTATE_90, (0.1, 0.9)), (Image.Transpose.ROTATE_270, (0.9, 0.1))],
)
def test_words_that_run_up_or_down_are_read(
    opened: Reader, turn: Image.Transpose, begins: tuple[float, float]
) -> None:
    [line] = read_one(opened, draw("QUIET RIVERS").transpose(turn)).lines
    assert line.text == "QUIET RIVERS"
    assert line.box[:2] == pytest.approx(begins, abs=0.05)


# --- lines whose places are known ----------------------------------------------------------------


@pytest.mark.whole
def test_lines_are_read_where_they_are_known_to_be(opened: Reader) -> None:
    """On a picture an eighth of the size, scaled up again: what a thumbnail is read as."""
    cover = draw(*TITLES)
    lines = read_one(opened, cover).lines
    small = cover.resize((320, 320)).resize((640, 640))
    assert opened.read_at(small, lines) == TITLES
    assert opened.read_at(small, lines[::-1]) == TITLES[::-1]
    assert opened.read_at(small, ()) == ()


@pytest.mark.whole
def test_what_is_not_there_is_not_read(opened: Reader) -> None:
    lines = read_one(opened, draw(*TITLES)).lines
    assert opened.read_at(Image.new("RGB", (640, 640), "white"), lines) == ("", "", "")
    assert opened.read_at(draw(TITLES[0]), lines) == (TITLES[0], "", "")


@pytest.mark.whole
@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270])
def test_a_line_that_runs_up_or_down_is_read_where_it_is(
    opened: Reader, turn: Image.Transpose
) -> None:
    cover = draw("QUIET RIVERS").transpose(turn)
    assert opened.read_at(cover, read_one(opened, cover).lines) == ("QUIET RIVERS",)


@pytest.mark.whole
@pytest.mark.parametrize(
    "corners",
    [
        (0.0,) * 8,
        (0.5,) * 8,
        (0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0),
        (1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0),
        (0.0, 0.9, 0.0, 0.1, 0.0, 0.1, 0.0, 0.9),
    ],
)
def test_a_place_that_is_none_says_nothing(opened: Reader, corners: tuple[float, ...]) -> None:
    title = read_one(opened, draw(TITLES[0])).lines[0]
    (nothing, read) = opened.read_at(draw(TITLES[0]), [Line("", corners, 1.0), title])
    assert (nothing == "", read) == (True, TITLES[0])


@pytest.mark.whole
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P"])
def test_every_mode_of_image_is_read(opened: Reader, mode: str) -> None:
    assert texts(read_one(opened, draw("QUIET RIVERS").convert(mode))) == ["QUIET RIVERS"]


@pytest.mark.whole
def test_a_small_cover_is_read(opened: Reader) -> None:
    assert texts(read_one(opened, draw("Night Train", size=160, letters=16))) == ["Night Train"]


@pytest.mark.whole
@pytest.mark.parametrize("colour", ["white", "black", "grey", "red"])
def test_a_blank_cover_says_nothing(opened: Reader, colour: str) -> None:
    words = read_one(opened, Image.new("RGB", (640, 640), colour))
    assert (words.lines, words.error) == ((), "")


REAL = {
    "1003192747.jpg": ["テーマソングス"],
    "1012332917.jpg": ["佛子行", "三十七誦"],
    "1016912036.jpg": ["誰しもの心に残る日本の童謡・叙情歌", "心のふるさとがここにあります"],
}


@pytest.mark.whole
def test_real_covers_in_several_scripts(opened: Reader, itunes36: Path) -> None:
    said = {
        file.name: texts(read_one(opened, prepare(file.read_bytes())))
        for file in sorted((itunes36 / "images").rglob("*"))
        if file.name in REAL
    }
    assert set(said) == set(REAL)
    for name, lines in REAL.items():
        assert set(lines) <= set(said[name])


# --- many covers ---------------------------------------------------------------------------------


@pytest.mark.whole
def test_the_order_stays_and_company_does_not_matter(opened: Reader) -> None:
    rng = np.random.default_rng(3)
    covers = []
    for number in range(10, 18):
        image = draw(f"number {number}", "of twelve", letters=int(rng.integers(20, 70)))
        covers.append(image.resize((640, int(rng.integers(300, 640)))))
    together = list(opened.read(covers))
    assert together == [read_one(opened, image) for image in covers]
    assert together[::-1] == list(opened.read(covers[::-1]))
    assert [words.lines[0].text for words in together] == [f"number {n}" for n in range(10, 18)]


@pytest.mark.whole
def test_it_looks_ahead_by_a_few_covers_only(opened: Reader) -> None:
    taken = []

    def covers() -> Iterator[Image.Image]:
        for number in range(100):
            taken.append(number)
            yield Image.new("RGB", (64, 64))

    reading = opened.read(covers())
    next(reading)
    assert len(taken) < 20
    reading.close()
    assert len(taken) < 20


@pytest.mark.whole
def test_nothing_to_read(opened: Reader) -> None:
    assert list(opened.read([])) == []


@pytest.mark.whole
def test_for_one_cover_it_says_the_same(opened: Reader) -> None:
    image = draw(*TITLES)
    single = open_reader(Device.CPU, single=True)
    assert single.fingerprint == opened.fingerprint
    assert texts(read_one(single, image)) == texts(read_one(opened, image))


# --- what is hostile or broken -------------------------------------------------------------------


@pytest.mark.whole
@pytest.mark.parametrize(
    "size", [(1, 1), (2, 640), (640, 1), (5000, 10), (10, 5000), (3000, 3000), (31, 33)]
)
def test_any_shape_is_read_soon(opened: Reader, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    started = time.process_time()
    words = read_one(opened, Image.fromarray(noise))
    assert words.error == ""
    assert time.process_time() - started < 10


@pytest.mark.long
def test_a_sheet_full_of_words_is_read_up_to_a_limit(opened: Reader) -> None:
    image = Image.new("RGB", (640, 640), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(10)
    for y in range(4, 636, 16):
        for x in range(4, 620, 40):
            pen.text((x, y), "abc", "black", font)
    asked = []
    ask = OpenVinoReader._text

    def counting(self: OpenVinoReader, line: Image.Image) -> tuple[str, float]:
        asked.append(line.size)
        return ask(self, line)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenVinoReader, "_text", counting)
        words = read_one(opened, image)
    assert 50 < len(asked) <= MAX_LINES
    assert len(words.lines) > 50


def test_of_too_many_places_the_largest_are_read() -> None:
    marked = np.zeros((736, 736), np.float32)
    for number in range(400):
        y, x = 20 + number // 20 * 34, 10 + number % 20 * 36
        marked[y : y + 8, x : x + (20 if number % 2 else 12)] = 1.0
    found = list(boxes.find_boxes(marked))
    assert len(found) == MAX_LINES == 200
    assert min(np.ptp(corners[:, 0]) for corners in found) > 20


@pytest.mark.whole
def test_noise_in_the_detectors_map_takes_no_minutes() -> None:
    noise = np.random.default_rng(1).random((736, 736), np.float32)
    started = time.process_time()
    assert len(list(boxes.find_boxes(noise))) <= MAX_LINES
    checks = np.indices((736, 736)).sum(axis=0) % 2 * np.float32(1.0)
    assert len(list(boxes.find_boxes(checks))) <= MAX_LINES
    assert time.process_time() - started < 10


def test_a_line_is_never_wider_than_the_limit() -> None:
    pixels = reader._line_pixels(Image.new("RGB", (20_000, 10)))
    assert pixels.shape == (48, 2048, 3)
    assert reader._line_pixels(Image.new("RGB", (1, 600))).shape[0] == 48


@pytest.mark.whole
def test_one_broken_cover_is_said_and_the_others_are_read(opened: Reader) -> None:
    file = io.BytesIO()
    draw("cut short").save(file, "PNG")
    broken = Image.open(io.BytesIO(file.getvalue()[:900]))
    first, second, third = opened.read([draw("before"), broken, draw("after")])
    assert texts(first) == ["before"]
    assert second.lines == ()
    assert second.error == "its words could not be read (OSError)"
    assert texts(third) == ["after"]


@pytest.mark.whole
def test_a_broken_engine_stops_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def create_infer_request(self) -> object:
            raise RuntimeError("Exception from src/core.cpp:\nout of memory")

    broken = open_reader(single=True)
    monkeypatch.setattr(broken, "_detect", Broken())
    with pytest.raises(RuntimeFailed, match=r"^OpenVINO failed \(out of memory\); free some"):
        list(broken.read([draw("one")]))


def test_covers_are_prepared_small_and_upright() -> None:
    file = io.BytesIO()
    Image.new("L", (1600, 800)).save(file, "JPEG")
    image = prepare(file.getvalue())
    assert (image.mode, image.size) == ("RGB", (640, 320))
    with pytest.raises(BadCover):
        prepare(b"no cover")


# --- the package ---------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a copy of the package's networks first on the path; returns their folder."""
    spec = importlib.util.find_spec("rapidocr")
    assert spec is not None
    assert spec.origin is not None
    folder = tmp_path / "rapidocr" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise AssertionError('imported')")
    for file in (Path(spec.origin).parent / "models").glob("PP-OCRv6_*_small.onnx"):
        shutil.copy(file, folder)
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


@pytest.mark.whole
def test_the_fingerprint_names_networks_and_settings(
    package: Path, opened: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reader_card().name == opened.name == "rapidocr"
    assert reader_card().fingerprint == opened.fingerprint
    int(opened.fingerprint, 16)
    assert len(opened.fingerprint) == 64
    found = {reader_card().fingerprint}
    for file in sorted(package.iterdir()):
        with file.open("ab") as more:
            more.write(b"x")
        found.add(reader_card().fingerprint)
    for name, value in (("_BOX_SCORE", 0.6), ("_VERSION", 99)):
        monkeypatch.setitem(reader._SETTINGS, name, value)
        found.add(reader_card().fingerprint)
    assert len(found) == 5


def test_every_setting_of_boxes_and_lines_is_in_the_fingerprint() -> None:
    numbers = {
        name: value
        for room in (boxes, reader)
        for name, value in vars(room).items()
        if name.isupper() and isinstance(value, int | float)
    }
    assert numbers == reader._SETTINGS


def test_to_compile_in_another_way_keeps_the_words_that_were_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = reader_card().fingerprint
    monkeypatch.setattr(reader, "_EXPORT_VERSION", 99)
    assert reader_card().fingerprint == before


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    for ask in (reader_card, open_reader):
        with pytest.raises(MissingReader) as raised:
            ask()
        assert str(raised.value) == (
            "reading words needs the package rapidocr; pip install 'rapidocr>=3.10'"
        )


def test_without_a_network_it_says_which(package: Path) -> None:
    (package / "PP-OCRv6_rec_small.onnx").unlink()
    with pytest.raises(
        MissingReader, match=r"^this rapidocr has no PP-OCRv6_rec_small.onnx to read; pip"
    ):
        open_reader()


@pytest.mark.whole
def test_a_damaged_network_fails_in_one_line(package: Path) -> None:
    (package / "PP-OCRv6_rec_small.onnx").write_bytes(b"no network")
    with pytest.raises(RuntimeFailed) as raised:
        open_reader()
    assert "\n" not in str(raised.value)


@pytest.mark.whole
def test_what_was_compiled_is_kept(opened: Reader, cache: Path) -> None:
    assert opened.device == "cpu"
    kept = sorted(file.name for file in (cache / "albo" / "networks").glob("rapidocr-*"))
    assert [name.rpartition("-")[0] for name in kept] == [
        "rapidocr-PP-OCRv6_det_small",
        "rapidocr-PP-OCRv6_rec_small",
    ]
    said: list[str] = []
    open_reader(single=True, note=said.append)
    assert said == []


@pytest.mark.whole
@pytest.mark.usefixtures("no_cache")
def test_where_nothing_can_be_kept_it_reads_and_says_so() -> None:
    said: list[str] = []
    assert texts(read_one(open_reader(note=said.append), draw("Night Train"))) == ["Night Train"]
    not_kept = "the exported network is not kept, the next start will be as slow"
    assert sorted(line.partition(":")[0] for line in said) == [
        "compiling PP-OCRv6_det_small for this processor (once)",
        "compiling PP-OCRv6_rec_small for this processor (once)",
        not_kept,
        not_kept,
    ]


@pytest.mark.whole
def test_reading_needs_no_other_heavy_package(tmp_path: Path, cache: Path) -> None:
    draw("Night Train").save(tmp_path / "cover.png")
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in {"cv2", "onnxruntime", "torch", "shapely", "pyclipper", "scipy"}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from pathlib import Path
from albo.words import open_reader, prepare
[words] = open_reader(single=True).read([prepare(Path(sys.argv[1]).read_bytes())])
print(words.lines[0].text, "rapidocr" in sys.modules)
"""
    done = subprocess.run(  # noqa: S603  ourselves
        [sys.executable, "-c", code, str(tmp_path / "cover.png")],
        capture_output=True,
        text=True,
        check=True,
        env={"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(Path(reader.__file__).parents[2])},
    )
    assert done.stdout.split("\n")[0] == "Night Train False"
