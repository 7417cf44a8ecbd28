"""How answers look in a terminal: tables, lists and lines, one function for each kind of answer.

Nothing is decided here, and nothing is asked: what a command found is handed in.
"""

from __future__ import annotations

import math
from itertools import compress
from typing import TYPE_CHECKING

from albo import terminal
from albo.terminal import many, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.table import Table

    from albo.answers import (
        Classified,
        DuplicateMember,
        EmbedResult,
        Explained,
        Neighbour,
        ReadingResult,
        Similar,
        Typical,
    )
    from albo.collection import Votes
    from albo.evaluation import Evaluation, LearningPoint, Row
    from albo.genres import Genre
    from albo.harvest import Harvested, Settings
    from albo.metrics import Answered, Interval
    from albo.reasons import Reasons, WordReason
    from albo.records import Json
    from albo.report import Apart, Draft, Report
    from albo.thumbnails import Title

SHOWN_SKIPS = 20
"""Files or reasons that are named one by one, of each kind."""

_FEW_GENRES = 8
_LONGEST_TEXT = 80
_SHOWN_WORDS = 8
_TELLING = 0.05  # log-odds from which on a word is named
_MOST_WORDS = 300  # characters of a cover's words
_ANY_WIDTH = 100_000
_NAMED_GENRES = 3
_FIGURES = ("top-1", "top-3", "top-5", "macro-F1", "ECE", "in set", "set size")
_DESCRIBED = ("genre", "artist", "album", "year")


# --- harvest --------------------------------------------------------------------------------------


def show_plan(settings: Settings, where: Json, *, as_json: bool) -> None:
    """Print what a harvest would ask for. where : "catalog" and "covers", as may be shown."""
    plan = settings.plan()
    said = plan.describe(settings.rate, settings.art_rate) | {
        **where,
        "user_agent": settings.downloads(plan)[0].manners.user_agent,
    }
    if as_json:
        for part in plan.parts:
            urls = [chart.url(plan.base_url, plan.limit) for chart in part.charts]
            terminal.print_json({"genre": part.name, "charts": urls})
        terminal.print_json({"genre": "total", **said})
        return
    table = terminal.table(f"charts of {plan.base_url}, {', '.join(said['storefronts'])}")
    table.add_column("genre")
    for title in ("charts", "albums at most"):
        table.add_column(title, justify="right")
    for part in plan.parts:
        table.add_row(part.name, str(len(part.charts)), f"{len(part.charts) * plan.limit:,}")
    table.add_row("total", str(said["charts"]), f"{said['albums_at_most']:,}", style="bold")
    terminal.console().print(table)
    fast = "as fast as can be"
    usual, most = map(_duration, (said["artwork_seconds_usually"], said["artwork_seconds_at_most"]))
    charts = f"{_duration(said['chart_seconds'])} at {settings.rate:g} a minute"
    artwork = (
        f"{usual} at {settings.art_rate:g} a second where charts list 100 albums, {most} at most;"
    )
    terminal.say(f"charts     {charts if settings.rate else fast}")
    terminal.say(f"artwork    {artwork if settings.art_rate else fast}")
    if settings.art_rate:
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
    if _fits(_table_of_neighbours(answer)):
        return
    terminal.say(f"{printable(answer.query)}\n")
    for n in answer.neighbours:
        named = " · ".join(text for text in _described(n) if text)
        terminal.say(f"{n.rank:3}  {n.score:.3f}  {named}")
        terminal.say(f"            {_marked_path(n)}")
    terminal.say("")


def _table_of_neighbours(answer: Similar) -> Table:
    """Lay out the neighbours, one line each; what is known of none of them has no column."""
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


def _described(neighbour: Neighbour) -> list[str]:
    """Say what is known of a neighbour's album, "" for what is not; safe for a terminal."""
    found = neighbour.as_json()
    return [_short(printable(found[key])) for key in _DESCRIBED]


def _short(text: str) -> str:
    """Cut a text that would leave no room for others."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _marked_path(neighbour: Neighbour) -> str:
    mark = f"[{neighbour.mark}] " if neighbour.mark else ""
    uri = neighbour.as_json()["uri"]
    return printable(mark + terminal.short(uri or neighbour.digest.hex()))


def show_group(number: int, group: Sequence[DuplicateMember]) -> None:
    """Print a group of near-duplicates, a line for each file."""
    terminal.say(f"group {number}: {len(group)} covers")
    for member in (each.as_json() for each in group):
        names = " - ".join(printable(member[key]) for key in ("artist", "album") if member[key])
        uri = printable(terminal.short(member["uri"]))
        terminal.say(f"  {member['score']:.3f}  {uri}{'  ' + names if names else ''}")


# --- train and classify ---------------------------------------------------------------------------


def show_training(report: Json) -> None:
    """Print how good a head is, and what was left out."""

    def interval(key: str) -> str:
        of = report[key]
        return f"{of['value']:7.1%}   ({of['low']:.1%} to {of['high']:.1%})"

    table = terminal.table(
        f"{report['covers']} covers of {report['genres']} genres, held out by artist and artwork"
    )
    table.add_column("")
    table.add_column("value   (95 % interval)")
    table.add_row("accuracy", interval("top1"))
    table.add_row("right genre among the first 3", interval("top3"))
    table.add_row("macro-F1", interval("macro_f1"))
    table.add_row(
        "calibration error", f"{interval('ece')}, noise up to {report['ece_noise95']:.1%}"
    )
    table.add_row(
        "sets that hold the genre", f"{interval('coverage')}, {report['set_size']:.1f} genres a set"
    )
    table.add_row("always the commonest genre", f"{report['majority']:7.1%}")
    table.add_row("covers whose artist is known", f"{report['artists_known']:7.1%}")
    terminal.console().print(table)
    for genre in report.get("left_out", ()):
        terminal.note(
            f"{genre['genre']} is left out: {genre['groups']} groups of covers, 5 are needed",
            quiet=False,
        )
    if report.get("conflicting"):
        terminal.note(
            f"{report['conflicting']} covers with several labels are left out", quiet=False
        )
    looks = report["view"].replace("+", ", ")
    terminal.say(f"looks at {looks}")
    terminal.say(f"saved in {report['saved']}; `albo classify` uses it from now on")


# --- evaluate -------------------------------------------------------------------------------------


def show_evaluation(found: Evaluation, page: str = "") -> None:
    """Print what an evaluation found. page : where all of it is to be seen, "" for nowhere."""
    best, card = found.selected, found.card
    terminal.say(
        f"{printable(best.describe())}: right for {_with_interval(best.summary.top1)} of"
        f" {many(best.covers, 'cover')}, {len(best.genres)} genres\n"
    )
    _show_ways(found.rows)
    if found.leak is not None:
        terminal.say(f"leak        {found.leak.describe()}")
    for name, said in (
        ("best read", _name_genres(found, worst=False)),
        ("worst read", _name_genres(found, worst=True)),
        ("surest", _name_shares(found.risk_coverage)),
        ("learning", _name_points(found.learning_curve)),
    ):
        if said:
            terminal.say(f"{name:12}{said}")
    for line in card.caveats():
        terminal.note(line, quiet=False)
    if page:
        terminal.say(f"the whole of it: {printable(terminal.short(page))}")


def _show_ways(rows: Sequence[Row]) -> None:
    """Print a table of all ways of predicting; where that is too wide, four lines for each."""
    from rich.markup import escape

    title = "* is what albo uses. In brackets 95 % intervals; for ECE, what chance shows"
    table = terminal.table(title)
    table.add_column("")
    table.add_column("view and head", no_wrap=True)
    for name in _FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        style = "bold" if row.selected else None
        table.add_row(_star(row), escape(_way(row)), *_figures(row), style=style)
    if _fits(table):
        return
    terminal.say(title)
    for row in rows:
        terminal.say(f"\n{_star(row):2}{_way(row)}")
        named = [f"{name:10}{said}" for name, said in zip(_FIGURES, _figures(row), strict=True)]
        *pairs, size = named
        for left, right in zip(pairs[:3], pairs[3:], strict=True):
            terminal.say(f"    {left:36}{right}")
        terminal.say(f"    {'':36}{size}")
    terminal.say("")


def _way(row: Row) -> str:
    return _short(printable(row.describe()))


def _figures(row: Row) -> tuple[str, ...]:
    """Return what is said of a row, in the order of _FIGURES."""
    said = row.summary
    exact = (said.top1, said.top3, said.top5, said.macro_f1)
    return (
        *map(_with_interval, exact),
        f"{said.ece.value:.1%} ({said.noise.percentile95:.1%})",
        _with_interval(said.coverage),
        f"{said.set_size:.1f} genres",
    )


def _star(row: Row) -> str:
    return "*" if row.selected else ""


def _with_interval(figure: Interval) -> str:
    return f"{figure.value:.1%} ({100 * figure.low:.1f}-{100 * figure.high:.1f})"


def _name_genres(found: Evaluation, *, worst: bool) -> str:
    """Name the few genres that fare best, or worst, by their F1."""
    pairs = zip(found.genres, found.selected.summary.per_genre, strict=True)
    ranked = sorted((score.f1, score.covers, genre) for genre, score in pairs if score.covers)
    few = min(_NAMED_GENRES, len(ranked) // 2)
    chosen = ranked[:few] if worst else ranked[::-1][:few]
    return ", ".join(
        f"{_short(printable(genre))} {f1:.2f} ({many(covers, 'cover')})"
        for f1, covers, genre in chosen
    )


def _name_shares(points: Sequence[Answered]) -> str:
    """Say how often it is right where it is asked about the surest covers alone."""
    wanted = [point for point in points if round(point.share, 2) in {0.1, 0.25, 0.5, 1.0}]
    said = ", ".join(f"{point.accuracy.value:.1%} of {point.share:.0%}" for point in wanted)
    return f"right for {said} of the covers, the surest first"


def _name_points(points: Sequence[LearningPoint]) -> str:
    """Say how good it is with fewer covers to learn from."""
    said = ", ".join(f"{one.top1.value:.1%} from {one.covers_per_genre:.0f}" for one in points)
    return f"right for {said} covers a genre to learn from" if said else ""


def show_classified(answer: Classified, coverage: float) -> None:
    """Print what a cover reads as, with a bar for each genre, and the set."""
    said = answer.prediction
    if said is None:
        return
    verdict = f"reads as {_short(printable(said.genres[0]))}" if said.decided else "can't tell"
    terminal.say(f"{printable(answer.query)}: {verdict}")
    genres = [_short(printable(genre)) for genre in said.genres]
    width = max(map(len, genres))
    for genre, probability in zip(genres, said.probabilities, strict=True):
        bar = "█" * round(probability * 40)
        terminal.say(f"  {genre:{width}}  {probability:6.1%}  {bar}")
    members = said.conformal_set
    of = "one of" if len(members) <= _FEW_GENRES else f"one of these {len(members)}"
    listed = ", ".join(_short(printable(genre)) for genre in members)
    terminal.say(f"  {coverage * 100:g}% sure that it is {of}: {listed}")
    if answer.words is not None:
        terminal.say(f"  words on it: {_quote(answer.words) or 'none'}")


def show_why(answer: Explained) -> None:
    """Print why a cover reads as its first genre: votes, views and the words that counted."""
    reasons = answer.reasons
    if reasons is None:
        return
    genre = _short(printable(reasons.genre))
    if votes := answer.votes:
        terminal.say(f"  {_voted(votes, genre)}")
    terminal.say(f"  why {genre}, in log-odds: {_name_evidence(reasons)}")
    counted = [one for one in reasons.words if abs(one.evidence) >= _TELLING]
    if counted:
        terminal.say(f"  words that counted: {_name_words(counted)}")
    if reasons.no_map:
        terminal.say(f"  no map of the picture: {printable(reasons.no_map)}")


def _name_evidence(reasons: Reasons) -> str:
    said = [printable(str(one)) for one in reasons.views]
    if reasons.activation is not None:
        said.append(f"{reasons.activation.share:.0%} of the picture's is on its map")
    return ", ".join(said)


def _name_words(words: Sequence[WordReason]) -> str:
    return ", ".join(printable(str(one)) for one in words[:_SHOWN_WORDS])


def show_report(found: Report, page: str, *, quiet: bool) -> None:
    """Print what a report says of each draft, the best first, and where all of it is."""
    if not quiet:
        for draft in found.ranking:
            letter = f"{draft.letter}  " if len(found.drafts) > 1 else ""
            terminal.say(f"{letter}{printable(draft.query)}: {_verdict(draft, found.genre)}")
            for line in _about(draft, found):
                terminal.say(f"  {line}")
        for apart in found.apart:
            terminal.say(_lead(apart))
        if found.accuracy is not None:
            terminal.say(
                f"head {printable(found.head)}, learnt from {found.learnt:,} covers, names the"
                f" right genre first for {found.accuracy:.0%} of covers that it has not seen"
            )
    terminal.say(printable(terminal.short(page)))


def _lead(apart: Apart) -> str:
    one, other = apart.better, apart.worse
    if one.digest == other.digest:
        return f"{one.letter} and {other.letter} are the very same file"
    if apart.is_close:
        lead = f"{apart.lead:.2f} in log-odds apart"
        return f"{one.letter} and {other.letter} are too close to call: {lead}"
    times = f"{math.exp(apart.lead):,.1f} times the odds"
    return f"{one.letter} is ahead of {other.letter}: {times}"


def _verdict(draft: Draft, genre: str) -> str:
    from albo.report import Verdict

    asked = _short(printable(genre))
    first = _short(printable(draft.prediction.genres[0])) if draft.prediction else ""
    return {
        Verdict.READS: f"reads as {asked}",
        Verdict.OTHER: f"reads as {first}, not {asked}",
        Verdict.UNLIKELY: f"can't tell, but {asked} is unlikely",
        Verdict.UNSURE: f"can't tell whether it reads as {asked}",
    }[draft.verdict]


def _voted(votes: Votes, genre: str) -> str:
    if not votes.by_chance:
        return f"nearest covers: none of {genre} is known here"
    are = "is" if votes.in_favour == 1 else "are"
    of = f"{votes.in_favour} of {votes.voters} {are} {genre}"
    return f"nearest covers: {of}, {votes.by_chance:.1f} expected by chance"


def _titled(title: Title) -> str:
    """Say in a line whether a cover's title can be read at thumbnail size."""
    from albo.thumbnails import Seen

    text = _short(printable(title.text))
    what = "title" if title.is_named else "largest text"
    return {
        Seen.LEGIBLE: f"albo can read its {what} at 55 pixels: {text}",
        Seen.PARTLY: f"albo can in part read its {what} at 55 pixels: {text}",
        Seen.LOST: f"albo cannot read its {what} at 55 pixels: {text}",
        Seen.UNCLEAR: f"albo can read only a part of its {what} on it: {text}",
        Seen.MISSING: f"its {what}, {text}, is not among the words that albo read on it",
    }[title.seen]


def _about(draft: Draft, found: Report) -> Iterator[str]:
    """Yield what is said of one draft, a line each."""
    genre = _short(printable(found.genre))
    yield f"{genre} {draft.probability:.1%}, number {draft.rank} of {found.genres} genres"
    if draft.among is not None:
        yield (
            f"reads more like {genre} than {draft.among.percentile:.0%} of"
            f" {many(draft.among.count, f'{genre} cover')} held out from learning"
        )
    if draft.typicality is not None:
        among = draft.typicality.among
        yield f"looks more typical than {among.percentile:.0%} of {among.count} {genre} covers"
    if draft.prediction is not None:
        others = zip(draft.prediction.genres, draft.prediction.probabilities, strict=True)
        named = [f"{_short(printable(g))} {p:.1%}" for g, p in others if g != found.genre][:3]
        yield f"may be taken for {', '.join(named)}"
    if votes := draft.votes:
        yield _voted(votes, genre)
    if draft.thumbnail is not None and (title := draft.thumbnail.title):
        yield _titled(title)
    if more := draft.copies - len(draft.same):
        yield f"shows the same artwork as {draft.copies} covers here, {more} of which are not named"
    for same in draft.same:
        yield f"shows the same artwork as {printable(terminal.short(same.cover.uri))}"


def show_typical(found: Sequence[Typical], *, oddest: bool) -> None:
    """Print a table of covers of a genre; where it would be too wide, two lines for each."""
    most = "least" if oddest else "most"
    title = f"{printable(found[0].genre)}: {most} typical first"
    rows = [(str(one.rank), _standing(one), *_named(one), _place(one)) for one in found]
    if not _fits(_typical_table(title, rows)):
        terminal.say(f"{title}\n")
        for rank, share, looks, artist, album, path in rows:
            named = " · ".join(text for text in (artist, album) if text)
            terminal.say(f"{rank:>3}  more typical than {share}, looks {looks}  {named}")
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


def _named(one: Typical) -> list[str]:
    said = one.as_json()
    return [_short(printable(said[key])) for key in ("looks_like", "artist", "album")]


def _place(one: Typical) -> str:
    said = one.as_json()
    return printable(terminal.short(said["uri"] or said["digest"]))


def _fits(table: Table) -> bool:
    """Print a table, if the terminal is wide enough for it: whether it was."""
    console = terminal.console()
    needed = console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum
    if needed <= console.width:
        console.print(table)
        return True
    return False


def _quote(lines: Sequence[str]) -> str:
    """Put lines of a cover side by side, as many as are read at a glance; --json has them all."""
    shown, room = [], _MOST_WORDS
    for line in lines:
        text = _short(printable(line))
        room -= len(text)
        if room < 0:
            break
        shown.append(text)
    if more := len(lines) - len(shown):
        shown.append(f"and {more} more")
    return " · ".join(shown)


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
    terminal.say("d: numbers in a vector; px: side of the input; what is not here is fetched")


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
    """Print what there is. with_catalog : whether it is worth a line where the catalog is."""
    terminal.say(f"{found['artifacts']}: {many(found['covers'], 'cover')}")
    if with_catalog:
        terminal.say(f"  catalog   {printable(found['catalog'])}")
    if not found.get("sources"):
        terminal.say(found.get("problem", "nothing embedded yet; run `albo embed SOURCE`"))
        return
    for source, count in found["sources"].items():
        terminal.say(f"  source    {printable(source)}: {many(count, 'album')}")
    genres = found["genres"]
    shown = ", ".join(f"{printable(name)} {n}" for name, n in list(genres.items())[:_FEW_GENRES])
    more = ", …" if len(genres) > _FEW_GENRES else ""
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
