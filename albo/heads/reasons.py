"""Why a head predicts what it predicts for one cover: by view, by word, by place on the cover.

All evidence has one unit: its part of a genre's log-odds against the others, after fusion and
calibration. The others count with the mean of their logits, so that none decides alone. +0.7 makes
the genre twice as likely against the others, -0.7 half as likely. The evidence is computed from the
numbers that decide, so the parts add up. Only the meaning of a line has no parts: it counts with
the loss when the line is left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.heads.grams import Grams
from albo.heads.numbers import against_others
from albo.heads.predictors import GramPredictor, UnitPredictor
from albo.texts import joined, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from albo.heads.head import Head
    from albo.heads.maps import ActivationMap
    from albo.heads.predictors import Predictor
    from albo.records import Floats, Json, Words

    Meanings = Callable[[Sequence[Words]], Floats | None]


_MOST_LINES = 24
"""The most lines of a cover whose meaning is weighed, the tallest ones: each takes time."""


_NAMES = {"image": "picture", "characters": "letters", "meaning": "meaning"}


@dataclass(frozen=True, slots=True)
class Heard:
    """The words on one cover, and the function that encodes some of them again."""

    words: Words
    """The words that were read."""

    meanings: Meanings
    """Turns words into features of the meaning view; None where a head has no such view."""


@dataclass(frozen=True, slots=True)
class ViewReason:
    """The evidence of one view for a genre."""

    view: str
    """The view's name."""

    evidence: float
    """What it adds to the genre's log-odds."""

    def __str__(self) -> str:
        """Return the view's plain name and its evidence."""
        return f"{_NAMES.get(self.view, self.view)} {signed(self.evidence)}"


@dataclass(frozen=True, slots=True)
class WordReason:
    """The evidence of a word or a line for a genre."""

    text: str
    """The word, or the line."""

    view: str
    """"characters" for the letters of a word, "meaning" for the meaning of a line."""

    evidence: float
    """What it adds to the genre's log-odds."""

    def __str__(self) -> str:
        """Return text, evidence and view; the text is untrusted."""
        return f"{self.text} {signed(self.evidence)} ({_NAMES.get(self.view, self.view)})"


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why a head holds a cover to be, or not to be, of a genre."""

    genre: str
    """The genre's name."""

    views: tuple[ViewReason, ...]
    """The views that speak, strongest first."""

    words: tuple[WordReason, ...] = ()
    """Words and lines, strongest first."""

    activation: ActivationMap | None = None
    """Where on the cover the image's evidence lies, in the same unit; None without a map."""

    no_map: str = ""
    """Why there is no map."""

    def as_json(self) -> Json:
        """Return them as plain JSON types."""
        return {
            "genre": self.genre,
            "views": [{"view": one.view, "evidence": round(one.evidence, 4)} for one in self.views],
            "words": [
                {"text": one.text, "view": one.view, "evidence": round(one.evidence, 4)}
                for one in self.words
            ],
            "map": self.activation
            and {
                "evidence": np.round(self.activation.evidence, 4).tolist(),
                "mapped": round(self.activation.mapped, 4),
                "unmapped": round(self.activation.unmapped, 4),
                "share": round(self.activation.share, 4),
            },
            "no_map": self.no_map or None,
        }


def explain(
    head: Head,
    features: Mapping[str, Any],
    genre: str,
    heard: Heard | None = None,
    *,
    locate: Callable[[int], ActivationMap] | None = None,
    no_map: str = "",
) -> Reasons:
    """Say why a head holds one cover to be of a genre, or not.

    Parameters
    ----------
    features : for each view of the head, those of the one cover. heard : its words.
    locate : maps the image classifier's evidence for a genre, by its place among the head's genres;
        None where no map can be made, and `no_map` says why.
    """
    place = head.genres.index(genre)
    shares = head.shares(features)
    views = [
        ViewReason(view, share * float(against_others(said[None], place)[0]))
        for view, (share, said) in shares.items()
    ]
    activation = None
    if locate is not None and "image" in shares:
        activation = locate(place).scaled(shares["image"][0])
    elif locate is not None:
        no_map = "the picture counts for nothing in this head"
    found = [
        WordReason(text, view, shares[view][0] * evidence)
        for view in shares
        if heard is not None
        for text, evidence in _words_of(head.predictors[view], features[view], place, heard)
    ]
    return Reasons(
        genre,
        tuple(sorted(views, key=lambda one: -abs(one.evidence))),
        tuple(sorted(found, key=lambda one: -abs(one.evidence))),
        activation,
        "" if activation is not None else no_map,
    )


def _words_of(
    predictor: Predictor,
    features: Any,  # noqa: ANN401  (the view's)
    place: int,
    heard: Heard,
) -> Iterator[tuple[str, float]]:
    """Yield words or lines, and what each adds to a view's logit beyond the mean of all others."""
    if isinstance(predictor, GramPredictor):
        yield from _letters(predictor, features, place, heard.words)
    elif isinstance(predictor, UnitPredictor):
        yield from _lines(predictor, features, place, heard)


def _letters(
    predictor: GramPredictor, features: Grams, place: int, words: Words
) -> Iterator[tuple[str, float]]:
    counts = Counter(joined(words).split())
    added = predictor.contributions(features, Grams.of(counts))
    for (word, count), evidence in zip(counts.items(), against_others(added, place), strict=True):
        yield word, count * float(evidence)


def _lines(
    predictor: UnitPredictor, features: Floats, place: int, heard: Heard
) -> Iterator[tuple[str, float]]:
    words = heard.words
    lines = sorted(words.lines, key=lambda line: -line.height())[:_MOST_LINES]
    without = [
        replace(words, lines=tuple(other for other in words.lines if other is not line))
        for line in lines
    ]
    rest = heard.meanings(without) if without else None
    if rest is None:
        return
    whole = against_others(predictor.logits(features), place)[0]
    for line, left in zip(lines, against_others(predictor.logits(rest), place), strict=True):
        yield line.text, float(whole - left)
