"""Albo in Python: open an artifacts folder, then embed, similar, train, classify.

    from albo import Albo

    albo = Albo("artifacts")
    albo.embed(["covers/labels.csv"])
    for answer in albo.similar(["cover.jpg"], k=5):
        print(answer.neighbours)

The command line is a thin layer over this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.errors import EmptyCatalog
from albo.library import Library, nothing_yet
from albo.records import Device, HeadKind, IndexKind, Level, choose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Unpack

    from albo.answers import (
        EmbedResult,
        Explained,
        PlannedHarvest,
        ReadingResult,
        Report,
        Similar,
        Typical,
    )
    from albo.asking import AskingOptions
    from albo.classify import Classified
    from albo.learning import ReviewedEvaluation
    from albo.limits import Limits
    from albo.neighbours import IndexSummary
    from albo.records import Digest, Json, Note, ShownCover, StageProgress
    from albo.sources import Harvested, HarvestSettings
    from albo.store import Artifacts, CoverStore


class Albo:
    """An artifacts folder, opened, and one method for each command.

    A setting that has choices (a device, a kind, a level, a prior) may be given as plain text.
    """

    def __init__(
        self,
        root: Path | str | None = None,
        catalog: str | None = None,
        note: Note = lambda _line: None,
        progress: StageProgress = lambda _stage, _done, _total: None,
        s3_endpoint: str | None = None,
    ) -> None:
        """Find the folder and the catalog; nothing is made yet.

        Parameters
        ----------
        root : the folder; None is `$ALBO_ARTIFACTS`, else `./artifacts`.
        catalog : a path, `sqlite:///PATH` or `mongodb://HOST/DB`; None is `$ALBO_CATALOG`, else a
            file in that folder.
        note : called with one line that the user may want to know.
        progress : called during long work.
        s3_endpoint : the address of the S3 server with harvested covers, if not Amazon's.

        Raises UsageError.
        """
        self.library = Library(root, catalog, note, progress, s3_endpoint)

    # --- embed, index, forget --------------------------------------------------------------------

    def embed(
        self,
        sources: Sequence[str] = (),
        *,
        backbone: str | None = None,
        weights: Path | None = None,
        device: Device | str = Device.AUTO,
        batch_size: int | None = None,
        genre: str | None = None,
        rehash: bool = False,
        limits: Limits | None = None,
        lines: Iterable[str] = (),
        words: bool = False,
    ) -> EmbedResult:
        """Register covers, embed those that are new, and bring the index up to date.

        Parameters
        ----------
        sources : folders, images, manifests, other catalogs (`mongodb://…`, `sqlite:///…`), "-" for
            the paths in `lines`. Where none is named, the covers in the catalog that have no
            vector are embedded.
        backbone : the name of the network; None for the one embedded with last, else the default.
        weights : a file of weights for that network; None for its own.
        device : where the network runs.
        batch_size : covers a batch; None lets albo choose.
        genre : "folder", "none", or the genre of all. None: folders name the genres of
            their images, and manifests those of their rows.
        rehash : read every file again, changed or not.
        limits : the largest files and images that are read; None is the usual limits.
        lines : the paths that "-" stands for.
        words : afterwards read the words of covers, as `words` does.

        Raises UnknownSource, UnknownBackbone, MissingWeights, CannotWrite, RuntimeFailed,
        UsageError if the device or the weights' file is missing, EmptyCatalog if no source is named
        and none is known. A cover that cannot be read is in the summary's `skipped`.
        """
        from albo.register import NetworkAsked, register_covers

        return register_covers(
            self.library,
            sources,
            NetworkAsked(backbone, weights, choose(Device, device, "device"), batch_size),
            genre=genre,
            rehash=rehash,
            limits=limits,
            lines=lines,
            words=words,
        )

    def words(
        self, *, device: Device | str = Device.AUTO, limits: Limits | None = None
    ) -> ReadingResult:
        """Read the words of the catalog's covers whose words have not been read.

        Parameters
        ----------
        device : where the word reader runs.
        limits : the largest files and images that are read; None is the usual limits.

        Raises EmptyCatalog, MissingReader, CannotWrite, RuntimeFailed, UsageError if the device is
        missing. Covers that could not be read are in the summary's `failed` and `skipped`.
        """
        from albo.register import read_covers

        return read_covers(self.library, choose(Device, device, "device"), limits)

    def index(self, kind: IndexKind | str | None = None) -> list[IndexSummary]:
        """Rebuild the index of every backbone.

        Parameters
        ----------
        kind : how the indexes search; None for the kind that each has.

        Raises EmptyCatalog if nothing is embedded, UsageError.
        """
        chosen = None if kind is None else choose(IndexKind, kind, "kind")
        library = self.library
        library.require_catalog()
        with library.writing("albo index") as catalog:
            there = library.all_vectors()
            if not there:
                raise EmptyCatalog(nothing_yet(library))
            return [library.update_index(v, catalog, chosen, anew=True) for v in there]

    def forget(self, what: str) -> int:
        """Remove covers from catalog, vectors, words and index; return the number of albums.

        Parameters
        ----------
        what : a source, a file, or a digest, whole or its first 8 or more hex digits; "-"
            stands for the files that were named one by one.

        Raises UnknownSource if nothing has that name, EmptyCatalog.
        """
        from albo.forget import forget

        return forget(self.library, what)

    # --- harvest ---------------------------------------------------------------------------------

    def harvest(self, settings: HarvestSettings, *, covers: str | None = None) -> Harvested:
        """Fetch album charts into the catalog, and the covers of the albums into a store.

        Parameters
        ----------
        settings : which charts, from where, and how fast.
        covers : a folder or `s3://bucket/prefix`; None is `$ALBO_COVERS`, else `covers` in the
            artifacts folder.

        Raises UsageError, UnknownGenre, CannotWrite. Failures are in the tallies.
        """
        from albo.harvest import Harvest

        plan = settings.plan()
        feeds, artwork = settings.downloads(plan)
        store = self.cover_store(covers)
        with self.library.writing("albo harvest") as catalog:
            store.check()
            run = Harvest(
                plan, catalog, store, feeds, artwork, progress=self.progress, note=self.note
            )
            return run.run()

    def plan_harvest(
        self, settings: HarvestSettings, *, covers: str | None = None
    ) -> PlannedHarvest:
        """Return the requests that `harvest` would send, and their time; nothing is asked or made.

        Parameters
        ----------
        settings, covers : as of `harvest`.

        Raises UsageError, UnknownGenre.
        """
        from albo.answers import PlannedHarvest

        plan = settings.plan()
        agent = settings.downloads(plan)[0].politeness.user_agent
        place = self.cover_store(covers).place
        rates = settings.rate, settings.art_rate
        return PlannedHarvest(plan, *rates, self.catalog_place, place, agent)

    @property
    def artifacts(self) -> Artifacts:
        """The places of all files in the artifacts folder."""
        return self.library.artifacts

    @property
    def catalog(self) -> str | None:
        """The catalog that was named; None for the file in the artifacts folder."""
        return self.library.catalog

    @property
    def catalog_place(self) -> str:
        """The catalog's address, without secrets."""
        return self.library.catalog_place

    def cover_store(self, covers: str | None = None) -> CoverStore:
        """Choose the store of harvested covers, as `harvest` does; nothing is made or asked yet.

        Parameters
        ----------
        covers : as of `harvest`.

        Raises UsageError.
        """
        return self.library.cover_store(covers)

    @property
    def note(self) -> Note:
        """Called with one line that the user may want to know."""
        return self.library.note

    @note.setter
    def note(self, note: Note) -> None:
        self.library.note = note

    @property
    def progress(self) -> StageProgress:
        """Called during long work."""
        return self.library.progress

    @progress.setter
    def progress(self, progress: StageProgress) -> None:
        self.library.progress = progress

    # --- similar, duplicates ---------------------------------------------------------------------

    def similar(
        self,
        covers: Sequence[str],
        k: int = 10,
        *,
        genre: str | None = None,
        backbone: str | None = None,
        device: Device | str = Device.AUTO,
        without_self: bool = False,
        limits: Limits | None = None,
    ) -> Iterator[Similar]:
        """Find the nearest covers of each cover, in order; an unreadable cover gets the reason.

        Parameters
        ----------
        covers : image files.
        k : how many neighbours of each.
        genre : look only at covers of that genre; None for all.
        backbone : whose vectors are compared; None for the backbone embedded with last.
        device : where the backbone runs.
        without_self : leave out copies of the same file.
        limits : the largest files and images that are read; None is the usual limits.

        Raises EmptyCatalog, EmptyIndex, StaleArtifact, UnknownGenre, UsageError.
        """
        from albo.answers import find_similar
        from albo.networks import check_device

        device = choose(Device, device, "device")
        check_device(device)
        yield from find_similar(
            self.library,
            self.library.vectors(backbone),
            covers,
            k,
            genre=genre,
            device=device,
            without_self=without_self,
            limits=limits,
        )

    def duplicates(
        self, threshold: float | None = None, *, backbone: str | None = None
    ) -> list[tuple[ShownCover, ...]]:
        """Group files that show the same artwork, largest groups first; copies of a file too.

        Parameters
        ----------
        threshold : the least cosine; None is the value measured for the backbone.
        backbone : whose vectors are compared; None for the backbone embedded with last.

        Raises EmptyCatalog, UsageError.
        """
        from albo.answers import find_duplicates

        return find_duplicates(self.library, self.library.vectors(backbone), threshold)

    # --- train, evaluate -------------------------------------------------------------------------

    def train(
        self,
        name: str = "default",
        *,
        kind: HeadKind | str = HeadKind.LOGISTIC,
        level: Level | str = Level.GENRE,
        backbone: str | None = None,
        seeds: tuple[int, ...] | None = None,
        words: bool = True,
    ) -> Json:
        """Fit a head on the embedded and labelled covers; return its figures, as `--json` does.

        Parameters
        ----------
        name : the name that the head is saved under.
        kind : the classifier that is fitted.
        level : which label of an album the head learns.
        backbone : the backbone of the head's vectors; None for the backbone embedded with last.
        seeds : the fold seeds that figures are averaged over; None is 5 seeds up to 30,000
            covers, else 1.
        words : use the words on covers that have been read.

        Raises EmptyCatalog, TooFewCovers, UsageError, and StaleArtifact if words cannot be used
        but the existing head of that name uses them: that head is kept.
        """
        from albo.learning import TrainingSettings
        from albo.train import train_head

        settings = TrainingSettings(
            name, choose(HeadKind, kind, "kind"), choose(Level, level, "level"), seeds=seeds
        )
        report = train_head(self.library, settings, backbone, words=words).report
        return {**report, "saved": str(self.artifacts.head(name))}

    def evaluate(
        self,
        split: str = "grouped",
        *,
        kind: HeadKind | str = HeadKind.LOGISTIC,
        level: Level | str = Level.GENRE,
        backbone: str | None = None,
        seeds: tuple[int, ...] | None = None,
        words: bool = True,
        pictures: bool = False,
    ) -> ReviewedEvaluation:
        """Measure every view and head by cross-validation; nothing is saved.

        Parameters
        ----------
        split : "grouped", "random", "published" (a column of the manifests embedded), or a table.
        kind : the kind of head to select; the other kind is scored too.
        level, backbone, seeds, words : as of `train`.
        pictures : add small pictures of the most confident mistakes.

        Raises EmptyCatalog, TooFewCovers, UsageError.
        """
        from albo.answers import evaluate_library
        from albo.evaluate import open_split
        from albo.learning import TrainingSettings

        library = self.library
        level = choose(Level, level, "level")
        kind = choose(HeadKind, kind, "kind")
        divided = open_split(library, split)
        settings = TrainingSettings(kind=kind, level=level, seeds=seeds)
        return evaluate_library(
            library, settings, divided, backbone, words=words, pictures=pictures
        )

    # --- classify, explain, report ---------------------------------------------------------------

    def classify(
        self, covers: Sequence[str], *, top: int = 5, **asking: Unpack[AskingOptions]
    ) -> Iterator[Classified]:
        """Classify each cover, in order; an unreadable cover gets the reason.

        Parameters
        ----------
        top : how many genres to name.
        asking : the fields of `albo.classify.Asking`: head, prior, decide, coverage, device,
            limits, words, artists.

        Raises UnknownHead, StaleArtifact, UsageError.
        """
        from albo.asking import Asking
        from albo.classify import Heads, check_top, note_learnt

        check_top(top)
        consultation = Heads(self.library).consult(Asking.of(**asking), len(covers))
        asked: list[Digest] = []
        for one in consultation.ask(covers):
            yield consultation.describe(one, top)
            if one.prediction is not None:
                asked.append(one.query.digest)
        note_learnt(self.library, consultation, asked)

    def classify_collection(
        self, genre: str | None = None, *, top: int = 5, **asking: Unpack[AskingOptions]
    ) -> Iterator[Classified]:
        """Classify each cover of the collection, without reading its file again.

        A cover that the head has learnt is classified by a predictor that has not learnt it.

        Parameters
        ----------
        genre : ask only about covers of this genre; None for all.
        top, asking : as of `classify`.

        Raises EmptyCatalog, UnknownGenre, UnknownHead, StaleArtifact, UsageError.
        """
        from albo.answers import classify_collection
        from albo.asking import Asking
        from albo.classify import Heads, check_top

        check_top(top)
        consultation = Heads(self.library).consult_stored(Asking.of(**asking))
        yield from classify_collection(self.library, consultation, genre, top)

    def explain(
        self, covers: Sequence[str], *, top: int = 5, **asking: Unpack[AskingOptions]
    ) -> Iterator[Explained]:
        """Classify covers as `classify` does, and explain the first genre of each.

        Raises as `classify` does.
        """
        from albo.answers import NoReference, explain_cover, open_reference
        from albo.asking import Asking
        from albo.classify import Heads, check_top, note_learnt

        check_top(top)
        consultation = Heads(self.library).consult(Asking.of(**asking), len(covers))
        reference = open_reference(self.library, consultation)
        if isinstance(reference, NoReference):
            self.note(f"{reference.reason}, so none vote")
        asked: list[Digest] = []
        for one in consultation.ask(covers, keep_pictures=True):
            classified = consultation.describe(one, top)
            if one.prediction is not None:
                asked.append(one.query.digest)
            yield explain_cover(consultation, reference, one, classified)
        note_learnt(self.library, consultation, asked)

    def report(
        self,
        covers: Sequence[str],
        genre: str,
        **asking: Unpack[AskingOptions],
    ) -> Report:
        """Report whether covers read as a genre, how certainly, why, and their other genres.

        Parameters
        ----------
        genre : one that the head knows.
        asking : as of `classify`. A title is looked for at thumbnail size; without one, the largest
            text on the cover is.

        Raises UnknownGenre, TooFewCovers if the collection has too few covers of that genre for the
        head to know it, UnknownHead, StaleArtifact, UsageError. The draft of an unreadable cover
        has the reason.
        """
        from albo.answers import Reporter, find_known_genre, open_reference
        from albo.asking import Asking
        from albo.classify import Heads, note_learnt

        asked = Asking.of(**asking)
        asked.given(len(covers))  # before any network is opened
        consultation = Heads(self.library).consult(asked, len(covers), always_read=True)
        known = find_known_genre(self.library, consultation, genre)
        reference = open_reference(self.library, consultation)
        found = Reporter(consultation, reference).report(covers, known)
        note_learnt(self.library, consultation, [draft.digest for draft in found.ranking])
        return found

    def typical(
        self,
        genre: str,
        k: int = 24,
        *,
        oddest: bool = False,
        backbone: str | None = None,
        pictures: bool = False,
    ) -> list[Typical]:
        """Return the covers of a genre that look most like it, or least.

        Parameters
        ----------
        k : how many covers.
        oddest : return those that look least like the genre.
        backbone : whose vectors are compared; None for the backbone embedded with last.
        pictures : add a small picture of each.

        Raises UnknownGenre, TooFewCovers, EmptyCatalog.
        """
        from albo.answers import find_typical

        vectors = self.library.vectors(backbone)
        return find_typical(self.library, vectors, genre, k, oddest=oddest, pictures=pictures)

    # --- status ----------------------------------------------------------------------------------

    def heads(self) -> list[str]:
        """Return the names of the heads that have been trained."""
        from albo.classify import Heads

        return Heads(self.library).names()

    def status(self) -> Json:
        """Return the status: sources, covers, genres, backbones, indexes, heads, skipped files."""
        from albo.status import describe_library

        return describe_library(self.library)

    @staticmethod
    def backbones(*, everything: bool = False) -> list[Json]:
        """List the backbones: name, dimension, input size, licence, whether the weights are here.

        Parameters
        ----------
        everything : list every network of torchvision.
        """
        from albo.networks import offers

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
