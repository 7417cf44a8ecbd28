"""What albo does, as Python: open an artifacts folder, then embed, similar, train, classify.

    from albo import Albo

    albo = Albo("artifacts")
    albo.embed(["covers/labels.csv"])
    for answer in albo.similar(["cover.jpg"], k=5):
        print(answer.neighbours)

The command line is a thin layer over this.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from albo.answers import (
    CoverPictures,
    EmbedResult,
    NoReference,
    ReadingResult,
    Reference,
    Similar,
    album_by_digest,
    digests_present,
    explain_cover,
    files_of,
    genres_alike,
    members_of_group,
    search_index,
    unknown_genre,
)
from albo.catalog import (
    Files,
    check_catalog,
    is_address,
    mask_text,
    open_catalog,
    same_catalog,
    shown,
    source_name,
)
from albo.classify import Classified
from albo.embed import Stores, embed_catalog, embed_sources
from albo.errors import (
    AlboError,
    EmptyCatalog,
    StaleArtifact,
    TooFewCovers,
    UnknownSource,
    UsageError,
)
from albo.networks import (
    DEFAULT,
    Card,
    card_of,
    check_device,
    find_card,
    near_duplicate_thresholds,
    offers,
    open_backbone,
)
from albo.queries import Query, ask
from albo.records import Device, HeadKind, Level, Prior, ShownCover
from albo.sources import FILES, CatalogSource, open_sources, possible_names
from albo.sources import SOURCE as CHARTS
from albo.store import (
    MANIFEST,
    Artifacts,
    StoredCovers,
    Vectors,
    WordStore,
    backbone_key,
    open_covers,
    read_json,
    reader_key,
    write_json,
)
from albo.texts import letters_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from albo.answers import Explained, Report, Typical
    from albo.catalog import Catalog
    from albo.classify import Asked, Consultation, Heads, Manner
    from albo.evaluate import Split
    from albo.index import Index
    from albo.journal import EmbedSummary
    from albo.learning import Material, ReviewedEvaluation, Side, Sides
    from albo.limits import Limits
    from albo.neighbours import IndexSummary
    from albo.networks import FrozenBackbone
    from albo.records import Album, Digest, IndexKind, Json, Note, StageProgress
    from albo.sources import Harvested, HarvestSettings, Source
    from albo.store import CoverStore


_Store = TypeVar("_Store")

_CURRENT = "current.json"
_SHORTEST_PREFIX = 8


@dataclass
class Albo:
    """An artifacts folder, opened.

    root : the folder; None is `$ALBO_ARTIFACTS`, else `./artifacts`.
    catalog : a path, `sqlite:///PATH` or `mongodb://HOST/DB`; None is `$ALBO_CATALOG`, else a file
    in that folder.
    note : called with one line whenever there is something the user may want to know.
    progress : called while long work goes on.
    """

    root: Path | str | None = None
    catalog: str | None = field(default=None, repr=False)  # it may hold a password
    note: Note = lambda _line: None
    progress: StageProgress = lambda _stage, _done, _total: None
    artifacts: Artifacts = field(init=False)

    def __post_init__(self) -> None:
        """Find the folder and the catalog; nothing is made yet. Raises UsageError."""
        self.artifacts = Artifacts.locate(Path(self.root) if self.root is not None else None)
        if self.catalog is None:
            self.catalog = os.environ.get("ALBO_CATALOG") or None
        if self.catalog is not None:
            check_catalog(self.catalog)

    # --- embed, index, forget --------------------------------------------------------------------

    def embed(
        self,
        sources: Sequence[str] = (),
        *,
        backbone: str | None = None,
        weights: Path | None = None,
        device: Device = Device.AUTO,
        batch_size: int | None = None,
        genre: str | None = None,
        rehash: bool = False,
        limits: Limits | None = None,
        lines: Iterable[str] = (),
        s3_endpoint: str | None = None,
    ) -> EmbedResult:
        """Register covers, embed those that are new, and bring the index up to date.

        Parameters
        ----------
        sources : folders, images, manifests, other catalogs (`mongodb://…`, `sqlite:///…`), "-" for
            the paths in `lines`; none: what the catalog holds and has no vector.
        genre : "folder", "none", or the genre of all.
        rehash : read every file again, changed or not.
        s3_endpoint : the address of the S3 server, not Amazon's, that harvested covers are on.

        Raises UnknownSource, UnknownBackbone, MissingWeights, CannotWrite, RuntimeFailed,
        UsageError where the device or the weights' file is not here, EmptyCatalog where no source
        is named and none is known. A cover that cannot be read is in the summary's `skipped`.
        """
        check_device(device)
        others = [name for name in sources if is_address(name)]
        for name in others:
            self._check_other(name)
        named = [name for name in sources if name not in others]
        opened = open_sources(named, genre, lines, self._was_source)
        if not sources:
            self._require_catalog()
        card = self._card_to_embed_with(backbone, weights)
        if weights is not None:
            self.note(f"albo does not know the licence of {weights}; its author does")
        if not card.commercial:
            self.note(
                f"the weights of {card.name} are licensed {card.licence}: no commercial use,"
                " or none that is known to be allowed"
            )
        with (
            self._writing("albo embed") as catalog,
            Files(self.artifacts.files_file, write=True) as files,
            ExitStack() as closing_later,
        ):
            vectors = self._vectors_of(card)
            stores = Stores(catalog, files, vectors, StoredCovers(s3_endpoint))
            borrowed = [
                CatalogSource(
                    source_name(name), closing_later.enter_context(open_catalog(name)), genre
                )
                for name in dict.fromkeys(others)
            ]
            summary = self._run_embed(
                [*opened, *borrowed], stores, card, device, batch_size, rehash=rehash, limits=limits
            )
            self._make_default(vectors, card)
            index = self._update_index(vectors, catalog)
            self._update_other_indexes(vectors, catalog)
            if index.missing:
                summary.notes.append(_lacking(index.missing, "covers", "albo embed"))
        return EmbedResult(summary, index, card.name)

    def _check_other(self, name: str) -> None:
        """Raise UsageError where a catalog that is named as a source is none, or our own."""
        if same_catalog(name, self._place):
            raise UsageError(
                f"{shown(name)} is the catalog that would be written; without a SOURCE, `albo"
                " embed` embeds what it holds"
            )

    def _was_source(self, name: str) -> bool:
        try:
            with self._reading() as catalog:
                return bool(catalog.listed(name))
        except EmptyCatalog:
            return False

    def _make_default(self, vectors: Vectors, card: Card) -> None:
        """Let this backbone be the one that commands mean where none is named."""
        self._remember(
            self.artifacts.vectors_folder, {"key": vectors.folder.name, "card": card.as_json()}
        )

    def _run_embed(
        self,
        sources: Sequence[Source],
        stores: Stores,
        card: Card,
        device: Device,
        batch_size: int | None,
        *,
        rehash: bool,
        limits: Limits | None,
    ) -> EmbedSummary:
        def open_it() -> FrozenBackbone:
            backbone = open_backbone(card, device, batch_size, note=self.note)
            # Now, and not at the end: after a kill the same command goes on with the same one.
            self._make_default(stores.vectors, card)
            return backbone

        def tell(done: int, total: int | None) -> None:
            self.progress("embedding", done, total)

        if not sources:
            return embed_catalog(stores, card, open_it, limits=limits, progress=tell)
        return embed_sources(
            sources, stores, card, open_it, rehash=rehash, limits=limits, progress=tell
        )

    def words(
        self,
        *,
        device: Device = Device.AUTO,
        limits: Limits | None = None,
        s3_endpoint: str | None = None,
    ) -> ReadingResult:
        """Read the words of the catalog's covers whose words have not been read.

        s3_endpoint : the address of the S3 server, not Amazon's, that harvested covers are on.

        Raises EmptyCatalog, MissingReader, CannotWrite, RuntimeFailed, UsageError where the device
        is not here. What could not be read is in the summary's `failed` and `skipped`.
        """
        from albo.reading import read_words
        from albo.words import card, open_reader

        check_device(device)
        self._require_catalog()
        reader = card()
        folder = self.artifacts.words(reader_key(reader.name, reader.fingerprint))
        with self._writing("albo words") as catalog:
            summary = read_words(
                catalog,
                StoredCovers(s3_endpoint),
                WordStore.open_or_create(folder, reader.name, reader.fingerprint),
                lambda: open_reader(device, note=self.note),
                limits=limits,
                progress=lambda done, total: self.progress("reading", done, total),
            )
        return ReadingResult(summary, reader.name)

    def index(self, kind: IndexKind | None = None) -> list[IndexSummary]:
        """Build the index of every backbone anew. Raises EmptyCatalog where nothing is embedded."""
        self._require_catalog()
        with self._writing("albo index") as catalog:
            there = self._all_vectors()
            if not there:
                raise EmptyCatalog(self._nothing_yet())
            return [self._update_index(v, catalog, kind, anew=True) for v in there]

    def _update_other_indexes(self, vectors: Vectors, catalog: Catalog) -> None:
        """Let the other backbones' indexes follow the catalog; what hinders one is noted."""
        for other in self._all_vectors():
            if other.folder != vectors.folder:
                try:
                    self._update_index(other, catalog)
                except StaleArtifact as error:
                    self.note(str(error))

    def _update_index(
        self,
        vectors: Vectors,
        catalog: Catalog,
        kind: IndexKind | None = None,
        *,
        anew: bool = False,
    ) -> IndexSummary:
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

    def forget(self, what: str) -> int:
        """Take covers out of catalog, vectors, words and index: a source's, a file's, a digest's.

        A digest may be cut short to 8 hex digits or more; "-" stands for the files that were named
        one by one. Returns how many albums are forgotten.
        Raises UnknownSource where nothing of that name is known, EmptyCatalog.
        """
        self._require_catalog()
        with (
            self._writing("albo forget") as catalog,
            Files(self.artifacts.files_file, write=True) as files,
        ):
            forgotten = self._albums_of(what, catalog)
            gone = catalog.shown_only_by(forgotten)
            there = self._all_vectors()
            # The catalog last: whoever is stopped before can give the same command again.
            for store in (*there, *self._all_words(), *self._all_meanings()):
                store.remove(gone)
            files.forget(album.uri for album in forgotten)
            catalog.forget(forgotten)
            for vectors in there:
                self._update_index(vectors, catalog)
        return len(forgotten)

    def _albums_of(self, what: str, catalog: Catalog) -> list[Album]:
        """Find what a source, a file or a digest names, missing albums too.

        A source that goes by just that name comes before a folder that is called so.
        """
        named = {"-": FILES, CHARTS: CHARTS}.get(what)
        if named is None and is_address(what):
            named = source_name(what)
        found = catalog.matching(source=named) if named else []
        if not found and what not in {"", "-"}:
            names = possible_names(what)
            every = (a for name in names for a in catalog.matching(source=name, uri=name))
            found = list({(a.source, a.album_id): a for a in every}.values())
        return found or catalog.matching(digest=self._one_digest(what, catalog))

    def _one_digest(self, what: str, catalog: Catalog) -> Digest:
        """Find the one cover whose digest begins so."""
        digests = catalog.digests(missing=True) if len(what) >= _SHORTEST_PREFIX else ()
        found = [digest for digest in digests if digest.hex().startswith(what.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownSource(f"{len(found)} covers' digests begin with {what}; give more of it")
        raise UnknownSource(
            f"{mask_text(what)!r} is neither a source, a file nor a cover (at least"
            f" {_SHORTEST_PREFIX} hex digits) that the catalog holds; `albo status` lists the"
            " sources"
        )

    # --- harvest ---------------------------------------------------------------------------------

    def harvest(
        self,
        settings: HarvestSettings,
        *,
        covers: str | None = None,
        s3_endpoint: str | None = None,
    ) -> Harvested:
        """Fetch album charts into the catalog, and the covers of what they list into a store.

        covers : a folder or `s3://bucket/prefix`; None is `$ALBO_COVERS`, else `covers` in the
            artifacts folder. s3_endpoint : the address of an S3 server that is not Amazon's.

        Raises UsageError, UnknownGenre, CannotWrite. What could not be had is in the tallies.
        """
        from albo.harvest import Harvest

        plan = settings.plan()
        feeds, artwork = settings.downloads(plan)
        store = self.cover_store(covers, s3_endpoint)
        with self._writing("albo harvest") as catalog:
            store.check()
            run = Harvest(
                plan, catalog, store, feeds, artwork, progress=self.progress, note=self.note
            )
            return run.run()

    @property
    def catalog_place(self) -> str:
        """Where the catalog is, as it may be shown."""
        return shown(self._place)

    def cover_store(self, covers: str | None = None, s3_endpoint: str | None = None) -> CoverStore:
        """Choose where harvested covers are kept, as `harvest` does; nothing is made or asked yet.

        Raises UsageError.
        """
        place = covers or os.environ.get("ALBO_COVERS") or str(self.artifacts.root / "covers")
        return open_covers(place, endpoint=s3_endpoint)

    # --- similar, duplicates ---------------------------------------------------------------------

    def similar(
        self,
        covers: Sequence[str],
        k: int = 10,
        *,
        genre: str | None = None,
        backbone: str | None = None,
        device: Device = Device.AUTO,
        without_self: bool = False,
        limits: Limits | None = None,
    ) -> Iterator[Similar]:
        """Find the nearest covers of each cover, in order; a cover that cannot be read says why.

        genre : look only at covers of that genre. without_self : leave out the very same file.

        Raises EmptyCatalog, EmptyIndex, StaleArtifact, UnknownGenre, UsageError.
        """
        check_device(device)
        vectors = self._vectors(backbone)
        card = card_of(vectors)
        with self._reading() as catalog:
            index = self._open_index(vectors, catalog)
            among = None if genre is None else self._covers_of(genre, catalog)
            for queries in ask(covers, card, device, limits, note=self.note):
                # One more than asked for, where the very same file is going to be left out.
                found = search_index(index, queries, k + without_self, among)
                for query, near in zip(queries, found, strict=True):
                    if query.error:
                        yield Similar(query.name, error=query.error)
                        continue
                    kept = [n for n in near if not (without_self and n[0] == query.digest)][:k]
                    yield Similar(query.name, self._neighbours(kept, query, catalog, card, genre))

    def _neighbours(
        self,
        found: Sequence[tuple[Digest, float]],
        query: Query,
        catalog: Catalog,
        card: Card,
        genre: str | None,
    ) -> tuple[ShownCover, ...]:
        albums = album_by_digest(catalog.albums([digest for digest, _ in found]), genre)
        near = near_duplicate_thresholds(card)[1]

        def mark(digest: Digest, score: float) -> str:
            if digest == query.digest:
                return "same file"
            return "near-duplicate" if score >= near else ""

        return tuple(
            ShownCover(digest, albums.get(digest), "", score, rank, mark(digest, score))
            for rank, (digest, score) in enumerate(found, start=1)
        )

    def _open_index(self, vectors: Vectors, catalog: Catalog) -> Index:
        """Open the index and see that it is of today's covers.

        While a writer is at work the index may be behind: it is whole, and better than no answer.
        """
        try:
            return self._try_index(vectors, catalog)
        except StaleArtifact:
            # A writer may have come or gone between the looks at lock, index, vectors and catalog.
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
                mend = f"albo embed --backbone {vectors.backbone}"
                self.note(_lacking(lacking, "covers", mend))
        return index

    def _covers_of(self, genre: str, catalog: Catalog) -> set[Digest]:
        known = catalog.genres()
        alike = genres_alike(genre, known)
        if not alike:
            raise unknown_genre(genre, known)
        return set().union(*map(catalog.digests, [genre] if genre in alike else alike))

    def duplicates(
        self, threshold: float | None = None, *, backbone: str | None = None
    ) -> list[tuple[ShownCover, ...]]:
        """Group files that show the same artwork, largest groups first; copies of a file too.

        threshold : least cosine; by default what the backbone was measured to need.
        Raises EmptyCatalog, UsageError.
        """
        from albo.neighbours import duplicate_groups

        vectors = self._vectors(backbone)
        _, shown, measured = near_duplicate_thresholds(card_of(vectors))
        if threshold is None and not measured:
            self.note(
                f"nobody has measured these weights of {vectors.backbone}; taking cosine {shown}"
                " (--threshold)"
            )
        least = shown if threshold is None else threshold
        if not 0 < least <= 1:
            raise UsageError(f"threshold={least}; give a cosine above 0 and at most 1")
        with self._reading() as catalog:
            digests, embeddings = vectors.read(
                digests_present(vectors, catalog.digests()), middle=False
            )
            groups = duplicate_groups(
                embeddings.vector,
                least,
                lambda done, total: self.progress("comparing", done, total),
            )
            near = [
                [(digests[row], score) for row, score in zip(g.rows, g.scores, strict=True)]
                for g in groups
            ]
            grouped = {digest for group in near for digest, _ in group}
            near += [[(digest, 1.0)] for digest in catalog.copied() if digest not in grouped]
            files = files_of(catalog.albums({digest for group in near for digest, _ in group}))
        members = [tuple(members_of_group(group, files)) for group in near]
        return sorted((each for each in members if len(each) > 1), key=len, reverse=True)

    # --- train, classify -------------------------------------------------------------------------

    def train(
        self,
        name: str = "default",
        *,
        kind: HeadKind = HeadKind.LOGISTIC,
        level: Level = Level.GENRE,
        backbone: str | None = None,
        seeds: tuple[int, ...] | None = None,
        words: bool = True,
    ) -> Json:
        """Fit a head on what is embedded and labelled; return how good it is, as `--json` has it.

        words : look at what covers say, where it has been read.

        Raises EmptyCatalog, TooFewCovers, UsageError.
        """
        from albo.learning import SEEDS, TrainingSettings
        from albo.train import train

        folder = self.artifacts.head(name)
        material = self._material(level, backbone, "albo train", words=words)
        settings = TrainingSettings(
            name,
            kind,
            level,
            seeds=seeds,
            backbone=material.card.name,
            near_duplicates_measured=material.measured,
        )
        training = train(
            material.labelling,
            material.links,
            material.views,
            settings,
            lambda done, total: self.progress("fitting", done, total),
        )
        with self.artifacts.lock("albo train", self.note):
            training.head.save(folder)
            self._remember(self.artifacts.heads_folder, {"name": name})
        if seeds is None and len(training.report["seeds"]) < len(SEEDS):
            self.note(_few_seeds(training.report["seeds"], len(SEEDS), "albo train"))
        return {**training.report, "saved": str(folder)}

    def evaluate(
        self,
        split: str = "grouped",
        *,
        kind: HeadKind = HeadKind.LOGISTIC,
        level: Level = Level.GENRE,
        backbone: str | None = None,
        seeds: tuple[int, ...] | None = None,
        words: bool = True,
        pictures: bool = False,
        s3_endpoint: str | None = None,
    ) -> ReviewedEvaluation:
        """Say how good every view and head is, by cross-validation; nothing is saved.

        Parameters
        ----------
        split : "grouped", "random", "published" (a column of the manifests embedded), or a table.
        kind : of the head that is selected; the other is scored beside it.
        pictures : with small pictures of the covers of the surest mistakes.
        s3_endpoint : the address of the S3 server, not Amazon's, that harvested covers are on.

        Raises EmptyCatalog, TooFewCovers, UsageError.
        """
        from albo.answers import review_evaluation
        from albo.evaluate import evaluate
        from albo.learning import SEEDS, TrainingSettings

        divided = self._split(split)
        material = self._material(level, backbone, "albo evaluate", words=words)
        settings = TrainingSettings(
            kind=kind,
            level=level,
            seeds=seeds,
            backbone=material.card.name,
            near_duplicates_measured=material.measured,
        )
        found = evaluate(
            material, settings, divided, lambda done, total: self.progress("fitting", done, total)
        )
        if seeds is None and divided.sides is None and len(found.seeds) < len(SEEDS):
            self.note(_few_seeds(found.seeds, len(SEEDS), "albo evaluate"))
        with self._reading() as catalog:
            albums = album_by_digest(
                catalog.albums([cover.digest for cover in found.corpus.covers])
            )
        covers = StoredCovers(s3_endpoint) if pictures else None
        return review_evaluation(
            found,
            material,
            settings,
            divided.name,
            albums=albums,
            pictures=CoverPictures(covers, self.note),
        )

    def _split(self, name: str) -> Split:
        """Make the split of that name, or of the table at that path. Raises UsageError."""
        from albo.evaluate import DRAWN, Split
        from albo.learning import PUBLISHED, read_split

        if name in DRAWN:
            return Split(name)
        with self._reading() as catalog:
            albums = list(catalog.albums())
        if name != "published":
            return self._given(Path(name).name, albums, read_split(Path(name)))
        sources = sorted({album.source for album in albums if Path(album.source).is_file()})
        sides: dict[str, set[Side]] = {}
        for source in sources:
            with suppress(UsageError):  # a manifest without that column is no split
                sides |= read_split(Path(source), PUBLISHED)
        if not sides:
            raise UsageError(
                "no manifest that was embedded has a column `published_split`; give --split FILE, a"
                " table of `file` and `split`"
            )
        return self._given(name, albums, sides)

    def _given(self, name: str, albums: Iterable[Album], sides: Sides) -> Split:
        from albo.evaluate import Split
        from albo.learning import sides_of

        side_of, both = sides_of(albums, sides)
        if both:
            self.note(f"{both} covers stand on both sides of the split and are left out")
        return Split(name, side_of)

    def _material(
        self, level: Level, backbone: str | None, purpose: str, *, words: bool = True
    ) -> Material:
        """Gather what heads are fitted on; what words mean is stored under the writer lock."""
        from albo.learning import Gatherer

        vectors = self._vectors(backbone)
        with self._reading() as catalog:
            albums = list(catalog.albums())
        gatherer = Gatherer(self.artifacts, vectors, card_of(vectors), self.note, self.progress)
        with self.artifacts.lock(purpose, self.note):
            return gatherer.gather(albums, level, words=words)

    def classify(
        self,
        covers: Sequence[str],
        *,
        top: int = 5,
        head: str | None = None,
        prior: Prior = Prior.CORPUS,
        decide: float = 0.5,
        coverage: float = 0.9,
        device: Device = Device.AUTO,
        limits: Limits | None = None,
        words: bool = True,
    ) -> Iterator[Classified]:
        """Say what genre each cover reads as, in order; a cover that cannot be read says why.

        words : read what covers say, where the head wants it; else the image alone decides.

        Raises UnknownHead, StaleArtifact, UsageError.
        """
        from albo.classify import Manner

        manner = Manner(prior, decide, coverage, device, limits)
        consultation = self._consult(covers, head, manner, words=words, top=top)
        asked: list[Digest] = []
        for one in consultation.ask(covers):
            yield self._classified(consultation, one, top)
            if one.prediction is not None:
                asked.append(one.query.digest)
        self._note_learnt(consultation, asked)

    def explain(
        self,
        covers: Sequence[str],
        *,
        top: int = 5,
        head: str | None = None,
        prior: Prior = Prior.CORPUS,
        decide: float = 0.5,
        coverage: float = 0.9,
        device: Device = Device.AUTO,
        limits: Limits | None = None,
        words: bool = True,
        s3_endpoint: str | None = None,
    ) -> Iterator[Explained]:
        """Classify covers as `classify` does, and say why each reads as its first genre.

        Raises as `classify` does.
        """
        from albo.classify import Manner

        manner = Manner(prior, decide, coverage, device, limits)
        consultation = self._consult(covers, head, manner, words=words, top=top)
        reference = self._reference(consultation, s3_endpoint)
        if isinstance(reference, NoReference):
            self.note(f"{reference.reason}, so none vote")
        asked: list[Digest] = []
        for one in consultation.ask(covers, keep_pictures=True):
            classified = self._classified(consultation, one, top)
            if one.prediction is not None:
                asked.append(one.query.digest)
            yield explain_cover(consultation, reference, one, classified)
        self._note_learnt(consultation, asked)

    def report(
        self,
        covers: Sequence[str],
        genre: str,
        *,
        title: str | None = None,
        head: str | None = None,
        prior: Prior = Prior.CORPUS,
        decide: float = 0.5,
        coverage: float = 0.9,
        device: Device = Device.AUTO,
        limits: Limits | None = None,
        words: bool = True,
        s3_endpoint: str | None = None,
    ) -> Report:
        """Say whether covers read as a genre, how surely, why, and what they would be taken for.

        genre : one that the head knows. title : that is to be read on the covers; the largest text
        on each where None. Other parameters as of `classify`. s3_endpoint : the address of the S3
        server, not Amazon's, that harvested covers are on.

        Raises UnknownGenre, TooFewCovers where the collection has too few covers of that genre for
        the head to know it, UnknownHead, StaleArtifact, UsageError. A cover that cannot be read
        says so in its draft.
        """
        from albo.answers import Reporter
        from albo.classify import Manner

        if title is not None and not letters_of(title):
            raise UsageError(
                "a title of no letters or digits cannot be looked for; leave out --title"
            )
        if title is not None and not words:
            raise UsageError("a title is looked for among the words; leave out --no-words")
        manner = Manner(prior, decide, coverage, device, limits)
        consultation = self._consult(covers, head, manner, words=words, always_read=True)
        known = self._genre_of(consultation, genre)
        reference = self._reference(consultation, s3_endpoint)
        found = Reporter(consultation, reference, title or "").report(covers, known)
        self._note_learnt(consultation, [draft.digest for draft in found.ranking])
        return found

    def typical(
        self,
        genre: str,
        k: int = 24,
        *,
        oddest: bool = False,
        backbone: str | None = None,
        pictures: bool = False,
        s3_endpoint: str | None = None,
    ) -> list[Typical]:
        """Return the covers of a genre that look most like it, or least: by `albo.typicality`.

        pictures : with a small picture of each. Raises UnknownGenre, TooFewCovers, EmptyCatalog.
        """
        vectors = self._vectors(backbone)
        with self._reading() as catalog:
            known = catalog.genres()
            alike = genres_alike(genre, known)
            if not alike:
                raise unknown_genre(genre, known)
            chosen = max(alike, key=lambda name: (name == genre, known[name]))
            index = self._open_index(vectors, catalog)
            reference = self._gathered(
                list(catalog.albums()),
                vectors,
                index,
                "genre",
                StoredCovers(s3_endpoint) if pictures else None,
            )
        return reference.ranked(chosen, k, oddest=oddest)

    def _reference(
        self, consultation: Consultation, s3_endpoint: str | None
    ) -> Reference | NoReference:
        """Open the covers that a head's answers are compared with; else say why there are none."""
        head = consultation.head
        key = backbone_key(head.backbone, head.fingerprints["image"])
        if not (self.artifacts.vectors(key) / MANIFEST).is_file():
            return NoReference(f"no covers have been embedded here with {head.backbone}")
        try:
            vectors = Vectors.open(self.artifacts.vectors(key), head.fingerprints["image"])
            with self._reading() as catalog:
                index = self._open_index(vectors, catalog)
                albums = list(catalog.albums())
            if not index.count:
                return NoReference("no cover is indexed here")
        except (EmptyCatalog, StaleArtifact) as error:
            # It names folders of this machine, which are nobody's business in a report.
            self.note(str(error))
            return NoReference("the collection here needs mending first", is_damaged=True)
        covers = StoredCovers(s3_endpoint)
        return self._gathered(albums, vectors, index, head.level, covers)

    def _gathered(
        self,
        albums: Iterable[Album],
        vectors: Vectors,
        index: Index,
        level: str,
        covers: StoredCovers | None,
    ) -> Reference:
        from albo.learning import label_covers

        albums = list(albums)
        by_digest = album_by_digest(albums)
        labelling = label_covers(albums, Level(level))
        same_from = near_duplicate_thresholds(card_of(vectors))[1]
        pictures = CoverPictures(covers, self.note)
        embedded = labelling.restrict(index.digests())
        return Reference(embedded, by_digest, index, vectors, same_from, pictures)

    def _genre_of(self, consultation: Consultation, genre: str) -> str:
        """Find a genre that a head knows. Raises UnknownGenre, TooFewCovers."""
        head = consultation.head
        if alike := genres_alike(genre, head.genres):
            return alike[0]
        if consultation.is_starter:
            raise unknown_genre(genre, head.genres, f"head {head.name!r}")
        covers: Mapping[str, int] = {}
        with suppress(AlboError), self._reading() as catalog:
            covers = Counter(
                label for album in catalog.albums() if (label := getattr(album, head.level))
            )
        there = genres_alike(genre, covers)
        if not there:
            raise unknown_genre(genre, head.genres, f"head {head.name!r}")
        from albo.learning import MIN_GROUPS

        count, mend = covers[there[0]], "run `albo train`"
        are = "is 1 cover" if count == 1 else f"are {count} covers"
        if count < MIN_GROUPS:
            mend = f"embed more of them with `albo embed`, then {mend}"
        raise TooFewCovers(
            f"head {head.name!r} does not know {there[0]!r}, of which there"
            f" {are} here; it takes {MIN_GROUPS}, of {MIN_GROUPS} artists and artworks: {mend}"
        )

    def _consult(
        self,
        covers: Sequence[str],
        head: str | None,
        manner: Manner,
        *,
        words: bool,
        top: int = 1,
        always_read: bool = False,
    ) -> Consultation:
        """Open a head that is to be asked about covers. Raises as `classify` does."""
        if top < 1:
            raise UsageError(f"top={top}; give 1 or more")
        check_device(manner.device)
        return self._heads().consult(
            head, manner, covers=len(covers), words=words, always_read=always_read
        )

    def _heads(self) -> Heads:
        from albo.classify import Heads

        default = self._remembered(self.artifacts.heads_folder, "name")
        return Heads(self.artifacts, default, self.note)

    def _classified(self, consultation: Consultation, asked: Asked, top: int) -> Classified:
        query, said = asked.query, asked.prediction
        if said is None:
            return Classified(query.name, error=query.error)
        head, card = consultation.head.name, consultation.card.name
        return Classified(query.name, said.first(top), head, card, self._heard(query))

    def _heard(self, query: Query) -> tuple[str, ...] | None:
        """Return the lines that were read; a reading that failed is told."""
        if query.words is None:
            return None
        if query.words.error:
            self.note(f"{query.name}: {query.words.error}; the image alone decides")
        return tuple(line.text for line in query.words.lines)

    def _note_learnt(self, consultation: Consultation, asked: Collection[Digest]) -> None:
        """Tell of covers that a head may have learnt from: their answers are no test of it."""
        if consultation.is_starter:
            return
        known: set[Digest | None] = set()
        # A head answers without a catalog too.
        with suppress(AlboError), self._reading() as catalog:
            known = {album.digest for album in catalog.albums(set(asked)) if album.genre}
        if known:
            self.note(
                f"{len(known)} of the covers asked about {'is' if len(known) == 1 else 'are'} in"
                " your collection with a genre: the head may have learnt it from there"
            )

    # --- status ----------------------------------------------------------------------------------

    def heads(self) -> list[str]:
        """Return the names of the heads that have been trained."""
        return self._heads().names()

    def status(self) -> Json:
        """Say what there is: sources, covers, genres, backbones, indexes, heads, skipped files."""
        where = {"artifacts": str(self.artifacts.root), "catalog": self.catalog_place}
        try:
            with self._reading() as catalog:
                return {**where, **self._status(catalog)}
        except EmptyCatalog as nothing:
            empty = {"covers": 0, "backbones": [], "heads": self.heads(), "problem": str(nothing)}
            return {**where, **empty}

    def _status(self, catalog: Catalog) -> Json:
        sources: dict[str, int] = {}
        for album in catalog.albums():
            sources[album.source] = sources.get(album.source, 0) + 1
        current = self._remembered(self.artifacts.vectors_folder, "key")
        return {
            "covers": len(catalog.digests()),
            "sources": sources,
            "genres": catalog.genres(),
            "skipped": self._skipped(),
            "backbones": [
                self._status_of(vectors, catalog, current) for vectors in self._all_vectors()
            ],
            "words": [self._status_of_words(words, catalog) for words in self._all_words()],
            "heads": self.heads(),
            "default_head": self._remembered(self.artifacts.heads_folder, "name"),
            "writer": self.artifacts.writer_at_work(),
        }

    def _skipped(self) -> list[Json]:
        if not self.artifacts.files_file.is_file():
            return []
        with Files(self.artifacts.files_file) as files:
            return [{"uri": s.path, "error": s.reason} for s in files.skipped()]

    def _status_of(self, vectors: Vectors, catalog: Catalog, current: str | None) -> Json:
        from albo.index import digest_set_hash, open_index

        said: Json = {
            "backbone": vectors.backbone,
            "default": vectors.folder.name == current,
            "vectors": len(vectors),
        }
        try:
            index = open_index(self.artifacts.index(vectors.folder.name), vectors.fingerprint)
            said |= {"index": index.kind.value, "indexed": index.count, "recall": index.recall}
            index.check_current(vectors.state, digest_set_hash(catalog.digests()))
        except AlboError as error:
            said["problem"] = str(error)
        return said

    @staticmethod
    def _status_of_words(words: WordStore, catalog: Catalog) -> Json:
        said: Json = {"reader": words.reader}
        try:
            covers = catalog.digests()
            failed = len(covers & words.failed().keys())
            read = len(covers.intersection(words.digests()))
        except AlboError as error:
            return said | {"problem": str(error)}
        return said | {"read": read, "failed": failed, "unread": len(covers) - read - failed}

    @staticmethod
    def backbones(*, everything: bool = False) -> list[Json]:
        """List what backbones there are: name, dimension, input size, licence, weights here."""
        return [
            {
                "name": offer.name,
                "dimension": offer.dimension,
                "size": offer.size,
                "licence": offer.licence,
                "commercial": offer.commercial,
                "weights_here": offer.weights_here,
            }
            for offer in offers(everything=everything)
        ]

    # --- what they share -------------------------------------------------------------------------

    @property
    def _place(self) -> Path | str:
        return self.artifacts.catalog_file if self.catalog is None else self.catalog

    @contextmanager
    def _writing(self, purpose: str) -> Iterator[Catalog]:
        with (
            self.artifacts.lock(purpose, self.note),
            open_catalog(self._place, write=True) as catalog,
        ):
            yield catalog

    @contextmanager
    def _reading(self) -> Iterator[Catalog]:
        try:
            opened = open_catalog(self._place)
        except EmptyCatalog as nothing:
            raise EmptyCatalog(self._nothing_yet()) from nothing
        with opened as catalog:
            yield catalog

    def _require_catalog(self) -> None:
        with self._reading():
            pass

    def _nothing_yet(self) -> str:
        if any(self.artifacts.vectors_folder.glob(f"*/{MANIFEST}")):
            return (
                f"{shown(self._place)} is gone; run `albo embed SOURCE` to register the"
                " covers again: their vectors are kept"
            )
        root = self.artifacts.root
        if not root.exists():
            return (
                f"there is no folder {root.absolute()}; run `albo embed SOURCE` to make it, or name"
                " yours with --artifacts or $ALBO_ARTIFACTS"
            )
        return f"{root} holds no covers; run `albo embed SOURCE` first"

    def _remember(self, folder: Path, content: Json) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _CURRENT, content)

    def _remembered(self, folder: Path, key: str) -> str | None:
        try:
            found = read_json(folder / _CURRENT)[key]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) else None

    def _all_vectors(self) -> list[Vectors]:
        """Open every backbone's vectors that can be opened; what is wrong with others is noted."""
        return self._all_in(self.artifacts.vectors_folder, Vectors.open)

    def _all_words(self) -> list[WordStore]:
        """Open every reader's words that can be opened; what is wrong with others is noted."""
        return self._all_in(self.artifacts.words_folder, WordStore.open)

    def _all_meanings(self) -> list[Vectors]:
        """Open what is kept of what every reader's words mean, as `_all_words` does."""
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

    def _vectors(self, backbone: str | None) -> Vectors:
        """Open the vectors of a backbone by its name, or of the one embedded with last."""
        current = self._remembered(self.artifacts.vectors_folder, "key")
        if backbone is None and current is not None:
            return Vectors.open(self.artifacts.vectors(current))
        there = self._all_vectors()
        if not there:
            raise EmptyCatalog(self._nothing_yet())
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

    def _vectors_of(self, card: Card) -> Vectors:
        return Vectors.open_or_create(
            self.artifacts.vectors(backbone_key(card.name, card.fingerprint)),
            card.name,
            card.fingerprint,
            card.dimension,
            card.middle_dimension,
            extra={"card": card.as_json()},
        )

    def _card_to_embed_with(self, backbone: str | None, weights: Path | None) -> Card:
        """Choose the backbone asked for, else the last, else the default."""
        if backbone is None and weights is not None:
            raise UsageError("--weights needs --backbone NAME: which network are they for?")
        if backbone is not None:
            return find_card(backbone, weights, note=self.note)
        try:
            # As it was described then: where its vectors are damaged, embedding mends them.
            return Card.from_json(read_json(self.artifacts.vectors_folder / _CURRENT)["card"])
        except (OSError, ValueError, KeyError, TypeError):
            return find_card(DEFAULT)


def _lacking(count: int, what: str, mend: str) -> str:
    return f"{count} {what} have no vector and are left out; run `{mend}` to embed them"


def _few_seeds(seeds: Sequence[int], usual: int, command: str) -> str:
    drawn = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    return (
        f"scored with fold {drawn} alone; `{command} --seeds {usual}` takes the mean over {usual},"
        " which chance moves less"
    )
