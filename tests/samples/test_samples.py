"""The sample covers: always the same, safe to write anywhere, and honest about what they are."""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from albo.errors import CannotWrite, UsageError
from albo.samples import STYLES, Sample, plan_kept_aside, sample_file, write_samples
from albo.samples.covers import draw_sample
from albo.samples.folder import _read_marker
from albo.samples.plan import EDITIONS, plan_samples

if TYPE_CHECKING:
    from pathlib import Path

SMALL = 96
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")

DRAW_BACKWARDS = """
import hashlib
from albo.samples import draw_sample, plan_kept_aside, plan_samples
for sample in reversed(plan_samples()[::7] + plan_kept_aside()):
    print(hashlib.sha256(draw_sample(sample, 96).tobytes()).hexdigest())
"""


def grey(sample: Sample) -> np.ndarray:
    return np.asarray(draw_sample(sample, 128).convert("L").resize((32, 32)), np.float32).ravel()


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_style_has_its_covers_from_about_ten_artists() -> None:
    plan = plan_samples()
    assert len(STYLES) == len(set(STYLES)) == 12
    assert Counter(s.style for s in plan) == dict.fromkeys(STYLES, 25)
    for style in STYLES:
        artists = Counter(s.artist for s in plan if s.style == style)
        assert len(artists) == 10
        assert min(artists.values()) >= 2


def test_no_artist_works_in_two_styles() -> None:
    pairs = {(s.artist, s.style) for s in plan_samples()}
    assert len(pairs) == len({artist for artist, _ in pairs})


@pytest.mark.whole
@pytest.mark.parametrize("per_style", [1, 2, 12, 25, 800])
def test_kept_aside_artists_are_never_labelled(per_style: int) -> None:
    aside = plan_kept_aside()
    labelled = {s.artist for s in plan_samples(per_style)}
    assert not labelled & {s.artist for s in aside}
    assert Counter(s.style for s in aside) == dict.fromkeys(STYLES, 2)


@pytest.mark.parametrize("per_style", [1, 11, 25, 100, 800])
def test_numbers_and_files_are_unique_and_safe_everywhere(per_style: int) -> None:
    plan = plan_samples(per_style) + plan_kept_aside()
    assert len({s.number for s in plan}) == len(plan)
    names = [sample_file(s) for s in plan]
    assert len({name.casefold() for name in names}) == len(names)
    for part in {part for name in names for part in name.split("/")}:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 &().-]*[A-Za-z0-9]", part), part
        assert len(part) < 120
        assert not RESERVED.fullmatch(part)


def test_copies_name_an_original_by_the_same_artist() -> None:
    plan = plan_samples()
    by_number = {s.number: s for s in plan}
    copies = [s for s in plan if s.copy_of is not None]
    assert len(copies) == 24
    assert {s.album.split(" (")[1].rstrip(")") for s in copies} == set(EDITIONS)
    for copy in copies:
        original = by_number[copy.copy_of]  # type: ignore[index]
        assert original.copy_of is None
        assert (original.artist, original.style) == (copy.artist, copy.style)
        assert copy.album.startswith(original.album + " (")


@pytest.mark.whole
def test_the_same_sample_has_the_same_pixels_in_any_order_and_process() -> None:
    samples = plan_samples()[::7] + plan_kept_aside()
    here = [hashlib.sha256(draw_sample(s, SMALL).tobytes()).hexdigest() for s in samples]
    there = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-c", DRAW_BACKWARDS], capture_output=True, text=True, check=True
    )
    assert there.stdout.split() == here[::-1]


@pytest.mark.whole
def test_no_two_originals_look_the_same() -> None:
    originals = [s for s in plan_samples(6) if s.copy_of is None]
    drawn = {draw_sample(s, SMALL).tobytes() for s in originals}
    assert len(drawn) == len(originals)


def test_a_copy_is_nearer_to_its_original_than_any_other_cover() -> None:
    plan = [s for s in plan_samples() if s.style in {"Swiss grid", "Woodcut", "Torn collage"}]
    pictures = np.stack([grey(s) for s in plan])
    pictures -= pictures.mean(axis=1, keepdims=True)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    place = {s.number: k for k, s in enumerate(plan)}
    alike = pictures @ pictures.T
    np.fill_diagonal(alike, -1)
    for sample in plan:
        if sample.copy_of is not None:
            assert alike[place[sample.number]].argmax() == place[sample.copy_of], sample


def test_a_copy_is_not_the_same_picture() -> None:
    by_number = {s.number: s for s in plan_samples()}
    for sample in list(by_number.values())[24::25]:
        assert sample.copy_of is not None
        original = by_number[sample.copy_of]
        assert draw_sample(sample, SMALL).tobytes() != draw_sample(original, SMALL).tobytes()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [64, 131, 400])
def test_every_style_draws_at_odd_and_even_sizes(style: str, size: int) -> None:
    for sample in [s for s in plan_samples() if s.style == style][::12]:
        image = draw_sample(sample, size)
        assert (image.mode, image.size) == ("RGB", (size, size))
        assert np.asarray(image).std() > 8


def test_sizes_show_the_same_artwork() -> None:
    """A scene may have finer grain at a larger size, but not another composition."""
    for sample in plan_samples()[3::50]:
        small = np.asarray(draw_sample(sample, 200).convert("L").resize((16, 16)), np.float32)
        large = np.asarray(draw_sample(sample, 400).convert("L").resize((16, 16)), np.float32)
        assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.7, sample


@pytest.mark.parametrize("per_style", [0, -1, 801])
def test_a_number_out_of_range_is_refused(per_style: int) -> None:
    with pytest.raises(UsageError, match=f"{per_style} sample covers per style, but 1 to 800"):
        plan_samples(per_style)


def test_unknown_styles_and_sizes_are_refused() -> None:
    sample = plan_samples(1)[0]
    with pytest.raises(UsageError, match="no style named 'Jazz'; the styles are Swiss grid"):
        draw_sample(replace(sample, style="Jazz"))
    with pytest.raises(UsageError, match="63 px was asked for, but 64 to 2000"):
        draw_sample(sample, 63)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two covers of each style, and the kept-aside ones."""
    folder = tmp_path_factory.mktemp("samples")
    assert write_samples(folder, per_style=2) == folder / "labels.csv"
    return folder


@pytest.mark.whole
def test_the_folder_is_what_its_labels_say(folder: Path) -> None:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["file", "genre", "artist", "album", "year"]
    assert len(rows) == 24
    for row in rows:
        path = folder / row["file"]
        assert path.parent.name == row["genre"]
        assert path.name == f"{row['artist']} - {row['album']}.jpg"
        assert 1960 < int(row["year"]) < 2050
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (500, 500))
    on_disk = {p.relative_to(folder).as_posix() for p in (folder / "covers").rglob("*.jpg")}
    assert on_disk == {row["file"] for row in rows}
    assert len(list((folder / "kept-aside").glob("*.jpg"))) == 24


def test_the_folder_says_plainly_that_it_is_drawn(folder: Path) -> None:
    text = " ".join((folder / "README.txt").read_text(encoding="utf-8").split())
    for phrase in ("drawn by albo", "invented", "not a genre of music", "CC0"):
        assert phrase in text


def test_a_second_run_draws_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(folder)
    drawn: list[Sample] = []
    monkeypatch.setattr("albo.samples.folder.draw_sample", drawn.append)
    seen: list[tuple[int, int]] = []
    write_samples(folder, per_style=2, progress=lambda done, of: seen.append((done, of)))
    assert drawn == []
    assert seen == [(k, 48) for k in range(1, 49)]
    assert files(folder) == before


def test_damaged_and_missing_covers_are_drawn_again(folder: Path) -> None:
    before = files(folder)
    covers = sorted((folder / "covers").rglob("*.jpg"))
    covers[0].write_bytes(covers[0].read_bytes()[:1000])
    covers[1].unlink()
    write_samples(folder, per_style=2)
    assert files(folder) == before


@pytest.mark.parametrize(
    "marker",
    [b"", b"[]", b"{}", b"\xff\xfe", b'{"version": 1, "files": 3}', b'{"version": 0, "files": {}}'],
)
def test_a_bad_marker_is_believed_in_nothing(tmp_path: Path, marker: bytes) -> None:
    path = tmp_path / "samples.json"
    path.write_bytes(marker)
    assert _read_marker(path) == {}


@pytest.mark.whole
def test_without_its_marker_everything_is_drawn_again(folder: Path) -> None:
    before = files(folder)
    (folder / "samples.json").unlink()
    victim = min((folder / "covers").rglob("*.jpg"))
    victim.write_bytes(b"no cover")
    write_samples(folder, per_style=2)
    assert files(folder) == before


@pytest.mark.whole
def test_a_smaller_run_removes_what_it_drew_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    write_samples(folder, per_style=3)
    larger = {p for p in files(folder) if p.startswith("covers/")}
    own = folder / "covers" / "Op art" / "mine.jpg"
    own.write_bytes(b"mine")
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(b"keep")
    marker = folder / "samples.json"
    digest = hashlib.sha256(b"keep").hexdigest()
    text = marker.read_text(encoding="utf-8")
    text = re.sub(r'"files": \{', f'"files": {{"../outside.jpg": "{digest}",', text)
    marker.write_text(text, encoding="utf-8")
    write_samples(folder, per_style=1)
    left = {p for p in files(folder) if p.startswith("covers/")}
    planned = {sample_file(s) for s in plan_samples(1)}
    assert left == planned | {"covers/Op art/mine.jpg"}
    assert len(larger) == 36
    assert outside.read_bytes() == b"keep"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotWrite, match="cannot write"):
        write_samples(tmp_path / "file" / "samples", per_style=1)
