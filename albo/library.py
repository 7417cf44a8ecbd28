"""An opened collection: its artifacts folder, its catalog, and the data of its covers.

Commands, the command line and pages share it. It opens artifacts and updates indexes; the higher
layers use them.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from albo.catalog import check_catalog, open_catalog, shown
from albo.errors import EmptyCatalog, StaleArtifact, UsageError
from albo.networks import DEFAULT, Card, find_card
from albo.store import (
    MANIFEST,
    Artifacts,
    MiniatureStore,
    StoredCovers,
    Vectors,
    WordStore,
    backbone_key,
    open_covers,
    read_json,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from albo.catalog import Catalog
    from albo.index import Index
    from albo.neighbours import IndexSummary
    from albo.records import IndexKind, Json, Note, StageProgress
    from albo.store import CoverStore

_Store = TypeVar("_Store")

_CURRENT = "current.json"


@dataclass
class Library:
    """An artifacts folder and its catalog, opened. Raises UsageError; nothing is made yet."""

    root: Path | str | None = None
    """The folder; None is `$ALBO_ARTIFACTS`, else `./artifacts`."""
    catalog: str | None = field(default=None, repr=False)  # it may hold a password
    """A path, `sqlite:///PATH` or `mongodb://HOST/DB`; None is `$ALBO_CATALOG`, else a file in
    the folder."""
    note: Note = lambda _line: None
    """Called with one line that the user may want to know."""
    progress: StageProgress = lambda _stage, _done, _total: None
    """Called during long work."""
    s3_endpoint: str | None = None
    """The address of the S3 server with the covers; None for AWS's own settings."""
    artifacts: Artifacts = field(init=False)
    """The places of all files in the folder."""

    def __post_init__(self) -> None:
        """Find the folder and the catalog."""
        self.artifacts = Artifacts.locate(Path(self.root) if self.root is not None else None)
        if self.catalog is None:
            self.catalog = os.environ.get("ALBO_CATALOG") or None
        if self.catalog is not None:
            check_catalog(self.catalog)

    # --- the catalog -----------------------------------------------------------------------------

    @property
    def place(self) -> Path | str:
        """The catalog: a file, or the address of a server, with its password."""
        return self.artifacts.catalog_file if self.catalog is None else self.catalog

    @property
    def catalog_place(self) -> str:
        """The catalog's address, without secrets."""
        return shown(self.place)

    @contextmanager
    def writing(self, purpose: str) -> Iterator[Catalog]:
        """Open the catalog to write, under the writer lock.

        Parameters
        ----------
        purpose : the command that writes; waiting commands show it.
        """
        with (
            self.artifacts.lock(purpose, self.note),
            open_catalog(self.place, write=True) as catalog,
        ):
            yield catalog

    @contextmanager
    def reading(self) -> Iterator[Catalog]:
        """Open the catalog to read. Raises EmptyCatalog, which says how to fill it."""
        try:
            opened = open_catalog(self.place)
        except EmptyCatalog as nothing:
            raise EmptyCatalog(nothing_yet(self)) from nothing
        with opened as catalog:
            yield catalog

    def require_catalog(self) -> None:
        """Raise EmptyCatalog if there is no catalog."""
        with self.reading():
            pass

    # --- covers ----------------------------------------------------------------------------------

    def stored_covers(self) -> StoredCovers:
        """Return a reader of covers, for all places in the catalog."""
        return StoredCovers(self.s3_endpoint)

    def cover_store(self, covers: str | None = None) -> CoverStore:
        """Choose the store of harvested covers; nothing is made or asked yet.

        Parameters
        ----------
        covers : a folder or `s3://bucket/prefix`; None is `$ALBO_COVERS`, else `covers` in the
            artifacts folder.

        Raises UsageError.
        """
        place = covers or os.environ.get("ALBO_COVERS") or str(self.artifacts.root / "covers")
        return open_covers(place, endpoint=self.s3_endpoint)

    # --- defaults that are remembered ------------------------------------------------------------

    def remembered_head(self) -> str | None:
        """Return the name of the head that was trained last, or None."""
        return self._remembered(self.artifacts.heads_folder, "name")

    def remember_head(self, name: str) -> None:
        """Make this head the default of commands."""
        self._remember(self.artifacts.heads_folder, {"name": name})

    def remembered_backbone(self) -> str | None:
        """Return the key of the vectors that were made last, or None."""
        return self._remembered(self.artifacts.vectors_folder, "key")

    def remember_backbone(self, vectors: Vectors, card: Card) -> None:
        """Make this backbone the default of commands."""
        self._remember(
            self.artifacts.vectors_folder, {"key": vectors.folder.name, "card": card.as_json()}
        )

    def _remember(self, folder: Path, content: Json) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _CURRENT, content)

    def _remembered(self, folder: Path, key: str) -> str | None:
        try:
            found = read_json(folder / _CURRENT)[key]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) else None

    # --- vectors and words -----------------------------------------------------------------------

    def all_vectors(self) -> list[Vectors]:
        """Open every backbone's vectors; errors are passed to `note`."""
        return self._all_in(self.artifacts.vectors_folder, Vectors.open)

    def all_words(self) -> list[WordStore]:
        """Open every reader's words; errors are passed to `note`."""
        return self._all_in(self.artifacts.words_folder, WordStore.open)

    def all_meanings(self) -> list[Vectors]:
        """Open the meaning vectors of every reader's words, as `all_words` does."""
        folders = sorted(self.artifacts.words_folder.glob("*"))
        return [kept for folder in folders for kept in self._all_in(folder, Vectors.open)]

    def _all_in(self, folder: Path, open_it: Callable[[Path], _Store]) -> list[_Store]:
        found: list[_Store] = []
        for file in sorted(folder.glob(f"*/{MANIFEST}")):
            try:
                found.append(open_it(file.parent))
            except StaleArtifact as error:
                self.note(str(error))
        return found

    def miniatures(self) -> MiniatureStore:
        """Return the store of the covers' miniatures, which may not exist yet."""
        return MiniatureStore.at(self.artifacts.miniatures_folder)

    def vectors(self, backbone: str | None) -> Vectors:
        """Open the vectors of a backbone by its name, or of the one embedded with last.

        Raises EmptyCatalog, StaleArtifact, UsageError if nothing is embedded with it.
        """
        current = self.remembered_backbone()
        if backbone is None and current is not None:
            return Vectors.open(self.artifacts.vectors(current))
        there = self.all_vectors()
        if not there:
            raise EmptyCatalog(nothing_yet(self))
        if backbone is None:
            return there[0]
        for vectors in sorted(there, key=lambda v: v.folder.name != current):
            if backbone in {vectors.backbone, vectors.backbone.partition(":")[0]}:
                return vectors
        listed = ", ".join(v.backbone for v in there)
        raise UsageError(
            f"nothing has been embedded with {backbone} (but with {listed});"
            f" run `albo embed --backbone {backbone}`"
        )

    def vectors_of(self, card: Card) -> Vectors:
        """Open or create the vectors of a backbone to write."""
        return Vectors.open_or_create(
            self.artifacts.vectors(backbone_key(card.name, card.fingerprint)),
            card.name,
            card.fingerprint,
            card.dimension,
            card.middle_dimension,
            extra={"card": card.as_json()},
        )

    def card_to_embed_with(self, backbone: str | None, weights: Path | None) -> Card:
        """Choose the backbone asked for, else the last, else the default."""
        if backbone is None and weights is not None:
            raise UsageError("--weights needs --backbone NAME: which network are they for?")
        if backbone is not None:
            return find_card(backbone, weights, note=self.note)
        try:
            # From its earlier card: if its vectors are damaged, embedding repairs them.
            return Card.from_json(read_json(self.artifacts.vectors_folder / _CURRENT)["card"])
        except (OSError, ValueError, KeyError, TypeError):
            return find_card(DEFAULT)

    # --- indexes ---------------------------------------------------------------------------------

    def update_index(
        self,
        vectors: Vectors,
        catalog: Catalog,
        kind: IndexKind | None = None,
        *,
        anew: bool = False,
    ) -> IndexSummary:
        """Bring the index of a backbone up to date with the catalog.

        Parameters
        ----------
        kind : how the index searches; None for the kind that it has.
        anew : rebuild it even if it could be updated.
        """
        from albo.index import update_index

        summary = update_index(
            self.artifacts.index(vectors.folder.name),
            vectors,
            catalog.digests(),
            kind,
            lambda done, total: self.progress("indexing", done, total),
            anew=anew,
        )
        if summary.note:
            self.note(summary.note)
        return summary

    def update_other_indexes(self, vectors: Vectors, catalog: Catalog) -> None:
        """Update the other backbones' indexes; errors are passed to `note`."""
        for other in self.all_vectors():
            if other.folder != vectors.folder:
                try:
                    self.update_index(other, catalog)
                except StaleArtifact as error:
                    self.note(str(error))

    def open_index(self, vectors: Vectors, catalog: Catalog) -> Index:
        """Open the index and check that it is current. Raises StaleArtifact, EmptyIndex.

        While a writer is at work the index may be out of date, which is better than no answer.
        """
        try:
            return self._try_index(vectors, catalog)
        except StaleArtifact:
            # A writer may have begun or ended between checking lock, index, vectors and catalog.
            return self._try_index(vectors, catalog)

    def _try_index(self, vectors: Vectors, catalog: Catalog) -> Index:
        from albo.index import digest_set_hash, open_index

        writer = self.artifacts.writer_at_work()
        try:
            index = open_index(self.artifacts.index(vectors.folder.name), vectors.fingerprint)
        except StaleArtifact as error:
            if writer is None:
                raise
            raise StaleArtifact(f"{writer} has not built an index yet; ask again later") from error
        known = catalog.digests()
        try:
            index.check_current(vectors.state, digest_set_hash(known))
        except StaleArtifact:
            if writer is None:
                raise
            self.note(f"{writer} is at work: these are the {index.count} covers indexed before")
        else:
            if lacking := len(known) - index.count:
                self.note(left_out(lacking, f"albo embed --backbone {vectors.backbone}"))
        return index


def left_out(count: int, mend: str) -> str:
    """Return a note that covers are missing from the index, with the command to add them."""
    return f"{count} covers have no vector and are left out; run `{mend}` to embed them"


def nothing_yet(library: Library) -> str:
    """Return a note that no cover is known here, with the command to add some."""
    if any(library.artifacts.vectors_folder.glob(f"*/{MANIFEST}")):
        return (
            f"{shown(library.place)} is gone; run `albo embed SOURCE` to register the"
            " covers again: their vectors are kept"
        )
    root = library.artifacts.root
    if not root.exists():
        return (
            f"there is no folder {root.absolute()}; run `albo embed SOURCE` to make it, or name"
            " yours with --artifacts or $ALBO_ARTIFACTS"
        )
    return f"{root} holds no covers; run `albo embed SOURCE` first"
