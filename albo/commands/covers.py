"""Commands that bring covers in, and take them out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from albo import records
from albo.commands.options import Device, MaxMib, MaxMpx, S3Endpoint, limits_of
from albo.commands.session import Session, exit_with, with_session
from albo.errors import UsageError
from albo.show import many, tables, terminal

if TYPE_CHECKING:
    from albo.answers import EmbedResult, ReadingResult
    from albo.api import Albo
    from albo.sources import Harvested

_Storefronts = Annotated[
    list[str] | None,
    typer.Option(
        "--storefront", help="A country by two letters. May be repeated.", show_default="us"
    ),
]
_BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        help="The charts' server.",
        show_default="$ALBO_ITUNES_URL or https://itunes.apple.com",
    ),
]
_CoverStore = Annotated[
    str | None,
    typer.Option(
        "--covers",
        help="Where covers are kept: a folder, or s3://BUCKET/PREFIX.",
        show_default="$ALBO_COVERS or ARTIFACTS/covers",
    ),
]
_Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE",
        help="Folders, images, CSV or Parquet manifests, other catalogs (mongodb://...,"
        " sqlite:///...), or - for paths on standard input; none: what the catalog holds and"
        " has no vector.",
    ),
]
_Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="efficientnet-lite0, a torchvision network (resnet50, resnet50:IMAGENET1K_V2)"
        " or timm/NAME.",
        show_default="the last, at first efficientnet-lite0",
    ),
]
_SourceGenre = Annotated[
    str | None,
    typer.Option(
        "--genre",
        help="folder: the folder that holds an image names its genre; none; or one NAME for all.",
        show_default="folder, for folders",
    ),
]


@with_session
def harvest(
    session: Session,
    *,
    genre: Annotated[
        list[str] | None,
        typer.Option(help="A genre by name or id, with its subgenres, or all. May be repeated."),
    ] = None,
    storefront: _Storefronts = None,
    limit: Annotated[
        int,
        typer.Option(min=1, max=200, help="Albums to ask each chart for; many charts give 100."),
    ] = 200,
    art_size: Annotated[
        int,
        typer.Option(
            min=55, max=3000, help="Pixels a side to ask for; where there are none, 600 or fewer."
        ),
    ] = 1000,
    rate: Annotated[
        float, typer.Option(min=0, help="Charts a minute; 0: as fast as possible.")
    ] = 20.0,
    art_rate: Annotated[
        float, typer.Option(min=0, help="Artworks a second; 0: as fast as possible.")
    ] = 5.0,
    contact: Annotated[
        str, typer.Option(help="Your mail or web address, for the people who run the servers.")
    ] = "",
    base_url: _BaseUrl = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds that one attempt may take.")
    ] = 60.0,
    attempts: Annotated[
        int,
        typer.Option(
            min=1,
            max=20,
            help="How often to ask for one chart or artwork, after longer and longer waits.",
        ),
    ] = 5,
    covers: _CoverStore = None,
    s3_endpoint: S3Endpoint = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, and for how long.")
    ] = False,
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
    with session.opened(s3_endpoint) as albo:
        if dry_run:
            plan = albo.plan_harvest(settings, covers=covers)
            tables.show_plan(plan, as_json=session.as_json)
            return
        done = albo.harvest(settings, covers=covers)
    _show_harvest(done, session)
    exit_with(failed=bool(done.total.failed))


def _show_harvest(done: Harvested, session: Session) -> None:
    """Print what came, what did not and why, and what can be done next."""
    if session.as_json:
        for tally in (*done.tallies, done.total):
            terminal.print_json(tally.as_json())
    elif not session.quiet:
        tables.show_harvest(done)
    if done.total.covers:
        session.note("`albo embed` reads what has come")
    if without := done.total.art_missing:
        terminal.note(
            f"{many(without, 'album')} without artwork in the charts", quiet=session.quiet
        )
    for reason, count in done.total.reasons.most_common(tables.SHOWN_SKIPS):
        terminal.complain(f"{count} times {reason}" if count > 1 else reason)


@with_session
def embed(
    session: Session,
    source: _Sources = None,
    *,
    backbone: _Backbone = None,
    weights: Annotated[
        Path | None, typer.Option(help="A state dict to use in place of the published weights.")
    ] = None,
    device: Device = records.Device.AUTO,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Covers a batch.", show_default="chosen")
    ] = None,
    genre: _SourceGenre = None,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read every file again, changed or not.")
    ] = False,
    words: Annotated[
        bool, typer.Option("--words", help="Then read the words of covers, as `albo words` does.")
    ] = False,
    max_mib: MaxMib = 64,
    max_mpx: MaxMpx = 64,
    s3_endpoint: S3Endpoint = None,
) -> None:
    """Register covers, embed the new ones, update the index."""
    limits = limits_of(max_mib, max_mpx)
    with session.opened(s3_endpoint) as albo:
        result = albo.embed(
            source or [],
            backbone=backbone,
            weights=weights,
            device=device,
            batch_size=batch_size,
            genre=genre,
            rehash=rehash,
            limits=limits,
            lines=(sys.stdin or ()) if "-" in (source or []) else (),
        )
    if source and not (result.summary.seen or result.summary.notes):
        session.note("no covers there: neither images nor rows of a manifest")
    failed = _show_embedding(result, session)
    if words:
        # Now that covers can be found: reading takes a hundred times as long.
        with session.opened(s3_endpoint) as albo:
            reading = albo.words(device=device, limits=limits)
        failed |= _show_reading(reading, session)
    exit_with(failed=failed)


def _show_embedding(result: EmbedResult, session: Session) -> bool:
    """Print what a run embedded, and what it could not: whether a cover was skipped or lost."""
    for note in result.summary.notes:
        session.note(note)
    for skipped in result.summary.skipped:
        terminal.complain(f"{skipped.uri}: {skipped.reason}")
    if session.as_json:
        terminal.print_json(result.as_json())
    elif not session.quiet:
        terminal.say(tables.describe_embedding(result))
    lost = result.summary.lost_parts and result.index.missing
    return bool(result.summary.skipped or lost)


@with_session
def words(
    session: Session,
    *,
    device: Device = records.Device.AUTO,
    max_mib: MaxMib = 64,
    max_mpx: MaxMpx = 64,
    s3_endpoint: S3Endpoint = None,
) -> None:
    """Read the words of the covers whose words have not been read."""
    with session.opened(s3_endpoint) as albo:
        reading = albo.words(
            device=device,
            limits=limits_of(max_mib, max_mpx),
        )
    exit_with(failed=_show_reading(reading, session))


def _show_reading(reading: ReadingResult, session: Session) -> bool:
    """Print what a run read, and what it could not: whether there is such a cover."""
    s = reading.summary
    for note in s.notes:
        session.note(note)
    unread = [*s.skipped, *s.failed]
    for cover in unread:
        terminal.complain(f"{cover.uri}: {cover.reason}")
    if session.as_json:
        terminal.print_json(reading.as_json())
    elif not session.quiet:
        terminal.say(tables.describe_reading(reading))
    return bool(unread)


@with_session
def index(
    session: Session,
    kind: Annotated[
        records.IndexKind | None,
        typer.Option(help="auto chooses by size.", show_default="as before, else auto"),
    ] = None,
) -> None:
    """Build every index anew, or change its kind."""
    with session.opened() as albo:
        done = albo.index(kind)
    for one in done:
        kind_made = one.kind.value
        if session.as_json:
            terminal.print_json(
                {
                    "backbone": one.backbone,
                    "kind": kind_made,
                    "count": one.count,
                    "recall": one.recall,
                }
            )
        elif not session.quiet:
            recall = f"recall@10 {one.recall:.3f}"
            terminal.say(f"index of {one.backbone}: {one.count} covers, {kind_made}, {recall}")


@with_session
def forget(
    session: Session,
    what: Annotated[
        list[str], typer.Argument(metavar="SOURCE|DIGEST", help="Sources, files, or digests.")
    ],
) -> None:
    """Take covers out of catalog, vectors, words and index. No image is touched."""
    with session.opened() as albo:
        failed = [name for name in what if not _forget(albo, name, session)]
    if len(failed) == len(what):
        raise typer.Exit(2)
    exit_with(failed=bool(failed))


def _forget(albo: Albo, name: str, session: Session) -> bool:
    try:
        count = albo.forget(name)
    except UsageError as error:
        if session.as_json:
            terminal.print_json({"forgotten": name, "error": str(error)})
        terminal.complain(str(error))
        return False
    if session.as_json:
        terminal.print_json({"forgotten": name, "albums": count})
    elif not session.quiet:
        terminal.say(f"{name}: {many(count, 'album')} forgotten")
    return True
