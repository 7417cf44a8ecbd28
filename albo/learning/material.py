"""Material for fitting and evaluating heads: labels, views, and covers to keep together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from albo.errors import MissingReader, MissingWeights, RuntimeFailed, StaleArtifact
from albo.heads import CharactersView, ImageView, MeaningView
from albo.learning.folds import MIN_TOGETHER
from albo.learning.groups import rare_line_links
from albo.learning.labels import label_covers, note_artists, note_labels
from albo.networks import card_of, near_duplicate_thresholds
from albo.store import MANIFEST, MiniatureStore, WordStore, reader_key
from albo.words import CoverMeanings, reader_card

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from albo.heads import View
    from albo.learning.labels import Labelling
    from albo.library import Library
    from albo.networks import Card
    from albo.records import Album, Digest, Ints, Level, Note, StageProgress, Words
    from albo.store import Artifacts, Vectors


@dataclass(frozen=True)
class Material:
    """Covers with labels, and the views of them."""

    labelling: Labelling
    """The covers to learn from, all of which have a vector."""

    links: Ints
    """int (p, 2): positions in `labelling.covers` of covers that a split has to keep together.

    They are near-duplicates, or covers without an artist that bear the same rare line.
    """

    views: tuple[View, ...]
    """The views that a head can look at here, the image first."""

    vectors: Vectors
    """The vectors of the backbone."""

    card: Card
    """The backbone's card."""

    words: Mapping[Digest, Words] | None = None
    """The words read on these covers; None where words are not looked at."""

    measured: bool = True
    """Whether the cosine that links near-duplicates was measured for this backbone."""


@dataclass(frozen=True, slots=True)
class _ReadWords:
    """The words that one reader read. folder : where they are kept. reader : its fingerprint."""

    folder: Path
    reader: str
    words: Mapping[Digest, Words]


@dataclass(frozen=True)
class Gatherer:
    """Gathers material from an artifacts folder; the caller holds the writer lock."""

    artifacts: Artifacts
    """The folder."""

    vectors: Vectors
    """The vectors of the backbone, in that folder."""

    card: Card
    """The backbone's card."""

    note: Note
    """Told what is missing, and the command that mends it."""

    progress: StageProgress
    """Told of the stage "comparing"."""

    replaced: Collection[str] = ()
    """The views of the head that is to be replaced: the new head needs them all."""

    def gather(self, albums: Iterable[Album], level: Level, *, words: bool = True) -> Material:
        """Label covers, link those that a split keeps together, and open every available view."""
        labelling = self._labelled(albums, level)
        digests = [cover.digest for cover in labelling.covers]
        links, measured = self._near_duplicates(digests)
        views: tuple[View, ...] = (ImageView(self.vectors),)
        read = self._read_words(digests) if words else None
        if read is not None:
            found = [read.words.get(digest) for digest in digests]
            lines = [[] if one is None else [line.text for line in one.lines] for one in found]
            nameless = [not cover.artists for cover in labelling.covers]
            links = np.concatenate([links, rare_line_links(lines, nameless=nameless)])
            views += self._word_views(read, digests)
        said = None if read is None else read.words
        return Material(labelling, links, views, self.vectors, self.card, said, measured)

    def _labelled(self, albums: Iterable[Album], level: Level) -> Labelling:
        every = label_covers(albums, level)
        labelling = every.restrict(self.vectors.digests())
        note_labels(labelling, self.note)
        note_artists(labelling, self.note)
        if lacking := len(every.covers) - len(labelling.covers):
            self.note(
                f"{lacking} labelled covers have no vector and are left out; run"
                f" `albo embed --backbone {self.card.name}` to embed them"
            )
        return labelling

    def _near_duplicates(self, digests: Sequence[Digest]) -> tuple[Ints, bool]:
        """Return links (p, 2), and whether their threshold was measured for this backbone."""
        from albo.neighbours import GROUPED_MINIATURES, near_duplicate_links, pairs_in

        least, _, measured = near_duplicate_thresholds(self.card)
        if not measured:
            self.note(
                f"nobody has measured these weights of {self.card.name}: copies of one artwork may"
                " be on both sides of a split and raise the scores; a column dup_group keeps them"
                " together"
            )
        vector = self.vectors.read(digests, middle=False)[1].vector
        miniatures = MiniatureStore.at(self.artifacts.miniatures_folder)
        links = near_duplicate_links(
            vector,
            least,
            lambda done, total: self.progress("comparing", done, total),
            also=pairs_in(miniatures, digests, GROUPED_MINIATURES, self.note),
        )
        return links, measured

    def _read_words(self, digests: Sequence[Digest]) -> _ReadWords | None:
        """Return the words on these covers; None where they cannot be used."""
        try:
            reader = reader_card()
            folder = self.artifacts.words(reader_key(reader.name, reader.fingerprint))
            store = WordStore.open(folder, reader.fingerprint)
            said = store.read(digests)
        except (MissingReader, StaleArtifact) as error:
            there = any(self.artifacts.words_folder.glob(f"*/{MANIFEST}"))
            # The error of a damaged store names its own remedy.
            self._go_without(
                CharactersView.name,
                f"{error}; until then words are not used"
                if there
                else "words are not used; `albo words` reads the words on covers",
            )
            return None
        unread = sum(words is None or bool(words.error) for words in said)
        if unread:
            self.note(f"the words on {unread} labelled covers are not read; run `albo words`")
        speaking = sum(words is not None and bool(words.lines) for words in said)
        if speaking < MIN_TOGETHER:
            self._go_without(
                CharactersView.name,
                f"words are not used: {speaking} labelled covers have words, and {MIN_TOGETHER}"
                " are needed",
            )
            return None
        by_cover = {one: words for one, words in zip(digests, said, strict=True) if words}
        return _ReadWords(store.folder, reader.fingerprint, by_cover)

    def _word_views(self, read: _ReadWords, digests: Sequence[Digest]) -> tuple[View, ...]:
        """Make the views of words; encode and store the meanings of these covers' texts."""
        characters = CharactersView(read.reader, read.words)
        try:
            meanings = CoverMeanings(read.folder, keep=True, note=self.note)
            MeaningView(read.reader, meanings, read.words).features(digests)
        except (MissingWeights, RuntimeFailed) as error:
            self._go_without(MeaningView.name, f"{error}; the meaning of words is not used")
            return (characters,)
        stored = replace(meanings, keep=False)
        return characters, MeaningView(read.reader, stored, read.words)

    def _go_without(self, view: str, reason: str) -> None:
        """Note why a view is left out. Raises StaleArtifact where the replaced head has it."""
        if view in self.replaced:
            raise StaleArtifact(
                f"{reason}; the head of that name uses them and is kept: give --no-words to replace"
                " it, or another --name to keep both"
            )
        self.note(reason)


def gather_material(
    library: Library,
    level: Level,
    backbone: str | None,
    purpose: str,
    *,
    words: bool = True,
    replaced: Collection[str] = (),
) -> Material:
    """Gather the material of a library, under its writer lock, as vectors of meanings are stored.

    Parameters
    ----------
    backbone : the backbone whose vectors are used; None for the last one used to embed.
    purpose : the command, shown to users who wait for the lock.
    words : whether to use the words read on covers.
    replaced : the views of the head that is to be replaced.

    Raises EmptyCatalog, UsageError, and StaleArtifact where a view of the head that is to be
    replaced has to be left out.
    """
    vectors = library.vectors(backbone)
    with library.reading() as catalog:
        albums = list(catalog.albums())
    card = card_of(vectors)
    gatherer = Gatherer(
        library.artifacts, vectors, card, library.note, library.progress, frozenset(replaced)
    )
    with library.artifacts.lock(purpose, library.note):
        return gatherer.gather(albums, level, words=words)
