"""Covers that are asked about: read and embedded, with their words read where a head uses them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from albo.catalog import mask_text
from albo.errors import BadCover, StaleArtifact
from albo.heads import CharactersView, MeaningView
from albo.images import Picture, miniature_of
from albo.limits import Limits, digest_of
from albo.networks import open_backbone
from albo.records import Embeddings, Words
from albo.store import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from PIL.Image import Image

    from albo.heads import Features, View
    from albo.images import Facts
    from albo.networks import Card, FrozenBackbone
    from albo.records import Device, Digest, Floats, Line, Miniatures, Note, Pixels

FEW = 8
"""The most queries for which a fast start matters more than a fast run."""

_BATCH = 256  # the fewest queries that a GPU searches
_FEW_PICTURES = 16  # pictures kept at a time, a megabyte each


@dataclass(frozen=True)
class Query:
    """A cover that was asked about: its embedding, or why there is none."""

    name: str
    """The name as the user wrote it, with addresses masked."""
    digest: Digest = b""
    """The digest of the file's bytes; empty where it could not be read."""
    embeddings: Embeddings | None = None
    """The embedding of this cover alone (n = 1)."""
    miniature: Miniatures | None = None
    """Its miniature, uint8 (2, 16, 16), by which copies are recognised."""
    facts: Facts | None = None
    """The kind and size of its file; None where it could not be read."""
    words: Words | None = None
    """The words on it; None where words were not read."""
    pixels: Pixels | None = None
    """The input of the backbone; None where pictures are not kept."""
    page: Image | None = None
    """The input of the word reader, RGB; None where pictures are not kept."""
    error: str = ""
    """Why there is no embedding, in one line."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A cover that was read and decoded, or why it could not be."""

    name: str
    digest: Digest = b""
    pixels: Pixels | None = None
    miniature: Miniatures | None = None
    facts: Facts | None = None
    page: Image | None = None
    error: str = ""


def check_views(views: Iterable[View], fingerprints: Mapping[str, str]) -> None:
    """Raise StaleArtifact where views are made otherwise here than when the head was trained.

    Parameters
    ----------
    views : the head's views, as they are made here.
    fingerprints : of each view, as the head has it.
    """
    if any(view.fingerprint != fingerprints[view.name] for view in views):
        raise StaleArtifact(
            "words are read here in another way than when the head was trained; run"
            " `albo words` and `albo train`, or give --no-words"
        )


class Listener:
    """Reads the words of queries, and turns them into features for a head's views of words.

    Parameters
    ----------
    fingerprints : the fingerprint of each of the head's views.
    words_folder : the folder that the words of covers are kept in.
    single : whether few queries come: start fast rather than run fast.
    note : called with one line whenever there is something that the user may want to know.

    Raises MissingReader, MissingWeights, and StaleArtifact where the fingerprints are of another
    reader or made in another way than here.
    """

    def __init__(
        self,
        fingerprints: Mapping[str, str],
        words_folder: Path,
        *,
        single: bool,
        note: Note,
    ) -> None:
        from albo.words import CoverMeanings, open_reader, reader_card

        reader = reader_card().fingerprint
        self._views: list[CharactersView | MeaningView] = []
        if CharactersView.name in fingerprints:
            self._views.append(CharactersView(reader))
        if MeaningView.name in fingerprints:
            meanings = CoverMeanings(words_folder, single=single, note=note)
            self._views.append(MeaningView(reader, meanings))
        check_views(self._views, fingerprints)
        # Its networks load while the backbone's do.
        pool = ThreadPoolExecutor(1, "albo-reader")
        self._opening = pool.submit(open_reader, single=single, note=note)
        pool.shutdown(wait=False)

    def read(self, images: Sequence[Image]) -> list[Words]:
        """Return the words on these covers, in order."""
        return list(self._opening.result().read(images))

    def read_at(self, image: Image, lines: Sequence[Line]) -> tuple[str, ...]:
        """Read an image at the places of known lines. As `Reader.read_at`."""
        return self._opening.result().read_at(image, lines)

    def features(self, words: Sequence[Words]) -> dict[str, Features]:
        """Return, for each view of words, the features of what was read."""
        return {view.name: view.from_words(words) for view in self._views}

    def meanings(self, words: Sequence[Words]) -> Floats | None:
        """Return the meanings of words, float32 (n, d); None where the head does not use them."""
        found = [view for view in self._views if isinstance(view, MeaningView)]
        return found[0].from_words(words) if found else None


def ask(
    covers: Sequence[str],
    card: Card,
    device: Device,
    limits: Limits | None = None,
    listener: Listener | None = None,
    *,
    keep_pictures: bool = False,
    note: Note,
) -> Iterator[list[Query]]:
    """Read, decode and embed the covers asked about, in order and in batches.

    The query of a cover that cannot be read holds the error.

    Parameters
    ----------
    covers
        Paths, as the user wrote them.
    card
        The card of the backbone that embeds them.
    device
        Where the backbone runs.
    limits
        The limits on files and images; None for the default limits.
    listener
        The word reader; None to read no words.
    keep_pictures
        Whether queries keep their `pixels` and `page`.
    note
        Called with what the user may want to know.
    """
    backbone: FrozenBackbone | None = None
    page_side = _page_side() if keep_pictures or listener is not None else 0
    at_once = _FEW_PICTURES if keep_pictures else _BATCH
    for start in range(0, len(covers), at_once):
        some = covers[start : start + at_once]
        decoded = _read_all(some, card, limits or Limits(), page_side)
        pixels = [one.pixels for one in decoded if one.pixels is not None]
        if pixels and backbone is None:
            backbone = open_backbone(card, device, single=len(covers) <= FEW, note=note)
        embedded = iter(_embed(backbone, pixels))
        pages = [one.page for one in decoded if one.page is not None]
        words = iter(listener.read(pages) if listener is not None else ())
        yield [
            _query(
                one,
                None if one.pixels is None else next(embedded),
                None if one.page is None else next(words, None),
                keep_pictures=keep_pictures,
            )
            for one in decoded
        ]


def _query(
    one: _Decoded, embeddings: Embeddings | None, words: Words | None, *, keep_pictures: bool
) -> Query:
    """Make the query of one cover."""
    error = one.error
    if embeddings is not None and not np.isfinite(embeddings.vector).all():
        embeddings, error = None, "the network gives no result for this cover"
    return Query(
        one.name,
        one.digest,
        embeddings,
        one.miniature,
        one.facts,
        words,
        one.pixels if keep_pictures else None,
        one.page if keep_pictures else None,
        error,
    )


def _page_side() -> int:
    """Return the longer side of the word reader's pages, in pixels."""
    from albo.words import MAX_SIDE

    return MAX_SIDE


def _read_all(names: Sequence[str], card: Card, limits: Limits, page_side: int) -> list[_Decoded]:
    """Read and decode covers, several of them in threads.

    Parameters
    ----------
    page_side : pixels of a page's longer side; 0 for no pages.
    """

    def read(name: str) -> _Decoded:
        try:
            data = read_file(os.path.expanduser(name), limits)  # noqa: PTH111  (as embed does)
            picture = Picture(data, limits)
            pixels = picture.square(card.size, card.resample)
            page = picture.page(page_side) if page_side else None
            return _Decoded(
                mask_text(name), digest_of(data), pixels, miniature_of(pixels), picture.facts, page
            )
        except BadCover as error:
            return _Decoded(mask_text(name), error=str(error))

    if len(names) == 1:
        return [read(names[0])]
    with ThreadPoolExecutor(thread_name_prefix="albo-decode") as pool:
        return list(pool.map(read, names))


def _embed(backbone: FrozenBackbone | None, pixels: Sequence[Pixels]) -> Iterator[Embeddings]:
    if backbone is None:
        return
    most = backbone.batch_size
    batches = (np.stack(pixels[at : at + most]) for at in range(0, len(pixels), most))
    for embeddings in backbone.encode(batches):
        for row in range(len(embeddings.vector)):
            yield Embeddings(embeddings.vector[row : row + 1], embeddings.middle[row : row + 1])
