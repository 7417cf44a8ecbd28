"""The pairs of near-duplicates that somebody has looked at, and the sheet to look at."""

from __future__ import annotations

import csv
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from albo.images import open_image
from albo.show import Tile, save_sheet
from albo.show.sheet import draw_grid
from benchmarks.covers import read_csv
from benchmarks.results import HERE, OUTPUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from albo.records import Digest

JUDGED = HERE / "judged_pairs.csv"
SHEET = OUTPUT / "pairs.png"
TO_JUDGE = OUTPUT / "pairs.csv"
_COLUMNS = 8
_TILE = 200


class Pair(NamedTuple):
    """Two covers that `albo duplicates` puts into one group, the lower digest first."""

    first: Digest
    second: Digest


def draw_sample(pairs: Iterable[Pair], count: int) -> list[Pair]:
    """Draw pairs, the same ones every time.

    By a hash of the pair, not by its place in a list: where a rounding error adds or removes one
    pair, all others drawn stay drawn, and what was judged of them counts.
    """
    return sorted(pairs, key=lambda pair: hashlib.sha256(b"".join(pair)).digest())[:count]


def read_judged() -> dict[Pair, bool]:
    """Return the pairs that were looked at, and whether they show the same artwork."""
    if not JUDGED.is_file():
        return {}
    return {
        Pair(bytes.fromhex(row["digest_a"]), bytes.fromhex(row["digest_b"])): row["same"] == "yes"
        for row in read_csv(JUDGED)
    }


def write_sample(
    pairs: Sequence[Pair], cosines: Sequence[float], files: Mapping[Digest, Path]
) -> None:
    """Write a contact sheet of the pairs, and a CSV whose column `same` is to be filled in."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    tiles = []
    for number, (pair, cosine) in enumerate(zip(pairs, cosines, strict=True), start=1):
        for letter, digest in zip("ab", pair, strict=True):
            image = open_image(files[digest].read_bytes(), max_side=_TILE)
            tiles.append(Tile(image, f"{number}{letter}", f"{cosine:.3f}" if letter == "a" else ""))
    save_sheet(draw_grid(tiles, f"{len(pairs)} pairs", columns=_COLUMNS, tile=_TILE), SHEET)
    judged = read_judged()
    with TO_JUDGE.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["number", "digest_a", "digest_b", "cosine", "same"])
        for number, (pair, cosine) in enumerate(zip(pairs, cosines, strict=True), start=1):
            same = {None: "", True: "yes", False: "no"}[judged.get(pair)]
            row = (number, pair.first.hex(), pair.second.hex(), f"{cosine:.4f}", same)
            writer.writerow(row)
