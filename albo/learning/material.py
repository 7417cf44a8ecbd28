"""What heads are fitted and evaluated on: labels, views, and what may not be parted by a split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from albo.errors import MissingReader, MissingWeights, RuntimeFailed, StaleArtifact
from albo.heads import CharactersView, ImageView, MeaningView
from albo.learning.folds import MIN_TOGETHER
from albo.learning.groups import rare_line_links
from albo.learning.labels import label_covers
from albo.networks import near_duplicate_thresholds
from albo.store import MANIFEST, WordStore, reader_key
from albo.words import CoverMeanings
from albo.words import card as reader_card

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from albo.heads import View
    from albo.learning.labels import Labelling
    from albo.networks import Card
    from albo.records import Album, Digest, Ints, Level, Note, StageProgress, Words
    from albo.store import Artifacts, Vectors


@dataclass(frozen=True)
class Material:
    """Covers with labels, and how they are looked at.

    links : int (p, 2), positions in `labelling.covers` that may not be parted: near-duplicates, and
    covers without an artist that bear the same rare line. words : where what they say is kept, None
    where it is not looked at. measured : whether the cosine that links near-duplicates is one that
    was measured for this backbone.
    """

    labelling: Labelling
    links: Ints
    views: tuple[View, ...]
    vectors: Vectors
    card: Card
    words: WordStore | None = None
    measured: bool = True


@dataclass(frozen=True)
class Gatherer:
    """Gathers material from an artifacts folder; the caller holds the writer lock.

    note : told what is missing, and the command that mends it. progress : as of `albo.api`.
    """

    artifacts: Artifacts
    vectors: Vectors
    card: Card
    note: Note
    progress: StageProgress

    def gather(self, albums: Iterable[Album], level: Level, *, words: bool = True) -> Material:
        """Label covers, link what may not be parted, and open every view there is."""
        labelling = self._labelled(albums, level)
        digests = [cover.digest for cover in labelling.covers]
        links, measured = self._near_duplicates(digests)
        views: tuple[View, ...] = (ImageView(self.vectors),)
        store, said = self._read_words(digests) if words else (None, [])
        if store is not None:
            lines = [[] if one is None else [line.text for line in one.lines] for one in said]
            nameless = [not cover.artists for cover in labelling.covers]
            links = np.concatenate([links, rare_line_links(lines, nameless=nameless)])
            views += self._word_views(store, digests)
        return Material(labelling, links, views, self.vectors, self.card, store, measured)

    def _labelled(self, albums: Iterable[Album], level: Level) -> Labelling:
        every = label_covers(albums, level)
        labelling = every.restrict(self.vectors.digests())
        if lacking := len(every.covers) - len(labelling.covers):
            self.note(
                f"{lacking} labelled covers have no vector and are left out; run"
                f" `albo embed --backbone {self.card.name}` to embed them"
            )
        return labelling

    def _near_duplicates(self, digests: Sequence[Digest]) -> tuple[Ints, bool]:
        """Return links (p, 2), and whether their threshold was measured for this backbone."""
        from albo.neighbours import near_duplicate_links

        least, _, measured = near_duplicate_thresholds(self.card)
        if not measured:
            self.note(
                f"nobody has measured these weights of {self.card.name}: copies of one artwork may"
                " be on both sides of a split and raise the scores; a column dup_group keeps them"
                " together"
            )
        vector = self.vectors.read(digests, middle=False)[1].vector
        links = near_duplicate_links(
            vector, least, lambda done, total: self.progress("comparing", done, total)
        )
        return links, measured

    def _read_words(
        self, digests: Sequence[Digest]
    ) -> tuple[WordStore | None, Sequence[Words | None]]:
        """Return where words are kept and what these covers say; None where there is too little."""
        try:
            reader = reader_card()
            folder = self.artifacts.words(reader_key(reader.name, reader.fingerprint))
            store = WordStore.open(folder, reader.fingerprint)
            said = store.read(digests)
        except (MissingReader, StaleArtifact) as error:
            there = any(self.artifacts.words_folder.glob(f"*/{MANIFEST}"))
            # What is there but cannot be read says itself what mends it.
            self.note(
                f"{error}; until then no words are looked at"
                if there
                else "no words are looked at; `albo words` reads what covers say"
            )
            return None, []
        unread = sum(words is None or bool(words.error) for words in said)
        if unread:
            self.note(f"the words on {unread} labelled covers are not read; run `albo words`")
        speaking = sum(words is not None and bool(words.lines) for words in said)
        if speaking < MIN_TOGETHER:
            self.note(
                f"words are not looked at: {speaking} labelled covers have any, and it takes"
                f" {MIN_TOGETHER}"
            )
            return None, []
        return store, said

    def _word_views(self, words: WordStore, digests: Sequence[Digest]) -> tuple[View, ...]:
        """Make the views of words; what covers mean is encoded now, and kept."""
        try:
            meanings = CoverMeanings(words.folder, keep=True, note=self.note)
            MeaningView(words, meanings).features(digests)
        except (MissingWeights, RuntimeFailed) as error:
            self.note(f"{error}; what words mean is not looked at")
            return (CharactersView(words),)
        kept = replace(meanings, keep=False)
        return CharactersView(words), MeaningView(words, kept)
