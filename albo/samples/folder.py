"""The folder of sample covers: drawn, labelled, with a README and a marker."""

from __future__ import annotations

import csv
import hashlib
import io
from typing import TYPE_CHECKING

from albo.samples.covers import VERSION, draw_sample
from albo.samples.plan import MOST_PER_STYLE, Sample, plan_kept_aside, plan_samples
from albo.store import read_json, write_atomically, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from albo.records import Progress

_MARKER = "samples.json"
_SAYING = "README.txt"

_README = """These covers were drawn by albo, a program; none of them belongs to a record.

Artists and titles are invented, put together from lists of words. What labels.csv
calls "genre" is the way a cover is drawn (its style). It is not a genre of music:
a demo needs labels that can be checked by eye, and free of anybody's rights.

covers/      the labelled covers, one folder for each style
kept-aside/  covers by artists who are not in labels.csv, to classify and to search with
labels.csv   file, genre, artist, album, year

Some albums come back as a deluxe, remastered or anniversary edition of the same
artwork, so that there are near-duplicates to find.

To the extent possible under law, all copyright in these pictures is waived:
CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/
"""


def sample_file(sample: Sample) -> str:
    """Return a sample's path in the folder: `covers/<style>/<artist> - <album>.jpg`.

    Kept-aside covers lie in `kept-aside/`. Names hold letters, digits, spaces and `&()-` only.
    """
    name = f"{sample.artist} - {sample.album}.jpg"
    aside = sample.number % 1000 >= MOST_PER_STYLE
    return f"kept-aside/{name}" if aside else f"covers/{sample.style}/{name}"


def is_sample_folder(folder: Path) -> bool:
    """Whether a folder is marked as one of sample covers, complete or not."""
    try:
        return (folder / _SAYING).read_bytes() == _README.encode()
    except OSError:
        return False


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda file: file.write(content))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_marker(path: Path) -> dict[str, str]:
    """Return the digests of the files of an earlier run, by name; empty if there was none."""
    try:
        found = read_json(path)
        files = found["files"] if found["version"] == VERSION else {}
        return {str(name): str(digest) for name, digest in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _is_there(path: Path, digest: str | None) -> bool:
    try:
        return digest is not None and _digest(path.read_bytes()) == digest
    except OSError:
        return False


def _remove_stale(folder: Path, done: dict[str, str], planned: set[str]) -> None:
    """Remove unchanged files of an earlier, larger run; keep changed and added ones."""
    known = {sample_file(s) for s in plan_samples(MOST_PER_STYLE)} if set(done) - planned else set()
    for name in (set(done) - planned) & known:
        if _is_there(folder / name, done[name]):
            (folder / name).unlink()


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return stream.getvalue()


def _labels(samples: tuple[Sample, ...]) -> bytes:
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(("file", "genre", "artist", "album", "year"))
    table.writerows((sample_file(s), s.style, s.artist, s.album, s.year) for s in samples)
    return stream.getvalue().encode()


def write_samples(folder: Path, per_style: int = 25, progress: Progress | None = None) -> Path:
    """Draw all sample covers into a folder, with a README.

    A second run, guided by a marker file, draws only missing or changed covers.

    Parameters
    ----------
    folder : Path
        Made if missing. Gets `covers/`, `kept-aside/`, `labels.csv` and `README.txt`.
    per_style : int
        Labelled covers of each style, 1 to 800.
    progress : callable, optional
        Called with how many covers are done, and of how many.

    Returns
    -------
    Path
        Path of `labels.csv`: file (relative to it), genre (the style's name), artist, album, year.

    Raises
    ------
    UsageError
        When `per_style` is out of range.
    CannotWrite
        When the folder cannot be written to.
    """
    labelled = plan_samples(per_style)
    samples = labelled + plan_kept_aside()
    before, done = _read_marker(folder / _MARKER), {}
    # First, so that an unfinished folder is recognised too.
    _write(folder / _SAYING, _README.encode())
    for count, sample in enumerate(samples, start=1):
        name = sample_file(sample)
        if _is_there(folder / name, before.get(name)):
            done[name] = before[name]
        else:
            content = _jpeg(draw_sample(sample))
            _write(folder / name, content)
            done[name] = _digest(content)
        if progress is not None:
            progress(count, len(samples))
    _remove_stale(folder, before, set(done))
    _write(folder / "labels.csv", _labels(labelled))
    marker = {"version": VERSION, "per_style": per_style, "files": done}
    write_json(folder / _MARKER, marker)
    return folder / "labels.csv"
