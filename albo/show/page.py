"""Pages that show an evaluation or a report: each one HTML file that loads and runs nothing.

Whatever comes from covers and labels is escaped, made fit for HTML and kept from steering the text
around it; their policy forbids scripts and any address but pictures inside the file. Pages are sent
to others, so they name files, and not the folders of the machine that they were made on.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from albo.answers import MOST_SAME, THUMBNAIL, VOTERS, Seen, Verdict
from albo.heads import Reasons, ViewReason
from albo.learning import INTENDED_USE, LIMITS, MAJORITY
from albo.show.plots import draw_all
from albo.store import write_atomically
from albo.texts import cut_short, signed

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Environment

    from albo.answers import Apart, Draft, Report
    from albo.learning import ModelCard, ReviewedEvaluation
    from albo.records import Json, Prediction, ShownCover


_VIEWS = {
    "image": "the picture",
    "characters": "the letters of the words on it",
    "meaning": "what these words mean",
}
_KINDS = {"logistic": "logistic regression", "lightgbm": "boosted trees (LightGBM)"}
_BRIEF = 80
_DIGITS = 12
_LIKELY = 5  # genres that are named, the likeliest
_WORDS = 12  # that counted, or lines of a thumbnail
_ARTISTS = 48  # letters of a cover's artists
_FAINT = 0.05  # of the evidence of both sides, below which one has no map to speak of
_DOUBLED = math.log(2)  # log-odds: shorter bars than this one's are never drawn at full length
_MANY_TIMES = 1000
_JPEG = b"\xff\xd8"
# Controls, overrides of direction, halves of surrogate pairs, and code points that stand for no
# character.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)


def write(html: str, path: Path) -> None:
    """Write a page, whole or not at all. Raises CannotWrite."""
    content = html.encode()
    write_atomically(path, lambda file: file.write(content), "give --html another place")


# --- an evaluation -------------------------------------------------------------------------------


def render(evaluation: ReviewedEvaluation) -> str:
    """Return the page of an evaluation: HTML5, to be written as UTF-8.

    The same evaluation gives the same text.
    """
    card = evaluation.card
    template = _environment().get_template("evaluate.html")
    return template.render(
        rows=evaluation.rows,
        selected=evaluation.selected,
        genres=evaluation.genres,
        card=card,
        lede=_lede(evaluation),
        leak=evaluation.leak,
        plots=draw_all(evaluation),
        per_genre=_per_genre(evaluation),
        mistakes=evaluation.mistakes,
        facts=_facts(card),
        caveats=card.caveats(),
        intended_use=INTENDED_USE,
        limits=LIMITS,
    )


def _lede(evaluation: ReviewedEvaluation) -> str:
    """Say in a sentence or two what was looked at, and how it compares."""
    best = evaluation.selected
    looked_at = ", ".join(_VIEWS.get(view, view) for view in best.view.split("+"))
    said = (
        f"albo looked at {best.covers} covers ({looked_at}) and named one of {len(best.genres)}"
        " genres for each"
        + ("." if best.leaky else ", having learned from none known to be of the same artist or")
        + ("" if best.leaky else " artwork.")
    )
    for row in evaluation.rows:
        if row.view == MAJORITY and row.split == best.split:
            said += (
                f" Always naming the commonest genre would be right for"
                f" {row.summary.top1.value:.1%}."
            )
    return said


def _per_genre(evaluation: ReviewedEvaluation) -> list[Json]:
    """Return a row for each genre: its scores, and what it is most often read as instead."""
    best, found = evaluation.selected, []
    for place, genre in enumerate(evaluation.genres):
        wrong = evaluation.confusion[place].copy()
        covers = float(wrong.sum())
        wrong[place] = 0
        other = int(wrong.argmax())
        found.append(
            {
                "genre": genre,
                "groups": best.groups[place],
                "score": best.summary.per_genre[place],
                "instead": evaluation.genres[other] if wrong[other] else "",
                "share": float(wrong[other]) / covers if covers else 0.0,
            }
        )
    return found


def _facts(card: ModelCard) -> list[tuple[str, str]]:
    """Return what the card's table says, names and values; what is not known has no row."""
    years = [str(year) for year in (card.first_year, card.last_year) if year is not None]
    facts = [
        (
            "covers",
            f"{card.covers} of {card.genres} genres (level: {card.level}), in {card.groups} groups"
            " that share no artist or artwork",
        ),
        ("sources", ", ".join(f"{name} ({count})" for name, count in card.sources)),
        ("released", " to ".join(dict.fromkeys(years))),
        ("artist known", f"{card.artists_known:.1%} of covers"),
        ("evaluated", card.evaluated),
        (
            "split",
            f"{card.split}, {card.folds} folds, fold seeds {', '.join(map(str, card.seeds))}",
        ),
        ("backbone", f"{card.backbone}, {card.licence}" if card.licence else card.backbone),
        ("views", ", ".join(f"{name} ({fingerprint})" for name, fingerprint in card.views)),
        ("head", card.head),
        ("settings", ", ".join(f"{name} {value}" for name, value in card.settings)),
        ("sets", f"split conformal, {card.coverage:.0%} coverage asked for"),
        ("made with", ", ".join(f"{name} {version}" for name, version in card.libraries)),
    ]
    return [(name, said) for name, said in facts if said]


# --- a report ------------------------------------------------------------------------------------


def render_report(report: Report) -> str:
    """Return the page of a report: HTML5, to be written as UTF-8.

    The same report gives the same text.
    """
    strongest = _strongest(report)
    template = _environment().get_template("report.html")
    return template.render(
        report=report,
        genre=report.genre,
        several=len(report.drafts) > 1,
        drafts=[_shown(draft, report, strongest) for draft in report.drafts],
        ranking=report.ranking,
        is_sure=any(draft.verdict is Verdict.READS for draft in _leaders(report)),
        leaders=_leaders(report),
        is_one_file=len({draft.digest for draft in report.ranking}) == 1,
        apart=[_lead(one, strongest) for one in report.apart],
        facts=_report_facts(report),
        limits=LIMITS,
    )


def _strongest(report: Report) -> float:
    """Return the strongest evidence of a view or a word, which all bars are drawn against."""
    found = [abs(added) for one in report.apart for _, added in one.views]
    for draft in report.ranking:
        if draft.reasons is not None:
            found += [abs(one.evidence) for one in draft.reasons.views]
            found += [abs(one.evidence) for one in draft.reasons.words]
    return max([_DOUBLED, *found])


def _leaders(report: Report) -> list[Draft]:
    """Return the draft that reads most as the genre, and those not to be told apart from it."""
    return [*report.ranking[:1], *(one.worse for one in report.apart if one.is_close)]


def _shown(draft: Draft, report: Report, strongest: float) -> Json:
    """Return what the page shows of a draft; of one that could not be read, only why."""
    shown: Json = {
        "draft": draft,
        "file": _file_name(draft.query) or f"draft {draft.letter}",
        "place": report.place(draft),
        "twin": next(iter(report.twins(draft)), ""),
    }
    if draft.prediction is None:
        return shown
    reasons = draft.reasons or Reasons(report.genre, ())
    lines = draft.thumbnail.lines if draft.thumbnail else ()
    return shown | {
        "likely": _likely(draft.prediction, report.genre),
        "same": _same(draft, starter=report.starter),
        "views": [
            (_VIEWS.get(one.view, one.view), one.evidence, one.evidence / strongest)
            for one in reasons.views
        ],
        "words": [(one, one.evidence / strongest) for one in reasons.words[:_WORDS]],
        "more_words": max(0, len(reasons.words) - _WORDS),
        "rests": [(rest, rest.evidence / strongest) for rest in _rests(reasons)],
        "map": _map(reasons),
        "lines": lines[:_WORDS],
        "more_lines": max(0, len(lines) - _WORDS),
    }


def _likely(said: Prediction, genre: str) -> Json:
    """Return the likeliest genres and the one asked about, with their ranks, and what is left."""
    ranked = enumerate(zip(said.genres, said.probabilities, strict=True), start=1)
    rows: list[Json] = [
        {"rank": rank, "genre": name, "probability": p, "inside": name in said.conformal_set}
        for rank, (name, p) in ranked
        if rank <= _LIKELY or name == genre
    ]
    return {
        "rows": rows,
        "others": len(said.genres) - len(rows),
        "others_inside": len(said.conformal_set) - sum(row["inside"] for row in rows),
        "left": max(0.0, 1.0 - sum(row["probability"] for row in rows)),
    }


def _rests(reasons: Reasons) -> list[ViewReason]:
    """Return what is left of each view that words speak to, beside the words that are shown."""
    shown = reasons.words[:_WORDS]
    return [
        ViewReason(
            one.view, one.evidence - sum(word.evidence for word in shown if word.view == one.view)
        )
        for one in reasons.views
        if any(word.view == one.view for word in reasons.words)
    ]


def _same(draft: Draft, *, starter: bool) -> Json:
    """Return the near-identical covers, and what they make of a head's answer."""
    shown = draft.same[:MOST_SAME]
    labelled = [one for one in draft.same if one.genre]
    return {
        "covers": [(one, one.digest == draft.digest) for one in shown],
        "more": draft.copies - len(shown),
        "learnt_from": bool(labelled) and not starter,
    }


def _map(reasons: Reasons) -> Json | None:
    """Return what the places that speak for a genre add up to, and those against, and the share.

    constant : what of the picture's evidence is the same for every cover.

    shows_for, shows_against : whether there is a picture worth showing. Each picture is faded by
    its own strongest place, so one of next to nothing would look like strong evidence.
    """
    activation = reasons.activation
    if activation is None:
        return None
    whole = sum(one.evidence for one in reasons.views if one.view == "image")
    evidence = activation.evidence
    high, low = float(evidence.clip(min=0).sum()), float(evidence.clip(max=0).sum())
    faint = _FAINT * (high - low)
    return {
        "speaks_for": high,
        "speaks_against": low,
        "shows_for": high > 0 and high >= faint,
        "shows_against": low < 0 and -low >= faint,
        "share": activation.share,
        "mapped": activation.mapped,
        "unmapped": activation.unmapped,
        "constant": whole - activation.mapped - activation.unmapped,
        "places": evidence.shape,
    }


def _lead(apart: Apart, strongest: float) -> Json:
    """Return what sets two drafts apart, with the odds of one over the other's."""
    times = math.exp(min(apart.lead, math.log(_MANY_TIMES) + 1))
    return {
        "apart": apart,
        "odds": f"over {_MANY_TIMES:,}" if times > _MANY_TIMES else _count_of_times(times),
        "views": [
            (_VIEWS.get(view, view), added, added / strongest) for view, added in apart.views
        ],
    }


def _count_of_times(times: float) -> str:
    return f"{times:.0f}" if times >= 10 else f"{times:.1f}"  # noqa: PLR2004  (two figures)


def _unseen(report: Report) -> str:
    """Say of what kind the covers were that accuracy was measured on."""
    if report.artists_known:
        return "of artists and artworks that it had not seen"
    where = ", from where it learnt; elsewhere less often" if report.starter else ""
    return f"of artworks that it had not seen, perhaps by artists that it had{where}"


def _report_facts(report: Report) -> list[tuple[str, str]]:
    """Return what the report rests on, names and values; what is not known has no row."""
    kind = _KINDS.get(report.kind, report.kind)
    facts = [
        ("head", f"{report.head} ({kind})"),
        ("learnt from", f"{report.learnt:,} covers" if report.learnt else ""),
        ("genres that it knows", str(report.genres)),
        (
            "right at the first guess",
            "" if report.accuracy is None else f"{report.accuracy:.0%} of covers {_unseen(report)}",
        ),
        (
            "probabilities",
            "calibrated on covers held out: of those that get 70%, some 70 in 100 are right",
        ),
        (
            "genre frequencies",
            "as if all were equally frequent"
            if report.prior == "uniform"
            else "as frequent as among the covers learnt from",
        ),
        (
            "sets of genres",
            f"made to hold the true one for {_coverage(report.coverage)} of covers",
        ),
        ("sees with", report.backbone),
        ("title that was looked for", _brief(report.title)),
        (
            "compared with",
            f"{report.corpus:,} labelled covers, {report.own:,} of them of the genre asked about"
            if report.corpus
            else "no covers",
        ),
        ("made", report.made),
    ]
    return [(name, said) for name, said in facts if said]


# --- the template's words ------------------------------------------------------------------------


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("albo.show"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_fit_for_html,
    )
    environment.filters.update(
        percent=_percent,
        chance=_chance,
        coverage=_coverage,
        signed=_signed,
        brief=_brief,
        named=_name,
        isolated=_isolated,
        data_uri=_data_uri,
    )
    environment.globals.update(Seen=Seen, Verdict=Verdict, thumbnail_side=THUMBNAIL, voters=VOTERS)
    return environment


def _fit_for_html(value: Any) -> Any:  # noqa: ANN401  (whatever a template shows)
    """Replace what no HTML file may hold."""
    from markupsafe import Markup

    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value)


def _percent(share: float, digits: int = 1) -> str:
    return f"{share:.{digits}%}"


def _chance(probability: float) -> str:
    """Write a probability with two figures, and never as if it were sure."""
    if probability < 0.001:  # noqa: PLR2004
        return "under 0.1%"
    if probability > 0.995:  # noqa: PLR2004
        return "over 99%"
    return f"{probability:.1%}" if probability < 0.0995 else f"{probability:.0%}"  # noqa: PLR2004


def _coverage(share: float) -> str:
    return f"{100 * share:g}%"


def _signed(evidence: float) -> str:
    """Write log-odds with their sign, a true minus, and no sign where they round to nothing."""
    said = signed(evidence)
    return "0.00" if said == "+0.00" else said.replace("-", "\N{MINUS SIGN}")


def _brief(text: str, length: int = _BRIEF) -> str:
    """Cut a text that would leave no room for others, and fold its blanks."""
    return cut_short(" ".join(text.split()), length)


def _name(cover: ShownCover) -> str:
    """Name a cover: artist, album, year; else its file, without the folders; else its digest."""
    digits, album = cover.digest.hex()[:_DIGITS], cover.album
    if album is None:
        return digits
    # Some have an artist for each part of an opera: the album's name is to be seen beside them.
    named = _brief(album.artist, _ARTISTS), album.name.strip()
    if said := " - ".join(text for text in named if text):
        return f"{said} ({album.year})" if album.year is not None else said
    return _file_name(album.uri) or digits


def _file_name(place: str) -> str:
    return re.split(r"[/\\]", place.rstrip("/\\"))[-1]


def _isolated(text: str) -> str:
    """Keep a text from turning round what is around it, where no <bdi> can stand."""
    return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"


def _data_uri(picture: bytes) -> str:
    """Return a JPEG or a PNG as an address of its own."""
    kind = "jpeg" if picture.startswith(_JPEG) else "png"
    return f"data:image/{kind};base64,{b64encode(picture).decode('ascii')}"
