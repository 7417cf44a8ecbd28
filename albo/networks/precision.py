"""Choose the arithmetic of a network by measurement: the fastest that agrees with float32."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from albo.records import Floats, Pixels


AGREEMENT = 0.99996
"""Least median cosine to eager float32 on the probe images.

Then, of 5,239 real covers, the first neighbour changed only for leads in float32 up to 0.0017;
at 0.99994 it changed for some leads above 0.002.
"""
LEAST_AGREEMENT = 0.9995
"""Least cosine on any probe image; the probes are harder than covers, which stay above 0.999."""

PRECISION = "INFERENCE_PRECISION_HINT"
_DEPTHWISE = "GroupConvolution"
_HEAVY_LAYERS = frozenset({"Convolution", _DEPTHWISE, "MatMul"})
_SHARES_PRECISE = (0.0, 0.125, 0.25, 0.5)
_PROBES = 12


# --- probes --------------------------------------------------------------------------------------


def probe_images(size: int, count: int = _PROBES) -> Pixels:
    """Draw images that test an arithmetic: flats, gradients, noise, hard edges and fine lines.

    Returns uint8 (count, size, size, 3), the same on every machine.
    """
    rng = np.random.default_rng(20)
    across = np.linspace(0.0, 1.0, size)[None, :, None]
    down = np.linspace(0.0, 1.0, size)[:, None, None]
    images = []
    for i in range(count):
        low, high = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
        turn = rng.uniform(0, 2 * np.pi)
        ramp = (np.cos(turn) * across + np.sin(turn) * down) % 1.0
        image = low + (high - low) * ramp
        if i % 4 == 1:
            image = image + rng.normal(0, 40, (size, size, 1))
        if i % 4 == 2:  # noqa: PLR2004  each fourth image is of one kind
            image = np.where((ramp * rng.integers(4, 40)) % 1.0 > 0.5, high, low)  # noqa: PLR2004
        for _ in range(int(rng.integers(0, 6))):
            top, left = rng.integers(0, size * 3 // 4, 2)
            height, width = rng.integers(size // 32 + 1, size // 2, 2)
            image = np.broadcast_to(image, (size, size, 3)).copy()
            image[top : top + height, left : left + width] = rng.uniform(0, 255, 3)
        images.append(np.broadcast_to(image, (size, size, 3)).clip(0, 255).astype(np.uint8))
    return np.stack(images)


def agrees(ours: Floats, theirs: Floats) -> bool:
    """Whether the tops of two networks agree on the probe images. Non-finite ones disagree."""
    x, y = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        cosines = (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
    cosines = np.nan_to_num(cosines, nan=0.0, posinf=0.0, neginf=0.0)
    return bool(np.median(cosines) >= AGREEMENT and cosines.min() >= LEAST_AGREEMENT)


def run_compiled(compiled: Any, pixels: Pixels) -> Floats:  # noqa: ANN401
    """Run OpenVINO on images, one at a time; return the tops, float32 (n, d)."""
    return np.concatenate([compiled(pixels[i : i + 1])[0] for i in range(len(pixels))])


def run_eager(network: nn.Module, pixels: Pixels) -> Floats:
    """Run torch on images, one at a time; return the tops, float32 (n, d)."""
    import torch

    with torch.inference_mode():
        rows = [network(torch.from_numpy(pixels[i : i + 1]))[0].numpy() for i in range(len(pixels))]
    return np.concatenate(rows)


def mixtures(plain: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield ways to mix bfloat16 and float32, the fastest first, each with the marked network.

    A rounding error inside a residual branch is added to an exact sum; one outside passes through
    all later layers. Of EfficientNet-Lite0's 49 convolutions, the 22 outside make 93 % of the
    error. The depthwise ones (few terms in a sum) and the first branches make most of the rest.
    """
    yield "bfloat16", plain
    graph = ElementTree.fromstring(plain)  # noqa: S314  written by OpenVINO a moment ago
    kinds = {layer.get("id", ""): layer.get("type", "") for layer in graph.iterfind("layers/layer")}
    residual = _residual_layers(graph, kinds)
    dense = sum(kinds[layer] in _HEAVY_LAYERS - {_DEPTHWISE} for layer in residual)
    for share in _SHARES_PRECISE if dense else ():
        coarse = _dense_layers(residual, kinds, round(dense * share))
        but = f" but for the first {share:.0%}" if share else ""
        yield f"bfloat16 in residual branches{but}, else float32", _keep_precise(graph, coarse)


def _residual_layers(graph: ElementTree.Element, kinds: dict[str, str]) -> set[str]:
    """Find the ids of the layers that lie between a tensor and the sum that adds it again."""
    sources: dict[str, list[str]] = {layer: [] for layer in kinds}
    for edge in graph.iterfind("edges/edge"):
        if kinds[edge.get("from-layer", "")] != "Const":
            sources[edge.get("to-layer", "")].append(edge.get("from-layer", ""))
    found: set[str] = set()
    for layer, kind in kinds.items():
        if kind == "Add" and len(sources[layer]) == 2:  # noqa: PLR2004  (no bias: both computed)
            one, other = sources[layer]
            found |= _between(one, other, sources) | _between(other, one, sources)
    return found


def _between(start: str, end: str, sources: dict[str, list[str]]) -> set[str]:
    """Return the layers after `start` up to `end`; none if some path bypasses `start`."""
    found: set[str] = set()
    waiting = [end]
    while waiting:
        layer = waiting.pop()
        if layer == start or layer in found:
            continue
        if not sources[layer]:
            return set()  # the network's input: a path bypasses `start`
        found.add(layer)
        waiting += sources[layer]
    return found


def _dense_layers(residual: set[str], kinds: dict[str, str], skipped: int) -> set[str]:
    """Choose the dense layers, except the first few, each with the layers after it in the file."""
    chosen, taking, seen = set(), False, 0
    for layer, kind in kinds.items():
        if kind in _HEAVY_LAYERS:
            dense = layer in residual and kind != _DEPTHWISE
            seen += dense
            taking = dense and seen > skipped
        if taking and layer in residual:
            chosen.add(layer)
    return chosen


def _keep_precise(graph: ElementTree.Element, coarse: set[str]) -> bytes:
    """Mark all other layers to stay in float32.

    OpenVINO reads the mark as `DisableFP16Compression`, which its CPU plugin honours for bf16 too.
    """
    marked = copy.deepcopy(graph)
    for layer in marked.iterfind("layers/layer"):
        if layer.get("id") not in coarse:
            info = layer.find("rt_info")
            info = ElementTree.SubElement(layer, "rt_info") if info is None else info
            ElementTree.SubElement(info, "attribute", name="precise", version="0")
    return ElementTree.tostring(marked)
