"""Commands that look at which covers are alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from albo import records
from albo.commands.options import (
    BackboneName,
    Covers,
    Device,
    GenreAsked,
    MaxMib,
    MaxMpx,
    S3Endpoint,
    SheetFile,
    limits_of,
)
from albo.commands.session import Session, exit_with, with_session
from albo.genres import as_people_write
from albo.show import tables, terminal

if TYPE_CHECKING:
    pass


@with_session
def similar(
    session: Session,
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
) -> None:
    """Find the covers that look most like these."""
    failed = False
    with session.opened() as albo:
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
            if session.as_json:
                terminal.print_json(answer.as_json())
            elif answer.error:
                terminal.complain(f"{answer.query}: {answer.error}")
            else:
                tables.show_similar(answer)
    exit_with(failed=failed)


@with_session
def duplicates(
    session: Session,
    *,
    threshold: Annotated[
        float | None,
        typer.Option(help="Least cosine.", show_default="0.865 for efficientnet-lite0"),
    ] = None,
    backbone: BackboneName = None,
) -> None:
    """List groups of covers that show the same artwork."""
    with session.opened() as albo:
        groups = albo.duplicates(threshold, backbone=backbone)
    for number, group in enumerate(groups, start=1):
        if session.as_json:
            terminal.print_json({"group": number, "covers": [each.as_json() for each in group]})
        else:
            tables.show_group(number, group)
    if not groups and not session.as_json and not session.quiet:
        terminal.say("no near-duplicates")


@with_session
def typical(
    session: Session,
    *,
    genre: GenreAsked,
    k: Annotated[int, typer.Option("-k", min=1, help="How many covers.")] = 24,
    sheet: SheetFile = None,
    backbone: BackboneName = None,
    s3_endpoint: S3Endpoint = None,
) -> None:
    """List the covers of a genre that look most like it, and draw them."""
    asked = _Typical(genre, k, sheet, backbone, s3_endpoint, oddest=False)
    _show_typical(asked, session)


@with_session
def oddities(
    session: Session,
    *,
    genre: GenreAsked,
    k: Annotated[int, typer.Option("-k", min=1, help="How many covers.")] = 24,
    sheet: SheetFile = None,
    backbone: BackboneName = None,
    s3_endpoint: S3Endpoint = None,
) -> None:
    """List the covers of a genre that look least like it, and draw them."""
    asked = _Typical(genre, k, sheet, backbone, s3_endpoint, oddest=True)
    _show_typical(asked, session)


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
    session: Session,
) -> None:
    from albo.show import draw_typical, save_sheet
    from albo.store import PICTURES, check_output

    sheet = asked.sheet and check_output(asked.sheet, PICTURES, "--sheet")
    draws = sheet is not None or not session.as_json
    with session.opened(asked.s3_endpoint) as albo:
        found = albo.typical(
            asked.genre,
            asked.k,
            oddest=asked.oddest,
            backbone=asked.backbone,
            pictures=draws,
        )
        place = sheet or albo.artifacts.report(f"{asked.name}-{found[0].genre}", "png")
    if session.as_json:
        for one in found:
            terminal.print_json(one.as_json())
    else:
        tables.show_typical(found, oddest=asked.oddest)
    if draws:
        most = "least" if asked.oddest else "most"
        shown = "share of its covers that are less so"
        shown += ", and what it looks most like" if asked.oddest else ""
        title = f"{as_people_write(found[0].genre)}, {most} typical first ({shown})"
        save_sheet(draw_typical(found, title, oddest=asked.oddest), place, "--sheet")
        session.note(f"drawn in {terminal.short(str(place))}")
