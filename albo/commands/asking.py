"""Commands that ask a head about covers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from albo import records
from albo.commands.options import (
    Artists,
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
    SomeCovers,
    Texts,
    Titles,
    limits_of,
)
from albo.commands.session import Session, exit_with, with_session
from albo.errors import UsageError
from albo.show import terminal, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from albo.answers import Explained
    from albo.classify import Classified

    Asked = Callable[..., Iterator[Classified | Explained]]


@with_session
def classify(
    session: Session,
    cover: SomeCovers = None,
    *,
    every: Annotated[
        bool,
        typer.Option("--all", help="Ask about all covers of the collection; no file is read."),
    ] = False,
    genre: Annotated[
        str | None,
        typer.Option(help="With --all: only the covers of this genre.", show_default=False),
    ] = None,
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
    artist: Artists = None,
    title: Titles = None,
    text: Texts = None,
    device: Device = records.Device.AUTO,
    max_mib: MaxMib = 64,
    max_mpx: MaxMpx = 64,
    s3_endpoint: S3Endpoint = None,
) -> None:
    """Say what genre a cover reads as, and how sure that is."""
    from albo.answers import Explained
    from albo.show import MOST_ROWS, draw_explained, save_sheet
    from albo.store import PICTURES, check_output

    covers = cover or []
    given = [*(artist or ()), *(title or ()), *(text or ())]
    _check_asked(covers, given, every=every, genre=genre, explain=explain)
    if explain is not None:
        explain = check_output(explain, PICTURES, "--explain")
        if len(covers) > MOST_ROWS:
            raise UsageError(
                f"{len(covers)} covers are too many for a picture; explain {MOST_ROWS} at a time"
            )
    failed = False
    answers: list[Classified | Explained] = []
    with session.opened(s3_endpoint) as albo:
        if every:
            ask: Asked = partial(albo.classify_collection, genre)
        else:
            ask = partial(albo.classify if explain is None else albo.explain, covers)
        for answer in ask(
            top=top,
            head=head,
            prior=prior,
            decide=decide,
            coverage=coverage,
            device=device,
            words=words,
            artists=artist or (),
            titles=title or (),
            texts=text or (),
            limits=limits_of(max_mib, max_mpx),
        ):
            failed |= _show_classified(answer, coverage, as_json=session.as_json)
            answers.append(answer)
    if every:
        _note_held_out(session, answers)
    drawn = [one for one in answers if isinstance(one, Explained)]
    if explain is not None and any(one.reasons for one in drawn):
        save_sheet(draw_explained(drawn), explain, "--explain")
        session.note(f"drawn in {terminal.short(str(explain))}")
    exit_with(failed=failed)


def _note_held_out(session: Session, answers: Sequence[Classified | Explained]) -> None:
    from albo.classify import Classified

    held_out = sum(isinstance(one, Classified) and one.is_held_out for one in answers)
    if held_out:
        session.note(
            f"{held_out:,} of these covers were learnt: predictors that have not learnt them answer"
        )


def _check_asked(
    covers: Sequence[str],
    given: Sequence[str],
    *,
    every: bool,
    genre: str | None,
    explain: Path | None,
) -> None:
    """Raise UsageError unless covers are named, or all are asked about, and not both."""
    if every and (covers or given or explain is not None):
        raise UsageError(
            "--all asks about every cover here: give no COVER, --artist, --title, --text or"
            " --explain"
        )
    if not every and not covers:
        raise UsageError("no cover is named; give one COVER or more, or --all for all here")
    if genre is not None and not every:
        raise UsageError("--genre chooses among the covers here: give it with --all")


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
    artist: Artists = None,
    title: Titles = None,
    text: Texts = None,
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
            head=head,
            prior=prior,
            decide=decide,
            coverage=coverage,
            device=device,
            words=words,
            artists=artist or (),
            titles=title or (),
            texts=text or (),
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
