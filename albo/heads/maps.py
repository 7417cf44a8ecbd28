"""Where on a cover the evidence for a genre lies: class activation maps (Zhou et al. 2016).

The pooled top is the mean of a map over its places, and a linear classifier is a sum over the
pooled top. So the part of a logit that comes from the pooled top is a sum over places, exactly. The
middle stages' part is not, as their deviations are over all places together.

The network that gives the map is exported once, as `albo.networks.runtimes` does it, but in
float32: maps are made for few covers, so rounding would gain nothing.
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
    """The pooled top's part of the genre's logit, beyond the mean of the other genres."""

    unmapped: float
    """The middle stages' part of it."""

    @property
    def share(self) -> float:
        """The share of the image's evidence that the map shows, by size: 0 to 1."""
        whole = abs(self.mapped) + abs(self.unmapped)
        return abs(self.mapped) / whole if whole else 0.0

    def scaled(self, factor: float) -> ActivationMap:
        """Return the same evidence in another unit."""
        return ActivationMap(self.evidence * factor, self.mapped * factor, self.unmapped * factor)


def spread(
    predictor: LogisticPredictor, genre: int, pooled: Floats, middle: Floats
) -> ActivationMap:
    """Spread the pooled top's evidence for a genre over a cover's places.

    Zhou et al. 2016, eq. 2, with the classifier's standardisation: a clipped number counts with its
    clipped value, and a genre's logit is taken against the mean of the others.

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
    # 1 where nothing is clipped. A number near its mean never is, and would be a poor divisor.
    kept = np.divide(cut[:depth], plain, out=np.ones(depth), where=np.abs(plain) > 1)
    slopes = weights[:depth] * kept / scaler.scale[:depth]
    evidence = slopes @ (maps - scaler.mean[:depth, None]) / maps.shape[1]
    return ActivationMap(
        evidence.reshape(places), float(evidence.sum()), float(weights[depth:] @ cut[depth:])
    )


class Mapper:
    """Maps a linear image classifier's evidence onto covers; see `open_mapper`."""

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
    note : called with one line when the network is exported, once, where no export exists.

    Raises NoActivationMap where no map can be made, MissingWeights, RuntimeFailed.
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
