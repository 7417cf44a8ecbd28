"""The command line: words in, tables or JSON out, errors as one line and an exit code.

Exit codes: 0 all done; 1 something could not be done (the rest was); 2 wrong usage. Where whoever
reads the answer leaves before its end, that is a 1 without a word.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer

from albo import __version__, records
from albo.errors import AlboError, UsageError
from albo.options import (
    Artifacts,
    AsJson,
    BackboneName,
    Catalog,
    Coverage,
    Covers,
    Decide,
    Device,
    GenreAsked,
    HeadName,
    MaxMib,
    MaxMpx,
    Prior,
    Quiet,
    ReadWords,
    S3Endpoint,
    SheetFile,
    limits_of,
)
from albo.show import many, printable, scores, tables, terminal, verdicts

if TYPE_CHECKING:
    from albo.answers import Explained, ReadingResult
    from albo.api import Albo
    from albo.classify import Classified


app = typer.Typer(
    name="albo",
    help="albo reads an album cover: what it looks like, and what genre it reads as.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain help: twice as soon there, and as wide as the terminal
    pretty_exceptions_enable=False,
)

catalogs = typer.Typer(rich_markup_mode=None)
app.add_typer(catalogs, name="catalog")

_INTERRUPTED = 130  # what Typer makes of Ctrl-C
_READERS = frozenset(
    {
        "similar",
        "duplicates",
        "classify",
        "report",
        "typical",
        "oddities",
        "evaluate",
        "backbones",
        "genres",
        "status",
    }
)
# click's UsageError, which Typer takes from click or from a copy of its own, by version, and
# offers under no name.
_WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]


# --- harvest -------------------------------------------------------------------------------------


@app.command()
def harvest(
    *,
    genre: Annotated[
        list[str] | None,
        typer.Option(help="A genre by name or id, with its subgenres, or all. May be repeated."),
    ] = None,
    storefront: Annotated[
        list[str] | None,
        typer.Option(help="A country by two letters. May be repeated.", show_default="us"),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=200, help="Albums to ask each chart for; often 100 come.")
    ] = 200,
    art_size: Annotated[
        int, typer.Option(min=55, max=3000, help="Pixels a side to ask for; else 600, else less.")
    ] = 1000,
    rate: Annotated[
        float, typer.Option(min=0, help="Charts a minute; 0: as fast as can be.")
    ] = 20.0,
    art_rate: Annotated[
        float, typer.Option(min=0, help="Artworks a second; 0: as fast as can be.")
    ] = 5.0,
    contact: Annotated[
        str, typer.Option(help="Your mail or web address, sent along to whom it may concern.")
    ] = "",
    base_url: Annotated[
        str | None,
        typer.Option(
            help="The charts' server.", show_default="$ALBO_ITUNES_URL or https://itunes.apple.com"
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds that one attempt may take.")
    ] = 60.0,
    attempts: Annotated[
        int, typer.Option(min=1, max=20, help="How often to ask for one thing, later and later.")
    ] = 5,
    covers: Annotated[
        str | None,
        typer.Option(
            help="Where covers are kept: a folder, or s3://BUCKET/PREFIX.",
            show_default="$ALBO_COVERS or ARTIFACTS/covers",
        ),
    ] = None,
    s3_endpoint: S3Endpoint = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, and for how long.")
    ] = False,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fetch iTunes' album charts by genre, and their covers."""
    from albo.sources import HarvestSettings

    settings = HarvestSettings(
        genres=genre or (),
        storefronts=storefront or ("us",),
        base_url=base_url,
        limit=limit,
        art_size=art_size,
        rate=rate,
        art_rate=art_rate,
        contact=contact,
        timeout=timeout,
        attempts=attempts,
    )
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        if dry_run:
            store = albo.cover_store(covers, s3_endpoint)
            where = {"catalog": albo.catalog_place, "covers": store.place}
            tables.show_plan(settings, where, as_json=as_json)
            return
        done = albo.harvest(settings, covers=covers, s3_endpoint=s3_endpoint)
    if as_json:
        for tally in (*done.tallies, done.total):
            terminal.print_json(tally.as_json())
    elif not quiet:
        tables.show_harvest(done)
    if done.total.covers:
        terminal.note("`albo embed` reads what has come", quiet=quiet)
    if without := done.total.art_missing:
        terminal.note(f"{many(without, 'album')} without artwork in the charts", quiet=quiet)
    for reason, count in done.total.reasons.most_common(tables.SHOWN_SKIPS):
        terminal.complain(f"{count} times {reason}" if count > 1 else reason)
    _exit(failed=bool(done.total.failed))


# --- embed and index -----------------------------------------------------------------------------


@app.command()
def embed(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help="Folders, images, CSV or Parquet manifests, other catalogs (mongodb://...,"
            " sqlite:///...), or - for paths on standard input; none: what the catalog holds and"
            " has no vector.",
        ),
    ] = None,
    *,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="efficientnet-lite0, a torchvision network (resnet50, resnet50:IMAGENET1K_V2)"
            " or timm/NAME.",
            show_default="the last, at first efficientnet-lite0",
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A state dict to use in place of the published weights.")
    ] = None,
    device: Device = records.Device.AUTO,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Covers a batch.", show_default="chosen")
    ] = None,
    genre: Annotated[
        str | None,
        typer.Option(
            help="folder: the folder that holds an image names its genre; none;"
            " or one NAME for all.",
            show_default="folder, for folders",
        ),
    ] = None,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read every file again, changed or not.")
    ] = False,
    words: Annotated[
        bool, typer.Option("--words", help="Then read the words of covers, as `albo words` does.")
    ] = False,
    max_mib: MaxMib = 64,
    max_mpx: MaxMpx = 64,
    s3_endpoint: S3Endpoint = None,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Register covers, embed the new ones, update the index."""
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        result = albo.embed(
            source or [],
            backbone=backbone,
            weights=weights,
            device=device,
            batch_size=batch_size,
            genre=genre,
            rehash=rehash,
            limits=limits_of(max_mib, max_mpx),
            lines=(sys.stdin or ()) if "-" in (source or []) else (),
            s3_endpoint=s3_endpoint,
        )
    if source and not (result.summary.seen or result.summary.notes):
        terminal.note("no covers there: neither images nor rows of a manifest", quiet=quiet)
    for note in result.summary.notes:
        terminal.note(note, quiet=quiet)
    for skipped in result.summary.skipped:
        terminal.complain(f"{skipped.uri}: {skipped.reason}")
    if as_json:
        terminal.print_json(result.as_json())
    elif not quiet:
        terminal.say(tables.describe_embedding(result))
    lost = result.summary.lost_parts and result.index.missing
    failed = bool(result.summary.skipped or lost)
    if words:
        # Now that covers can be found: reading takes a hundred times as long.
        limits = limits_of(max_mib, max_mpx)
        with _opened(artifacts, catalog, quiet=quiet) as albo:
            reading = albo.words(device=device, limits=limits, s3_endpoint=s3_endpoint)
        failed |= _show_reading(reading, as_json=as_json, quiet=quiet)
    _exit(failed=failed)


@app.command("words")
def read(
    *,
    device: Device = records.Device.AUTO,
    max_mib: MaxMib = 64,
    max_mpx: MaxMpx = 64,
    s3_endpoint: S3Endpoint = None,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read the words of the covers whose words have not been read."""
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        reading = albo.words(
            device=device,
            limits=limits_of(max_mib, max_mpx),
            s3_endpoint=s3_endpoint,
        )
    _exit(failed=_show_reading(reading, as_json=as_json, quiet=quiet))


def _show_reading(reading: ReadingResult, *, as_json: bool, quiet: bool) -> bool:
    """Print what a run read, and what it could not: whether there is such a cover."""
    s = reading.summary
    for note in s.notes:
        terminal.note(note, quiet=quiet)
    unread = [*s.skipped, *s.failed]
    for cover in unread:
        terminal.complain(f"{cover.uri}: {cover.reason}")
    if as_json:
        terminal.print_json(reading.as_json())
    elif not quiet:
        terminal.say(tables.describe_reading(reading))
    return bool(unread)


@app.command()
def index(
    kind: Annotated[
        records.IndexKind | None,
        typer.Option(help="auto chooses by size.", show_default="as before, at first auto"),
    ] = None,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Build every index anew, or change its kind."""
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        done = albo.index(kind)
    for one in done:
        kind_made = one.kind.value
        if as_json:
            terminal.print_json(
                {
                    "backbone": one.backbone,
                    "kind": kind_made,
                    "count": one.count,
                    "recall": one.recall,
                }
            )
        elif not quiet:
            recall = f"recall@10 {one.recall:.3f}"
            terminal.say(f"index of {one.backbone}: {one.count} covers, {kind_made}, {recall}")


@app.command()
def forget(
    what: Annotated[
        list[str], typer.Argument(metavar="SOURCE|DIGEST", help="Sources, files, or digests.")
    ],
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take covers out of catalog, vectors, words and index. No image is touched."""
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        failed = [name for name in what if not _forget(albo, name, as_json=as_json, quiet=quiet)]
    if len(failed) == len(what):
        raise typer.Exit(2)
    _exit(failed=bool(failed))


def _forget(albo: Albo, name: str, *, as_json: bool, quiet: bool) -> bool:
    try:
        count = albo.forget(name)
    except UsageError as error:
        if as_json:
            terminal.print_json({"forgotten": name, "error": str(error)})
        terminal.complain(str(error))
        return False
    if as_json:
        terminal.print_json({"forgotten": name, "albums": count})
    elif not quiet:
        terminal.say(f"{name}: {many(count, 'album')} forgotten")
    return True


# --- similar and duplicates ----------------------------------------------------------------------


@app.command()
def similar(
    cover: Covers,
    *,
    k: Annotated[int, typer.Option("-k", min=1, help="How many neighbours.")] = 10,
    genre: Annotated[str | None, typer.Option(help="Only covers of this genre.")] = None,
    backbone: BackboneName = None,
    device: Device = records.Device.AUTO,
    without_self: Annotated[
        bool, typer.Option("--without-self", help="Leave out the very same file.")
    ] = False,
    max_mib: MaxMib = 64,
    max_mpx: MaxMpx = 64,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the covers that look most like these."""
    failed = False
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        for answer in albo.similar(
            cover,
            k,
            genre=genre,
            backbone=backbone,
            device=device,
            without_self=without_self,
            limits=limits_of(max_mib, max_mpx),
        ):
            failed |= bool(answer.error)
            if as_json:
                terminal.print_json(answer.as_json())
            elif answer.error:
                terminal.complain(f"{answer.query}: {answer.error}")
            else:
                tables.show_similar(answer)
    _exit(failed=failed)


@app.command()
def duplicates(
    *,
    threshold: Annotated[
        float | None,
        typer.Option(help="Least cosine.", show_default="0.865 for efficientnet-lite0"),
    ] = None,
    backbone: BackboneName = None,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List groups of covers that show the same artwork."""
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        groups = albo.duplicates(threshold, backbone=backbone)
    for number, group in enumerate(groups, start=1):
        if as_json:
            terminal.print_json({"group": number, "covers": [each.as_json() for each in group]})
        else:
            tables.show_group(number, group)
    if not groups and not as_json and not quiet:
        terminal.say("no near-duplicates")


# --- train and classify --------------------------------------------------------------------------


@app.command()
def train(
    *,
    kind: Annotated[
        records.HeadKind, typer.Option(help="What is fitted.")
    ] = records.HeadKind.LOGISTIC,
    name: Annotated[str, typer.Option(help="What the head is called.")] = "default",
    level: Annotated[
        records.Level, typer.Option(help="Which label is learnt.")
    ] = records.Level.GENRE,
    words: Annotated[
        bool, typer.Option("--words/--no-words", help="Look at what covers say, or do not.")
    ] = True,
    backbone: BackboneName = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=20,
            help="Fold seeds to take the mean over.",
            show_default="5 up to 30,000 covers, else 1",
        ),
    ] = None,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fit a head on labelled covers, and say how good it is."""
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        report = albo.train(
            name,
            kind=kind,
            level=level,
            backbone=backbone,
            words=words,
            seeds=None if seeds is None else tuple(range(seeds)),
        )
    if as_json:
        terminal.print_json(report)
    elif not quiet:
        scores.show_training(report)


@app.command()
def evaluate(
    *,
    split: Annotated[
        str, typer.Option(help="grouped, random, published, or a table: file, split.")
    ] = "grouped",
    html: Annotated[
        Path | None, typer.Option(help="Write all of it, with plots, to this one file.")
    ] = None,
    kind: Annotated[records.HeadKind, typer.Option(help="Which head.")] = records.HeadKind.LOGISTIC,
    level: Annotated[records.Level, typer.Option(help="Which label.")] = records.Level.GENRE,
    words: Annotated[
        bool, typer.Option("--words/--no-words", help="Look at what covers say, or do not.")
    ] = True,
    backbone: BackboneName = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=20,
            help="Fold seeds to take the mean over.",
            show_default="5 up to 30,000 covers, else 1",
        ),
    ] = None,
    s3_endpoint: S3Endpoint = None,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say how good every way of predicting is, on covers of other artists and artworks."""
    from albo.show import page
    from albo.store import PAGES, check_output

    if html is not None:
        html = check_output(html, PAGES, "--html")
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        found = albo.evaluate(
            split,
            kind=kind,
            level=level,
            backbone=backbone,
            seeds=None if seeds is None else tuple(range(seeds)),
            words=words,
            pictures=html is not None,
            s3_endpoint=s3_endpoint,
        )
    if html is not None:
        page.write(page.render(found), html)
    if as_json:
        for line in found.lines():
            terminal.print_json(line)
    elif not quiet:
        scores.show_evaluation(found, str(html or ""))


@app.command()
def classify(
    cover: Covers,
    *,
    top: Annotated[int, typer.Option(min=1, help="How many genres to name.")] = 5,
    explain: Annotated[
        Path | None,
        typer.Option(help="Say why, and draw it to this PNG or JPEG.", show_default=False),
    ] = None,
    head: HeadName = None,
    prior: Prior = records.Prior.CORPUS,
    decide: Decide = 0.5,
    coverage: Coverage = 0.9,
    words: ReadWords = True,
    device: Device = records.Device.AUTO,
    max_mib: MaxMib = 64,
    max_mpx: MaxMpx = 64,
    s3_endpoint: S3Endpoint = None,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say what genre a cover reads as, and how sure that is."""
    from albo.answers import Explained
    from albo.show import MOST_ROWS, draw_explained, save_sheet
    from albo.store import PICTURES, check_output

    if explain is not None:
        explain = check_output(explain, PICTURES, "--explain")
        if len(cover) > MOST_ROWS:
            raise UsageError(
                f"{len(cover)} covers are too many for a picture; explain {MOST_ROWS} at a time"
            )
    failed = False
    drawn: list[Explained] = []
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        ask = albo.classify if explain is None else partial(albo.explain, s3_endpoint=s3_endpoint)
        for answer in ask(
            cover,
            top=top,
            head=head,
            prior=prior,
            decide=decide,
            coverage=coverage,
            device=device,
            words=words,
            limits=limits_of(max_mib, max_mpx),
        ):
            failed |= _show_classified(answer, coverage, as_json=as_json)
            if isinstance(answer, Explained):
                drawn.append(answer)
    if explain is not None and any(one.reasons for one in drawn):
        save_sheet(draw_explained(drawn), explain, "--explain")
        terminal.note(f"drawn in {terminal.short(str(explain))}", quiet=quiet)
    _exit(failed=failed)


def _show_classified(answer: Classified | Explained, coverage: float, *, as_json: bool) -> bool:
    """Print what a cover reads as, or why it could not be read: whether that is so."""
    from albo.answers import Explained

    plain = answer.classified if isinstance(answer, Explained) else answer
    if as_json:
        terminal.print_json(answer.as_json())
    elif plain.error:
        terminal.complain(f"{plain.query}: {plain.error}")
    else:
        verdicts.show_classified(plain, coverage)
        if isinstance(answer, Explained):
            verdicts.show_why(answer)
    return bool(plain.error)


@app.command()
def report(
    cover: Covers,
    *,
    genre: Annotated[str, typer.Option("--as", help="The genre that the cover is to read as.")],
    title: Annotated[
        str | None,
        typer.Option(
            help="The title that is to be read on it.", show_default="the largest text on it"
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write the report to this one file.", show_default="in ARTIFACTS/reports"
        ),
    ] = None,
    head: HeadName = None,
    prior: Prior = records.Prior.CORPUS,
    decide: Decide = 0.5,
    coverage: Coverage = 0.9,
    words: ReadWords = True,
    device: Device = records.Device.AUTO,
    max_mib: MaxMib = 64,
    max_mpx: MaxMpx = 64,
    s3_endpoint: S3Endpoint = None,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say whether covers read as a genre, and why: one HTML file to send round."""
    from albo.show import page
    from albo.store import PAGES, check_output

    if html is not None:
        html = check_output(html, PAGES, "--html")
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        found = albo.report(
            cover,
            genre,
            title=title,
            head=head,
            prior=prior,
            decide=decide,
            coverage=coverage,
            device=device,
            words=words,
            limits=limits_of(max_mib, max_mpx),
            s3_endpoint=s3_endpoint,
        )
        place = html or albo.artifacts.report(found.name, "html")
    if found.ranking:
        page.write(page.render_report(found), place)
    for draft in found.drafts:
        if as_json:
            terminal.print_json(found.as_json(draft))
        elif draft.error:
            terminal.complain(f"{draft.query}: {draft.error}")
    if found.ranking and as_json:
        terminal.note(f"written to {terminal.short(str(place))}", quiet=quiet)
    elif found.ranking:
        verdicts.show_report(found, str(place), quiet=quiet)
    _exit(failed=found.is_partial)


@app.command()
def typical(
    *,
    genre: GenreAsked,
    k: Annotated[int, typer.Option("-k", min=1, help="How many covers.")] = 24,
    sheet: SheetFile = None,
    backbone: BackboneName = None,
    s3_endpoint: S3Endpoint = None,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the covers of a genre that look most like it, and draw them."""
    asked = _Typical(genre, k, sheet, backbone, s3_endpoint, oddest=False)
    _show_typical(asked, artifacts, catalog, as_json=as_json, quiet=quiet)


@app.command()
def oddities(
    *,
    genre: GenreAsked,
    k: Annotated[int, typer.Option("-k", min=1, help="How many covers.")] = 24,
    sheet: SheetFile = None,
    backbone: BackboneName = None,
    s3_endpoint: S3Endpoint = None,
    artifacts: Artifacts = None,
    catalog: Catalog = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the covers of a genre that look least like it, and draw them."""
    asked = _Typical(genre, k, sheet, backbone, s3_endpoint, oddest=True)
    _show_typical(asked, artifacts, catalog, as_json=as_json, quiet=quiet)


class _Typical(NamedTuple):
    """What `typical` and `oddities` are asked."""

    genre: str
    k: int
    sheet: Path | None
    backbone: str | None
    s3_endpoint: str | None
    oddest: bool

    @property
    def name(self) -> str:
        return "oddities" if self.oddest else "typical"


def _show_typical(
    asked: _Typical,
    artifacts: Path | None,
    catalog: str | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    from albo.show import draw_typical, save_sheet
    from albo.store import PICTURES, check_output

    sheet = asked.sheet and check_output(asked.sheet, PICTURES, "--sheet")
    draws = sheet is not None or not as_json
    with _opened(artifacts, catalog, quiet=quiet) as albo:
        found = albo.typical(
            asked.genre,
            asked.k,
            oddest=asked.oddest,
            backbone=asked.backbone,
            pictures=draws,
            s3_endpoint=asked.s3_endpoint,
        )
        place = sheet or albo.artifacts.report(f"{asked.name}-{found[0].genre}", "png")
    if as_json:
        for one in found:
            terminal.print_json(one.as_json())
    else:
        tables.show_typical(found, oddest=asked.oddest)
    if draws:
        most = "least" if asked.oddest else "most"
        shown = "share of its covers that are less so, and what it looks most like"
        title = f"{found[0].genre}, {most} typical first ({shown})"
        save_sheet(draw_typical(found, title), place, "--sheet")
        terminal.note(f"drawn in {terminal.short(str(place))}", quiet=quiet)


# --- catalogs ------------------------------------------------------------------------------------


@catalogs.callback()
def _about_catalogs() -> None:
    """Copy catalogs, between files and servers."""


@catalogs.command("copy")
def copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A path, sqlite:///FILE or mongodb://HOST/DB.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO", help="The same. It is made where there is none; what else it holds stays."
        ),
    ],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Copy all of one catalog into another one."""
    from albo.catalog import copy_catalog

    with terminal.progress(quiet=quiet) as (tell, _):
        copied = copy_catalog(source, target, tell)
    if as_json:
        terminal.print_json(copied.as_json())
    elif not quiet:
        terminal.say(f"{many(copied.albums, 'album')} copied to {printable(copied.target)}")


# --- the rest ------------------------------------------------------------------------------------


@app.command()
def backbones(
    everything: Annotated[
        bool, typer.Option("--all", help="Every network of torchvision.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List networks, and whether their weights are here."""
    from albo.api import Albo

    listed = Albo.backbones(everything=everything)
    if as_json:
        for offer in listed:
            terminal.print_json(offer)
        return
    tables.show_backbones(listed)


@app.command()
def genres(
    genre: Annotated[
        list[str] | None,
        typer.Argument(metavar="GENRE", help="Names or ids; none: the whole tree."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the genres of the iTunes store: umbrellas, their subgenres, and the id of each."""
    from albo.genres import find_genre, umbrellas, with_subgenres

    asked = [find_genre(name) for name in genre] if genre else umbrellas()
    # Each once, where someone asks for an umbrella and for a part of it.
    listed = dict.fromkeys(part for one in asked for part in with_subgenres(one))
    if as_json:
        tables.print_genres(listed)
    else:
        tables.show_genres(listed)


@app.command()
def status(artifacts: Artifacts = None, catalog: Catalog = None, as_json: AsJson = False) -> None:
    """Say what there is: sources, genres, indexes, heads."""
    with _opened(artifacts, catalog, quiet=True) as albo:
        found = albo.status()
    if as_json:
        terminal.print_json(found)
        return
    tables.show_status(found, with_catalog=albo.catalog is not None)


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where the demo is made; nothing of yours is touched.")
    ] = Path("albo-demo"),
    quiet: Quiet = False,
) -> None:
    """Draw sample covers, and run all of albo on them."""
    from albo.demo import run_demo
    from albo.store import check_can_be_folder

    check_can_be_folder(folder, "name another: `albo demo FOLDER`")
    say = (lambda _line: None) if quiet else terminal.say
    # Its own, whatever $ALBO_CATALOG says: drawn covers have no place in anyone's catalog.
    artifacts = folder / "artifacts"
    with _opened(artifacts, str(artifacts / "catalog.sqlite"), quiet=quiet) as albo:
        sheet = run_demo(folder, albo, say)
    if quiet:
        terminal.say(str(sheet))


# --- what commands share -------------------------------------------------------------------------


@contextmanager
def _opened(artifacts: Path | None, catalog: str | None, *, quiet: bool) -> Iterator[Albo]:
    from albo.api import Albo

    with terminal.progress(quiet=quiet) as (tell, note):
        yield Albo(artifacts, catalog, note=note, progress=tell)


def _exit(*, failed: bool) -> None:
    if failed:
        raise typer.Exit(1)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"albo {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere in the line.")
    ] = False,
) -> None:
    """Read album covers: what they look like, and what genre they read as."""


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    terminal.open_streams()
    words = sys.argv[1:]
    debug = "--debug" in words
    # Arrow's own allocator keeps what it once had: memory would grow with each compaction.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # An end that was asked for is an interruption: what is done is committed first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Taken out here, so that it may follow the command as people write it.
        code = _run([word for word in words if word != "--debug"], debug=debug)
    finally:
        terminal.drop_lost_answer()
    sys.exit(code)


def _run(words: list[str], *, debug: bool) -> int:
    try:
        return _call(words)
    except (AlboError, OSError, MemoryError, KeyboardInterrupt) as error:
        if debug:
            raise
        return _report(error, words)
    except terminal.ReaderGone:
        return 1
    except Exception as error:
        if debug:
            raise
        if isinstance(error.__context__, KeyboardInterrupt):  # it struck while a lock was let go
            return _report(error.__context__, words)
        terminal.complain(
            f"something unforeseen failed ({type(error).__name__}: {_first_line(error)});"
        )
        terminal.complain("what was done is kept; run it again with --debug for the details")
        return 1


def _call(words: list[str]) -> int:
    """Run a command and return its exit code."""
    try:
        code = app(words or ["--help"], prog_name="albo", standalone_mode=False) or 0
        sys.stdout.flush()
    except _WrongUsage as error:
        terminal.complain(_describe_wrong_usage(error, words))
        return 2
    except SystemExit as end:  # shell completion
        code = end.code if isinstance(end.code, int) else 1
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    return code if words else 2


def _describe_wrong_usage(error: Any, words: list[str]) -> str:  # noqa: ANN401  (`_WrongUsage`)
    said = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    command = error.ctx.command_path if error.ctx else f"albo {_command(words)}".strip()
    return f"{said[:1].lower()}{said[1:]} (see `{command} --help`)"


def _report(error: BaseException, words: list[str]) -> int:
    if isinstance(error, KeyboardInterrupt):
        kept = "; what was done is kept, and the same command goes on from there"
        terminal.complain("stopped" + ("" if _command(words) in _READERS else kept))
        return 1
    terminal.complain(_first_line(error))
    return 2 if isinstance(error, UsageError) else 1


def _command(words: list[str]) -> str:
    """Return the command in a line; no option before it takes a value."""
    return next((word for word in words if not word.startswith("-")), "")


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:  # without its number
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
