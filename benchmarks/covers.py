"""The real covers, where they are to be had, and the folders that benchmarks work in."""

from __future__ import annotations

import csv
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.options import Options

SETS = ("discogs5", "itunes36")
_LARGE = "1000"
_QUICK_GENRES = 5
_QUICK_COVERS = 60
_REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder of a benchmark's own: artifacts and cache lie in it, and all of it is removed."""

    folder: Path

    def environment(self, artifacts: str = "artifacts", cache: str = "cache") -> dict[str, str]:
        """Return what makes albo keep everything in here."""
        return {
            "ALBO_ARTIFACTS": str(self.folder / artifacts),
            "XDG_CACHE_HOME": str(self.folder / cache),
        }


@contextmanager
def workspace() -> Iterator[Workspace]:
    """Make a workspace (where `$TMPDIR` says) and remove it, however it ends.

    Meanwhile it is this process's own cache too: what another albo left must not matter.
    """
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory(prefix="albo-bench-") as name:
        made = Workspace(Path(name))
        os.environ["XDG_CACHE_HOME"] = made.environment()["XDG_CACHE_HOME"]
        try:
            yield made
        finally:
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before


def shared_folder() -> Path:
    """Return `$ALBO_SHARED`, or `../shared` beside the checkout. Raises Skipped without covers."""
    folder = Path(os.environ.get("ALBO_SHARED", _REPOSITORY.parent / "shared")).resolve()
    if not (folder / "covers" / "itunes36" / "labels.csv").is_file():
        raise Skipped("no real covers: set ALBO_SHARED, or put shared/ beside the checkout")
    return folder


def read_csv(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def labels_files() -> list[Path]:
    """Return the manifests of both sets."""
    return [shared_folder() / "covers" / name / "labels.csv" for name in SETS]


def labels() -> dict[Path, dict[str, str]]:
    """Return the rows of both sets' manifests by the cover's path."""
    return {
        (manifest.parent / row["file"]): row
        for manifest in labels_files()
        for row in read_csv(manifest)
    }


def known_pairs() -> list[tuple[Path, Path]]:
    """Return the near-duplicates that a perceptual hash alone found in both sets."""
    covers = shared_folder() / "covers"

    def file(row: dict[str, str], side: str) -> Path:
        return covers / row[f"dataset_{side}"] / row[f"file_{side}"]

    return [(file(r, "a"), file(r, "b")) for r in read_csv(covers / "near_duplicate_pairs.csv")]


def large_covers() -> list[Path]:
    """Return the covers of itunes36 that are 1000 px wide and high, in the manifest's order."""
    folder = shared_folder() / "covers" / "itunes36"
    return [
        folder / row["file"]
        for row in read_csv(folder / "labels.csv")
        if row["width"] == row["height"] == _LARGE and row["file"].endswith(".jpg")
    ]


def make_variants(covers: list[Path], folder: Path, count: int) -> None:
    """Fill a folder up to `count` distinct files, each cover in many variants.

    A variant has other bytes after the end-of-image marker: another digest, the same picture, the
    same work to decode. Every folder of variants holds each cover once, so that the first n files
    by name are a fair sample of all. The files have been read or written just now, so all who
    read them find them in the page cache.
    """
    for number, (variant, source) in enumerate(islice(_variants(covers), count)):
        place = folder / f"variant-{variant:03d}" / f"{number:06d}.jpg"
        if place.is_file():
            place.read_bytes()
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source.read_bytes() + f"albo variant {variant}".encode())


def _variants(covers: list[Path]) -> Iterator[tuple[int, Path]]:
    variant = 0
    while True:
        for source in covers:
            yield variant, source
        variant += 1


def some_labels(name: str, folder: Path, options: Options) -> Path:
    """Return a set's manifest; for a quick run one of few of its genres and covers."""
    manifest = shared_folder() / "covers" / name / "labels.csv"
    if not options.quick:
        return manifest
    rows = read_csv(manifest)
    few = sorted({row["genre"] for row in rows if row["genre"]})[:_QUICK_GENRES]
    per_genre = {
        genre: [row for row in rows if row["genre"] == genre][:_QUICK_COVERS] for genre in few
    }
    out = folder / f"{name}.csv"
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        for row in (row for genre in few for row in per_genre[genre]):
            writer.writerow({**row, "file": str(manifest.parent / row["file"])})
    return out
