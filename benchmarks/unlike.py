"""Pictures that are no covers, and covers: how often they are called unlike those learnt."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import numpy as np

from albo.answers import classify_collection
from albo.api import Albo
from albo.asking import Asking
from albo.classify import Heads
from albo.heads import STARTER
from albo.samples import write_samples
from benchmarks.covers import SETS, some_labels, workspace
from benchmarks.noncovers import KINDS
from benchmarks.results import Row, Section, at_most

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.options import Options

_EACH = 40
_DEMO = "the demo's drawn covers"
_MOST_OWN = 0.02


def run(options: Options) -> Section:
    """Train on both sets and on drawn covers, and ask each head about covers and other pictures."""
    each = 5 if options.quick else _EACH
    rows: list[Row] = []
    with workspace() as here:
        pictures = _draw(here.folder / "pictures", each)
        tables = {name: some_labels(name, here.folder, options) for name in SETS}
        tables[_DEMO] = write_samples(here.folder / "samples", 4 if options.quick else 25)
        heads = {name: _trained(here.folder / name[:8], table) for name, table in tables.items()}
        for name, albo in heads.items():
            rows += _ask(name, albo, pictures)
        rows.append(_others("the starter head", heads[_DEMO], pictures, STARTER))
    return Section(
        "unlike: pictures that are no covers",
        rows,
        [_REMARK],
        ("openvino", "numpy", "pillow"),
    )


_REMARK = (
    f"`albo train --no-words`, then `albo classify` of {_EACH} drawn pictures of each kind"
    " (`benchmarks/noncovers.py`). A picture is unlike those learnt where at most 2 % of the learnt"
    " covers, each measured without its group, are as far from the others, in the statistics of the"
    " network's middle layers. Covers of the collection are asked about by the fold that has not"
    " learnt them. Shapes and charts are much like some covers, and drawn so."
)


def _draw(folder: Path, each: int) -> dict[str, list[str]]:
    """Draw some pictures of each kind; return their files."""
    files: dict[str, list[str]] = {}
    for kind, make in KINDS.items():
        random = Random(kind)  # noqa: S311  (always the same pictures)
        (folder / kind).mkdir(parents=True)
        for number in range(each):
            file = folder / kind / f"{number}.png"
            make(random).save(file)
            files.setdefault(kind, []).append(str(file))
    return files


def _trained(artifacts: Path, manifest: Path) -> Albo:
    albo = Albo(artifacts)
    albo.embed([str(manifest)])
    albo.train(words=False, seeds=(0,))
    return albo


def _ask(name: str, albo: Albo, pictures: dict[str, list[str]]) -> list[Row]:
    consultation = Heads(albo.library).consult_stored(Asking.of())
    own = [
        one.prediction is not None and one.prediction.is_unlike
        for one in classify_collection(albo.library, consultation, None, 1)
    ]
    # A share of a few covers varies.
    most = _MOST_OWN + 1.96 * (_MOST_OWN * (1 - _MOST_OWN) / len(own)) ** 0.5
    share = float(np.mean(own))
    return [
        Row(
            f"**{name}, {len(own):,} covers, held out: called unlike**",
            f"{share:.1%}",
            target=at_most(share, most, f"≤ {most:.1%}: 2 %, and 1.96 standard errors"),
        ),
        _others(name, albo, pictures, None),
    ]


def _others(name: str, albo: Albo, pictures: dict[str, list[str]], head: str | None) -> Row:
    """Return how many pictures of each kind are called unlike."""
    shares = []
    for kind, files in pictures.items():
        said = list(albo.classify(files, head=head, words=False))
        found = [one.prediction is not None and one.prediction.is_unlike for one in said]
        shares.append(f"{kind} {np.mean(found):.0%}")
    return Row(f"**{name}: other pictures called unlike**", ", ".join(shares))
