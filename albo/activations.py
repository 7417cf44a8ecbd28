"""Where on a cover the evidence for a genre lies: class activation maps (Zhou et al. 2016).

The pooled top is the mean of a map over its places, and a linear classifier is a sum over the
pooled top. So the part of a logit that comes from the pooled top is a sum over places, exactly. The
middle stages' part is not: their deviations are of all places together.

The network that gives the map is exported once, as `albo.runtimes` does it, but in float32: a map
is read off a few covers, and nothing is gained by rounding it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from albo import networks
from albo.artifacts import backbone_key, scratch_folder
from albo.engines import Export, export_file, import_openvino, load_or_export, openvino_failed
from albo.errors import NoActivationMap
from albo.predictors import LogisticPredictor
from albo.runtimes import convert

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from albo.networks import Card
    from albo.predictors import Predictor
    from albo.records import Floats, Pixels

_EXPORT_VERSION = 1  # raised when exports are made in another way


class MapNetwork(Protocol):
    """What gives the map that a backbone pools."""

    def map(self, pixels: Pixels) -> Floats:
        """Return float32 (d, h, w) of one cover, uint8 (size, size, 3)."""
        ...


@dataclass(frozen=True)
class ActivationMap:
    """Where on a cover the evidence for a genre lies.

    evidence : float64 (h, w), rows from the top; its sum is `mapped`. mapped, unmapped : what the
    pooled top and what the middle stages add to the genre's logit beyond the mean of all genres'.
    """

    evidence: NDArray[np.float64]
    mapped: float
    unmapped: float

    @property
    def share(self) -> float:
        """How much of what the image says the map shows, by size: 0 to 1."""
        whole = abs(self.mapped) + abs(self.unmapped)
        return abs(self.mapped) / whole if whole else 0.0


def activation_map(
    predictor: Predictor, genre: int, pooled: Floats, middle: Floats
) -> ActivationMap:
    """Spread over a cover's places what its pooled top says for a genre.

    Zhou et al. 2016, eq. 2, with the classifier's standardisation: a number that is cut off counts
    for what it is cut to, and a genre's logit is taken against the mean of all, as a softmax does.

    Parameters
    ----------
    predictor : of the image view. Raises NoActivationMap unless it is linear.
    genre : its place among the genres.
    pooled : float32 (d, h, w), of a `MapNetwork`. middle : float32 (m,), of the same cover.
    """
    if not isinstance(predictor, LogisticPredictor):
        raise NoActivationMap("trees have no map: only a linear classifier is a sum over places")
    depth, *places = pooled.shape
    maps = pooled.reshape(depth, -1).astype(np.float64)
    top = maps.mean(axis=1)
    maps /= np.linalg.norm(top) or 1.0
    vector = maps.mean(axis=1)
    weights = predictor.weights[:, genre] - predictor.weights.mean(axis=1)
    scaler = predictor.scaler
    cut = scaler(np.concatenate([vector, middle]).astype(np.float32)[None])[0].astype(np.float64)
    plain = (vector - scaler.mean[:depth]) / scaler.scale[:depth]
    # Where nothing is cut off this is 1.
    kept = np.divide(cut[:depth], plain, out=np.ones(depth), where=plain != 0)
    slopes = weights[:depth] * kept / scaler.scale[:depth]
    evidence = slopes @ (maps - scaler.mean[:depth, None]) / maps.shape[1]
    return ActivationMap(
        evidence.reshape(places), float(evidence.sum()), float(weights[depth:] @ cut[depth:])
    )


def open_map_network(card: Card, note: Callable[[str], None] = lambda _line: None) -> MapNetwork:
    """Load what gives the map of a backbone, exported where it never was.

    note : told in one line of an export. Raises NoActivationMap, MissingWeights, RuntimeFailed.
    """
    try:
        return _OpenVinoMap(card, note)
    except ImportError as error:
        raise NoActivationMap("maps need OpenVINO (pip install openvino)") from error
    except RuntimeError as error:
        raise openvino_failed(error) from error


class _OpenVinoMap:
    def __init__(self, card: Card, note: Callable[[str], None]) -> None:
        core = import_openvino().Core()
        made_from = [card.fingerprint, networks.OUTPUTS_VERSION, _EXPORT_VERSION]
        key = backbone_key(card.name, card.fingerprint)

        def make() -> Export:
            note(f"exporting the activation maps of {card.name} for this processor (once)")
            return _export(card, core)

        _, self._compiled = load_or_export(
            export_file(f"map-{key}", made_from, core), core, lambda _export: _CONFIG, make, note
        )

    def map(self, pixels: Pixels) -> Floats:
        try:
            found: Floats = self._compiled(pixels[None])[0][0]
        except RuntimeError as error:
            raise openvino_failed(error) from error
        return found


_CONFIG = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


def _export(card: Card, core: Any) -> Export:  # noqa: ANN401
    network = networks.build_map(card)
    with scratch_folder() as scratch:
        file: Path = scratch / "map.xml"
        convert(network, card.size, file)
        exported = core.compile_model(file, "CPU", _CONFIG).export_model().getvalue()
    return Export({"arithmetic": "float32"}, exported)
