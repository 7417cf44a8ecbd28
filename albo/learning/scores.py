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
    percentile95: float


@dataclass(frozen=True, slots=True)
class GenreScore:
    """How one genre fares: its covers, and precision, recall and F1 of the first guess.

    The intervals of these three are None where nobody resampled.
    """

    covers: int
    precision: float
    recall: float
    f1: float
    precision_interval: Interval | None = field(default=None, compare=False)
    recall_interval: Interval | None = field(default=None, compare=False)
    f1_interval: Interval | None = field(default=None, compare=False)

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
    """All figures of one way of predicting."""

    top1: Interval
    top3: Interval
    top5: Interval
    macro_f1: Interval
    ece: Interval
    noise: Noise
    coverage: Interval
    set_size: float
    set_size_interval: Interval
    brier: Interval
    per_genre: tuple[GenreScore, ...]

    def as_json(self, genres: Sequence[str], groups: Sequence[int]) -> Json:
        """Return the figures as `albo train` and `albo evaluate` print them.

        genres, groups : of each genre its name, and how many groups its covers form.
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
    """Covers whose top probability is in (low, high]: how sure the guesses are, how often right.

    covers : how many, mean over the seeds. confidence : mean top probability of these.
    """

    low: float
    high: float
    covers: float
    confidence: float
    accuracy: Interval

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
    """How often the guess is right when only the surest are answered.

    share : of covers answered, 0 to 1. threshold : the top probability from which one is answered,
    mean over the seeds.
    """

    share: float
    threshold: float
    accuracy: Interval

    def as_json(self) -> Json:
        """Return the object of one share."""
        return {
            "share": round(self.share, 4),
            "threshold": round(self.threshold, 4),
            "accuracy": self.accuracy.as_json(),
        }
