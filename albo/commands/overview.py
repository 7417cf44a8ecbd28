"""Commands that list what there is, copy catalogs and show what albo does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from albo.commands.options import Artifacts, AsJson, Catalog, Quiet
from albo.commands.session import Session
from albo.show import many, printable, tables, terminal

if TYPE_CHECKING:
    pass


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


def status(artifacts: Artifacts = None, catalog: Catalog = None, as_json: AsJson = False) -> None:
    """Say what there is: sources, genres, indexes, heads."""
    with Session(artifacts, catalog, quiet=True).opened() as albo:
        found = albo.status()
    if as_json:
        terminal.print_json(found)
        return
    tables.show_status(found, with_catalog=albo.catalog is not None)


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
    with Session(artifacts, str(artifacts / "catalog.sqlite"), quiet=quiet).opened() as albo:
        sheet = run_demo(folder, albo, say)
    if quiet:
        terminal.say(str(sheet))


def copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A path, sqlite:///FILE or mongodb://HOST/DB.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO", help="As FROM. It is made where there is none; its other content stays."
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
