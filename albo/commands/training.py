"""Commands that fit heads, and say how good they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from albo import records
from albo.commands.options import BackboneName, S3Endpoint
from albo.commands.session import Session, with_session
from albo.show import scores, terminal

if TYPE_CHECKING:
    pass


@with_session
def train(
    session: Session,
    *,
    kind: Annotated[
        records.HeadKind, typer.Option(help="What is fitted.")
    ] = records.HeadKind.LOGISTIC,
    name: Annotated[str, typer.Option(help="What the head is called.")] = "default",
    level: Annotated[
        records.Level, typer.Option(help="Which label is learnt.")
    ] = records.Level.GENRE,
    words: Annotated[
        bool, typer.Option("--words/--no-words", help="Use the words on covers, or do not.")
    ] = True,
    backbone: BackboneName = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=20,
            help="Fold seeds that figures are averaged over.",
            show_default="5 up to 30,000 covers, else 1",
        ),
    ] = None,
) -> None:
    """Fit a head on labelled covers, and say how good it is."""
    with session.opened() as albo:
        report = albo.train(
            name,
            kind=kind,
            level=level,
            backbone=backbone,
            words=words,
            seeds=None if seeds is None else tuple(range(seeds)),
        )
    if session.as_json:
        terminal.print_json(report)
    elif not session.quiet:
        scores.show_training(report)


@with_session
def evaluate(
    session: Session,
    *,
    split: Annotated[
        str, typer.Option(help="grouped, random, published, or a table: file, split.")
    ] = "grouped",
    html: Annotated[
        Path | None, typer.Option(help="Write the whole evaluation, with plots, to this one file.")
    ] = None,
    kind: Annotated[records.HeadKind, typer.Option(help="Which head.")] = records.HeadKind.LOGISTIC,
    level: Annotated[records.Level, typer.Option(help="Which label.")] = records.Level.GENRE,
    words: Annotated[
        bool, typer.Option("--words/--no-words", help="Use the words on covers, or do not.")
    ] = True,
    backbone: BackboneName = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=20,
            help="Fold seeds that figures are averaged over.",
            show_default="5 up to 30,000 covers, else 1",
        ),
    ] = None,
    s3_endpoint: S3Endpoint = None,
) -> None:
    """Say how good every way of predicting is, on covers of other artists and artworks."""
    from albo.show import page
    from albo.store import PAGES, check_output

    if html is not None:
        html = check_output(html, PAGES, "--html")
    with session.opened(s3_endpoint) as albo:
        found = albo.evaluate(
            split,
            kind=kind,
            level=level,
            backbone=backbone,
            seeds=None if seeds is None else tuple(range(seeds)),
            words=words,
            pictures=html is not None,
        )
    if html is not None:
        page.write(page.render(found), html)
    if session.as_json:
        for line in found.lines():
            terminal.print_json(line)
    elif not session.quiet:
        scores.show_evaluation(found, str(html or ""))
