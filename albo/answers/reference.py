"""The labelled covers for comparison: their votes, and how typical a cover is of a genre.

A vote is not a prediction: it counts the genres of the nearest covers, without a head. Other scans
of the query have no vote, and neither have covers without one clear label.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from albo.answers.pictures import CoverPictures
from albo.answers.records import Typical
from albo.errors import TooFewCovers
from albo.learning import group_covers
from albo.neighbours import (
    LEAST_COVERS,
    SHOWN_MINIATURES,
    GenreMeans,
    Standing,
    copies_in,
    near_duplicate_links,
    pairs_in,
    standing,
)
from albo.records import ShownCover
from albo.texts import letters_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from albo.index import Index
    from albo.learning import LabelledCover, Labelling
    from albo.neighbours import Pairs
    from albo.records import (
        Album,
        Bools,
        Digest,
        Doubles,
        Floats,
        Halves,
        Ints,
        Json,
        Miniatures,
    )
    from albo.store import MiniatureStore, Vectors


VOTERS = 25
"""The number of nearest covers that vote."""

_SHOWN = 6
_LOOKED_AT = 200  # nearest covers: enough, except with many copies or a rare genre


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes of the covers nearest to a query. Covers are nearest first, without pictures."""

    genre: str
    """The genre asked about."""

    voters: int
    """Labelled covers that vote, at most VOTERS."""

    in_favour: int
    """How many of the voters are of the genre asked about."""

    by_chance: float
    """How many would be, on average, if the voters were drawn at random."""

    own: tuple[ShownCover, ...]
    """The nearest covers of the genre asked about."""

    others: tuple[ShownCover, ...]
    """The nearest covers of all other genres."""

    same: tuple[ShownCover, ...]
    """Other scans of the query's artwork and the very same file, labelled or not."""

    commonest: str = ""
    """The genre that most voters are of, the nearest first where several are; "" without voters."""

    commonest_count: int = 0
    """How many of the voters are of that genre."""

    def as_json(self) -> Json:
        """Return them as plain JSON types, without the covers."""
        by_chance = round(self.by_chance, 2)
        return {"in_favour": self.in_favour, "of": self.voters, "by_chance": by_chance}


@dataclass(frozen=True, slots=True)
class Typicality:
    """How typical a cover is of a genre."""

    value: float
    """Its mean cosine to the genre's covers, minus that to the average genre's."""

    among: Standing
    """The rank of that value among those of the genre's own covers."""


@dataclass(frozen=True, slots=True)
class NoReference:
    """Why there are no covers for comparison."""

    reason: str
    """The reason for users, without folders of this machine, as reports are sent to others."""

    is_damaged: bool = False
    """Whether there are covers that must be repaired first."""


@dataclass(frozen=True)
class Reference:
    """Labelled covers that are embedded and indexed."""

    labelling: Labelling
    """The labels of the covers with a vector."""

    albums: Mapping[Digest, Album]
    """One album for each cover of the index."""

    index: Index
    """The index of the covers."""

    vectors: Vectors
    """The vectors of the covers."""

    same_from: float
    """The least cosine of two covers of one artwork."""

    pictures: CoverPictures = field(default_factory=CoverPictures, repr=False)
    """The maker of pictures of the shown covers."""

    miniatures: MiniatureStore | None = None
    """The miniatures of the covers, by which small, grey and framed copies are recognised."""

    _owns: dict[str, _Own] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _genre_of(self) -> dict[Digest, str]:
        return {cover.digest: cover.genre for cover in self.labelling.covers}

    @cached_property
    def counts(self) -> Counter[str]:
        """How many covers each genre has."""
        return Counter(cover.genre for cover in self.labelling.covers)

    def spelling(self, genre: str) -> str:
        """Return the most common spelling of a genre here; the given one if there is none."""
        wanted = letters_of(genre)
        alike = [name for name in self.counts if wanted and letters_of(name) == wanted]
        return max(alike, key=lambda name: (name == genre, self.counts[name]), default=genre)

    # --- votes -----------------------------------------------------------------------------------

    def votes(
        self,
        vector: Floats,
        digest: Digest,
        genre: str,
        known: Collection[Digest] = (),
        miniature: Miniatures | None = None,
    ) -> Votes:
        """Ask the covers nearest to a query.

        Parameters
        ----------
        vector : float32 (1, d), of unit length.
        digest : the query's digest.
        genre : the genre that is asked about.
        known : covers of the query's groups, such as albums by its artist, which have no vote.
        miniature : the query's, uint8 (2, 16, 16); None recognises no copies by it.
        """
        near = self._near(vector)
        same = self._same(near, digest, miniature)
        if len(self._genre_of) < self.index.count:
            near = self._near(vector, self._genre_of.keys())
        left_out = frozenset(known) | {digest} | {one.digest for one in same}
        apart = self._only_apart(near, left_out)
        voters = apart[:VOTERS]
        own = [one for one in apart if one.genre == genre]
        others = [one for one in apart if one.genre != genre]
        if len(own) < _SHOWN:
            own = self._apart(vector, left_out, {genre})
        if len(others) < _SHOWN:
            others = self._apart(vector, left_out, self.counts.keys() - {genre})
        return Votes(
            genre,
            len(voters),
            sum(one.genre == genre for one in voters),
            len(voters) * self._share(genre, left_out),
            tuple(own[:_SHOWN]),
            tuple(others[:_SHOWN]),
            tuple(same),
            *_commonest(voters),
        )

    def pictured(self, covers: Iterable[ShownCover]) -> tuple[ShownCover, ...]:
        """Return the same covers with small pictures, where possible."""
        return tuple(
            cover
            if cover.album is None
            else replace(cover, thumbnail=self.pictures.picture(cover.album))
            for cover in covers
        )

    def _share(self, genre: str, left_out: Collection[Digest]) -> float:
        """Return the genre's share of the covers that may vote."""
        copies = Counter(name for one in left_out if (name := self._genre_of.get(one)))
        apart = self.counts.total() - copies.total()
        return (self.counts[genre] - copies[genre]) / apart if apart > 0 else 0.0

    def _same(
        self, near: Sequence[ShownCover], digest: Digest, miniature: Miniatures | None
    ) -> list[ShownCover]:
        """Return the covers with the query's artwork: by their vectors, then by their miniatures.

        Parameters
        ----------
        near : the nearest covers.
        """
        same = [one for one in near if one.digest == digest or one.score >= self.same_from]
        if self.miniatures is None:
            return same
        found = {one.digest for one in same}
        (copies,) = copies_in(self.miniatures, [miniature], SHOWN_MINIATURES)
        return same + [
            ShownCover(one, self.albums[one], self._genre_of.get(one, ""), likeness)
            for one, likeness in sorted(copies.items(), key=lambda copy: -copy[1])
            if one not in found and one in self.albums
        ]

    def _apart(
        self, vector: Floats, left_out: Collection[Digest], genres: Collection[str]
    ) -> list[ShownCover]:
        """Return the nearest covers of these genres with another artwork."""
        among = {cover.digest for cover in self.labelling.covers if cover.genre in genres}
        return self._only_apart(self._near(vector, among), left_out)

    def _only_apart(
        self, near: Iterable[ShownCover], left_out: Collection[Digest]
    ) -> list[ShownCover]:
        return [one for one in near if one.digest not in left_out and one.score < self.same_from]

    def _near(self, vector: Floats, among: Collection[Digest] | None = None) -> list[ShownCover]:
        if among is not None and not among:
            return []
        (found,) = self.index.search(vector, _LOOKED_AT, among)
        return [
            ShownCover(digest, album, self._genre_of.get(digest, ""), score)
            for digest, score in zip(found.digests, found.scores, strict=True)
            if (album := self.albums.get(digest)) is not None
        ]

    # --- typicality ------------------------------------------------------------------------------

    def typicality(self, vector: Floats, genre: str, copies: Collection[Digest] = ()) -> Typicality:
        """Return how typical a query is of a genre.

        Parameters
        ----------
        vector : float32 (1, d), of unit length.
        copies : covers with the query's artwork; they and their whole groups are left out.

        Raises TooFewCovers if the genre, or every other genre, has too few covers.
        """
        own, place = self._own(genre), self._places[genre]
        left_out = own.of_groups_of(copies)
        if left_out.all():
            raise TooFewCovers(f"all covers of {genre!r} here are of this artwork or its artist")
        means = self._means.without(place, own.vectors[left_out])
        value = float(means.typicality(vector)[0, place])
        return Typicality(value, standing(value, own.typicality[~left_out]))

    def ranked(self, genre: str, k: int, *, oddest: bool = False) -> list[Typical]:
        """Return a genre's k most typical covers, or its oddest, with small pictures.

        Raises as `typicality` does.
        """
        own = self._own(genre)
        order = np.argsort(own.typicality if oddest else -own.typicality, kind="stable")
        rows = enumerate(order[:k].tolist(), start=1)
        return [self._describe(own, genre, row, rank) for rank, row in rows]

    def _describe(self, own: _Own, genre: str, row: int, rank: int) -> Typical:
        digest, value = own.digests[row], float(own.typicality[row])
        album = self.albums[digest]
        picture = self.pictures.picture(album)
        among = standing(value, np.delete(own.typicality, row))
        return Typical(
            ShownCover(digest, album, genre, rank=rank, thumbnail=picture),
            Typicality(value, among),
            looks_like=self._compared[own.looks_like[row]],
        )

    @cached_property
    def _compared(self) -> tuple[str, ...]:
        """The genres with enough covers, by name."""
        return tuple(sorted(genre for genre, n in self.counts.items() if n >= LEAST_COVERS))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {genre: place for place, genre in enumerate(self._compared)}

    @cached_property
    def _means(self) -> GenreMeans:
        place_of = {
            cover.digest: self._places[cover.genre]
            for cover in self.labelling.covers
            if cover.genre in self._places
        }

        def batches() -> Iterator[tuple[Ints, Halves]]:
            for digests, vectors in self.vectors.batches(place_of.keys()):
                yield np.array([place_of[digest] for digest in digests], np.int64), vectors

        return GenreMeans.of(batches(), len(self._compared), self.vectors.dimension)

    def _own(self, genre: str) -> _Own:
        """Return a genre's covers, computed once. Raises TooFewCovers."""
        if genre not in self._owns:
            self._check_enough(genre)
            covers = [cover for cover in self.labelling.covers if cover.genre == genre]
            digests, embeddings = self.vectors.read([one.digest for one in covers], middle=False)
            place, groups = self._places[genre], self._groups_of(covers, embeddings.vector)
            found = self._means.own_typicality(place, embeddings.vector, groups)
            self._owns[genre] = _Own(
                tuple(digests),
                embeddings.vector,
                groups,
                found[:, place],
                found.argmax(axis=1),
            )
        return self._owns[genre]

    def _groups_of(self, covers: Sequence[LabelledCover], vectors: Floats) -> Ints:
        """Group a genre's n covers by artist, `dup_group` and artwork: int64 (n,).

        Parameters
        ----------
        vectors : float32 (n, d), rows of unit length.
        """
        artists, dup_groups = zip(*((one.artists, one.dup_groups) for one in covers), strict=True)
        copies: Iterator[Pairs] = iter(())
        if self.miniatures is not None:
            digests = [one.digest for one in covers]
            copies = pairs_in(self.miniatures, digests, SHOWN_MINIATURES, lambda _line: None)
        links = near_duplicate_links(vectors, self.same_from, also=copies)
        return group_covers(artists, dup_groups, links)

    def _check_enough(self, genre: str) -> None:
        there = self.counts[genre]
        if there < LEAST_COVERS:
            raise TooFewCovers(
                f"{there} cover{'s' if there != 1 else ''} of {genre!r} with a vector;"
                f" {LEAST_COVERS} are needed to say what is typical, so embed more with"
                " `albo embed`"
            )
        if len(self._compared) < 2:  # noqa: PLR2004  (one genre has nothing to compare with)
            raise TooFewCovers(
                f"{genre!r} is the only genre of {LEAST_COVERS} covers or more; embed covers of"
                " others with `albo embed`, to say what is typical of this one"
            )


def _commonest(voters: Sequence[ShownCover]) -> tuple[str, int]:
    """Return the genre that most voters are of, and their number."""
    counts = Counter(one.genre for one in voters)
    return counts.most_common(1)[0] if counts else ("", 0)


@dataclass(frozen=True)
class _Own:
    """A genre's n covers."""

    digests: tuple[Digest, ...]

    vectors: Floats
    """float32 (n, d), rows of unit length."""

    groups: Ints
    """int64 (n,): the group of each; covers of one artist or artwork share one."""

    typicality: Doubles
    """float64 (n,): how typical of the genre each is."""

    looks_like: Ints
    """int64 (n,): the index of the genre of which each is most typical."""

    def of_groups_of(self, digests: Collection[Digest]) -> Bools:
        """Return which covers are in groups of these, bool (n,); unknown digests are ignored."""
        named = [row for row, digest in enumerate(self.digests) if digest in digests]
        found: Bools = np.isin(self.groups, self.groups[named])
        return found
