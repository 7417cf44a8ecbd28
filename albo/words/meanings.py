"""What the words on covers mean, as vectors, kept by digest so that no text is encoded twice.

The store is one of `albo.vectors`, one for each reader of words and each network: both are in the
name of its folder, so a cover's text there never changes. Covers without text have no vector; they
are not stored, and mean nothing: the zero row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from albo.arrays import round_as_stored
from albo.errors import StaleArtifact
from albo.records import Embeddings
from albo.store import VectorForm, Vectors
from albo.texts import VERSION
from albo.words.sentences import open_encoder, sentence_card, word_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from albo.records import Digest, Floats, Ints, Note
    from albo.words.sentences import SentenceCard


_COMMIT = 2_048
"""Texts that are encoded between two commits: a killed run loses no more than seconds."""


class Encoder(Protocol):
    """A text encoder."""

    def encode(self, texts: Iterable[str]) -> Floats:
        """Return float32 (n, d), unit rows, in order; the zero row for a text that says nothing."""
        ...


@dataclass
class CoverMeanings:
    """The meanings of one reader's words, which are kept, and of any other text.

    To make one raises MissingWeights where the sentence encoder is not installed.
    """

    words_folder: Path
    """The folder of that reader's words."""

    keep: bool = False
    """Whether what was encoded is stored; the caller then holds the writer lock."""

    single: bool = False
    """Whether one text is to be answered soon: start fast rather than run fast."""

    note: Note = lambda _line: None
    """Told in one line what the user may want to know."""

    card: SentenceCard = field(default_factory=sentence_card)
    """The sentence encoder."""

    @property
    def fingerprint(self) -> str:
        """Of the network, and of how words are made a text for it."""
        return hashlib.sha256(f"{self.card.fingerprint}/{VERSION}".encode()).hexdigest()

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The whole words it knows, the commonest 0."""
        return word_ranks(self.card)

    @cached_property
    def _encoder(self) -> Encoder:
        return open_encoder(single=self.single, note=self.note)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return what texts mean: float32 (n, 384), unit rows; zero for what says nothing."""
        return self._encoder.encode(texts)

    def of_covers(self, texts: Mapping[Digest, str]) -> Floats:
        """Return what covers' words mean, in their order, from the store where it is there."""
        store = meaning_store(self.words_folder, replace(self.card, fingerprint=self.fingerprint))
        return meanings(store, texts, lambda: self._encoder, keep=self.keep, note=self.note)


def meaning_folder(words_folder: Path, card: SentenceCard) -> Path:
    """Name the folder of the vectors of one reader's words: `meaning-<fingerprint8>` there."""
    return words_folder / f"meaning-{card.fingerprint[:8]}"


def meaning_store(words_folder: Path, card: SentenceCard) -> Vectors:
    """Return the store of one reader's words, be it there or not; nothing is read or made yet."""
    folder = meaning_folder(words_folder, card)
    return Vectors.at(folder, VectorForm(card.name, card.fingerprint, card.dimension, 0))


def meanings(
    store: Vectors,
    texts: Mapping[Digest, str],
    open_encoder: Callable[[], Encoder],
    *,
    keep: bool = False,
    note: Note = lambda _line: None,
) -> Floats:
    """Return what the texts of covers mean: those stored are read, the others encoded.

    Parameters
    ----------
    store : as of `meaning_store`; it need not be there.
    texts : of each cover, what it says.
    open_encoder : called at most once, and only where a text has to be encoded.
    keep : store what was encoded; the caller holds the writer lock.
    note : told in one line what was damaged.

    Returns float32 (n, d) in the texts' order, unit rows, zero for a cover that says nothing; to
    the bit the same whether stored or just encoded. A store that is missing or damaged costs time.
    Raises what `open_encoder` raises, RuntimeFailed; with `keep` CannotWrite, ForeignArtifact.
    """
    rows = np.zeros((len(texts), store.dimension), np.float32)
    places = {
        digest: row for row, (digest, text) in enumerate(texts.items()) if _says_something(text)
    }
    missing = _read(store, places, rows)
    if missing and keep:
        _encode_and_keep(store, texts, places, open_encoder, rows, note=note)
    elif missing:
        encoded = open_encoder().encode(texts[digest] for digest in missing)
        _place(encoded, missing, places, rows)
    return rows


def _says_something(text: str) -> bool:
    return any(letter.isprintable() and not letter.isspace() for letter in text)


def _read(store: Vectors, places: Mapping[Digest, int], rows: Floats) -> list[Digest]:
    """Put what is stored where it belongs; return the covers that are not stored."""
    try:
        stored = set(store.digests()).intersection(places)
        found, embeddings = store.read(list(stored), middle=False)
    except StaleArtifact:  # none yet, damaged, or changed between the two: it is only a cache
        return list(places)
    rows[[places[digest] for digest in found]] = embeddings.vector
    return [digest for digest in places if digest not in stored]


def _encode_and_keep(
    store: Vectors,
    texts: Mapping[Digest, str],
    places: Mapping[Digest, int],
    open_encoder: Callable[[], Encoder],
    rows: Floats,
    *,
    note: Note,
) -> None:
    """Mend the store, encode what it lacks, and commit that every few seconds."""
    sound = Vectors.open_or_create(
        store.folder, store.backbone, store.fingerprint, store.dimension, store.middle_dimension
    )
    encoder: Encoder | None = None
    with sound.writer() as writer:
        missing = _read(sound, places, rows)  # again: what was damaged is out, the rest is there
        for start in range(0, len(missing), _COMMIT):
            batch = missing[start : start + _COMMIT]
            encoder = encoder or open_encoder()
            vectors = encoder.encode(texts[digest] for digest in batch)
            said = _place(vectors, batch, places, rows)
            middle = np.empty((len(said), 0), np.float32)
            writer.add([batch[row] for row in said], Embeddings(vectors[said], middle))
            writer.commit()
    for line in writer.notes:
        note(line)


def _place(
    vectors: Floats, digests: list[Digest], places: Mapping[Digest, int], rows: Floats
) -> Ints:
    """Put what was encoded where it belongs, rounded; return which of the vectors say something."""
    said = np.flatnonzero(vectors.any(axis=1))
    rows[[places[digests[row]] for row in said]] = round_as_stored(vectors[said])
    return said
