"""Where on a cover the evidence for a genre lies: class activation maps (Zhou et al. 2016).

The pooled top is the mean of a map over its places, and a linear classifier is a sum over the
pooled top. So the part of a logit that comes from the pooled top is a sum over places, exactly. The
middle stages' part is not: their deviations are of all places together.

The network that gives the map is exported once, as `albo.runtimes` does it, but in float32: a map
is read off a few covers, and nothing is gained by rounding it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.errors import NoActivationMap
from albo.heads.numbers import against_others
from albo.heads.predictors import LogisticPredictor
from albo.networks import compile_map_network, open_core, openvino_failed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from albo.heads.predictors import Predictor
    from albo.networks import Card
    from albo.records import Floats, Note, Pixels


@dataclass(frozen=True)
class ActivationMap:
    """Where on a cover the evidence for a genre lies."""

    evidence: NDArray[np.float64]
    """float64 (h, w), rows from the top; its sum is `mapped`."""

    mapped: float
    """What the pooled top adds to the genre's logit, beyond the mean of the other genres."""

    unmapped: float
    """What the middle stages add to it."""

    @property
    def share(self) -> float:
        """How much of what the image says the map shows, by size: 0 to 1."""
        whole = abs(self.mapped) + abs(self.unmapped)
        return abs(self.mapped) / whole if whole else 0.0

    def scaled(self, factor: float) -> ActivationMap:
        """Return the same evidence in another unit."""
        return ActivationMap(self.evidence * factor, self.mapped * factor, self.unmapped * factor)


def spread(
    predictor: LogisticPredictor, genre: int, pooled: Floats, middle: Floats
) -> ActivationMap:
    """Spread over a cover's places what its pooled top says for a genre.

    Zhou et al. 2016, eq. 2, with the classifier's standardisation: a number that is cut off counts
    for what it is cut to, and a genre's logit is taken against the mean of the others.

    Parameters
    ----------
    predictor : of the image view. genre : its place among the genres.
    pooled : float32 (d, h, w), the map whose mean is the pooled top. middle : float32 (m,).
    """
    depth, *places = pooled.shape
    maps = pooled.reshape(depth, -1).astype(np.float64)
    maps /= np.linalg.norm(maps.mean(axis=1)) or 1.0
    vector = maps.mean(axis=1)
    weights = against_others(predictor.weights, genre)
    scaler = predictor.scaler
    cut = scaler(np.concatenate([vector, middle]).astype(np.float32)[None])[0].astype(np.float64)
    plain = (vector - scaler.mean[:depth]) / scaler.scale[:depth]
    # 1 where nothing is cut off. What is next to its mean never is, and would be a poor divisor.
    kept = np.divide(cut[:depth], plain, out=np.ones(depth), where=np.abs(plain) > 1)
    slopes = weights[:depth] * kept / scaler.scale[:depth]
    evidence = slopes @ (maps - scaler.mean[:depth, None]) / maps.shape[1]
    return ActivationMap(
        evidence.reshape(places), float(evidence.sum()), float(weights[depth:] @ cut[depth:])
    )


class Mapper:
    """Maps what a linear classifier of the image says of covers onto them; see `open_mapper`."""

    def __init__(self, predictor: LogisticPredictor, compiled: Any) -> None:  # noqa: ANN401
        self.predictor = predictor
        self._compiled = compiled

    def map(self, pixels: Pixels, middle: Floats, genre: int) -> ActivationMap:
        """Map the evidence for a genre: pixels uint8 (size, size, 3), middle float32 (m,).

        Raises RuntimeFailed.
        """
        try:
            pooled: Floats = self._compiled(pixels[None])[0][0]
        except RuntimeError as error:
            raise openvino_failed(error) from error
        return spread(self.predictor, genre, pooled, middle)


def open_mapper(card: Card, predictor: Predictor, note: Note = lambda _line: None) -> Mapper:
    """Load the network that gives a backbone's maps, for a head's image classifier.

    Parameters
    ----------
    note : called with one line when the network is exported, which is done where no export exists.

    Raises NoActivationMap where there can be none, MissingWeights, RuntimeFailed.
    """
    if not isinstance(predictor, LogisticPredictor):
        raise NoActivationMap("a head of trees has no map: only a linear one is a sum over places")
    try:
        core = open_core()
        return Mapper(predictor, compile_map_network(card, core, note))
    except ImportError as error:
        raise NoActivationMap("maps need OpenVINO; pip install openvino") from error
    except RuntimeError as error:
        raise openvino_failed(error) from error
