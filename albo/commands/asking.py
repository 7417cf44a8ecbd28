"""Commands that ask a head about covers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from albo import records
from albo.commands.options import (
    Coverage,
    Covers,
    Decide,
    Device,
    HeadName,
    MaxMib,
    MaxMpx,
    Prior,
    ReadWords,
    S3Endpoint,
    limits_of,
)
from albo.commands.session import Session, exit_with, with_session
from albo.errors import UsageError
from albo.show import terminal, verdicts

if TYPE_CHECKING:
    from albo.answers import Explained
    from albo.classify import Classified


@with_session
def classify(
    session: Session,
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
    with session.opened(s3_endpoint) as albo:
        ask = albo.classify if explain is None else albo.explain
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
            failed |= _show_classified(answer, coverage, as_json=session.as_json)
            if isinstance(answer, Explained):
                drawn.append(answer)
    if explain is not None and any(one.reasons for one in drawn):
        save_sheet(draw_explained(drawn), explain, "--explain")
        session.note(f"drawn in {terminal.short(str(explain))}")
    exit_with(failed=failed)


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


@with_session
def report(
    session: Session,
    cover: Covers,
    *,
    genre: Annotated[str, typer.Option("--as", help="The genre that the cover should read as.")],
    title: Annotated[
        str | None,
        typer.Option(
            help="The title that should be readable on it.", show_default="the largest text on it"
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
) -> None:
    """Say whether covers read as a genre, and why: one HTML file to send round."""
    from albo.show import page
    from albo.store import PAGES, check_output

    if html is not None:
        html = check_output(html, PAGES, "--html")
    with session.opened(s3_endpoint) as albo:
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
        )
        place = html or albo.artifacts.report(found.name, "html")
    if found.ranking:
        page.write(page.render_report(found), place)
    for draft in found.drafts:
        if session.as_json:
            terminal.print_json(found.as_json(draft))
        elif draft.error:
            terminal.complain(f"{draft.query}: {draft.error}")
    if found.ranking and session.as_json:
        session.note(f"written to {terminal.short(str(place))}")
    elif found.ranking:
        verdicts.show_report(found, str(place), quiet=session.quiet)
    exit_with(failed=found.is_partial)
