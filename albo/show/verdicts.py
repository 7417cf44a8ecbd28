"""Classifications, reasons and reports as text in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.show import terminal
from albo.show.tables import cut_cell, genre_cell
from albo.show.terminal import many, printable
from albo.texts import ordinal, times_the_odds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from albo.answers import Apart, Draft, Explained, Report, Title, Votes
    from albo.classify import Classified
    from albo.heads import Reasons, WordReason

SHORT_VIEWS = {"image": "picture", "characters": "letters", "meaning": "meaning"}
"""How the terminal calls the views of a head."""

_SHOWN_WORDS = 8
_FEW_MEMBERS = 5  # the most genres of a set that are named
_TELLING = 0.05  # the least log-odds of a word that is named
_MOST_WORDS = 300  # characters of a cover's words


def show_classified(answer: Classified, coverage: float) -> None:
    """Print what a cover reads as, with a bar for each genre, and the set."""
    said = answer.prediction
    if said is None:
        return
    verdict = f"reads as {genre_cell(said.genres[0])}" if said.decided else "can't tell"
    if said.is_unlike:
        verdict += ": its picture is unlike the covers that the head has learnt"
    label = f" (here: {genre_cell(answer.label)})" if answer.label else ""
    terminal.say(f"{printable(answer.query)}: {verdict}{label}")
    genres = [genre_cell(genre) for genre in said.genres]
    width = max(map(len, genres))
    for genre, probability in zip(genres, said.probabilities, strict=True):
        bar = "█" * round(probability * 40)
        terminal.say(f"  {genre:{width}}  {probability:6.1%}  {bar}")
    if not said.is_unlike:
        terminal.say(f"  {coverage * 100:g}% sure that it is {_members(said.conformal_set)}")
    if answer.words is not None:
        terminal.say(f"  words on it: {_quote(answer.words) or 'none'}")
    if answer.not_read:
        terminal.say(f"  given, and not read on it: {_quote(answer.not_read)}")
    # Of the whole collection that is so of nearly every cover, and said once.
    if answer.known is not None and not answer.label:
        terminal.say(f"  {answer.known.describe()}")


def _members(genres: Sequence[str]) -> str:
    """Name the genres of a set; a set of more than a few is counted, as nobody reads it."""
    if len(genres) > _FEW_MEMBERS:
        return f"one of {len(genres)} genres; --json names them"
    return f"one of: {', '.join(genre_cell(genre) for genre in genres)}"


def show_why(answer: Explained) -> None:
    """Print why a cover reads as its first genre: votes, views and the words that counted."""
    reasons = answer.reasons
    if reasons is None:
        return
    genre = genre_cell(reasons.genre)
    if votes := answer.votes:
        terminal.say(f"  {_voted(votes, genre)}")
    terminal.say(f"  why {genre}: {_name_evidence(reasons)}")
    counted = [one for one in reasons.words if abs(one.evidence) >= _TELLING]
    if counted:
        terminal.say(f"  words that counted: {_name_words(counted)}")
    if reasons.no_map:
        terminal.say(f"  no map of the picture: {printable(reasons.no_map)}")


def _name_evidence(reasons: Reasons) -> str:
    said = [
        f"{SHORT_VIEWS.get(one.view, printable(one.view))} {times_the_odds(one.evidence)}"
        for one in reasons.views
    ]
    if reasons.activation is not None:
        said.append(f"the map shows {reasons.activation.share:.0%} of what the picture says")
    return ", ".join(said) or "no part of it says anything"


def _name_words(words: Sequence[WordReason]) -> str:
    return ", ".join(
        f"“{cut_cell(printable(one.text))}” {times_the_odds(one.evidence)}"
        for one in words[:_SHOWN_WORDS]
    )


def show_report(found: Report, page: str, *, quiet: bool) -> None:
    """Print a report's lines about each draft, the best first, and the path of its page."""
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
                f"head {printable(found.head)}: trained on {found.learnt:,} covers; right first"
                f" time for {found.accuracy:.0%} of new ones"
            )
    terminal.say(printable(terminal.short(page)))


def _lead(apart: Apart) -> str:
    one, other = apart.better, apart.worse
    if one.digest == other.digest:
        return f"{one.letter} and {other.letter} are the very same file"
    if apart.is_close:
        return f"{one.letter} and {other.letter} are too close to call: the gap is within chance"
    return f"{one.letter} is ahead of {other.letter}: {times_the_odds(apart.lead)}"


def _verdict(draft: Draft, genre: str) -> str:
    from albo.answers import Verdict

    asked = genre_cell(genre)
    said = draft.prediction
    if said is None or draft.verdict is Verdict.UNSURE:
        return f"can't tell whether it reads as {asked}"
    if draft.verdict is Verdict.YES:
        return f"reads as {asked}"
    place = f"{ordinal(draft.rank)} of {len(said.genres)} genres"
    other = f"{genre_cell(said.genres[0])} ({said.probabilities[0]:.0%})"
    more = f"; more like {other}" if draft.rank > 1 else ""
    return f"probably not {asked}: {place}{more}"


def _voted(votes: Votes, genre: str) -> str:
    if not votes.by_chance:
        return f"nearest covers: none of {genre} is known here"
    are = "is" if votes.in_favour == 1 else "are"
    of = f"{votes.in_favour} of {votes.voters} {are} {genre}"
    return f"nearest covers: {of}, {votes.by_chance:.1f} expected by chance"


def _titled(title: Title) -> str:
    """Say in a line whether a cover's title can be read at thumbnail size."""
    from albo.answers import Seen

    text = cut_cell(printable(title.text))
    what = "title" if title.is_named else "largest text"
    return {
        Seen.LEGIBLE: f"albo can read its {what} at 55 pixels: {text}",
        Seen.PARTLY: f"albo can in part read its {what} at 55 pixels: {text}",
        Seen.LOST: f"albo cannot read its {what} at 55 pixels: {text}",
        Seen.UNCLEAR: f"albo can read only a part of its {what} on it: {text}",
        Seen.MISSING: f"its {what}, {text}, is not among the words that albo read on it",
    }[title.seen]


def _about(draft: Draft, found: Report) -> Iterator[str]:
    """Yield the lines about one draft."""
    genre = genre_cell(found.genre)
    yield f"{genre} {draft.probability:.1%}, {ordinal(draft.rank)} of {found.genres} genres"
    if advice := draft.advice(found.genre):
        yield printable(advice)
    yield from _on_its_file(draft)
    if draft.among is not None:
        yield (
            f"reads more like {genre} than {draft.among.percentile:.0%} of"
            f" {many(draft.among.count, f'{genre} cover')} held out from learning"
        )
    if draft.typicality is not None:
        among = draft.typicality.among
        yield f"looks more typical than {among.percentile:.0%} of {among.count} {genre} covers"
    if named := _taken_for(draft, found.genre):
        yield f"may be taken for {named}"
    if votes := draft.votes:
        yield _voted(votes, genre)
    if draft.thumbnail is not None and (title := draft.thumbnail.title):
        yield _titled(title)
    yield from _known_here(draft)


def _on_its_file(draft: Draft) -> Iterator[str]:
    """Yield the lines about its size, and about what was given and not read on it."""
    if draft.size:
        yield draft.size
    for line in draft.not_read:
        yield f"given, and not read on it: {cut_cell(printable(line))}"


def _taken_for(draft: Draft, genre: str) -> str:
    """Name the three likeliest other genres."""
    said = draft.prediction
    if said is None:
        return ""
    others = zip(said.genres, said.probabilities, strict=True)
    return ", ".join([f"{genre_cell(g)} {p:.1%}" for g, p in others if g != genre][:3])


def _known_here(draft: Draft) -> Iterator[str]:
    """Yield the lines about covers here that a draft is known by."""
    if draft.known is not None:
        yield draft.known.describe()
    if more := draft.copies - len(draft.same):
        yield f"shows the same artwork as {draft.copies} covers here, {more} of which are not named"
    for same in draft.same:
        place = same.album.uri if same.album else same.digest.hex()
        yield f"shows the same artwork as {printable(terminal.short(place))}"


def _quote(lines: Sequence[str]) -> str:
    """Join the lines of a cover, as many as can be read at a glance; --json has them all."""
    shown, room = [], _MOST_WORDS
    for line in lines:
        text = cut_cell(printable(line))
        room -= len(text)
        if room < 0:
            break
        shown.append(text)
    if more := len(lines) - len(shown):
        shown.append(f"and {more} more")
    return " · ".join(shown)
