"""`albo report` over a large corpus, and whether what it says of looks can be believed."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from albo.answers import THUMBNAIL
from albo.answers.thumbnails import read_small, thumbnail_of
from albo.api import Albo
from albo.heads import load_head, open_mapper, starter
from albo.heads.numbers import against_others
from albo.images import decode
from albo.learning import Gatherer, select_covers
from albo.neighbours import GenreMeans
from albo.networks import card_of, open_backbone
from albo.records import Device
from albo.texts import letters_of
from albo.words import is_read, largest_text, open_reader, prepare
from benchmarks.corpora import store_of
from benchmarks.covers import (
    large_covers,
    make_variants,
    read_csv,
    shared_folder,
    some_labels,
    workspace,
)
from benchmarks.measure import albo_command, interleave, interpreter, run_command
from benchmarks.results import Row, Section, Target, at_most
from benchmarks.words import alike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.heads import Mapper
    from albo.networks import FrozenBackbone
    from albo.records import Bools, Floats, Ints, Line, Pixels, Words
    from benchmarks.covers import Workspace
    from benchmarks.measure import Sample, Word
    from benchmarks.options import Options

MOST_SECONDS = 5.0
_GENRE = "Country"
_LEAST_GROUPS = 5
_COVERS_AN_ARTIST = 3
_HEIGHTS = (0, 4, 6, 8, 12, np.inf)  # of lines, in pixels
_FAR = 37  # covers, to one of another genre
_ALIKE = 0.75  # 1 less edits over letters
_TRAILING = re.compile(r"\s*([(\[].*| - (EP|Single))$")
_COVERED = 0.2  # of a cover's places


def run(options: Options) -> Section:
    """Embed many covers, report on one; then hold typicality and maps against labels and scores."""
    count = options.pick(50_000, 300)
    with workspace() as here:
        rows = _rows_of_time(here, count, options)
    for name in ("itunes36", "discogs5"):
        with workspace() as here:
            rows += _rows_of_looks(here, name, options)
    with workspace() as here:
        rows.append(_row_of_starter(here))
        rows += _rows_of_titles(options)
    return Section(
        f"report: one cover against {count:,}",
        rows,
        _REMARKS,
        ("openvino", "faiss-gpu", "rapidocr"),
    )


_REMARKS = (
    "The corpus: covers of discogs5, each in many variants that differ in bytes and not in"
    " looks, embedded and indexed by `albo embed`. The cover asked about is one of itunes36, 1000"
    " px, that is not among them. A report is a process of its own, from the command to the HTML"
    " file: it reads the words twice (the cover's and its thumbnail's), searches, finds what is"
    " typical of the genre, and reads the pictures of a dozen neighbours. The starter head answers."
    " Three covers share an artist. The networks had been exported before, and files were in the"
    " page cache. The import of torch is what such a program usually begins with.",
    "Typicality is measured as the area under the ROC curve: how often a cover of a genre is more"
    " typical of it than a cover of another one, mean over genres, own artist and artwork left out;"
    " 0.5 is chance. The peer is the plain mean cosine to the genre's covers.",
    "A map is believed if covering what it points at costs most: of each cover the fifth of its"
    " places with the most evidence for its first genre is filled with the cover's mean colour, and"
    " beside it as many places drawn by lot, and those with the least evidence. What is lost is of"
    " the image classifier's log-odds against the mean of the others; the head was fitted on these"
    " covers.",
    "Titles: the names that the shop gives, without what is in brackets. The largest text is an"
    " artist or an album if it differs from either, or from both together, in a quarter of the"
    " letters at most. Which lines are one text was settled on every second of these covers; on the"
    " others it holds as often. Whatever the reader loses at 55 pixels a person may still read.",
)


# --- the starter head ---------------------------------------------------------------------------


def _row_of_starter(here: Workspace) -> Row:
    """Ask the starter head for covers of another shop, of the genres that it knows."""
    known = {genre.casefold(): genre for genre in starter.load_starter().genres}
    folder = shared_folder() / "covers" / "itunes36"
    labelled = [
        (str(folder / row["file"]), known[row["genre"].casefold()])
        for row in read_csv(folder / "labels.csv")
        if row["genre"].casefold() in known
    ]
    albo = Albo(here.folder / "artifacts")
    answers = albo.classify([file for file, _ in labelled], head=starter.STARTER)
    said = [answer.prediction for answer in answers]
    truth = [genre for _, genre in labelled]
    pairs = [(one, genre) for one, genre in zip(said, truth, strict=True) if one is not None]
    right = np.mean([one.genres[0] == genre for one, genre in pairs])
    inside = np.mean([genre in one.conformal_set for one, genre in pairs])
    return Row(
        f"starter head on {len(pairs)} covers of itunes36, of its own {len(known)} genres",
        f"{right:.1%} right, {inside:.1%} in the set",
        f"{1 / len(known):.0%} by chance",
    )


# --- titles -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Titled:
    """A cover as it was read, and read again at 55 pixels, where its lines are so many high."""

    album: str
    artist: str
    words: Words
    again: list[str]
    pixels: list[float]

    @property
    def lines(self) -> list[str]:
        return [line.text for line in self.words.lines]


def _rows_of_titles(options: Options) -> list[Row]:
    """See whether a cover's title is found, and if what is taken for one is any."""
    folder = shared_folder() / "covers" / "itunes36"
    labelled = [row for row in read_csv(folder / "labels.csv") if row["album"]]
    chosen = labelled[:: options.pick(1, 50)]
    pages = [prepare((folder / row["file"]).read_bytes()) for row in chosen]
    smalls = [thumbnail_of(page) for page in pages]
    reader = open_reader()
    read = list(reader.read(pages))
    covers = [
        _Titled(
            _TRAILING.sub("", row["album"]),
            row["artist"],
            words,
            read_small(small, words, reader.read_at),
            [line.height(*small.size) for line in words.lines],
        )
        for row, small, words in zip(chosen, smalls, read, strict=True)
        if words.lines
    ]
    others = [*covers[_FAR:], *covers[:_FAR]]  # each cover beside one of another genre
    wrong = [
        (one.album, other)
        for one, other in zip(covers, others, strict=True)
        if letters_of(one.album) not in letters_of(other.album)
    ]
    found = [cover for cover in covers if is_read(cover.album, cover.lines)]
    return [
        Row(
            f"largest text is artist or album, {len(covers)} covers of itunes36 with words",
            _share([_is_name(largest_text(one.words), one) for one in covers]),
            _share([_is_name(_tallest(one.words), one) for one in covers]) + " the tallest line",
        ),
        Row(
            "an album's name is found on its cover",
            _share([is_read(one.album, one.lines) for one in covers]),
            _share([is_read(name, other.lines) for name, other in wrong]) + " on another's",
        ),
        Row(
            f"and read at {THUMBNAIL} pixels, of those that were found",
            _share([is_read(one.album, one.again) for one in found]),
            _share([is_read(name, other.again) for name, other in wrong]) + " on another's",
        ),
        *_rows_of_heights(covers),
    ]


def _rows_of_heights(covers: Sequence[_Titled]) -> list[Row]:
    """See how many lines of a height can be read at 55 pixels."""
    pixels = np.array([height for cover in covers for height in cover.pixels])
    legible = np.array(
        [
            is_read(line, [again])
            for cover in covers
            for line, again in zip(cover.lines, cover.again, strict=True)
        ]
    )
    rows = []
    for low, high in pairwise(_HEIGHTS):
        there = (pixels >= low) & (pixels < high)
        to = f" to under {high:g}" if high < np.inf else ""
        what = f"{there.sum()} lines from {low:g}{to} pixels high: read there"
        rows.append(Row(what, _share(legible[there])))
    return rows


def _share(found: Sequence[bool] | Bools) -> str:
    return f"{np.mean(found):.1%}"


def _tallest(words: Words) -> tuple[Line, ...]:
    return (max(words.lines, key=lambda one: (len(letters_of(one.text)) > 1, one.height())),)


def _is_name(lines: Sequence[Line], cover: _Titled) -> bool:
    said = letters_of("".join(line.text for line in lines))
    album, artist = letters_of(cover.album), letters_of(cover.artist)
    return any(
        alike(said, name) >= _ALIKE for name in (album, artist, album + artist, artist + album)
    )


# --- time ----------------------------------------------------------------------------------------


def _rows_of_time(here: Workspace, count: int, options: Options) -> list[Row]:
    manifest = _make_corpus(here.folder, count)
    environment = here.environment()
    albo = albo_command()
    run_command([albo, "embed", manifest], environment)
    cover = large_covers()[0]
    page = here.folder / "report.html"
    report: list[Word] = [albo, "report", cover, "--as", _GENRE, "--html", page]
    commands: dict[str, list[Word]] = {
        "report": report,
        "no words": [*report, "--no-words"],
        "torch": [interpreter(), "-c", "import torch, torchvision"],
    }

    def seconds(words: Sequence[Word]) -> float:
        return run_command(words, environment).seconds

    jobs = {name: partial(seconds, words) for name, words in commands.items()}
    interleave(jobs, 1)  # networks exported, files into the page cache
    times = interleave(jobs, options.pick(7, 2))
    peak = run_command(report, environment).peak_mib
    return [
        _row_of_time(f"`albo report COVER --as {_GENRE}`, {count:,} covers", times, "report"),
        _row_of_time("the same with `--no-words`", times, "no words", target=False),
        Row("peak memory of the first", f"{peak:.0f} MiB"),
        Row("size of its HTML file", f"{page.stat().st_size / 1024:.0f} KiB"),
    ]


def _row_of_time(what: str, times: dict[str, Sample], name: str, *, target: bool = True) -> Row:
    own, peer = times[name], times["torch"]
    return Row(
        what,
        own.show(2, " s"),
        f"{peer.show(2, ' s')} `import torch, torchvision`, a yardstick",
        own.over(peer).show(2, "x"),
        at_most(own.median, MOST_SECONDS, f"≤ {MOST_SECONDS:g} s on 2 cores") if target else None,
    )


def _make_corpus(folder: Path, count: int) -> Path:
    """Write so many covers with their genres; return the manifest."""
    source = shared_folder() / "covers" / "discogs5"
    labelled = [row for row in read_csv(source / "labels.csv") if row["genre"]]
    make_variants([source / row["file"] for row in labelled], folder / "covers", count)
    manifest = folder / "covers.csv"
    with manifest.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "genre", "artist"])
        for file in sorted((folder / "covers").rglob("*.jpg")):
            number = int(file.stem)
            artist = f"Artist {number // _COVERS_AN_ARTIST}"
            writer.writerow([file, labelled[number % len(labelled)]["genre"], artist])
    return manifest


# --- looks ---------------------------------------------------------------------------------------


def _rows_of_looks(here: Workspace, name: str, options: Options) -> list[Row]:
    albo = Albo(here.folder / "artifacts")
    manifest = some_labels(name, here.folder, options)
    albo.embed([str(manifest)])
    albo.train(seeds=(0,))
    return [_row_of_typicality(albo, name), *_rows_of_maps(albo, name, options)]


def _row_of_typicality(albo: Albo, name: str) -> Row:
    vectors = store_of(albo)
    with albo.library.reading() as catalog:
        albums = list(catalog.albums())
    gatherer = Gatherer(albo.artifacts, vectors, card_of(vectors), albo.note, albo.progress)
    material = gatherer.gather(albums, "genre", words=False)
    corpus = select_covers(material.labelling, material.links, _LEAST_GROUPS)
    rows = vectors.read([cover.digest for cover in corpus.covers], middle=False)[1].vector
    ours, plain = _typicality(rows, corpus.labels, corpus.groups)
    return Row(
        f"typicality of {len(corpus.genres)} genres, {name}, AUC",
        f"{_area(ours, corpus.labels):.3f}",
        f"{_area(plain, corpus.labels):.3f} mean cosine",
        "",
        Target("above the peer", _area(ours, corpus.labels) > _area(plain, corpus.labels)),
    )


def _typicality(rows: Floats, labels: Ints, groups: Ints) -> tuple[Floats, Floats]:
    """Return (n, c) twice: typicality, and plain mean cosines, each without the cover's group."""
    genres = int(labels.max()) + 1
    means = GenreMeans.of([(labels, rows)], genres, rows.shape[1])
    ours = means.typicality(rows)
    plain = rows @ (means.sums / means.counts[:, None]).T
    for genre in range(genres):
        own = np.flatnonzero(labels == genre)
        ours[own] = means.own_typicality(genre, rows[own], groups[own])
        # What is beyond the average genre's is the mean cosine less a mean that holds it.
        others = np.delete(plain[own], genre, axis=1).mean(axis=1)
        plain[own, genre] = others + ours[own, genre] * genres / (genres - 1)
    return ours, plain


def _area(scores: Floats, labels: Ints) -> float:
    from sklearn.metrics import roc_auc_score

    return float(
        np.mean([roc_auc_score(labels == g, scores[:, g]) for g in range(scores.shape[1])])
    )


def _rows_of_maps(albo: Albo, name: str, options: Options) -> list[Row]:
    head = load_head(albo.artifacts.head("default"))
    predictor = head.predictors["image"]
    card = card_of(store_of(albo))
    backbone = open_backbone(card, Device.CPU)
    with albo.library.reading() as catalog:
        files = sorted({album.uri for album in catalog.albums()})
    drawing = np.random.default_rng(0)
    drawn = drawing.permutation(len(files))[: options.pick(200, 10)]
    mapper = open_mapper(card, predictor)
    lost = np.array(
        [
            _lost(decode(Path(files[at]).read_bytes(), card.size), backbone, mapper, drawing)
            for at in drawn
        ]
    )
    strongest, by_lot, weakest = lost.mean(axis=0)
    return [
        Row(
            f"log-odds lost, strongest fifth covered, {name}, {len(drawn)} covers",
            f"{strongest:.2f}",
            f"{by_lot:.2f} drawn by lot, {weakest:.2f} weakest",
            "",
            Target("above both", strongest > max(by_lot, weakest)),
        )
    ]


def _lost(
    pixels: Pixels, backbone: FrozenBackbone, mapper: Mapper, drawing: np.random.Generator
) -> tuple[float, float, float]:
    """Return what covering costs: the strongest places, places drawn by lot, the weakest ones."""
    (whole,) = backbone.encode([pixels[None]])
    said = mapper.predictor.log_probabilities(np.concatenate([whole.vector, whole.middle], axis=1))[
        0
    ]
    genre = int(said.argmax())
    evidence = mapper.map(pixels, whole.middle[0], genre).evidence
    order = np.argsort(-evidence, axis=None)
    few = max(1, round(_COVERED * evidence.size))
    lot = drawing.permutation(evidence.size)
    chosen = [order[:few], lot[:few], order[-few:]]
    covered = np.stack([_cover(pixels, places, evidence.shape) for places in chosen])
    (found,) = backbone.encode([covered])
    left = mapper.predictor.log_probabilities(np.concatenate([found.vector, found.middle], axis=1))
    beyond = against_others(np.concatenate([said[None], left]), genre)
    one, two, three = (float(beyond[0] - value) for value in beyond[1:])
    return one, two, three


def _cover(pixels: Pixels, places: Ints, shape: tuple[int, int]) -> Pixels:
    """Fill places of a grid over a cover with its mean colour."""
    covered = pixels.copy()
    rows, columns = (
        np.linspace(0, side, n + 1).astype(int)
        for side, n in zip(pixels.shape, shape, strict=False)
    )
    for row, column in zip(*np.unravel_index(places, shape), strict=True):
        block = slice(rows[row], rows[row + 1]), slice(columns[column], columns[column + 1])
        covered[block] = pixels.mean(axis=(0, 1))
    return covered
