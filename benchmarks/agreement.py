"""Whether each runtime here says of real covers what eager float32 says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from albo.images import decode
from albo.networks import DEFAULT, find_card
from albo.networks.runtimes import open_runtime
from albo.networks.weights import build
from albo.records import Device
from benchmarks.covers import labels, workspace
from benchmarks.results import Row, Section, at_least, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import nn

    from albo.networks import Card
    from albo.networks.runtimes import Runtime
    from albo.records import Floats, Pixels
    from benchmarks.options import Options

LEAST_COSINE = 0.999
MOST_MARGIN = 0.002
_BATCH = 32


def run(options: Options) -> Section:
    """Embed every real cover with eager torch in float32 and with each runtime, and compare."""
    covers = list(labels())[: options.pick(100_000, 60)]
    with workspace():
        card = find_card(DEFAULT)
        expected = _unit(_eager(build(card), card, covers))
        rows = [row for device in _devices() for row in _rows(device, card, covers, expected)]
    return Section(
        "agreement: every runtime against eager float32",
        rows,
        [
            f"{len(covers):,} covers of both sets, {card.name}. A cover's lead is by how much its"
            " first neighbour is nearer than its second in float32: where that is next to nothing,"
            " which of the two comes first means nothing."
        ],
        ("torch", "timm", "openvino", "numpy"),
    )


def _devices() -> list[Device]:
    import torch

    there = {Device.CUDA: torch.cuda.is_available(), Device.MPS: torch.backends.mps.is_available()}
    return [Device.CPU, *(device for device, is_there in there.items() if is_there)]


def _rows(device: Device, card: Card, covers: Sequence[Path], expected: Floats) -> list[Row]:
    runtime = open_runtime(card, device)
    said = _unit(_by(runtime, card, covers))
    cosines = np.einsum("nd,nd->n", said, expected)
    changed, lead = _changed_neighbours(said, expected)
    what = f"{device.value} ({runtime.arithmetic})"
    least = float(cosines.min())
    return [
        Row(
            f"{what}: least cosine; the median",
            f"{least:.5f}; {np.median(cosines):.5f}",
            target=at_least(least, LEAST_COSINE),
        ),
        Row(
            f"{what}: covers whose first neighbour is another; the greatest lead among them",
            f"{changed} of {len(covers):,}; {lead:.4f}",
            target=at_most(lead, MOST_MARGIN),
        ),
    ]


def _changed_neighbours(said: Floats, expected: Floats) -> tuple[int, float]:
    """Count first neighbours that differ; return the greatest float32 lead of one that does."""
    near = expected @ expected.T
    np.fill_diagonal(near, -np.inf)
    ours = said @ said.T
    np.fill_diagonal(ours, -np.inf)
    second, first = np.partition(near, -2, axis=1)[:, -2:].T
    changed = near.argmax(axis=1) != ours.argmax(axis=1)
    return int(changed.sum()), float((first - second)[changed].max(initial=0.0))


def _eager(network: nn.Module, card: Card, covers: Sequence[Path]) -> Floats:
    import torch

    with torch.inference_mode():
        tops = [
            network(torch.from_numpy(batch))[0].numpy() for batch in _batches(card, covers, _BATCH)
        ]
    return np.concatenate(tops)


def _by(runtime: Runtime, card: Card, covers: Sequence[Path]) -> Floats:
    return np.concatenate(
        [top for top, _ in runtime.encode(_batches(card, covers, runtime.batch_size))]
    )


def _batches(card: Card, covers: Sequence[Path], size: int) -> Iterator[Pixels]:
    for start in range(0, len(covers), size):
        files = covers[start : start + size]
        yield np.stack([decode(file.read_bytes(), card.size, card.resample) for file in files])


def _unit(top: Floats) -> Floats:
    unit: Floats = top / np.linalg.norm(top.astype(np.float64), axis=1, keepdims=True)
    return unit
