"""Covers that are asked about: read, embedded, and their words read where a head wants them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from albo.errors import BadCover, StaleArtifact
from albo.heads import CharactersView, MeaningView
from albo.images import decode
from albo.limits import Limits, digest_of
from albo.networks import open_backbone
from albo.records import Embeddings, Words
from albo.store import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from PIL.Image import Image

    from albo.heads import Features
    from albo.networks import Card, FrozenBackbone
    from albo.records import Device, Digest, Floats, Line, Note, Pixels

FEW = 8
"""Queries up to which a start that is fast matters more than a run that is."""

_BATCH = 256  # from which number on a GPU searches too
_FEW_PICTURES = 16  # that are kept at a time, a megabyte each


@dataclass(frozen=True)
class Query:
    """A cover that was asked about: its embedding, or why there is none.

    words : what it says; None where nobody asked. pixels : what the backbone saw; page : RGB, as
    the reader of words wants it; None where pictures were not to be kept.
    """

    name: str
    digest: Digest = b""
    embeddings: Embeddings | None = None
    words: Words | None = None
    pixels: Pixels | None = None
    page: Image | None = None
    error: str = ""


_Read: TypeAlias = "tuple[Query, Pixels | None, Image | None]"
"""A query, what the backbone sees of it, and what the reader of words does."""


class Listener:
    """Reads what queries say, and makes it what a head's views of words look at.

    fingerprints : of the head's views. Raises MissingReader, MissingWeights, StaleArtifact where
    they are of another reader or made in another way than here.
    """

    def __init__(
        self,
        fingerprints: Mapping[str, str],
        words_folder: Path,
        *,
        single: bool,
        note: Note,
    ) -> None:
        from albo.words import CoverMeanings, card, open_reader

        read = _NothingRead(card().fingerprint)
        self._views: list[CharactersView | MeaningView] = []
        if CharactersView.name in fingerprints:
            self._views.append(CharactersView(read))
        if MeaningView.name in fingerprints:
            meanings = CoverMeanings(words_folder, single=single, note=note)
            self._views.append(MeaningView(read, meanings))
        if any(view.fingerprint != fingerprints[view.name] for view in self._views):
            raise StaleArtifact(
                "words are read here in another way than when the head was trained; run"
                " `albo words` and `albo train`, or give --no-words"
            )
        # Its networks load while the backbone's do.
        pool = ThreadPoolExecutor(1, "albo-reader")
        self._opening = pool.submit(open_reader, single=single, note=note)
        pool.shutdown(wait=False)

    def read(self, images: Sequence[Image]) -> list[Words]:
        """Return what these covers say, in order."""
        return list(self._opening.result().read(images))

    def read_at(self, image: Image, lines: Sequence[Line]) -> tuple[str, ...]:
        """Read an image where lines of it are known to be. As `Reader.read_at`."""
        return self._opening.result().read_at(image, lines)

    def features(self, words: Sequence[Words]) -> dict[str, Features]:
        """Return, for each view of words, the features of what was read."""
        return {view.name: view.from_words(words) for view in self._views}

    def meanings(self, words: Sequence[Words]) -> Floats | None:
        """Return what was read means, float32 (n, d); None where the head does not look at it."""
        found = [view for view in self._views if isinstance(view, MeaningView)]
        return found[0].from_words(words) if found else None


@dataclass(frozen=True, slots=True)
class _NothingRead:
    """A store of words without any: those of queries are not kept."""

    fingerprint: str

    def read(self, digests: Sequence[Digest]) -> list[Words | None]:
        return [None] * len(digests)


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
    """Read, decode and embed the covers asked about, in order, so many at a time.

    listener : reads their words; None for nobody. keep_pictures : with `pixels` and `page`. A cover
    that cannot be read says why.
    """
    backbone: FrozenBackbone | None = None
    with_page = keep_pictures or listener is not None
    at_once = _FEW_PICTURES if keep_pictures else _BATCH
    for start in range(0, len(covers), at_once):
        some = covers[start : start + at_once]
        read = _read_all(some, card, limits or Limits(), with_page=with_page)
        pixels = [found for _, found, _ in read if found is not None]
        if pixels and backbone is None:
            backbone = open_backbone(card, device, single=len(covers) <= FEW, note=note)
        embedded = iter(_embed(backbone, pixels))
        queries = [q if found is None else _with(q, next(embedded)) for q, found, _ in read]
        pages = [page for _, _, page in read]
        if listener is not None:
            queries = _listen(queries, pages, listener)
        yield _with_pictures(queries, read) if keep_pictures else queries


def _read_all(names: Sequence[str], card: Card, limits: Limits, *, with_page: bool) -> list[_Read]:
    """Read and decode covers, in threads where they are many."""

    def read(name: str) -> _Read:
        try:
            data = read_file(os.path.expanduser(name), limits)  # noqa: PTH111  (as embed does)
            pixels = decode(data, card.size, card.resample, limits)
            page = _page(data, limits) if with_page else None
            return Query(name, digest_of(data)), pixels, page
        except BadCover as error:
            return Query(name, error=str(error)), None, None

    if len(names) == 1:
        return [read(names[0])]
    with ThreadPoolExecutor(thread_name_prefix="albo-decode") as pool:
        return list(pool.map(read, names))


def _page(data: bytes, limits: Limits) -> Image:
    """Decode a cover as the reader of words wants it."""
    from albo.words import prepare

    return prepare(data, limits)


def _embed(backbone: FrozenBackbone | None, pixels: Sequence[Pixels]) -> Iterator[Embeddings]:
    if backbone is None:
        return
    most = backbone.batch_size
    batches = (np.stack(pixels[at : at + most]) for at in range(0, len(pixels), most))
    for embeddings in backbone.encode(batches):
        for row in range(len(embeddings.vector)):
            yield Embeddings(embeddings.vector[row : row + 1], embeddings.middle[row : row + 1])


def _with(query: Query, embeddings: Embeddings) -> Query:
    if not np.isfinite(embeddings.vector).all():
        return replace(query, error="the network says nothing of this cover")
    return replace(query, embeddings=embeddings)


def _with_pictures(queries: Sequence[Query], read: Sequence[_Read]) -> list[Query]:
    return [
        replace(query, pixels=pixels, page=page)
        for query, (_, pixels, page) in zip(queries, read, strict=True)
    ]


def _listen(
    queries: Sequence[Query], pages: Sequence[Image | None], listener: Listener
) -> list[Query]:
    """Read the words of the queries that could be decoded."""
    words = iter(listener.read([page for page in pages if page is not None]))
    return [
        query if page is None else replace(query, words=next(words))
        for query, page in zip(queries, pages, strict=True)
    ]
