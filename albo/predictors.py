"""What predicts: a view's fitted classifier, in numpy alone (LightGBM's trees apart).

A predictor was fitted elsewhere, by its trainer. It says for covers how probable each genre is to
its view; of a cover that its view says nothing of, a row of NaN. It is kept as plain arrays and
text, and checked when it is read again, as artifacts are passed on.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

import numpy as np

from albo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from albo.records import Bools, Floats, Ints
    from albo.texts import Grams

Doubles: TypeAlias = "NDArray[np.float64]"
Array: TypeAlias = "NDArray[Any]"

GENRES = range(2, 10_001)
"""How many genres a predictor may know."""

FLOOR = 1e-7
"""No genre is ever less probable than this to a view: one sure view must not silence another."""

_CLIP = 3.0
_BATCH = 4096
_GRAM_ROWS = 256


class Predictor(Protocol):
    """What a view's fitted classifier says of covers, and how it is kept.

    kind : its key in `PREDICTORS`.
    """

    kind: ClassVar[str]

    @property
    def genres(self) -> int:
        """The number of genres, c."""
        ...

    def log_probabilities(self, features: Any) -> Doubles:  # noqa: ANN401  (its view's features)
        """Return log p(genre) for n covers: float64 (n, c); NaN where the view says nothing."""
        ...

    def arrays(self) -> dict[str, Array]:
        """Return the arrays it consists of; never of objects."""
        ...

    def text(self) -> str:
        """Return what it keeps as text, "" where nothing."""
        ...

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], text: str) -> Predictor:
        """Make it of what it kept. Raises ValueError or KeyError where that cannot be."""
        ...


@dataclass(frozen=True)
class Scaler:
    """Standardises features: (x - mean) / scale, cut off at three standard deviations.

    mean, scale : float32 (p,). The cut keeps one odd number, of which a blank or broken cover has
    many, from outweighing the rest.
    """

    mean: Floats
    scale: Floats

    def __call__(self, features: Floats) -> Floats:
        """Return float32 (n, p). Raises UsageError where p is another."""
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
    """Multinomial logistic regression on standardised features.

    weights : float32 (p, c). bias : float32 (c,).
    """

    kind: ClassVar[str] = "logistic"

    scaler: Scaler
    weights: Floats
    bias: Floats

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
        """Return nothing."""
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
    """LightGBM on the principal components of standardised features.

    components : float32 (p, k). model : LightGBM's own text format.
    """

    kind: ClassVar[str] = "lightgbm"

    scaler: Scaler
    components: Floats
    model: str = field(repr=False)

    @cached_property
    def _booster(self) -> Any:  # noqa: ANN401  (LightGBM has no types)
        import lightgbm

        return lightgbm.Booster(model_str=self.model)

    @cached_property
    def genres(self) -> int:
        """The number of genres, c."""
        return _model_number(self.model, "num_class")

    def reduce(self, features: Floats) -> Floats:
        """Return float32 (n, k), what the trees see."""
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
    """Multinomial logistic regression on vectors of unit length; the zero vector says nothing.

    weights : float32 (p, c). bias : float32 (c,).
    """

    kind: ClassVar[str] = "unit"

    weights: Floats
    bias: Floats

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
        """Return float64 (n, c) before normalising; the zero vector has those of the bias."""
        return np.asarray(features @ self.weights + self.bias, np.float64)

    def arrays(self) -> dict[str, Array]:
        """Return weights and bias."""
        return {"weights": self.weights, "bias": self.bias}

    def text(self) -> str:
        """Return nothing."""
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
    """Multinomial logistic regression on the grams of texts; a text without any says nothing.

    ids : uint32 (g,), the grams it knows, ascending. rarity : float32 (g,), their inverse document
    frequencies. weights : float32 (g, c). bias : float32 (c,).
    """

    kind: ClassVar[str] = "grams"

    ids: NDArray[np.uint32]
    rarity: Floats
    weights: Floats
    bias: Floats

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

        text : of one text. parts : of k pieces of it, such as its words; what the words of a text
        add is all of its logits but the bias. A gram counts as often as a piece has it.
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
        """Return nothing."""
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
    """Return which grams are known, (g,), and the places of those that are in `ids`."""
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
"""By kind, for reading them again."""


def log_softmax(logits: Array) -> Doubles:
    """Return logits less the logarithm of their summed exponentials, by row: float64 (n, c)."""
    shifted: Doubles = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def against_others(logits: Array, genre: int) -> Doubles:
    """Return what a genre has beyond the mean of all others: logits (n, c) to float64 (n,)."""
    wide = logits.astype(np.float64)
    own = wide[:, genre]
    return np.asarray(own - (wide.sum(axis=1) - own) / (wide.shape[1] - 1))


def check_trees(text: str, width: int) -> None:
    """Check LightGBM's text before LightGBM, which trusts it, follows its numbers into memory.

    Artifacts are passed on, and whoever forges them makes the checksums fit too: a feature, child
    or number of leaves that is not there then kills the process, and a tree that leads back never
    answers. width : how many numbers a tree may look at. Raises ValueError.
    """
    header, *trees = text.split("\nTree=")
    classes = _model_number(header, "num_class")
    if not header.startswith("tree\n") or classes not in GENRES:
        raise ValueError("trees without a header of their kind")
    if _model_number(header, "num_tree_per_iteration") != classes or len(trees) % classes:
        raise ValueError("trees that are not of as many kinds as there are genres")
    if _model_number(header, "max_feature_idx") + 1 != width or not trees:
        raise ValueError("trees over features that are not there")
    _check_offsets(header, text.encode())
    for tree in trees:
        _check_tree(tree.split("end of trees")[0], width)


def _check_offsets(header: str, data: bytes) -> None:
    """Check that the sizes in the header lead from tree to tree and end where the trees end."""
    (sizes,) = re.findall(r"^tree_sizes=([\d ]+)$", header, re.MULTILINE)
    place = data.index(b"\nTree=") + 1
    for size in map(int, sizes.split()):
        if not data.startswith(b"Tree=", place):
            raise ValueError("sizes of trees that lead nowhere")
        place += size
    if not data.startswith(b"end of trees", place):
        raise ValueError("sizes of trees that lead nowhere")


def _check_tree(tree: str, width: int) -> None:
    fields = dict(line.partition("=")[::2] for line in tree.splitlines() if "=" in line)
    leaves = int(fields["num_leaves"])
    if leaves < 1 or fields["num_cat"] != "0" or fields.get("is_linear", "0") != "0":
        raise ValueError("a tree of another kind")
    _numbers(fields, "leaf_value", leaves)
    if leaves == 1:
        return
    nodes = leaves - 1
    looks_at = _numbers(fields, "split_feature", nodes)
    children = [_numbers(fields, side, nodes) for side in ("left_child", "right_child")]
    _numbers(fields, "threshold", nodes)
    decisions = _numbers(fields, "decision_type", nodes).astype(np.int64)
    order = np.arange(nodes)
    # A child was always made after its parent, so a walk down a tree comes to an end.
    sound = all(((child > order) & (child < nodes) | (child < 0)).all() for child in children)
    if not sound or min(child.min() for child in children) < -leaves or (decisions & 1).any():
        raise ValueError("a tree whose branches lead nowhere")
    if looks_at.min() < 0 or looks_at.max() >= width:
        raise ValueError("a tree over features that are not there")


def _numbers(fields: Mapping[str, str], name: str, count: int) -> Doubles:
    numbers = np.array(fields[name].split(), np.float64)
    check_array(numbers, (count,), np.float64)
    return numbers


def _model_number(text: str, name: str) -> int:
    found = re.findall(rf"^{name}=(\d{{1,9}})$", text, re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"trees with {len(found)} entries {name}, where there is one")
    return int(found[0])


def floored(log_probabilities: Doubles) -> Doubles:
    """Raise what is below the floor to it; what that adds to a row is below a millionth."""
    return np.maximum(log_probabilities, math.log(FLOOR), out=log_probabilities)


def check_array(array: Array, shape: tuple[int, ...], kind: type) -> None:
    """Raise ValueError unless an array has this kind and shape, finite numbers, and any at all."""
    if array.dtype != np.dtype(kind) or array.shape != shape or 0 in shape:
        raise ValueError(f"an array {array.dtype} {array.shape} where {kind.__name__} {shape} is")
    if not np.isfinite(array).all():
        raise ValueError("a number that is not finite")
