"""What `train` claims of collections that hold a copy of each cover, and what is true."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from PIL import Image

from albo.api import Albo
from benchmarks.copies import SHOPS, make_copy
from benchmarks.covers import read_csv, some_labels, workspace
from benchmarks.results import Row, Section, Target

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.options import Options

_SET = "itunes36"


def run(options: Options) -> Section:
    """Train on the covers alone, then on them with copies of each kind."""
    rows: list[Row] = []
    with workspace() as here:
        originals = _originals(here.folder, options)
        alone = _claimed(here.folder / "alone", _write(here.folder / "alone.csv", originals), None)
        rows.append(Row(f"**{_SET}, {len(originals)} covers alone**", alone.shown()))
        for kind in list(SHOPS)[: 2 if options.quick else None]:
            copies = _copies(here.folder / kind.replace(" ", "_"), originals, kind)
            rows.append(_compare(here.folder, kind, originals, copies))
    return Section(
        "claims: what `train` claims where a copy of each cover is there",
        rows,
        [_REMARK],
        ("scikit-learn", "openvino", "numpy", "pillow"),
    )


_REMARK = (
    "`albo train --no-words --seeds 1` on covers and one copy of each, without artists and"
    " dup_groups. The peer is what is true of the same collection: the accuracy where a dup_group"
    " keeps each copy beside its original. It differs from that of the covers alone, since half of"
    " the covers that are scored are copies, and small ones are harder. The copies are made as in"
    " `benchmarks/copies.py`."
)


@dataclass(frozen=True)
class _Claim:
    """An accuracy with its 95 % interval."""

    value: float
    low: float
    high: float

    def shown(self) -> str:
        """Return it as text."""
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


def _originals(folder: Path, options: Options) -> list[dict[str, str]]:
    """Return the file and genre of each cover."""
    labels = some_labels(_SET, folder, options)
    return [
        {"file": str((labels.parent / row["file"]).resolve()), "genre": row["genre"]}
        for row in read_csv(labels)
    ]


def _copies(folder: Path, originals: list[dict[str, str]], kind: str) -> list[dict[str, str]]:
    """Make a copy of each cover, and return their rows, in the same order."""
    folder.mkdir()
    random = Random(kind)  # noqa: S311  (always the same copies)
    rows = []
    for number, row in enumerate(originals):
        with Image.open(row["file"]) as image:
            data = make_copy(image.convert("RGB"), kind, random)
        file = folder / f"{number}.jpg"
        file.write_bytes(data)
        rows.append({"file": str(file), "genre": row["genre"]})
    return rows


def _compare(
    folder: Path, kind: str, originals: list[dict[str, str]], copies: list[dict[str, str]]
) -> Row:
    """Return what is claimed of covers with their copies, beside what is true."""
    name = kind.replace(" ", "_")
    both = [*originals, *copies]
    claimed = folder / f"{name}-claimed"
    claim = _claimed(claimed, _write(folder / f"{name}.csv", both), folder / "alone")
    marked = [{**row, "dup_group": str(at % len(originals))} for at, row in enumerate(both)]
    manifest = _write(folder / f"{name}-marked.csv", marked)
    truth = _claimed(folder / f"{name}-true", manifest, claimed)
    return Row(
        f"with copies: {kind}",
        claim.shown(),
        truth.shown(),
        target=Target("in the interval of the truth", truth.low <= claim.value <= truth.high),
    )


def _write(file: Path, rows: list[dict[str, str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def _claimed(artifacts: Path, manifest: Path, like: Path | None) -> _Claim:
    """Embed a manifest and train on it.

    Parameters
    ----------
    like : an artifacts folder whose vectors are taken over; None for none.
    """
    if like is not None:
        shutil.copytree(like, artifacts)
        for name in ("catalog.sqlite", "files.sqlite"):
            (artifacts / name).unlink()
    albo = Albo(artifacts)
    albo.embed([str(manifest)])
    top1 = albo.train(words=False, seeds=(0,))["top1"]
    return _Claim(top1["value"], top1["low"], top1["high"])
