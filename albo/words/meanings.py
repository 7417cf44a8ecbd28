"""The meanings of covers' words, as vectors, kept by digest so that no text is encoded twice.

There is one store (`albo.store.vectors`) for each word reader and each network. Both are in the
path of its folder, so a cover's text there never changes. Covers without text are not stored; their
meaning is the zero row.
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
"""Texts encoded between two commits: a killed run loses only seconds of work."""


class Encoder(Protocol):
    """A text encoder."""

    def encode(self, texts: Iterable[str]) -> Floats:
        """Return float32 (n, d), unit rows, in order; the zero row for an empty text."""
        ...


@dataclass
class CoverMeanings:
    """The meanings of one reader's words, which are kept, and of any other text.

    The constructor raises MissingWeights if the sentence encoder is not installed.
    """

    words_folder: Path
    """The folder of that reader's words."""

    keep: bool = False
    """Whether new vectors are stored; the caller then holds the writer lock."""

    single: bool = False
    """Whether only one text is asked about: start fast rather than run fast."""

    note: Note = lambda _line: None
    """Called with one line that the user may want to know."""

    card: SentenceCard = field(default_factory=sentence_card)
    """The sentence encoder."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the network, and of how words become a text for it."""
        return hashlib.sha256(f"{self.card.fingerprint}/{VERSION}".encode()).hexdigest()

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The ranks of the whole words it knows, the commonest 0."""
        return word_ranks(self.card)

    @cached_property
    def _encoder(self) -> Encoder:
        return open_encoder(single=self.single, note=self.note)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the meanings of texts: float32 (n, 384), unit rows, zero for empty texts."""
        return self._encoder.encode(texts)

    def of_covers(self, texts: Mapping[Digest, str]) -> Floats:
        """Return the meanings of covers' words, in their order, from the store if possible."""
        store = meaning_store(self.words_folder, replace(self.card, fingerprint=self.fingerprint))
        return meanings(store, texts, lambda: self._encoder, keep=self.keep, note=self.note)


def meaning_folder(words_folder: Path, card: SentenceCard) -> Path:
    """Return the folder of the vectors of one reader's words: `meaning-<fingerprint8>`."""
    return words_folder / f"meaning-{card.fingerprint[:8]}"


def meaning_store(words_folder: Path, card: SentenceCard) -> Vectors:
    """Return the store of one reader's words, which may not exist; nothing is read or made yet."""
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
    """Return the meanings of covers' texts: stored ones are read, the others encoded.

    Parameters
    ----------
    store : as of `meaning_store`; it may not exist.
    texts : the text of each cover.
    open_encoder : called at most once, and only if a text has to be encoded.
    keep : store the new vectors; the caller holds the writer lock.
    note : called with one line about damage.

    Returns float32 (n, d) in the texts' order, unit rows, zero for a cover without text. Stored and
    newly encoded rows are identical to the bit. A missing or damaged store only costs time.
    Raises the errors of `open_encoder`, RuntimeFailed; with `keep` CannotWrite, ForeignArtifact.
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
    """Copy stored vectors into `rows`; return the covers that are not stored."""
    try:
        stored = set(store.digests()).intersection(places)
        found, embeddings = store.read(list(stored), middle=False)
    except StaleArtifact:  # none yet, damaged, or changed meanwhile: it is only a cache
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
    """Repair the store, encode the missing texts, and commit every few seconds."""
    sound = Vectors.open_or_create(
        store.folder, store.backbone, store.fingerprint, store.dimension, store.middle_dimension
    )
    encoder: Encoder | None = None
    with sound.writer() as writer:
        missing = _read(sound, places, rows)  # again: damaged parts are removed, the rest is there
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
    """Copy new vectors into `rows`, rounded; return which of them are not zero."""
    said = np.flatnonzero(vectors.any(axis=1))
    rows[[places[digests[row]] for row in said]] = round_as_stored(vectors[said])
    return said
