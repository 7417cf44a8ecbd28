"""What the tests of all stores of parts use: covers, what is stored of them, and benches.

A bench is a store of one form with all that a test needs to say of it, so that the contract in
`test_part_stores` holds for vectors, words and miniatures alike.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from albo.records import Digest, Embeddings, Line, Words
from albo.store import Artifacts, MiniatureStore, Vectors, WordStore
from albo.store.miniatures import MiniatureForm
from albo.store.vectors import VectorForm
from albo.store.words import WordForm

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from albo.records import Floats, Miniatures
    from albo.store.forms import StoreKind

REPOSITORY = Path(__file__).resolve().parents[2]
FINGERPRINT = "0123456789abcdef" * 4
OTHER = "f" * 64
D, M = 12, 5
BOX = (0.0, 0.25, 0.5, 0.25, 0.5, 0.5, 0.0, 0.5)
FAILED = Words(error="the reader gave up")
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


def digests_of(numbers: Iterable[int]) -> list[Digest]:
    return [hashlib.sha256(b"%d" % number).digest() for number in numbers]


def parts_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def run_python(code: str, *arguments: object) -> str:
    """Run a piece of code in a process of its own; what it printed."""
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def in_a_fork(act: object, *arguments: object) -> int:
    """Run a function in a child of this process, which has to have one thread only."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            act(*arguments)  # type: ignore[operator]
            code = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            if code:
                import traceback

                traceback.print_exc()
            os._exit(code)
    return process


# --- covers and what is stored of them -----------------------------------------------------------


def look(digests: Sequence[Digest], d: int = D, m: int = M) -> Embeddings:
    """Embed covers as a backbone would: each digest has its own numbers, always the same."""
    drawn = [np.random.default_rng(list(one)).standard_normal(d + m) for one in digests]
    numbers = np.array(drawn, np.float32).reshape(len(digests), d + m)
    vector = numbers[:, :d]
    vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    return Embeddings(vector, numbers[:, d:] * 10)


def stored_floats(given_floats: Floats) -> Floats:
    """What float16 leaves of unit vectors."""
    halves = given_floats.astype(np.float16).astype(np.float32)
    return halves / np.linalg.norm(halves, axis=1, keepdims=True)


def words_of(*texts: str) -> Words:
    return Words(tuple(Line(text, BOX, 0.5) for text in texts))


def says(digest: Digest) -> Words:
    """What a cover says: its own words, always the same, none on one in five."""
    dice = random.Random(digest)  # noqa: S311
    return words_of(*(f"line {dice.random()}" for _ in range(dice.randrange(5))))


# --- benches -------------------------------------------------------------------------------------


class Bench(ABC):
    """A store of one form, and what tests have to know of it."""

    name: str
    kind: StoreKind
    identity: str
    manifests_of_no_store: tuple[dict[str, object], ...]
    kills: int
    least_found: int
    """Changed bytes of some 500 that a reader has to notice."""

    @abstractmethod
    def folder(self, kept: Artifacts) -> Path:
        """Where the store is among the artifacts."""

    @abstractmethod
    def open(self, folder: Path, fingerprint: str | None = None) -> Any:  # noqa: ANN401
        """Open the store of any owner, or of one."""

    @abstractmethod
    def create(self, folder: Path, fingerprint: str = FINGERPRINT) -> Any:  # noqa: ANN401
        """Open or begin the store."""

    @abstractmethod
    def create_as_others(self, folder: Path) -> list[Any]:
        """Attempts to open or begin stores of other owners or widths, to be called."""

    @abstractmethod
    def content(self, digests: Sequence[Digest]) -> Any:  # noqa: ANN401
        """What is to be stored of covers, always the same."""

    @abstractmethod
    def check_rows(self, store: Any, digests: Sequence[Digest]) -> None:  # noqa: ANN401
        """These covers are stored with what is theirs."""

    @abstractmethod
    def check_beside_a_writer(self, store: Any, digests: Sequence[Digest]) -> None:  # noqa: ANN401
        """These covers are stored with what is theirs, while others are being added."""

    def check(self, store: Any, expected: Sequence[Digest]) -> None:  # noqa: ANN401
        """The store holds exactly these covers, in this order, with what is theirs."""
        assert store.digests() == list(expected)
        assert store.parts.digests() == list(expected)
        assert len(store) == len(expected)
        self.check_rows(store, expected)

    def fill(self, store: Any, *runs: Iterable[int]) -> None:  # noqa: ANN401
        """Add covers in one writer, a commit for each run of numbers."""
        with store.writer() as writer:
            for run in runs:
                digests = digests_of(run)
                writer.add(digests, self.content(digests))
                writer.commit()

    def add_at_random(
        self,
        writer: Any,  # noqa: ANN401
        numbers: Iterable[int],
        dice: random.Random,  # noqa: ARG002
    ) -> list[int]:
        """Add covers as a run may; those of them that are then stored."""
        there = list(numbers)
        writer.add(digests_of(there), self.content(digests_of(there)))
        return there


class VectorBench(Bench):
    name = "vectors"
    kind = VectorForm.kind
    identity = f"lite0 {FINGERPRINT}"
    manifests_of_no_store = (
        {"dimension": 0},
        {"dimension": 10**12},
        {"dimension": "12"},
        {"middle_dimension": -1},
        {"fingerprint": None},
        {"extra": []},
    )
    kills = 24
    least_found = 300

    def folder(self, kept: Artifacts) -> Path:
        return kept.vectors("lite0-01234567")

    def open(self, folder: Path, fingerprint: str | None = None) -> Vectors:
        return Vectors.open(folder, fingerprint)

    def create(self, folder: Path, fingerprint: str = FINGERPRINT, m: int = M) -> Vectors:
        return Vectors.open_or_create(folder, "lite0", fingerprint, D, m, extra={"size": 224})

    def create_as_others(self, folder: Path) -> list[Any]:
        others = (
            ("lite0", OTHER, D, M),
            ("lite4", FINGERPRINT, D, M),
            ("lite0", FINGERPRINT, D + 1, M),
            ("lite0", FINGERPRINT, D, 0),
        )
        return [lambda other=other: Vectors.open_or_create(folder, *other) for other in others]

    def content(self, digests: Sequence[Digest]) -> Embeddings:
        return look(digests)

    def check_rows(self, store: Vectors, digests: Sequence[Digest]) -> None:
        there, seen = store.read()
        assert there == list(digests)
        truth = look(there, m=store.middle_dimension)
        np.testing.assert_allclose(seen.vector, stored_floats(truth.vector), atol=1e-6)
        np.testing.assert_array_equal(seen.middle, truth.middle.astype(np.float16))

    def check_beside_a_writer(self, store: Vectors, digests: Sequence[Digest]) -> None:
        there, seen = store.read()
        assert set(digests) <= set(there)
        assert len(set(there)) == len(there)
        np.testing.assert_allclose(seen.vector, stored_floats(look(there).vector), atol=1e-6)


class WordBench(Bench):
    name = "words"
    kind = WordForm.kind
    identity = f"counting {FINGERPRINT}"
    manifests_of_no_store = ({"reader": 3}, {"reader": None}, {"fingerprint": None})
    kills = 16
    least_found = 150

    def folder(self, kept: Artifacts) -> Path:
        return kept.words("counting-01234567")

    def open(self, folder: Path, fingerprint: str | None = None) -> WordStore:
        return WordStore.open(folder, fingerprint)

    def create(self, folder: Path, fingerprint: str = FINGERPRINT) -> WordStore:
        return WordStore.open_or_create(folder, "counting", fingerprint)

    def create_as_others(self, folder: Path) -> list[Any]:
        others = (("counting", OTHER), ("other", FINGERPRINT))
        return [lambda other=other: WordStore.open_or_create(folder, *other) for other in others]

    def content(self, digests: Sequence[Digest]) -> list[Words]:
        return [says(digest) for digest in digests]

    def check_rows(self, store: WordStore, digests: Sequence[Digest]) -> None:
        assert store.read(digests) == self.content(digests)

    def check_beside_a_writer(self, store: WordStore, digests: Sequence[Digest]) -> None:
        self.check_rows(store, digests)

    def check(self, store: WordStore, expected: Sequence[Digest]) -> None:
        super().check(store, expected)
        assert store.failed() == {}

    def add_at_random(
        self,
        writer: Any,  # noqa: ANN401
        numbers: Iterable[int],
        dice: random.Random,
    ) -> list[int]:
        """Try what had failed again; one in five of the others fails."""
        again = list(writer.failed)
        writer.add(again, self.content(again))
        there = list(numbers)
        said = [FAILED if dice.random() < 0.2 else says(digest) for digest in digests_of(there)]
        writer.add(digests_of(there), said)
        return [number for number, one in zip(there, said, strict=True) if not one.error]


class MiniatureBench(Bench):
    name = "miniatures"
    kind = MiniatureForm.kind
    identity = f"miniatures of 512 bytes, {FINGERPRINT}"
    manifests_of_no_store = ({"made": 3}, {"made": None})
    kills = 16
    least_found = 150

    def folder(self, kept: Artifacts) -> Path:
        return kept.miniatures_folder

    def open(self, folder: Path, fingerprint: str | None = None) -> MiniatureStore:
        return MiniatureStore.open(folder, fingerprint)

    def create(self, folder: Path, fingerprint: str = FINGERPRINT) -> MiniatureStore:
        return MiniatureStore.open_or_create(folder, fingerprint)

    def create_as_others(self, folder: Path) -> list[Any]:
        return [lambda: MiniatureStore.open_or_create(folder, OTHER)]

    def content(self, digests: Sequence[Digest]) -> Miniatures:
        seeds = np.array([list(digest) for digest in digests], np.uint8).reshape(-1, 32)
        return np.tile(seeds, 16).reshape(-1, 2, 16, 16)

    def check_rows(self, store: MiniatureStore, digests: Sequence[Digest]) -> None:
        there, found = store.read(digests)
        assert there.tolist() == list(range(len(digests)))
        np.testing.assert_array_equal(found, self.content(digests))

    def check_beside_a_writer(self, store: MiniatureStore, digests: Sequence[Digest]) -> None:
        self.check_rows(store, digests)


VECTORS, WORDS, MINIATURES = VectorBench(), WordBench(), MiniatureBench()
BENCHES = {bench.name: bench for bench in (VECTORS, WORDS, MINIATURES)}
