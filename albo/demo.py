"""The demo: draw sample covers, run every step of albo on them, and draw a contact sheet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from albo.errors import BadCover, UsageError
from albo.images import open_image
from albo.samples import STYLES, is_sample_folder, plan_kept_aside, sample_file, write_samples
from albo.show import Bar, SheetRow, Tile, draw_sheet, save_sheet
from albo.store import read_file

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from albo.answers import Similar
    from albo.api import Albo
    from albo.classify import Classified
    from albo.records import Note
    from albo.samples import Sample

_NEIGHBOURS = 5
_ROWS = 8
_TILE_PIXELS = 400
_BARS = 5


def run_demo(
    folder: Path,
    albo: Albo,
    say: Note,
) -> Path:
    """Draw samples into a folder, embed, index, train, classify and search; draw a contact sheet.

    Parameters
    ----------
    albo : the demo's own artifacts folder, opened; it reports progress.
    say : called with one line for each step.

    Returns the path of the contact sheet. Raises CannotWrite.
    """
    _check_is_ours(folder)
    began = time.monotonic()
    samples = folder / "samples"
    say(f"Drawing {len(STYLES)} styles of sample covers into {samples}")
    say("(drawn by this program, free of rights; a style stands in for a genre)")
    labels = write_samples(samples, progress=lambda done, of: albo.progress("drawing", done, of))
    embedded = albo.embed([str(labels)])
    # The rate excludes the export of the network, which happens once on a machine.
    say(f"Embedded {embedded.summary.seen} covers with {embedded.backbone} and indexed them")
    report = albo.train(seeds=(0,))
    say(
        f"Trained on {report['covers']} covers: {report['top1']['value']:.0%} of styles right for"
        f" artists never seen (guessing the commonest: {report['majority']:.0%})"
    )
    groups = albo.duplicates()
    say(f"Found {len(groups)} groups of near-duplicates and series")
    sheet = _search(albo, samples, folder / "sheet.png", say)
    say(f"Done in {time.monotonic() - began:.0f} s. Look at {sheet}")
    _say_what_next(say, albo.artifacts.root, samples / sample_file(plan_kept_aside()[0]))
    return sheet


def _check_is_ours(folder: Path) -> None:
    """Refuse a folder with files that no demo made: some would be overwritten."""
    if folder.is_dir() and any(folder.iterdir()) and not is_sample_folder(folder / "samples"):
        raise UsageError(f"{folder} holds other files; name a folder for it: `albo demo FOLDER`")


def _search(albo: Albo, samples: Path, sheet: Path, say: Note) -> Path:
    """Classify the kept-aside covers and search with them; draw the first of each style."""
    kept = plan_kept_aside()
    files = [str(samples / sample_file(sample)) for sample in kept]
    classified = list(albo.classify(files, top=_BARS))
    similar = list(albo.similar(files, k=_NEIGHBOURS))
    right = sum(
        answer.prediction is not None and answer.prediction.genres[0] == sample.style
        for sample, answer in zip(kept, classified, strict=True)
    )
    say(f"Classified {len(kept)} covers kept aside, by artists it has not seen: {right} right")
    first = {sample.style: i for i, sample in reversed(list(enumerate(kept)))}
    chosen = sorted(first.values())[:_ROWS]
    rows = [_row(kept[i], similar[i], classified[i]) for i in chosen]
    subtitle = "sample covers drawn by albo; a style stands in for a genre"
    save_sheet(
        draw_sheet(rows, "albo demo: what looks like this, and what it reads as", subtitle), sheet
    )
    return sheet


def _row(sample: Sample, similar: Similar, classified: Classified) -> SheetRow:
    neighbours = tuple(
        Tile(
            _picture(near.album.uri if near.album else ""),
            f"{near.score:.2f}  {near.album.genre if near.album else ''}",
            f"{near.album.artist} - {near.album.name}" if near.album else "",
            near.mark,
        )
        for near in similar.neighbours
    )
    said = classified.prediction
    bars = (
        ()
        if said is None
        else tuple(
            Bar(genre, probability, genre in said.conformal_set)
            for genre, probability in zip(said.genres, said.probabilities, strict=True)
        )
    )
    query = Tile(_picture(similar.query), sample.style, f"{sample.artist} - {sample.album}", "")
    return SheetRow(query, neighbours, bars)


def _picture(path: str) -> Image.Image | None:
    try:
        return open_image(read_file(path), max_side=_TILE_PIXELS)
    except BadCover:
        return None


def _say_what_next(say: Note, artifacts: Path, cover: Path) -> None:
    say("")
    say("Now with these:")
    say(f"  albo similar '{cover}' --artifacts {artifacts}")
    say(f"  albo classify '{cover}' --artifacts {artifacts}")
    say("and with your own (the folder that holds an image names its genre):")
    say("  albo embed ~/covers && albo train && albo classify new-cover.jpg")
