"""The contents of an evaluation's page: figures, plots, mistakes and the model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.learning import INTENDED_USE, LIMITS, MAJORITY
from albo.show.plots import draw_all
from albo.show.templating import VIEWS

if TYPE_CHECKING:
    from albo.learning import ModelCard, ReviewedEvaluation
    from albo.records import Json


def describe_evaluation(evaluation: ReviewedEvaluation) -> Json:
    """Return the values of the page's template, by name."""
    card = evaluation.card
    return {
        "rows": evaluation.rows,
        "selected": evaluation.selected,
        "genres": evaluation.genres,
        "card": card,
        "lede": _lede(evaluation),
        "leak": evaluation.leak,
        "plots": draw_all(evaluation),
        "per_genre": _per_genre(evaluation),
        "mistakes": evaluation.mistakes,
        "facts": _facts(card),
        "caveats": card.caveats(),
        "intended_use": INTENDED_USE,
        "limits": LIMITS,
    }


def _lede(evaluation: ReviewedEvaluation) -> str:
    """Say in a sentence or two what was looked at, and how it compares."""
    best = evaluation.selected
    looked_at = ", ".join(VIEWS.get(view, view) for view in best.view.split("+"))
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
    """Return a row for each genre: its scores, and the genre it is most often mistaken for."""
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
    """Return the names and values of the card's table; unknown values have no row."""
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
