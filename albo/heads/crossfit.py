"""Cross-fitting: a cover that a head has learnt is answered by a predictor that has not seen it.

A head that is asked about a cover of its own training set, another scan of it, or another cover by
the same artist, answers from memory. So beside the predictors fitted on everything, a head keeps
those of its folds. Each was fitted without the groups of its fold, as in the cross-validation that
scored the head (Chernozhukov et al. 2018, "Double/debiased machine learning", section 3).

What links a query to a group are digests and marks. A mark is an artist's name or id, or a
`dup_group`. Marks are kept as hashes: they only have to be recognised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from albo.heads.numbers import check_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from albo.heads.head import Head
    from albo.heads.numbers import Array
    from albo.records import Digest, Ints

Mark: TypeAlias = "tuple[str, str]"
"""What a mark is ("name", "id" or "dup"), and its text."""

DIGEST_BYTES = 32
_HASH_BYTES = 8


def hash_mark(mark: Mark) -> int:
    """Return the 64 bits that stand for a mark."""
    text = "\0".join(mark).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=_HASH_BYTES).digest(), "little")


@dataclass(frozen=True)
class Learnt:
    """The n covers that a head was fitted on, in g groups, and the marks that are linked to them.

    Attributes
    ----------
    digests : uint8 (n, 32), ascending.
    groups : int32 (n,), the group of each cover: 0 to g - 1.
    folds : int32 (g,), the fold that holds out each group.
    marks : uint64 (m,), hashes of marks, ascending.
    mark_groups : int32 (m,), the group that each mark is linked to.
    """

    digests: NDArray[np.uint8]
    groups: NDArray[np.int32]
    folds: NDArray[np.int32]
    marks: NDArray[np.uint64]
    mark_groups: NDArray[np.int32]

    @classmethod
    def of(
        cls, digests: Sequence[Digest], marks: Sequence[Iterable[Mark]], groups: Ints, fold_of: Ints
    ) -> Learnt:
        """Make it of the n covers of a training.

        Parameters
        ----------
        digests : of the covers.
        marks : for each cover, its artists and `dup_group`s.
        groups : int (n,), the group of each cover; any numbers.
        fold_of : int (n,), the fold that holds out each cover.
        """
        names, numbered = np.unique(groups, return_inverse=True)
        folds = np.zeros(len(names), np.int32)
        folds[numbered] = fold_of
        order = sorted(range(len(digests)), key=lambda row: digests[row])
        pairs = sorted(
            {
                (hash_mark(mark), int(group))
                for own, group in zip(marks, numbered, strict=True)
                for mark in own
            }
        )
        table = np.frombuffer(b"".join(digests[row] for row in order), np.uint8)
        return cls(
            table.reshape(-1, DIGEST_BYTES),
            numbered[order].astype(np.int32),
            folds,
            np.array([mark for mark, _ in pairs], np.uint64),
            np.array([group for _, group in pairs], np.int32),
        )

    @property
    def covers(self) -> int:
        """The number of covers, n."""
        return len(self.groups)

    def group_of(self, digest: Digest) -> int | None:
        """Return the group of a cover that was learnt; None for another cover."""
        row = self._rows.get(digest)
        return None if row is None else int(self.groups[row])

    def marked(self, marks: Iterable[Mark]) -> set[int]:
        """Return the groups that these marks are linked to."""
        found: set[int] = set()
        for wanted in {hash_mark(mark) for mark in marks}:
            key = np.uint64(wanted)
            first = int(np.searchsorted(self.marks, key, "left"))
            last = int(np.searchsorted(self.marks, key, "right"))
            found.update(self.mark_groups[first:last].tolist())
        return found

    def covers_of(self, groups: Iterable[int]) -> list[Digest]:
        """Return the digests of the covers of these groups, ascending."""
        rows = np.flatnonzero(np.isin(self.groups, list(groups)))
        return [self.digests[row].tobytes() for row in rows]

    def all_digests(self) -> set[Digest]:
        """Return the digests of all covers that were learnt."""
        return set(self._rows)

    @cached_property
    def _rows(self) -> dict[Digest, int]:
        return {digest.tobytes(): row for row, digest in enumerate(self.digests)}

    def arrays(self) -> dict[str, Array]:
        """Return its arrays under their names in a file."""
        return {
            "digests": self.digests,
            "groups": self.groups,
            "folds": self.folds,
            "marks": self.marks,
            "mark_groups": self.mark_groups,
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], folds: int) -> Learnt:
        """Make it of a file's arrays. Raises ValueError or KeyError where they do not fit."""
        made = cls(
            arrays["digests"],
            arrays["groups"],
            arrays["folds"],
            arrays["marks"],
            arrays["mark_groups"],
        )
        check_array(made.digests, (len(made.groups), DIGEST_BYTES), np.uint8)
        check_array(made.groups, (len(made.groups),), np.int32)
        check_array(made.folds, (len(made.folds),), np.int32)
        if made.marks.dtype != np.uint64 or made.marks.shape != made.mark_groups.shape:
            raise ValueError("marks without groups")
        for places, most in (
            (made.groups, len(made.folds)),
            (made.mark_groups, len(made.folds)),
            (made.folds, folds),
        ):
            if places.dtype != np.int32 or (
                len(places) and not 0 <= places.min() <= places.max() < most
            ):
                raise ValueError("a group or a fold that is not there")
        return made


@dataclass(frozen=True)
class CrossFit:
    """The heads of a head's folds, and what it has learnt. They are read when they are needed."""

    folds: int
    """The number of folds."""

    read_learnt: Callable[[], Learnt]
    """Reads the table of covers that were learnt. Raises StaleArtifact."""

    read_head: Callable[[int], Head]
    """Reads the head that was fitted without one fold. Raises StaleArtifact."""

    _kept: dict[int, Head] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, learnt: Learnt, heads: Sequence[Head]) -> CrossFit:
        """Make it of heads that are in memory, in the order of their folds."""
        return cls(len(heads), lambda: learnt, lambda fold: heads[fold])

    @cached_property
    def learnt(self) -> Learnt:
        """The covers that were learnt. Raises StaleArtifact."""
        return self.read_learnt()

    def head(self, fold: int, views: Sequence[str]) -> Head:
        """Return the head fitted without a fold, or its part that looks at these views alone.

        Raises StaleArtifact.
        """
        if fold not in self._kept:
            self._kept[fold] = self.read_head(fold)
        whole = self._kept[fold]
        part = whole.alone
        return part if part is not None and tuple(views) == part.views else whole
