"""The contents of a report's page: verdicts, reasons, neighbours and thumbnails of its drafts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from albo.answers import MOST_SAME, Verdict
from albo.heads import Reasons, ViewReason
from albo.learning import LIMITS
from albo.show.templating import VIEWS, brief, coverage, file_name
from albo.words import SCRIPTS

if TYPE_CHECKING:
    from albo.answers import Apart, Draft, Report
    from albo.records import Json, Line, Prediction

_KINDS = {"logistic": "logistic regression", "lightgbm": "boosted trees (LightGBM)"}
_LIKELY = 5  # the most genres named, the likeliest
_WORDS = 12  # the most words, or lines of a thumbnail
_LEAST_BAR = 0.002  # of the strongest: shorter bars are not drawn
_FAINT = 0.05  # the least share of both sides' evidence for which a side has a map
_DOUBLED = math.log(2)  # the least log-odds that a bar of full length stands for
_MANY_TIMES = 1000
_LONG = 400  # letters of what was given for all drafts
_MOST_READ = 40  # lines that are listed


def describe_report(report: Report) -> Json:
    """Return the values of the page's template, by name."""
    strongest = _strongest(report)
    return {
        "report": report,
        "genre": report.genre,
        "several": len(report.drafts) > 1,
        "drafts": [_shown(draft, report, strongest) for draft in _in_order(report)],
        "ranking": report.ranking,
        "is_sure": any(draft.verdict is Verdict.YES for draft in _leaders(report)),
        "leaders": _leaders(report),
        "is_one_file": len({draft.digest for draft in report.ranking}) == 1,
        "apart": [_lead(one, strongest) for one in report.apart],
        "facts": _report_facts(report),
        "limits": LIMITS,
    }


def _in_order(report: Report) -> list[Draft]:
    """Return the drafts in the order of their places; the unreadable ones come last."""
    return [*report.ranking, *(draft for draft in report.drafts if draft.error)]


def _strongest(report: Report) -> float:
    """Return the strongest evidence of a view, a word or a rest, the scale of all bars."""
    found = [abs(added) for one in report.apart for _, added in one.views]
    for draft in report.ranking:
        if draft.reasons is not None:
            found += [abs(one.evidence) for one in draft.reasons.views]
            found += [abs(one.evidence) for one in draft.reasons.words]
            found += [abs(one.evidence) for one in _rests(draft.reasons)]
    return max([_DOUBLED, *found])


def _leaders(report: Report) -> list[Draft]:
    """Return the draft that reads most as the genre, and those too close to it to call."""
    return [*report.ranking[:1], *(one.worse for one in report.apart if one.is_close)]


def _shown(draft: Draft, report: Report, strongest: float) -> Json:
    """Return the page's values for a draft; only its names where it could not be read."""
    shown: Json = {
        "draft": draft,
        "file": file_name(draft.query) or f"draft {draft.letter}",
        "place": report.place(draft),
        "twin": next(iter(report.twins(draft)), ""),
    }
    if draft.prediction is None:
        return shown
    reasons = draft.reasons or Reasons(report.genre, ())
    lines = draft.thumbnail.lines if draft.thumbnail else ()
    evidence = [one.evidence for one in (*reasons.views, *_rests(reasons))]
    evidence += [one.evidence for one in reasons.words[:_WORDS]]
    drawn = [one / strongest for one in evidence]
    return shown | {
        "has_for": any(length >= _LEAST_BAR for length in drawn),
        "has_against": any(length <= -_LEAST_BAR for length in drawn),
        "likely": _likely(draft.prediction, report.genre),
        "same": _same(draft, starter=report.starter),
        "views": [
            (VIEWS.get(one.view, one.view), one.evidence, one.evidence / strongest)
            for one in reasons.views
        ],
        "words": [(one, one.evidence / strongest) for one in reasons.words[:_WORDS]],
        "more_words": max(0, len(reasons.words) - _WORDS),
        "rests": [(rest, rest.evidence / strongest) for rest in _rests(reasons)],
        "map": _map(reasons),
        "lines": lines[:_WORDS],
        "boxes": [_box(line) for line in draft.lines],
        "read": [line.text for line in draft.lines][:_MOST_READ],
        "more_read": max(0, len(draft.lines) - _MOST_READ),
        "more_lines": max(0, len(lines) - _WORDS),
    }


def _box(line: Line) -> str:
    """Return the corners of a line for SVG, in per cent of the picture's sides."""
    shares = [min(1.0, max(0.0, share)) * 100 for share in line.box]
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in zip(shares[::2], shares[1::2], strict=True))


def _likely(said: Prediction, genre: str) -> Json:
    """Return the likeliest genres and the one asked about, with their ranks, and the rest."""
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
    """Return the evidence of each view with words, without that of the words shown."""
    shown = reasons.words[:_WORDS]
    return [
        ViewReason(
            one.view, one.evidence - sum(word.evidence for word in shown if word.view == one.view)
        )
        for one in reasons.views
        if any(word.view == one.view for word in reasons.words)
    ]


def _same(draft: Draft, *, starter: bool) -> Json:
    """Return the near-identical covers, and whether the head may have learnt from them."""
    shown = draft.same[:MOST_SAME]
    labelled = [one for one in draft.same if one.genre]
    return {
        "covers": [(one, one.digest == draft.digest) for one in shown],
        "more": draft.copies - len(shown),
        "learnt_from": bool(labelled) and not starter and draft.known is None,
    }


def _map(reasons: Reasons) -> Json | None:
    """Return the sums of the places that speak for a genre and of those against, and the share.

    Here `constant` is the part of the picture's evidence that is the same for every cover;
    `shows_for` and `shows_against` say whether there is a picture worth showing. Each picture is
    faded by its own strongest place, so a picture of almost no evidence would look like strong
    evidence.
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
    """Return the difference of two drafts, with the odds of one over the other's."""
    times = math.exp(min(apart.lead, math.log(_MANY_TIMES) + 1))
    return {
        "apart": apart,
        "odds": f"over {_MANY_TIMES:,}" if times > _MANY_TIMES else _count_of_times(times),
        "views": [(VIEWS.get(view, view), added, added / strongest) for view, added in apart.views],
    }


def _count_of_times(times: float) -> str:
    return f"{times:.0f}" if times >= 10 else f"{times:.1f}"  # noqa: PLR2004  (two figures)


def _given(report: Report) -> str:
    """List what the user said stands on the drafts."""
    several = len(report.drafts) > 1
    return "; ".join(
        f"{draft.letter + ': ' if several else ''}{name} “{line}”"
        for draft in report.drafts
        for name, line in draft.given.lines()
    )


def _unseen(report: Report) -> str:
    """Describe the covers on which accuracy was measured."""
    if report.artists_known:
        return "of artists and artworks that it had not seen"
    where = ", from where it learnt; elsewhere less often" if report.starter else ""
    return f"of artworks that it had not seen, perhaps by artists that it had{where}"


def _report_facts(report: Report) -> list[tuple[str, str]]:
    """Return the names and values of the report's table; unknown values have no row."""
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
            f"made to hold the true one for {coverage(report.coverage)} of covers",
        ),
        ("sees with", report.backbone),
        ("reads words in", SCRIPTS if any(one.words is not None for one in report.drafts) else ""),
        ("said to stand on them", brief(_given(report), _LONG)),
        (
            "compared with",
            f"{report.corpus:,} labelled covers, {report.own:,} of them of the genre asked about"
            if report.corpus
            else "no covers",
        ),
        ("made", report.made),
    ]
    return [(name, said) for name, said in facts if said]
