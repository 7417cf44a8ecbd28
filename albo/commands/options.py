"""The command line's options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from albo import records

if TYPE_CHECKING:
    from albo.limits import Limits

Artifacts = Annotated[
    Path | None,
    typer.Option(
        "--artifacts",
        help="Where albo keeps what it makes.",
        show_default="$ALBO_ARTIFACTS or ./artifacts",
    ),
]
Catalog = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        help="sqlite:///FILE or mongodb://HOST/DB.",
        show_default="$ALBO_CATALOG or ARTIFACTS/catalog.sqlite",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, one object a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only results and errors.")]
BackboneName = Annotated[
    str | None,
    typer.Option(
        "--backbone", help="Which backbone's vectors.", show_default="the last embedded with"
    ),
]
Device = Annotated[records.Device, typer.Option("--device", help="Where the network runs.")]
MaxMib = Annotated[
    int, typer.Option("--max-mib", min=1, max=4096, help="Refuse larger files, in MiB.")
]
MaxMpx = Annotated[
    int, typer.Option("--max-mpx", min=1, max=4096, help="Refuse larger images, in megapixels.")
]
S3Endpoint = Annotated[
    str | None,
    typer.Option(
        "--s3-endpoint",
        help="Address of an S3 server other than Amazon's.",
        show_default="as AWS's own settings say",
    ),
]
Covers = Annotated[list[str], typer.Argument(metavar="COVER", help="Image files.")]
SomeCovers = Annotated[
    list[str] | None, typer.Argument(metavar="COVER", help="Image files.", show_default=False)
]
HeadName = Annotated[
    str | None, typer.Option("--head", help="Which head.", show_default="the last trained")
]
Prior = Annotated[
    records.Prior, typer.Option("--prior", help="Genre frequencies that probabilities refer to.")
]
Decide = Annotated[
    float,
    typer.Option("--decide", min=0, max=1, help="Least probability of a decided answer."),
]
Coverage = Annotated[
    float, typer.Option("--coverage", help="How often the set shall hold the true genre.")
]
ReadWords = Annotated[
    bool, typer.Option("--words/--no-words", help="Read the words on the cover, or do not.")
]
Artists = Annotated[
    list[str] | None,
    typer.Option(
        "--artist",
        metavar="NAME",
        help="The artist, once for each COVER: what was learnt of other covers is left out.",
        show_default=False,
    ),
]
Titles = Annotated[
    list[str] | None,
    typer.Option(
        "--title",
        metavar="TITLE",
        help="The title that stands on it, or will, once for each COVER; '' for none.",
        show_default=False,
    ),
]
Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        metavar="TEXT",
        help="Other text that stands on it, or will, once for each COVER; '' for none.",
        show_default=False,
    ),
]
GenreAsked = Annotated[str, typer.Option("--genre", help="Which genre.")]
SheetFile = Annotated[
    Path | None,
    typer.Option(
        "--sheet",
        help="Draw the covers to this PNG or JPEG.",
        show_default="in ARTIFACTS/reports; with --json, none",
    ),
]


def limits_of(mebibytes: int, megapixels: int) -> Limits:
    """Return the limits that --max-mib and --max-mpx name."""
    from albo.limits import Limits

    return Limits(max_bytes=mebibytes * 2**20, max_pixels=megapixels * 1_000_000)
