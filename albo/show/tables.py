"""How answers look in a terminal: tables, lists and lines, one function for each kind of answer.

Nothing is decided or fetched here: commands pass their results in.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

from albo.genres import as_people_write
from albo.show import terminal
from albo.show.terminal import many, printable
from albo.texts import cut_short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table

    from albo.answers import (
        EmbedResult,
        PlannedHarvest,
        ReadingResult,
        Similar,
        Typical,
    )
    from albo.genres import Genre
    from albo.records import Json, ShownCover
    from albo.sources import Harvested


SHOWN_SKIPS = 20
"""The most files or reasons of each kind that are named one by one."""

FEW_GENRES = 8
_LONGEST_TEXT = 80
_ANY_WIDTH = 100_000
_DESCRIBED = ("genre", "artist", "album", "year")


# --- harvest --------------------------------------------------------------------------------------


def show_plan(planned: PlannedHarvest, *, as_json: bool) -> None:
    """Print what a harvest would ask for."""
    plan, said = planned.plan, planned.as_json()
    if as_json:
        for part in plan.parts:
            urls = [request.url for request in part.requests]
            terminal.print_json({"genre": part.name, "charts": urls})
        terminal.print_json(said)
        return
    table = terminal.table(f"charts of {plan.base_url}, {', '.join(said['storefronts'])}")
    table.add_column("genre")
    for title in ("charts", "albums at most"):
        table.add_column(title, justify="right")
    for part in plan.parts:
        table.add_row(part.name, str(len(part.requests)), f"{len(part.requests) * plan.limit:,}")
    table.add_row("total", str(said["charts"]), f"{said['albums_at_most']:,}", style="bold")
    terminal.console().print(table)
    fast = "as fast as possible"
    usual, most = map(_duration, (said["artwork_seconds_usually"], said["artwork_seconds_at_most"]))
    charts = f"{_duration(said['chart_seconds'])} at {planned.rate:g} a minute"
    artwork = (
        f"{usual} at {planned.art_rate:g} a second where charts list 100 albums, {most} at most;"
    )
    terminal.say(f"charts     {charts if planned.rate else fast}")
    terminal.say(f"artwork    {artwork if planned.art_rate else fast}")
    if planned.art_rate:
        terminal.say("           less where albums are in several charts, or known")
    terminal.say(f"catalog    {printable(terminal.short(said['catalog']))}")
    terminal.say(f"covers     {printable(terminal.short(said['covers']))}")
    terminal.say(f"asks as    {said['user_agent']}")


def show_harvest(done: Harvested) -> None:
    """Print a table of what a harvest did."""
    columns = ("asked", "listed", "new", "known", "covers", "failed")
    table = terminal.table(f"albums of the charts, in {_duration(round(done.seconds) or 1)}")
    table.add_column("genre")
    for title in columns:
        table.add_column(title, justify="right")
    for tally in done.tallies:
        table.add_row(tally.genre, *(f"{getattr(tally, title):,}" for title in columns))
    numbers = (f"{getattr(done.total, title):,}" for title in columns)
    table.add_row("total", *numbers, style="bold")
    terminal.console().print(table)


def _duration(seconds: int) -> str:
    if not seconds:
        return "no waiting"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min" if seconds >= 90 else f"{seconds} s"  # noqa: PLR2004


# --- embed ----------------------------------------------------------------------------------------


def describe_embedding(result: EmbedResult) -> str:
    """Say what a run embedded, and what the index holds."""
    s = result.summary
    rate = f", {s.embedded / s.seconds:.0f} a second" if s.embedded and s.seconds else ""
    where = f" on {s.device}" if s.device else ""
    parts = [
        f"{many(s.seen, 'cover')} seen: {s.embedded} embedded with {result.backbone}{where}"
        f" in {s.seconds:.1f} s{rate}, {s.known} known"
    ]
    parts += [
        f"{count} {word}"
        for count, word in (
            (s.moved, "moved"),
            (s.missing, "missing now"),
            (len(s.skipped) - s.unlisted, "skipped (they will be tried again)"),
            (s.unlisted, "that could not be listed"),
            (s.ignored, "other files ignored"),
        )
        if count
    ]
    recall = "" if result.index.recall == 1.0 else f", recall@10 {result.index.recall:.3f}"
    return (
        ", ".join(parts)
        + f"\nindex: {many(result.index.count, 'cover')}, {result.index.kind.value}{recall}"
    )


# --- words ----------------------------------------------------------------------------------------


def describe_reading(result: ReadingResult) -> str:
    """Say what a run read, and what it found."""
    s = result.summary
    rate = f", {s.read / s.seconds:.1f} a second" if s.read and s.seconds else ""
    where = f" on {s.device}" if s.device else ""
    parts = [
        f"{many(s.covers, 'cover')}: {s.read} read with {result.reader}{where}"
        f" in {s.seconds:.1f} s{rate}, {s.known} known"
    ]
    if s.read:
        parts.append(f"{many(s.lines, 'line')} on {s.with_words} of them")
    if tried_again := len(s.failed) + len(s.skipped):
        parts.append(f"{tried_again} without words (they will be tried again)")
    return ", ".join(parts)


# --- similar and duplicates -----------------------------------------------------------------------


def show_similar(answer: Similar) -> None:
    """Print a table; where that would be too wide, two lines for each neighbour.

    A path is never cut or folded: people copy it.
    """
    if print_if_it_fits(_table_of_neighbours(answer)):
        return
    terminal.say(f"{printable(answer.query)}\n")
    for n in answer.neighbours:
        named = " · ".join(text for text in _described(n) if text)
        terminal.say(f"{n.rank:3}  {n.score:.3f}  {named}")
        terminal.say(f"            {_marked_path(n)}")
    terminal.say("")


def _table_of_neighbours(answer: Similar) -> Table:
    """Lay out the neighbours, one line each, without columns that are empty for all."""
    from rich.markup import escape

    described = [_described(n) for n in answer.neighbours]
    known = [any(one[i] for one in described) for i in range(len(_DESCRIBED))]
    table = terminal.table(answer.query)
    table.add_column("", justify="right")
    table.add_column("score", justify="right")
    for title in (*compress(_DESCRIBED, known), "path"):
        table.add_column(title, no_wrap=True)
    for n, texts in zip(answer.neighbours, described, strict=True):
        cells = (*compress(texts, known), _marked_path(n))
        table.add_row(str(n.rank), f"{n.score:.3f}", *map(escape, cells))
    return table


def _described(neighbour: ShownCover) -> list[str]:
    """Return the known facts of a neighbour's album, "" for unknown ones; safe for a terminal."""
    found = neighbour.as_json()
    return [cut_cell(printable(found[key])) for key in _DESCRIBED]


def genre_cell(label: str) -> str:
    """Write a genre as people do, fit for a line of the terminal."""
    return cut_cell(printable(as_people_write(label)))


def cut_cell(text: str) -> str:
    """Cut a text that would leave no room for others."""
    return cut_short(text, _LONGEST_TEXT)


def _marked_path(neighbour: ShownCover) -> str:
    mark = f"[{neighbour.mark}] " if neighbour.mark else ""
    uri = neighbour.as_json()["uri"]
    return printable(mark + terminal.short(uri or neighbour.digest.hex()))


def show_group(number: int, group: Sequence[ShownCover]) -> None:
    """Print a group of near-duplicates, a line for each file."""
    terminal.say(f"group {number}: {len(group)} covers")
    for member in (each.as_json() for each in group):
        names = " - ".join(printable(member[key]) for key in ("artist", "album") if member[key])
        uri = printable(terminal.short(member["uri"]))
        terminal.say(f"  {member['score']:.3f}  {uri}{'  ' + names if names else ''}")


def show_typical(found: Sequence[Typical], *, oddest: bool) -> None:
    """Print a table of covers of a genre; where it would be too wide, two lines for each."""
    most = "least" if oddest else "most"
    title = f"{genre_cell(found[0].genre)}: {most} typical first"
    rows = [
        (str(one.rank), _standing(one), *_named(one, oddest=oddest), _place(one)) for one in found
    ]
    if not print_if_it_fits(_typical_table(title, rows)):
        terminal.say(f"{title}\n")
        for rank, share, looks, artist, album, path in rows:
            named = " · ".join(text for text in (artist, album) if text)
            instead = f", looks like {looks}" if looks else ""
            terminal.say(f"{rank:>3}  more typical than {share}{instead}  {named}")
            terminal.say(f"     {path}")


def _typical_table(title: str, rows: Sequence[Sequence[str]]) -> Table:
    from rich.markup import escape

    table = terminal.table(title)
    for name in ("", "more typical than"):
        table.add_column(name, no_wrap=True, justify="right")
    names = ("", "", "looks most like", "artist", "album", "path")
    known = [any(row[place] for row in rows) for place in range(len(names))]
    for name in compress(names[2:], known[2:]):
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, compress(row, known)))
    return table


def _standing(one: Typical) -> str:
    return f"{one.as_json()['percentile']:.0%}"


def _named(one: Typical, *, oddest: bool) -> list[str]:
    """Return the genre that a cover looks most like, its artist and its album.

    The genre is left out of the most typical covers. One that looks typical of Country may look
    even more typical of Blues, and that is no part of the answer.
    """
    said = one.as_json()
    looks = genre_cell(said["looks_like"]) if oddest else ""
    return [looks, *(cut_cell(printable(said[key])) for key in ("artist", "album"))]


def _place(one: Typical) -> str:
    said = one.as_json()
    return printable(terminal.short(said["uri"] or said["digest"]))


def print_if_it_fits(table: Table) -> bool:
    """Print a table if the terminal is wide enough; return whether it was."""
    console = terminal.console()
    needed = console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum
    if needed <= console.width:
        console.print(table)
        return True
    return False


# --- the rest -------------------------------------------------------------------------------------


def show_backbones(listed: Iterable[Json]) -> None:
    """Print a table of networks."""
    table = terminal.table("any timm network goes by timm/NAME; --weights FILE takes your own")
    for title in ("name", "d", "px", "weights"):
        table.add_column(title, no_wrap=True)
    table.add_column("licence")
    for offer in listed:
        licence = offer["licence"] + ("" if offer["commercial"] else " (no commercial use)")
        here = "here" if offer["weights_here"] else "-"
        sizes = (str(offer["dimension"]), str(offer["size"]))
        table.add_row(offer["name"], *sizes, here, licence)
    terminal.console().print(table)
    terminal.say(
        "d: numbers in a vector; px: side of the input; weights that are not here are fetched"
    )


def print_genres(listed: Iterable[Genre]) -> None:
    """Print genres in JSON, one a line."""
    from albo.genres import genre_of

    for genre in listed:
        umbrella = None if genre.parent_id is None else genre_of(genre.parent_id)
        terminal.print_json(
            {
                "id": genre.id,
                "name": genre.name,
                "umbrella": umbrella and umbrella.name,
                "umbrella_id": genre.parent_id,
            }
        )


def show_genres(listed: Iterable[Genre]) -> None:
    """Print a line for each genre, subgenres indented below their umbrella."""
    from albo.genres import umbrella_of

    above = None
    for genre in listed:
        umbrella = umbrella_of(genre.id)
        if umbrella and umbrella != above:
            terminal.say(f"{umbrella.id:>8}  {umbrella.name}")
            above = umbrella
        if genre != umbrella:
            terminal.say(f"{genre.id:>8}    {genre.name}")


def show_status(found: Json, *, with_catalog: bool) -> None:
    """Print the state of a library.

    Parameters
    ----------
    with_catalog : whether to print where the catalog is.
    """
    terminal.say(f"{found['artifacts']}: {many(found['covers'], 'cover')}")
    if with_catalog:
        terminal.say(f"  catalog   {printable(found['catalog'])}")
    if not found.get("sources"):
        terminal.say(found.get("problem", "nothing embedded yet; run `albo embed SOURCE`"))
        return
    for source, count in found["sources"].items():
        terminal.say(f"  source    {printable(source)}: {many(count, 'album')}")
    genres = found["genres"]
    shown = ", ".join(f"{genre_cell(name)} {n}" for name, n in list(genres.items())[:FEW_GENRES])
    more = ", …" if len(genres) > FEW_GENRES else ""
    terminal.say(f"  genres    {len(genres)}: {shown}{more}")
    for backbone in found["backbones"]:
        terminal.say(f"  backbone  {_describe_backbone(backbone)}")
    for words in found["words"]:
        terminal.say(f"  words     {_describe_words(words)}")
    heads = ", ".join(found["heads"])
    used = f"; classify uses {found['default_head']}" if len(found["heads"]) > 1 else ""
    none = "none, the starter head answers; run `albo train`"
    terminal.say(f"  heads     {heads + used or none}")
    _show_skipped(found["skipped"])
    if found["writer"]:
        terminal.say(f"  at work   {found['writer']}")


def _describe_backbone(backbone: Json) -> str:
    default = " (default)" if backbone["default"] else ""
    said = f"{backbone['backbone']}{default}: {many(backbone['vectors'], 'vector')}"
    if "index" in backbone:
        said += f", index {backbone['index']} of {backbone['indexed']}"
    return said + (f"; {backbone['problem']}" if "problem" in backbone else "")


def _describe_words(words: Json) -> str:
    said = printable(words["reader"])
    if "problem" in words:
        return f"{said}: {words['problem']}"
    failed = f", {words['failed']} failed" if words["failed"] else ""
    unread = f", {words['unread']} not read yet; run `albo words`" if words["unread"] else ""
    return f"{said}: {many(words['read'], 'cover')} read{failed}{unread}"


def _show_skipped(skipped: list[Json]) -> None:
    if not skipped:
        return
    terminal.say(
        f"  skipped   {many(len(skipped), 'file')}, tried again at the next `albo embed` of their"
        " source:"
    )
    for one in skipped[:SHOWN_SKIPS]:
        terminal.say(f"            {printable(one['uri'])}: {one['error']}")
    if len(skipped) > SHOWN_SKIPS:
        terminal.say(f"            and {len(skipped) - SHOWN_SKIPS} more (--json lists them all)")
