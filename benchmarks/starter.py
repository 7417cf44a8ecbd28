"""Make albo's starter head, its numbers and its card, from a folder of labelled covers.

    make starter COVERS=FOLDER

The folder holds `labels.csv`, a manifest with genres. Everything is done anew, by the commands that
users have: embed, read words, train. Where there is a starter head already, it is said by how much
the new one's probabilities differ at most; the same covers give the same ones within a thousandth.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from albo import Albo
from albo.errors import StaleArtifact
from albo.heads import (
    CharactersView,
    Head,
    ImageView,
    MeaningView,
    load_head,
    save_head,
    starter,
)
from albo.learning import INTENDED_USE, LIMITS
from albo.store import WordStore, reader_key
from albo.words import CoverMeanings, reader_card
from benchmarks.corpora import store_of
from benchmarks.covers import read_csv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from albo.records import Digest, Json

MOST_BYTES = 1_000_000
SAME_WITHIN = 1e-3
CARD = "CARD.md"
_NAMES = {"HipHop": "Hip-Hop"}


def main() -> int:
    """Make the head; return 1 where it is larger than the package may carry."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starter", description=__doc__)
    parser.add_argument("covers", type=Path, metavar="FOLDER", help="holds labels.csv")
    parser.add_argument("--into", type=Path, default=starter.FOLDER, help="where the head is put")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="albo-starter-") as scratch:
        albo = Albo(scratch, note=lambda line: print(line, file=sys.stderr))
        size, moved = make(albo, asked.covers / "labels.csv", asked.into)
    print(f"{size:,} bytes in {asked.into}")
    if moved is not None:
        same = "the same" if moved <= SAME_WITHIN else "NOT the same"
        print(f"{same} as the one before: probabilities differ by {moved:.2g} at most")
    if size > MOST_BYTES:
        print(f"that is more than {MOST_BYTES:,} bytes", file=sys.stderr)
        return 1
    return 0


def make(albo: Albo, manifest: Path, into: Path) -> tuple[int, float | None]:
    """Fit a head on a manifest's covers and save it with its card.

    Returns its size in bytes, and by how much its probabilities differ at most from those of the
    head that was there, None where there was none of the same genres.
    """
    albo.embed([str(_as_people_write(manifest, albo.artifacts.root / "covers.csv"))])
    albo.words()
    albo.train(starter.STARTER)
    made = load_head(albo.artifacts.head(starter.STARTER))
    digests = store_of(albo).read(middle=False)[0]
    # Its covers are in nobody's collection: the heads of its folds would never be asked.
    made = replace(made, card=_card(made.card, manifest, digests), crossfit=None)
    moved = _difference(albo, made, into, digests)
    save_head(made, into)
    (into / CARD).write_text(describe(made), encoding="utf-8")
    files = [*into.glob("head-*.npz"), into / "manifest.json", into / CARD]
    return sum(file.stat().st_size for file in files), moved


def _as_people_write(manifest: Path, renamed: Path) -> Path:
    """Copy a manifest with its genres called as people call them; return the copy."""
    rows = read_csv(manifest)
    renamed.parent.mkdir(parents=True, exist_ok=True)
    with renamed.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        for row in rows:
            genre = _NAMES.get(row["genre"], row["genre"])
            writer.writerow(
                {**row, "genre": genre, "file": manifest.parent.resolve() / row["file"]}
            )
    return renamed


def _card(card: Json, manifest: Path, digests: Sequence[Digest]) -> Json:
    """Say in a head's card what it was made of."""
    return {
        **card,
        "inputs": {
            "manifest_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
            "covers": len(digests),
            "covers_sha256": hashlib.sha256(b"".join(sorted(digests))).hexdigest(),
        },
        "made": datetime.now(UTC).date().isoformat(),
    }


def _difference(albo: Albo, made: Head, into: Path, digests: Sequence[Digest]) -> float | None:
    try:
        before = load_head(into)
    except StaleArtifact:
        return None
    if before.genres != made.genres or before.fingerprints != made.fingerprints:
        return None
    features = _features(albo, digests)
    said = [head.predict({view: features[view] for view in head.views}) for head in (before, made)]
    return float(np.abs(said[0] - said[1]).max())


def _features(albo: Albo, digests: Sequence[Digest]) -> Mapping[str, object]:
    reader = reader_card()
    folder = albo.artifacts.words(reader_key(reader.name, reader.fingerprint))
    said = WordStore.open(folder, reader.fingerprint).read(digests)
    words = {digest: one for digest, one in zip(digests, said, strict=True) if one is not None}
    views = (
        ImageView(store_of(albo)),
        CharactersView(reader.fingerprint, words),
        MeaningView(reader.fingerprint, CoverMeanings(folder), words),
    )
    return {view.name: view.features(digests) for view in views}


def describe(head: Head) -> str:
    """Write the model card of a starter head, in Markdown."""
    card, inputs = head.card, head.card["inputs"]
    rows = "\n".join(
        f"| {one['genre']} | {one['covers']} | {one['precision']:.1%} | {one['recall']:.1%} |"
        for one in card["per_genre"]
    )

    def figure(key: str) -> str:
        of = card[key]
        return f"{of['value']:.1%} ({of['low']:.1%} to {of['high']:.1%})"

    limits = "\n".join(f"- {line}" for line in LIMITS)
    return f"""# Model card: albo's starter head

Made {card["made"]} by `make starter`; written by the same command.

**What it is.** The head that answers `albo classify` and `albo report` where none has been trained:
{head.kind} classifiers of {", ".join(head.views)}, fused and calibrated, on the vectors of
{head.backbone}. It knows {len(head.genres)} genres: {", ".join(head.genres)}. Every cover gets one
of these, whatever its music is.

**What it was fitted on.** {card["covers"]:,} covers of 300 pixels from Discogs, as an open project
(wise-guru/album-cover-genre-predictor) collected them; {inputs["covers"]:,} were read, those
without one clear label left out. Labels are those of that project. The artists are not known, so
covers are grouped by artwork and by rare lines on them; some artists stand on both sides of the
folds, and the figures are a little too good for that. On another shop's covers it is right less
often: `benchmarks/RESULTS.md` has a figure.

**What is in it.** Fitted numbers alone: weights, means, scales, and the held-out scores of which
calibration is made. No image, no vector of one, no word read off one: runs of letters are kept as
checksums. The artwork is its owners', and no part of albo.

**How good it is,** on covers held out, mean over {len(card["seeds"])} fold seeds, 95 % intervals:

| figure | value |
|---|---|
| right at the first guess | {figure("top1")} |
| right among the first 3 | {figure("top3")} |
| macro-F1 | {figure("macro_f1")} |
| calibration error | {figure("ece")}, by chance up to {card["ece_noise95"]:.1%} |
| sets that hold the genre | {figure("coverage")}, {card["set_size"]:.1f} genres a set |
| always the commonest genre | {card["majority"]:.1%} |

| genre | covers | precision | recall |
|---|---|---|---|
{rows}

**What it is for.** {INTENDED_USE} A head trained on your own covers and genres is better for all of
that: `albo embed FOLDER`, `albo words`, `albo train`.

**What it cannot do.**

{limits}

**Made of.** `labels.csv` with SHA-256 `{inputs["manifest_sha256"]}`; {inputs["covers"]:,} covers,
whose SHA-256 digests, sorted and joined, have the SHA-256 `{inputs["covers_sha256"]}`.
"""


if __name__ == "__main__":
    sys.exit(main())
