"""Scores as records: what `albo.learning.metrics` computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.learning.bootstrap import Interval
    from albo.records import Json


@dataclass(frozen=True, slots=True)
class Noise:
    """The calibration error that a perfectly calibrated predictor would still show."""

    mean: float
    """The mean error over draws of labels."""

    percentile95: float
    """The error that 95 % of these draws stay below."""


@dataclass(frozen=True, slots=True)
class GenreScore:
    """How well the first guess finds the covers of one genre."""

    covers: int
    """The number of its covers."""

    precision: float
    """The share of guesses of this genre that are right."""

    recall: float
    """The share of its covers that are guessed right."""

    f1: float
    """The harmonic mean of precision and recall."""

    precision_interval: Interval | None = field(default=None, compare=False)
    """The precision with its interval; None where groups were not resampled."""

    recall_interval: Interval | None = field(default=None, compare=False)
    """The recall with its interval; None where groups were not resampled."""

    f1_interval: Interval | None = field(default=None, compare=False)
    """F1 with its interval; None where groups were not resampled."""

    def as_json(self) -> Json:
        """Return the figures, each with its interval where there is one."""
        intervals = {
            "precision_interval": self.precision_interval,
            "recall_interval": self.recall_interval,
            "f1_interval": self.f1_interval,
        }
        return {
            "covers": self.covers,
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "f1": round(self.f1, 4),
            **{name: one.as_json() for name, one in intervals.items() if one is not None},
        }


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """All scores of one way of predicting; the formulas are in `albo.learning.metrics`."""

    top1: Interval
    """The share of covers whose first guess is right."""

    top3: Interval
    """The share of covers whose genre is among the first three guesses."""

    top5: Interval
    """The share of covers whose genre is among the first five guesses."""

    macro_f1: Interval
    """The mean F1 over genres."""

    ece: Interval
    """The expected calibration error of the top probability."""

    noise: Noise
    """The calibration error that chance alone would give."""

    coverage: Interval
    """The share of covers whose conformal set holds their genre."""

    set_size: float
    """The mean number of genres in a conformal set."""

    set_size_interval: Interval
    """The mean set size with its interval."""

    brier: Interval
    """The Brier score, 0 to 2."""

    per_genre: tuple[GenreScore, ...]
    """The scores of each genre, in the order of the genres."""

    def as_json(self, genres: Sequence[str], groups: Sequence[int]) -> Json:
        """Return the figures as `albo train` and `albo evaluate` print them.

        Parameters
        ----------
        genres : the name of each genre.
        groups : how many groups the covers of each genre form.
        """
        return {
            "top1": self.top1.as_json(),
            "top3": self.top3.as_json(),
            "top5": self.top5.as_json(),
            "macro_f1": self.macro_f1.as_json(),
            "ece": self.ece.as_json(),
            "ece_noise": round(self.noise.mean, 4),
            "ece_noise95": round(self.noise.percentile95, 4),
            "brier": self.brier.as_json(),
            "coverage": self.coverage.as_json(),
            "set_size": round(self.set_size, 2),
            "set_size_interval": self.set_size_interval.as_json(),
            "per_genre": [
                {"genre": genre, "groups": count, **score.as_json()}
                for genre, count, score in zip(genres, groups, self.per_genre, strict=True)
            ],
        }


@dataclass(frozen=True, slots=True)
class Bin:
    """The covers whose top probability is in (low, high]."""

    low: float
    """The lower end of the bin, which is not in it."""

    high: float
    """The upper end of the bin, which is in it."""

    covers: float
    """The number of covers, mean over the seeds."""

    confidence: float
    """The mean top probability of these covers."""

    accuracy: Interval
    """The share of these covers whose first guess is right."""

    def as_json(self) -> Json:
        """Return the object of one bin."""
        return {
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "covers": round(self.covers, 1),
            "confidence": round(self.confidence, 4),
            "accuracy": self.accuracy.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Answered:
    """How often the first guess is right when only the surest covers are answered."""

    share: float
    """The share of covers answered, 0 to 1."""

    threshold: float
    """The top probability from which a cover is answered, mean over the seeds."""

    accuracy: Interval
    """The share of the answered covers whose first guess is right."""

    def as_json(self) -> Json:
        """Return the object of one share."""
        return {
            "share": round(self.share, 4),
            "threshold": round(self.threshold, 4),
            "accuracy": self.accuracy.as_json(),
        }
