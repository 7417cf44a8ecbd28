"""The miniatures of a collection, ready to be compared with: a file beside their store.

To answer for one cover, all others are compared with it. Computing what is compared anew takes a
second for 50,000 covers, and the store needs Arrow, which takes a tenth of a second to load. So
`albo embed` keeps it in a file of plain numbers: 520 bytes a cover. The file bears the state of the
store in its name; where there is none of that state, the store itself is read.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO
from zipfile import BadZipFile

import numpy as np

from albo.errors import StaleArtifact
from albo.neighbours.miniatures import QUARTER_TURNS, WIDTH, looks_of
from albo.store import remove_unnamed, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from albo.records import Digest, Floats, Ints, Miniatures
    from albo.store import MiniatureStore

_NAME = re.compile(r"looks-[0-9a-f]{16}\.npz")
_BLOCK_ROWS = 8192
_LARGEST = 127


@dataclass(frozen=True)
class Looks:
    """What is compared of n covers, in m rows: a framed cover has two, a plain one none."""

    digests: NDArray[np.void]
    """The covers, (n,) of 32 bytes."""

    owners: Ints
    """int64 (m,): the cover of each row."""

    rows: NDArray[np.int8]
    """int8 (m, 480): unit rows, each divided by its step."""

    steps: Floats
    """float32 (m,): the step of each row."""

    @classmethod
    def of(cls, batches: Iterator[tuple[list[Digest], Miniatures]]) -> Looks:
        """Compute them of miniatures, in bounded memory but for the result."""
        digests: list[Digest] = []
        parts: list[tuple[Ints, NDArray[np.int8], Floats]] = []
        for some, miniatures in batches:
            rows, owners = looks_of(miniatures)
            steps = np.abs(rows).max(axis=1, initial=0.0) / np.float32(_LARGEST)
            whole = np.rint(rows / steps[:, None]).astype(np.int8)
            parts.append((owners + len(digests), whole, steps))
            digests += some
        if not parts:
            rows, owners = looks_of(np.empty((0, 2, 16, 16), np.uint8))
            parts.append((owners, rows.astype(np.int8), np.empty(0, np.float32)))
        owners, whole, steps = (np.concatenate(column) for column in zip(*parts, strict=True))
        return cls(np.frombuffer(b"".join(digests), "V32"), owners, whole, steps)

    def alike(self, asked: Miniatures, least: float) -> Iterator[tuple[int, Digest, float]]:
        """Yield the covers that show the same picture as those asked about.

        Parameters
        ----------
        asked : uint8 (n, 2, 16, 16).
        least : the least likeness, above 0 and up to 1.

        Yields the position in `asked`, the cover, and their likeness; perhaps several times.
        """
        turned = [looks_of(asked, turns) for turns in QUARTER_TURNS]
        wanted = np.concatenate([rows for rows, _ in turned])
        askers = np.concatenate([owners for _, owners in turned])
        for start in range(0, len(self.rows), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            likeness = wanted @ self.rows[part].astype(np.float32).T * self.steps[part]
            for at, to in zip(*np.nonzero(likeness >= least), strict=True):
                digest = self.digests[self.owners[start + to]].tobytes()
                yield int(askers[at]), digest, min(float(likeness[at, to]), 1.0)

    def write(self, file: BinaryIO) -> None:
        """Write them as numpy's archive, whose parts have checksums."""
        np.savez(file, digests=self.digests, owners=self.owners, rows=self.rows, steps=self.steps)

    @classmethod
    def read(cls, file: Path) -> Looks:
        """Read them. Raises OSError, and ValueError for a file that `write` has not written."""
        names = ("digests", "owners", "rows", "steps")
        try:
            with file.open("rb") as opened, np.load(opened, allow_pickle=False) as found:
                looks = cls(**{name: found[name] for name in names})
        except (BadZipFile, KeyError, EOFError) as error:
            raise ValueError(f"{file} is damaged") from error
        rows = len(looks.owners)
        if (looks.rows.shape, looks.steps.shape) != ((rows, WIDTH), (rows,)):
            raise ValueError(f"{file} is damaged")
        if rows and not 0 <= looks.owners.min() <= looks.owners.max() < len(looks.digests):
            raise ValueError(f"{file} is damaged")
        return looks


def update_looks(store: MiniatureStore) -> None:
    """Bring the file up to date with the store; the caller holds the writer lock.

    Raises StaleArtifact where the store is damaged, CannotWrite.
    """
    file = _file_of(store)
    if not file.is_file():
        write_atomically(file, Looks.of(store.batches()).write)
    remove_unnamed(store.folder, _NAME, {file.name})


def copies_in(
    store: MiniatureStore, asked: Sequence[Miniatures | None], least: float
) -> list[dict[Digest, float]]:
    """Find the stored covers that are copies of those asked about.

    Parameters
    ----------
    store : the miniatures of covers.
    asked : of each cover asked about, uint8 (2, 16, 16); None finds nothing.
    least : the least likeness, above 0 and up to 1.

    Returns the copies of each, with their likeness. None is found where the store is missing or
    damaged: `albo embed` makes it anew.
    """
    found: list[dict[Digest, float]] = [{} for _ in asked]
    given = [at for at, one in enumerate(asked) if one is not None]
    if not given:
        return found
    wanted = np.stack([one for one in asked if one is not None])
    with suppress(StaleArtifact):
        for at, digest, likeness in _looks_in(store).alike(wanted, least):
            own = found[given[at]]
            own[digest] = max(likeness, own.get(digest, 0.0))
    return found


def _looks_in(store: MiniatureStore) -> Looks:
    """Open the file of the store, else read the store. Raises StaleArtifact."""
    file = _file_of(store)
    with suppress(OSError, ValueError):
        return _read_once(file, file.stat().st_mtime_ns)
    return Looks.of(store.batches())


@lru_cache(maxsize=1)
def _read_once(file: Path, _changed: int) -> Looks:
    """Read a file, unless the last call read the same."""
    return Looks.read(file)


def _file_of(store: MiniatureStore) -> Path:
    return store.folder / f"looks-{store.state}.npz"
