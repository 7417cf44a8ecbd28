"""A fitted, calibrated head. `saved` writes and reads it.

A head holds one predictor for each view, and the numbers that fuse their log-probabilities into one
calibrated answer: fusion weights, a temperature, the genre frequencies and the nonconformity
scores. It was fitted elsewhere; nothing is fitted here, and importing this needs numpy alone.

    log p(genre | cover)  ~  sum over views of weight * log p_view(genre | cover), / temperature

Some views say nothing of some covers, as of covers without words. The views that always speak
answer for these, with weights and a temperature of their own. They are stored as `Head.alone`.

`crossfit` keeps the heads of the folds: a cover that a head has learnt is answered by the one that
was fitted without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.errors import StaleArtifact, UsageError
from albo.heads.fusion import (
    Fusion,
    Scores,
    answer,
    conformal_sets,
    weigh_prior,
)
from albo.heads.kept import MEND
from albo.records import Prediction, Prior, Said, choose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from albo.heads.crossfit import CrossFit
    from albo.heads.familiarity import Familiarity
    from albo.heads.predictors import Predictor
    from albo.records import Bools, Doubles, Ints, Json


_PICTURE = "image"


@dataclass(frozen=True)
class Head:
    """One predictor for each view, fused and calibrated: v views, c genres.

    Attributes
    ----------
    name : the name it was trained under.
    kind : "logistic" or "lightgbm".
    level : "genre" or "subgenre".
    genres : the c names, in the order of all columns.
    predictors : the predictor of each view.
    weights : float64 (v,), the views' weights, not negative, in the predictors' order.
    temperature : divides the fused logits; above 0.
    frequencies : float64 (c,), each genre's share of the covers it was fitted on.
    nonconformity : for each prior float64 (n,), ascending: 1 - p(true genre) of covers held out.
    fingerprints : for each view, the fingerprint of the features that it reads.
    backbone : the name of the image view's backbone; "" without that view.
    counts : the numbers of covers and groups it was fitted on.
    card : how good it is, and what else is known of it.
    alone : the head of the views that always speak; None where all do.
    true_genres : for each prior int32 (n,), the true genre of each nonconformity score; {} where
        it was not kept.
    crossfit : the heads of its folds; None where they were not kept.
    familiarity : what the pictures of learnt covers are like; None where it was not kept, and for a
        head that does not look at pictures.
    """

    name: str
    kind: str
    level: str
    genres: tuple[str, ...]
    predictors: Mapping[str, Predictor]
    weights: Doubles
    temperature: float
    frequencies: Doubles
    nonconformity: Mapping[Prior, Doubles]
    fingerprints: Mapping[str, str]
    backbone: str = ""
    counts: Json = field(default_factory=dict)
    card: Json = field(default_factory=dict)
    alone: Head | None = None
    true_genres: Mapping[Prior, Ints] = field(default_factory=dict)
    crossfit: CrossFit | None = field(default=None, repr=False)
    familiarity: Familiarity | None = field(default=None, repr=False)

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views it looks at."""
        return tuple(self.predictors)

    def part(
        self,
        views: Sequence[str],
        weights: Doubles,
        temperature: float,
        scores: Scores,
    ) -> Head:
        """Return the head that looks at some of these views alone, with a fusion of its own."""
        return replace(
            self,
            predictors={view: self.predictors[view] for view in views},
            fingerprints={view: self.fingerprints[view] for view in views},
            weights=weights,
            temperature=temperature,
            nonconformity=scores.nonconformity,
            true_genres=scores.true_genres,
            alone=None,
        )

    def own_probabilities(self, genre: str, prior: Prior = Prior.CORPUS) -> Doubles:
        """Return p(genre) of that genre's own covers while they were held out: (n,), ascending.

        A cover's p(genre) is compared with these. Raises StaleArtifact where they were not kept.
        """
        if choose(Prior, prior, "prior") not in self.true_genres:
            raise StaleArtifact(
                f"head {self.name!r} is from an older albo, which did not keep the probabilities"
                f" of its genres' own covers; run `{MEND} --name {self.name}`"
            )
        own = self.true_genres[prior] == self.genres.index(genre)
        return np.asarray(1.0 - self.nonconformity[prior][own][::-1])

    def predict(self, features: Mapping[str, Any], prior: Prior = Prior.CORPUS) -> Doubles:
        """Return p(genre) of n covers: float64 (n, c).

        Parameters
        ----------
        features : for each view of the head, the features of the same n covers.
        prior : "corpus" refers to the frequencies of genres in the corpus, "uniform" divides them
            out.

        Raises UsageError for a missing view, features of another width, or an unknown prior.
        """
        said = self._fused(self._spoken(features))
        return weigh_prior(said, self.frequencies, prior)

    def _spoken(self, features: Mapping[str, Any]) -> list[Doubles]:
        missing = [view for view in self.predictors if view not in features]
        if missing:
            raise UsageError(f"head {self.name!r} looks at {', '.join(self.views)}; give them all")
        return [
            predictor.log_probabilities(features[view])
            for view, predictor in self.predictors.items()
        ]

    def _fused(self, spoken: list[Doubles]) -> Doubles:
        together = Fusion(self.weights, self.temperature)
        return answer(spoken, together, self._fusion_alone(), self.frequencies)

    def _fusion_alone(self) -> Fusion | None:
        if self.alone is None:
            return None
        weights = dict(zip(self.alone.views, self.alone.weights, strict=True))
        return Fusion(
            np.array([weights.get(view, 0.0) for view in self.views]), self.alone.temperature
        )

    def conformal_set(
        self, probabilities: Doubles, coverage: float = 0.9, prior: Prior = Prior.CORPUS
    ) -> Bools:
        """Return the smallest sets that hold the true genre with the coverage asked for.

        Split conformal with the score 1 - p(true genre): Vovk et al. 2005; Sadinle, Lei and
        Wasserman 2019. The first genre is in every set. Returns bool (n, c).

        Parameters
        ----------
        probabilities : float64 (n, c), as `predict` returns them for the same prior.
        coverage : how often the set shall hold the true genre.
        prior : which genre frequencies the probabilities refer to.

        Raises UsageError unless 0 < coverage < 1.
        """
        return conformal_sets(
            probabilities, self.nonconformity[choose(Prior, prior, "prior")], coverage
        )

    def answer(
        self,
        features: Mapping[str, Any],
        prior: Prior = Prior.CORPUS,
        decide: float = 0.5,
        coverage: float = 0.9,
    ) -> list[Prediction]:
        """Predict n covers: all genres best first, the conformal set, and whether it is decided.

        A cover unlike those that the head has learnt is never decided, however probable a genre is.

        Parameters
        ----------
        features, prior : as in `predict`.
        decide : the least top probability of a decided answer.
        coverage : as in `conformal_set`.

        Raises as `predict` and `conformal_set` do, and UsageError unless 0 <= decide <= 1.
        """
        if not 0 <= decide <= 1:
            raise UsageError(f"decide={decide:g}; give a probability from 0 to 1")
        spoken = self._spoken(features)
        probabilities = weigh_prior(self._fused(spoken), self.frequencies, prior)
        sets = self.conformal_set(probabilities, coverage, prior)
        unlike = self._is_unlike(features, len(probabilities))
        return [
            replace(
                self._say(probabilities[number], sets[number], decide),
                views=self._views_said(spoken, number),
            ).unlike_learnt(unlike[number])
            for number in range(len(probabilities))
        ]

    def _is_unlike(self, features: Mapping[str, Any], count: int) -> Bools:
        """Return which covers are unlike those that were learnt: bool (n,)."""
        if self.familiarity is None:
            return np.zeros(count, np.bool_)
        return self.familiarity.is_unlike(features[_PICTURE])

    def _say(self, row: Doubles, inside: Bools, decide: float) -> Prediction:
        order = np.argsort(-row, kind="stable")
        return Prediction(
            genres=tuple(self.genres[genre] for genre in order),
            probabilities=tuple(float(row[genre]) for genre in order),
            conformal_set=tuple(self.genres[genre] for genre in order if inside[genre]),
            decided=bool(row[order[0]] >= decide),
        )

    def shares(self, features: Mapping[str, Any]) -> dict[str, tuple[float, Doubles]]:
        """Return the answer's parts for one cover: each view's weight and log-probabilities (c,).

        The weight is divided by the temperature, so that the weighted sum is the answer's logits.
        Views that say nothing, or have no weight, are left out.

        Parameters
        ----------
        features : for each view of the head, the features of the one cover.
        """
        rows = [view[0] for view in self._spoken(features)]
        fusion = self._fusion_of(rows)
        return {
            view: (float(weight) / fusion.temperature, row)
            for view, row, weight in zip(self.views, rows, fusion.weights, strict=True)
            if weight > 0 and not np.isnan(row[0])
        }

    def _fusion_of(self, rows: list[Doubles]) -> Fusion:
        """Return the fusion for one cover: that of `alone` where a view is silent."""
        silent = any(np.isnan(row[0]) for row, own in zip(rows, self.weights, strict=True) if own)
        alone = self._fusion_alone()
        return alone if silent and alone is not None else Fusion(self.weights, self.temperature)

    def _views_said(self, spoken: list[Doubles], cover: int) -> tuple[Said, ...]:
        """Return each view's own prediction for a cover, and its weight."""
        rows = [view[cover] for view in spoken]
        fusion = self._fusion_of(rows)
        return tuple(
            self._view_said(view, row, float(weight))
            for view, row, weight in zip(self.views, rows, fusion.weights, strict=True)
        )

    def _view_said(self, view: str, row: Doubles, weight: float) -> Said:
        if np.isnan(row[0]):
            return Said(view, weight)
        order = np.argsort(-row, kind="stable")
        return Said(
            view,
            weight,
            tuple(self.genres[genre] for genre in order),
            tuple(float(np.exp(row[genre])) for genre in order),
        )
