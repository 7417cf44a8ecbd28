"""Recognise covers that a head has learnt, so that a predictor which has not seen them answers.

A query is known to a head by its own file, by a near-duplicate, by a `dup_group`, or by its artist.
The groups that it belongs to are those that a split keeps together (`learning.groups`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from albo.errors import EmptyCatalog, EmptyIndex, StaleArtifact
from albo.learning import artist_marks, artwork_marks
from albo.neighbours import GROUPED_MINIATURES, copies_in
from albo.networks import near_duplicate_thresholds
from albo.records import ShownCover
from albo.store import MANIFEST, Vectors, backbone_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from albo.heads import CrossFit, Head, Learnt
    from albo.index import Index
    from albo.library import Library
    from albo.networks import Card
    from albo.records import Album, Digest, Floats, Json, Miniatures

MOST_NAMED = 5
"""The most covers by which an answer says that a query is known."""

_NEAREST = 20


class KnownBy(StrEnum):
    """How a query is known to a head, the strongest link first."""

    FILE = "same file"
    NEAR = "near-duplicate"
    ARTWORK = "dup_group"
    ARTIST = "artist"


@dataclass(frozen=True)
class Acquaintance:
    """The covers that a head has learnt and that a query belongs to."""

    by: KnownBy
    """The strongest link."""

    count: int
    """How many covers were learnt of the query's groups."""

    covers: tuple[ShownCover, ...]
    """The nearest of them, at most MOST_NAMED."""

    digests: frozenset[Digest]
    """All of them."""

    fold: int
    """The fold that holds out the group of the strongest link."""

    is_held_out: bool
    """Whether that fold holds out all groups of the query.

    False where the query links covers of several folds, as one artist's picture on another's album:
    no predictor has been fitted without all of them.
    """

    def describe(self) -> str:
        """Say in a line how the query is known, and what answers for it."""
        covers = "1 cover" if self.count == 1 else f"{self.count} covers"
        how = {
            KnownBy.FILE: "the head has learnt this very file"
            + (f", and {self.count - 1} more of its artist or artwork" if self.count > 1 else ""),
            KnownBy.NEAR: f"the head has learnt {covers} that look alike or are by its artist",
            KnownBy.ARTWORK: f"the head has learnt {covers} of its dup_group or its artist",
            KnownBy.ARTIST: f"the head has learnt {covers} by its artist",
        }[self.by]
        if not self.is_held_out:
            return (
                f"{how}; they were learnt in several folds, so the predictor that answers has"
                " learnt some of them"
            )
        them = "it" if self.count == 1 else "none of them"
        has = "has not learnt" if self.count == 1 else "has learnt"
        return f"{how}; a predictor that {has} {them} answers"

    def with_albums(self, albums: Mapping[Digest, Sequence[Album]]) -> Acquaintance:
        """Return the same, with one album for each cover that is named."""
        covers = (
            replace(one, album=next(iter(albums.get(one.digest, ())), None)) for one in self.covers
        )
        return replace(self, covers=tuple(covers))

    def as_json(self) -> Json:
        """Return how the query is known, with the covers that are named."""
        return {
            "by": self.by.value,
            "covers": self.count,
            "named": [
                {"digest": one.digest.hex(), "score": round(one.score, 4), **one.album_json()}
                for one in self.covers
            ],
        }


@dataclass(frozen=True)
class Recogniser:
    """Recognises covers that a head has learnt."""

    library: Library
    """The library that holds the covers."""

    head: Head
    """The head."""

    card: Card
    """The card of the head's backbone."""

    @property
    def crossfit(self) -> CrossFit | None:
        """The heads of the folds; None where the head keeps none."""
        return self.head.crossfit

    def recognise(
        self,
        digests: Sequence[Digest],
        vectors: Floats,
        artists: Sequence[str] = (),
        miniatures: Sequence[Miniatures | None] = (),
    ) -> list[Acquaintance | None]:
        """Say of each of n queries how the head knows it; None where it does not.

        Parameters
        ----------
        digests : of the queries.
        vectors : float32 (n, d), unit rows.
        artists : of each query, the artist whom the user named, "" for none; () for no names.
        miniatures : of each query, uint8 (2, 16, 16), None where there is none; () for none at all.

        Raises StaleArtifact where the head's table of learnt covers is damaged.
        """
        if self.crossfit is None or not len(digests):
            return [None] * len(digests)
        near = self._near(vectors)
        copies = copies_in(self.library.miniatures(), miniatures, GROUPED_MINIATURES)
        for found, same in zip(near, copies, strict=False):
            found.update({one: likeness for one, likeness in same.items() if one not in found})
        wanted = {*digests, *(one for found in near for one in found)}
        albums = self._albums(wanted)
        names = artists or [""] * len(digests)
        known = [
            self._known(digest, found, albums, name)
            for digest, found, name in zip(digests, near, names, strict=True)
        ]
        named = self._albums({cover.digest for one in known if one for cover in one.covers})
        return [one and one.with_albums(named) for one in known]

    def forgotten(self) -> int:
        """Return how many covers the head has learnt that the catalog no longer holds.

        0 where that cannot be said: there is no catalog, or the head keeps no list.
        """
        if self.crossfit is None:
            return 0
        try:
            with self.library.reading() as catalog:
                known = catalog.digests(missing=True)
        except EmptyCatalog:
            return 0
        return len(self.crossfit.learnt.all_digests() - set(known))

    def _known(
        self,
        digest: Digest,
        near: Mapping[Digest, float],
        albums: Mapping[Digest, Sequence[Album]],
        artist: str,
    ) -> Acquaintance | None:
        learnt = self._learnt
        own = [album for one in (digest, *near) for album in albums.get(one, ())]
        groups = {
            KnownBy.FILE: _present([learnt.group_of(digest)]),
            KnownBy.NEAR: _present([learnt.group_of(one) for one in near]),
            KnownBy.ARTWORK: learnt.marked(artwork_marks(album.dup_group for album in own)),
            KnownBy.ARTIST: learnt.marked(
                artist_marks([(artist, ""), *((one.artist, one.artist_id) for one in own)])
            ),
        }
        by = next((link for link in KnownBy if groups[link]), None)
        if by is None:
            return None
        every = set().union(*groups.values())
        folds = {int(learnt.folds[group]) for group in every}
        fold = int(learnt.folds[min(groups[by])])
        covers = learnt.covers_of(every)
        return Acquaintance(
            by,
            len(covers),
            _nearest(covers, {digest: 1.0, **near}),
            frozenset(covers),
            fold,
            is_held_out=len(folds) == 1,
        )

    @cached_property
    def _learnt(self) -> Learnt:
        assert self.crossfit is not None  # noqa: S101  (seen by the caller)
        return self.crossfit.learnt

    @cached_property
    def _index(self) -> Index | None:
        """The index of the head's backbone; None, and a note, where it cannot be asked."""
        fingerprint = self.head.fingerprints["image"]
        folder = self.library.artifacts.vectors(backbone_key(self.head.backbone, fingerprint))
        if not (folder / MANIFEST).is_file():
            return None
        try:
            with self.library.reading() as catalog:
                return self.library.open_index(Vectors.open(folder, fingerprint), catalog)
        except (EmptyCatalog, EmptyIndex):
            return None
        except StaleArtifact as error:
            self.library.note(f"{error}; until then other scans of learnt covers are not seen")
            return None

    def _near(self, vectors: Floats) -> list[dict[Digest, float]]:
        """Return the covers here with vectors near to those of each query, with their cosines."""
        if self._index is None or not self._index.count:
            return [{} for _ in vectors]
        least = near_duplicate_thresholds(self.card)[0]
        return [
            dict(zip(found.digests, map(float, found.scores), strict=True))
            for found in self._index.near(vectors, least, _NEAREST)
        ]

    def _albums(self, digests: Collection[Digest]) -> dict[Digest, list[Album]]:
        """Return the albums that bear these covers; none where there is no catalog."""
        found: defaultdict[Digest, list[Album]] = defaultdict(list)
        try:
            with self.library.reading() as catalog:
                for album in catalog.albums(digests):
                    if album.digest is not None:
                        found[album.digest].append(album)
        except EmptyCatalog:
            return {}
        return dict(found)


def _nearest(covers: Sequence[Digest], scores: Mapping[Digest, float]) -> tuple[ShownCover, ...]:
    """Return the nearest few of these covers, without their albums."""
    some = sorted(covers, key=lambda one: -scores.get(one, 0.0))[:MOST_NAMED]
    return tuple(ShownCover(one, score=scores.get(one, 0.0)) for one in some)


def _present(groups: Iterable[int | None]) -> set[int]:
    return {group for group in groups if group is not None}
