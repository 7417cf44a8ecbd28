"""Predictors: a view's fitted classifier, in numpy alone (except LightGBM's trees).

A predictor was fitted elsewhere, by its trainer. It gives each cover's genre probabilities by its
view, or a row of NaN where the view says nothing. It is stored as plain arrays and text, and
checked when it is read, as people pass artifacts on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from albo.errors import UsageError
from albo.heads.numbers import FLOOR, Array, check_array, floored, log_softmax
from albo.heads.trees import check_trees, model_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from albo.heads.grams import Grams
    from albo.records import Bools, Doubles, Floats, Ints


_CLIP = 3.0
_BATCH = 4096
_GRAM_ROWS = 256


class Predictor(Protocol):
    """A view's fitted classifier: how it predicts, and how it is stored."""

    kind: ClassVar[str]
    """Its key in `PREDICTORS`."""

    @property
    def genres(self) -> int:
        """The number of genres, c."""
        ...

    def log_probabilities(self, features: Any) -> Doubles:  # noqa: ANN401  (its view's features)
        """Return log p(genre) for n covers: float64 (n, c); NaN where the view says nothing."""
        ...

    def arrays(self) -> dict[str, Array]:
        """Return the arrays it consists of; none holds objects."""
        ...

    def text(self) -> str:
        """Return its text, "" where it has none."""
        ...

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], text: str) -> Predictor:
        """Make it of its arrays and text. Raises ValueError or KeyError where they do not fit."""
        ...


@dataclass(frozen=True)
class Scaler:
    """Standardises features: (x - mean) / scale, cut off at three standard deviations.

    So no odd number outweighs the rest; a blank or broken cover has many odd numbers.
    """

    mean: Floats
    """float32 (p,): the mean of each number."""

    scale: Floats
    """float32 (p,): the standard deviation of each number, above 0."""

    def __call__(self, features: Floats) -> Floats:
        """Return float32 (n, p). Raises UsageError for another p."""
        if features.shape[1:] != self.mean.shape:
            raise UsageError(
                f"features of shape {features.shape}, the head reads (n, {len(self.mean)});"
                f" embed with the head's own backbone, or run `albo train`"
            )
        scaled = np.subtract(features, self.mean, dtype=np.float32)
        scaled /= self.scale
        return np.clip(scaled, -_CLIP, _CLIP, out=scaled)

    def check(self) -> None:
        """Raise ValueError unless both are float32 (p,), finite, with positive scales."""
        check_array(self.mean, (len(self.mean),), np.float32)
        check_array(self.scale, self.mean.shape, np.float32)
        if not (self.scale > 0).all():
            raise ValueError("a scale that is not positive")


@dataclass(frozen=True)
class LogisticPredictor:
    """Multinomial logistic regression on standardised features."""

    kind: ClassVar[str] = "logistic"
    """Its key in `PREDICTORS`."""

    scaler: Scaler
    """Standardises the features."""

    weights: Floats
    """float32 (p, c): a column for each genre."""

    bias: Floats
    """float32 (c,): a number for each genre."""

    @property
    def genres(self) -> int:
        """The number of genres, c."""
        return len(self.bias)

    def log_probabilities(self, features: Floats) -> Doubles:
        """Return log p(genre): features float32 (n, p) give float64 (n, c)."""
        parts = [
            self.scaler(features[first : first + _BATCH]) @ self.weights + self.bias
            for first in range(0, max(len(features), 1), _BATCH)
        ]
        return floored(log_softmax(np.concatenate(parts)))

    def arrays(self) -> dict[str, Array]:
        """Return mean, scale, weights and bias."""
        return {
            "mean": self.scaler.mean,
            "scale": self.scaler.scale,
            "weights": self.weights,
            "bias": self.bias,
        }

    def text(self) -> str:
        """Return "", as it has no text."""
        return ""

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], text: str) -> LogisticPredictor:
        """Make it of its arrays. Raises ValueError or KeyError where they do not fit."""
        if text:
            raise ValueError("a text that is not its own")
        made = cls(Scaler(arrays["mean"], arrays["scale"]), arrays["weights"], arrays["bias"])
        made.scaler.check()
        check_array(made.bias, (len(made.bias),), np.float32)
        check_array(made.weights, (len(made.scaler.mean), len(made.bias)), np.float32)
        return made


@dataclass(frozen=True)
class LightgbmPredictor:
    """LightGBM on the principal components of standardised features."""

    kind: ClassVar[str] = "lightgbm"
    """Its key in `PREDICTORS`."""

    scaler: Scaler
    """Standardises the features."""

    components: Floats
    """float32 (p, k): a column for each principal component."""

    model: str = field(repr=False)
    """The trees in LightGBM's own text format."""

    @cached_property
    def _booster(self) -> Any:  # noqa: ANN401  (LightGBM has no types)
        import lightgbm

        return lightgbm.Booster(model_str=self.model)

    @cached_property
    def genres(self) -> int:
        """The number of genres, c."""
        return model_number(self.model, "num_class")

    def reduce(self, features: Floats) -> Floats:
        """Return the input of the trees, float32 (n, k)."""
        parts = [
            self.scaler(features[first : first + _BATCH]) @ self.components
            for first in range(0, max(len(features), 1), _BATCH)
        ]
        return np.concatenate(parts)

    def log_probabilities(self, features: Floats) -> Doubles:
        """Return log p(genre): features float32 (n, p) give float64 (n, c)."""
        reduced = self.reduce(features)
        if len(reduced) == 0:
            return np.empty((0, self.genres))
        shares = np.asarray(self._booster.predict(reduced, num_threads=1), np.float64)
        return floored(np.log(np.maximum(shares.reshape(len(reduced), -1), FLOOR)))

    def arrays(self) -> dict[str, Array]:
        """Return mean, scale and components."""
        return {
            "mean": self.scaler.mean,
            "scale": self.scaler.scale,
            "components": self.components,
        }

    def text(self) -> str:
        """Return the trees."""
        return self.model

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], text: str) -> LightgbmPredictor:
        """Make it of its arrays and trees. Raises ValueError or KeyError where they do not fit."""
        made = cls(Scaler(arrays["mean"], arrays["scale"]), arrays["components"], text)
        made.scaler.check()
        width = made.components.shape[-1]
        check_array(made.components, (len(made.scaler.mean), width), np.float32)
        check_trees(text, width)
        return made


@dataclass(frozen=True)
class UnitPredictor:
    """Multinomial logistic regression on vectors of unit length; the zero vector says nothing."""

    kind: ClassVar[str] = "unit"
    """Its key in `PREDICTORS`."""

    weights: Floats
    """float32 (p, c): a column for each genre."""

    bias: Floats
    """float32 (c,): a number for each genre."""

    @property
    def genres(self) -> int:
        """The number of genres, c."""
        return len(self.bias)

    def log_probabilities(self, features: Floats) -> Doubles:
        """Return log p(genre): float32 (n, p) give float64 (n, c).

        Raises UsageError for another p.
        """
        if features.shape[1:] != self.weights.shape[:1]:
            raise UsageError(
                f"features of shape {features.shape}, the head reads (n, {len(self.weights)});"
                " run `albo train`"
            )
        said = floored(log_softmax(self.logits(features)))
        said[~features.any(axis=1)] = np.nan
        return said

    def logits(self, features: Floats) -> Doubles:
        """Return float64 (n, c) before normalising; the zero vector gets the bias."""
        return np.asarray(features @ self.weights + self.bias, np.float64)

    def arrays(self) -> dict[str, Array]:
        """Return weights and bias."""
        return {"weights": self.weights, "bias": self.bias}

    def text(self) -> str:
        """Return "", as it has no text."""
        return ""

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], text: str) -> UnitPredictor:
        """Make it of its arrays. Raises ValueError or KeyError where they do not fit."""
        if text:
            raise ValueError("a text that is not its own")
        made = cls(arrays["weights"], arrays["bias"])
        check_array(made.bias, (len(made.bias),), np.float32)
        check_array(made.weights, (len(made.weights), len(made.bias)), np.float32)
        return made


@dataclass(frozen=True)
class GramPredictor:
    """Multinomial logistic regression on the grams of texts; a text without any says nothing."""

    kind: ClassVar[str] = "grams"
    """Its key in `PREDICTORS`."""

    ids: NDArray[np.uint32]
    """uint32 (g,): the grams it knows, ascending."""

    rarity: Floats
    """float32 (g,): the inverse document frequency of each gram."""

    weights: Floats
    """float32 (g, c): a column for each genre."""

    bias: Floats
    """float32 (c,): a number for each genre."""

    @property
    def genres(self) -> int:
        """The number of genres, c."""
        return len(self.bias)

    def log_probabilities(self, features: Grams) -> Doubles:
        """Return log p(genre) of n texts: float64 (n, c)."""
        parts = [
            self._logits(features[first : first + _GRAM_ROWS])
            for first in range(0, max(features.shape[0], 1), _GRAM_ROWS)
        ]
        said = floored(log_softmax(np.concatenate(parts)))
        said[~features.speaks] = np.nan
        return said

    def _logits(self, features: Grams) -> Doubles:
        rows, places, values = weigh_grams(features, self.ids, self.rarity)
        logits = np.tile(self.bias.astype(np.float64), (features.shape[0], 1))
        np.add.at(logits, rows, values[:, None] * self.weights[places])
        return logits

    def contributions(self, text: Grams, parts: Grams) -> Doubles:
        """Return what each part of a text adds to its logits: float64 (k, c).

        The words of a text add up to all of its logits except the bias. A gram counts as often as
        it occurs in a piece.

        Parameters
        ----------
        text : the grams of one text.
        parts : the grams of k pieces of it, such as its words.
        """
        _, places, values = weigh_grams(text, self.ids, self.rarity)
        each = np.zeros(len(self.ids))
        each[places] = values / text.counts[_known(text, self.ids)[0]]
        known, places = _known(parts, self.ids)
        added = np.zeros((parts.shape[0], self.genres))
        shares = parts.counts[known] * each[places]
        np.add.at(added, parts.rows[known], shares[:, None] * self.weights[places])
        return added

    def arrays(self) -> dict[str, Array]:
        """Return grams, their rarity, weights and bias."""
        return {
            "ids": self.ids,
            "rarity": self.rarity,
            "weights": self.weights,
            "bias": self.bias,
        }

    def text(self) -> str:
        """Return "", as it has no text."""
        return ""

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], text: str) -> GramPredictor:
        """Make it of its arrays. Raises ValueError or KeyError where they do not fit."""
        if text:
            raise ValueError("a text that is not its own")
        made = cls(arrays["ids"], arrays["rarity"], arrays["weights"], arrays["bias"])
        count = len(made.ids)
        check_array(made.ids, (count,), np.uint32)
        if (np.diff(made.ids.astype(np.int64)) <= 0).any():
            raise ValueError("grams that do not ascend")
        check_array(made.rarity, (count,), np.float32)
        check_array(made.bias, (len(made.bias),), np.float32)
        check_array(made.weights, (count, len(made.bias)), np.float32)
        return made


def weigh_grams(
    features: Grams, ids: NDArray[np.uint32], rarity: Floats
) -> tuple[Ints, Ints, Floats]:
    """Weigh the grams that are known: rows, places in `ids`, and values, each (k,).

    (1 + log count) times rarity, texts scaled to unit length: Salton and Buckley 1988.
    """
    known, places = _known(features, ids)
    rows = features.rows[known]
    values = (1.0 + np.log(features.counts[known])) * rarity[places]
    lengths = np.sqrt(np.bincount(rows, values.astype(np.float64) ** 2, features.shape[0]))
    return rows, places, (values / lengths[rows]).astype(np.float32)


def _known(features: Grams, ids: NDArray[np.uint32]) -> tuple[Bools, Ints]:
    """Return which grams are known, (g,), and the places of the known ones in `ids`."""
    places = np.searchsorted(ids, features.ids)
    places[places == len(ids)] = 0
    known = ids[places] == features.ids
    return known, places[known]


PREDICTORS: dict[str, type[Predictor]] = {
    LogisticPredictor.kind: LogisticPredictor,
    LightgbmPredictor.kind: LightgbmPredictor,
    UnitPredictor.kind: UnitPredictor,
    GramPredictor.kind: GramPredictor,
}
"""The predictor classes by kind, to read stored ones."""
