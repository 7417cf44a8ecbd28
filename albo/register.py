"""Bring covers into a library: register and embed them, update its indexes, read their words.

The stages do the work (`albo.embed`, `albo.reading`, `albo.index`); this module calls them one
after the other, with the library's files.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from albo.answers import EmbedResult, ReadingResult
from albo.catalog import Files, is_address, open_catalog, same_catalog, shown, source_name
from albo.embed import Stores, embed_catalog, embed_sources
from albo.errors import EmptyCatalog, UsageError
from albo.library import left_out
from albo.neighbours import update_looks
from albo.networks import check_device, open_backbone
from albo.records import Device
from albo.shrinking import shrink_covers
from albo.sources import CatalogSource, open_sources
from albo.store import MiniatureStore, WordStore, reader_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from albo.intake import EmbedSummary
    from albo.library import Library
    from albo.limits import Limits
    from albo.networks import Card, FrozenBackbone
    from albo.sources import Source


@dataclass(frozen=True, slots=True)
class NetworkAsked:
    """Which network the user wants covers embedded with, and how it is to run."""

    backbone: str | None = None
    """The name of the backbone; None for the last one, at first the default."""

    weights: Path | None = None
    """A state dict to use in place of the published weights."""

    device: Device = Device.AUTO
    """Where the network runs."""

    batch_size: int | None = None
    """The covers in a batch; None for the size that suits the device."""


def register_covers(
    library: Library,
    sources: Sequence[str],
    network: NetworkAsked,
    *,
    genre: str | None = None,
    rehash: bool = False,
    limits: Limits | None = None,
    lines: Iterable[str] = (),
    words: bool = False,
) -> EmbedResult:
    """Register covers, embed those that are new, and bring the indexes up to date.

    Parameters
    ----------
    sources, genre, rehash, limits, lines, words : as in `Albo.embed`.
    network : which network embeds them.

    Raises as `Albo.embed` does.
    """
    check_device(network.device)
    catalogs = [name for name in sources if is_address(name)]
    for name in catalogs:
        _check_other(library, name)
    named = [name for name in sources if name not in catalogs]
    opened = open_sources(named, genre, lines, lambda name: _was_source(library, name))
    if not sources:
        library.require_catalog()
    card = _choose_card(library, network)
    run = _Run(library, card, network, rehash=rehash, limits=limits)
    result = run.embed(opened, dict.fromkeys(catalogs), genre)
    if words:
        # Covers can be found before their words are read, which takes a hundred times as long.
        result = replace(result, reading=read_covers(library, network.device, limits))
    return result


def _check_other(library: Library, name: str) -> None:
    """Raise UsageError where a catalog named as a source is invalid, or the library's own."""
    if same_catalog(name, library.place):
        raise UsageError(
            f"{shown(name)} is the catalog that would be written; without a SOURCE, `albo"
            " embed` embeds what it holds"
        )


def _was_source(library: Library, name: str) -> bool:
    """Tell whether the catalog lists albums of a source with this name."""
    try:
        with library.reading() as catalog:
            return bool(catalog.listed(name))
    except EmptyCatalog:
        return False


def _choose_card(library: Library, network: NetworkAsked) -> Card:
    """Choose the backbone, and note what the user should know of its licence."""
    card = library.card_to_embed_with(network.backbone, network.weights)
    if network.weights is not None:
        library.note(f"albo does not know the licence of {network.weights}; ask its author")
    if not card.commercial:
        library.note(
            f"the weights of {card.name} are licensed {card.licence}: commercial"
            " use is forbidden, or not known to be allowed"
        )
    return card


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the network over covers."""

    library: Library
    card: Card
    network: NetworkAsked
    rehash: bool
    limits: Limits | None

    def embed(
        self, opened: Sequence[Source], catalogs: Iterable[str], genre: str | None
    ) -> EmbedResult:
        """Embed the covers of sources, then let every index follow.

        Parameters
        ----------
        opened : the sources that are files and folders.
        catalogs : addresses of other catalogs, which are sources too.
        genre : the genre of all covers of those catalogs; None for the genres that they name.
        """
        library = self.library
        with (
            library.writing("albo embed") as catalog,
            Files(library.artifacts.files_file, write=True) as files,
            ExitStack() as closing_later,
        ):
            vectors = library.vectors_of(self.card)
            borrowed = [
                CatalogSource(
                    source_name(name), closing_later.enter_context(open_catalog(name)), genre
                )
                for name in catalogs
            ]
            stores = Stores(
                catalog,
                files,
                vectors,
                MiniatureStore.open_or_create(library.artifacts.miniatures_folder),
                library.stored_covers(),
            )
            summary = self._embed([*opened, *borrowed], stores)
            library.remember_backbone(vectors, self.card)
            index = library.update_index(vectors, catalog)
            library.update_other_indexes(vectors, catalog)
            if index.missing:
                summary.notes.append(left_out(index.missing, "albo embed"))
            # Covers can be found before copies of old ones are recognised.
            summary.notes += self._shrink(stores)
        return EmbedResult(summary, index, self.card.name)

    def _embed(self, sources: Sequence[Source], stores: Stores) -> EmbedSummary:
        """Embed the covers of the sources, else those of the catalog that have no vector."""
        library = self.library

        def open_it() -> FrozenBackbone:
            asked = self.network
            backbone = open_backbone(self.card, asked.device, asked.batch_size, note=library.note)
            # Now, so that after a kill the same command goes on with the same backbone.
            library.remember_backbone(stores.vectors, self.card)
            return backbone

        def tell(done: int, total: int | None) -> None:
            library.progress("embedding", done, total)

        limits = self.limits
        if not sources:
            return embed_catalog(stores, self.card, open_it, limits=limits, progress=tell)
        return embed_sources(
            sources, stores, self.card, open_it, rehash=self.rehash, limits=limits, progress=tell
        )

    def _shrink(self, stores: Stores) -> list[str]:
        """Make the miniatures that are lacking; return a note where some cannot be made."""
        library = self.library
        skipped = shrink_covers(
            stores.catalog,
            stores.covers,
            stores.miniatures,
            limits=self.limits,
            progress=lambda done, total: library.progress("shrinking", done, total),
        )
        update_looks(stores.miniatures)
        if not skipped:
            return []
        return [
            f"{len(skipped)} covers cannot be read again, so small or grey copies of them are not"
            f" recognised; the first: {shown(skipped[0].uri)}: {skipped[0].reason}"
        ]


def read_covers(library: Library, device: Device, limits: Limits | None = None) -> ReadingResult:
    """Read the words of the catalog's covers whose words have not been read.

    Parameters
    ----------
    device : where the reader's networks run.
    limits : the limits on files and images.

    Raises as `Albo.words` does.
    """
    from albo.reading import read_words
    from albo.words import open_reader, reader_card

    check_device(device)
    library.require_catalog()
    reader = reader_card()
    folder = library.artifacts.words(reader_key(reader.name, reader.fingerprint))
    with library.writing("albo words") as catalog:
        summary = read_words(
            catalog,
            library.stored_covers(),
            WordStore.open_or_create(folder, reader.name, reader.fingerprint),
            lambda: open_reader(device, note=library.note),
            limits=limits,
            progress=lambda done, total: library.progress("reading", done, total),
        )
    return ReadingResult(summary, reader.name)
