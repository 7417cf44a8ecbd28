"""Which covers have a label to learn from."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from albo.errors import TooFewCovers, UsageError
from albo.learning.groups import group_covers, is_known
from albo.records import HeadKind, Level, choose
from albo.texts import in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from albo.learning.groups import Artist
    from albo.records import Album, Digest, Ints, Json, Note

MIN_GROUPS = 5
"""A genre with fewer groups is left out: there would be folds without it."""

SEEDS = (0, 1, 2, 3, 4)
"""Fold seeds whose mean is reported for small corpora."""

SMALL_CORPUS = 30_000
"""The most covers for which folds are drawn with every seed: some ten minutes on two cores. Larger
corpora use the first seed by default, and the report says so; their intervals are narrow."""

MIN_GENRES = 2
_BETWEEN_WORDS = re.compile(r"[\s_\-\u2010-\u2015\u2212]+")
_NO_GENRE = frozenset({"nan", "none", "null", "na", "n/a", "unknown"})
_MOST_NOTED = 5
_MANY_COVERS = 50
_LARGE_SHARE = 0.1
_MOSTLY = 0.5
FOLDS = range(3, 21)
"""The numbers of folds that are allowed."""


@dataclass(frozen=True, slots=True)
class LabelledCover:
    """A cover to learn from, with what links it to other covers."""

    digest: Digest
    """The cover's digest."""

    genre: str
    """Its label: a genre or a subgenre, in the spelling that most albums have."""

    artists: tuple[Artist, ...] = ()
    """The known artists of all albums that bear the cover."""

    dup_groups: tuple[str, ...] = ()
    """The `dup_group` of all albums that bear the cover."""


@dataclass(frozen=True, slots=True)
class Labelling:
    """The covers to learn from."""

    covers: tuple[LabelledCover, ...]
    """The covers with exactly one label, in the order of their digests."""

    conflicting: int = 0
    """The number of covers with several labels; they are left out."""

    unlabelled: int = 0
    """The number of covers without a label; they are left out."""

    merged: tuple[tuple[str, ...], ...] = ()
    """The spellings of each genre that has several, the one that names it first."""

    def restrict(self, digests: Iterable[Digest]) -> Labelling:
        """Keep only the covers with these digests, such as those that are embedded."""
        kept = frozenset(digests)
        return replace(self, covers=tuple(cover for cover in self.covers if cover.digest in kept))


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to fit and score a head."""

    name: str = "default"
    """The head's name."""

    kind: HeadKind = HeadKind.LOGISTIC
    """The kind of the head."""

    level: Level = Level.GENRE
    """Which labels are learned: genres or subgenres."""

    folds: int = 5
    """The number of folds, 3 to 20."""

    seeds: tuple[int, ...] | None = None
    """The seeds of the folds.

    None stands for SEEDS up to SMALL_CORPUS covers, and for the first of them above.
    """

    coverage: float = 0.9
    """The coverage of the conformal sets that are scored: above 0, below 1."""

    backbone: str = ""
    """The name of the image view's backbone, kept with the head."""

    near_duplicates_measured: bool = True
    """Whether the cosine that links near-duplicates was measured for this backbone."""

    def check(self) -> None:
        """Raise UsageError for a value outside its limits."""
        choose(HeadKind, self.kind, "kind")
        if self.folds not in FOLDS:
            raise UsageError(f"folds={self.folds}; give {FOLDS[0]} to {FOLDS[-1]}")
        if not 0 < self.coverage < 1:
            raise UsageError(f"coverage={self.coverage:g}; give a share above 0 and below 1")
        if self.seeds is not None and not self.seeds:
            raise UsageError("no fold seeds; give at least one")

    def seeds_for(self, covers: int) -> tuple[int, ...]:
        """Return the fold seeds for this number of covers."""
        return self.seeds or (SEEDS if covers <= SMALL_CORPUS else SEEDS[:1])


def label_covers(albums: Iterable[Album], level: Level = Level.GENRE) -> Labelling:
    """Take the labels of covers from the albums that bear them.

    Labels that differ by case, blanks, hyphens or Unicode form alone are one, called as most albums
    call it. A cover with several different labels, or with none, is left out
    and counted. Where albums differ in artist or dup_group, the cover is linked by each. Covers
    come in the order of their digests.
    """
    of_digest: defaultdict[Digest, list[Album]] = defaultdict(list)
    for album in albums:
        if album.digest is not None:
            of_digest[album.digest].append(album)
    spellings = _spellings(
        getattr(album, level) for bearing in of_digest.values() for album in bearing
    )
    covers, conflicting, unlabelled = [], 0, 0
    for digest in sorted(of_digest):
        bearing = of_digest[digest]
        labels = {
            spellings[key][0] for album in bearing if (key := _spelling_key(getattr(album, level)))
        }
        conflicting += len(labels) > 1
        unlabelled += not labels
        if len(labels) == 1:
            covers.append(_labelled(digest, labels.pop(), bearing))
    merged = tuple(names for names in spellings.values() if len(names) > 1)
    return Labelling(tuple(covers), conflicting, unlabelled, merged)


def _spellings(labels: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the spellings of each label by its key, the commonest first."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for label in labels:
        counts[_spelling_key(label)][label] += 1
    return {
        key: tuple(sorted(found, key=lambda name: (-found[name], name)))
        for key, found in counts.items()
    }


def _spelling_key(label: str) -> str:
    """Return what is left of a label without case, blanks, hyphens and underscores."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    return _BETWEEN_WORDS.sub("", folded) or folded.strip()


def note_labels(labelling: Labelling, note: Note) -> None:
    """Note which labels count as one, which look like two spellings, and which name nothing."""
    for names in labelling.merged[:_MOST_NOTED]:
        note(f"{', '.join(names[1:])} and {names[0]} are one genre here: {names[0]}")
    if len(labelling.merged) > _MOST_NOTED:
        more = len(labelling.merged) - _MOST_NOTED
        note(f"{more} more genres have several spellings, which count as one")
    genres = sorted({cover.genre for cover in labelling.covers})
    keys = {_spelling_key(genre): genre for genre in genres}
    for genre in genres:
        parts = {_spelling_key(part) for part in genre.split("/")} - {_spelling_key(genre)}
        for other in sorted(keys[part] for part in parts & keys.keys()):
            note(f"{genre} and {other} may be two names of one genre; give both one label if so")
    nameless = sorted(genre for genre in genres if _spelling_key(genre) in _NO_GENRE)
    if nameless:
        note(
            f"{', '.join(nameless)} is learnt as a genre; where it means that none is known, leave"
            " the column blank and run `albo embed` again"
        )


def note_artists(labelling: Labelling, note: Note) -> None:
    """Note an artist of very many covers, and what unknown artists may hide."""
    count = len(labelling.covers)
    if not count:
        return
    names = Counter(name or number for cover in labelling.covers for name, number in cover.artists)
    for name, covers in names.most_common(1):
        if count >= _MANY_COVERS and covers > _LARGE_SHARE * count:
            note(
                f"{in_one_line(name, 60)} is the artist of {covers} of {count} covers, which are"
                " all held out together; if that names nobody, leave the column blank and run"
                " `albo embed` again"
            )
    unknown = sum(not cover.artists for cover in labelling.covers)
    if unknown > _MOSTLY * count:
        note(
            f"the artist of {unknown} of {count} covers is not known: the same artist's covers may"
            " be learnt and scored, which makes scores too high; a column `artist` keeps them apart"
        )


def _labelled(digest: Digest, genre: str, albums: Sequence[Album]) -> LabelledCover:
    artists = {(album.artist, album.artist_id) for album in albums}
    dup_groups = {album.dup_group for album in albums if album.dup_group.strip()}
    return LabelledCover(
        digest,
        genre,
        tuple(sorted(artist for artist in artists if is_known(*artist))),
        tuple(sorted(dup_groups)),
    )


@dataclass(frozen=True, slots=True)
class Corpus:
    """The n covers of the genres that have enough groups."""

    covers: tuple[LabelledCover, ...]
    """The covers; their positions are the rows of all arrays."""

    genres: tuple[str, ...]
    """The names of the genres that stay, ascending."""

    labels: Ints
    """int64 (n,): the genre of each cover, as its position in `genres`."""

    groups: Ints
    """int64 (n,): the group of each cover, as `group_covers` numbers them."""

    left_out: tuple[Json, ...]
    """The genres with too few groups: name, number of covers and of groups."""


def select_covers(labelling: Labelling, pairs: Ints, min_groups: int) -> Corpus:
    """Drop genres with fewer groups than `min_groups`. Raises TooFewCovers if fewer than 2 stay."""
    covers = labelling.covers
    groups = group_covers(
        [cover.artists for cover in covers], [cover.dup_groups for cover in covers], pairs
    )
    covers_of = Counter(cover.genre for cover in covers)
    groups_of: defaultdict[str, set[int]] = defaultdict(set)
    for cover, group in zip(covers, groups.tolist(), strict=True):
        groups_of[cover.genre].add(group)
    genres = tuple(sorted(genre for genre in covers_of if len(groups_of[genre]) >= min_groups))
    if len(genres) < MIN_GENRES:
        raise TooFewCovers(_too_few(labelling, groups_of, min_groups))
    number = {genre: place for place, genre in enumerate(genres)}
    kept = [row for row, cover in enumerate(covers) if cover.genre in number]
    return Corpus(
        covers=tuple(covers[row] for row in kept),
        genres=genres,
        labels=np.array([number[covers[row].genre] for row in kept], np.int64),
        groups=groups[kept],
        left_out=tuple(
            {"genre": genre, "covers": covers_of[genre], "groups": len(groups_of[genre])}
            for genre in sorted(covers_of)
            if genre not in number
        ),
    )


def _too_few(labelling: Labelling, groups_of: Mapping[str, set[int]], min_groups: int) -> str:
    if not labelling.covers and not labelling.conflicting:
        return (
            "no cover has a genre; run `albo embed FOLDER --genre folder` where folders are named"
            " after genres, or `albo embed TABLE.csv` with a column `genre`"
        )
    largest = sorted(groups_of, key=lambda genre: (-len(groups_of[genre]), genre))[:5]
    there = ", ".join(f"{genre} ({len(groups_of[genre])})" for genre in largest) or "none"
    return (
        f"{len(labelling.covers)} labelled covers, genres by groups of covers that share no artist"
        f" or artwork: {there}; a head needs at least 2 genres of {min_groups} groups each,"
        " so embed more covers with `albo embed`"
        + (f" ({labelling.conflicting} have several labels)" if labelling.conflicting else "")
    )


def note_few_seeds(seeds: Sequence[int], command: str, note: Note) -> None:
    """Note that scores use fewer fold seeds than `SEEDS`, and how to use all."""
    if len(seeds) < len(SEEDS):
        drawn = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        note(
            f"scored with fold {drawn} alone; `{command} --seeds {len(SEEDS)}` averages"
            f" {len(SEEDS)} seeds and varies less"
        )
