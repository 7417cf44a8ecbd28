"""Backbones: frozen networks with weights and preprocessing, ready to turn covers into vectors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from albo import networks
from albo.artifacts import cache_folder, read_json, write_json
from albo.errors import CannotWrite
from albo.records import Embeddings
from albo.runtimes import Device, open_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from albo.networks import Card
    from albo.records import Floats, Json, Pixels
    from albo.runtimes import Runtime

_NEAR_DUPLICATE = {networks.DEFAULT: (0.83, 0.85)}
# Networks differ in how near to each other they put unlike covers: where nobody has looked at
# pairs, a threshold is used that holds for the crowded spaces (ResNet's) too.
_NEAR_DUPLICATE_UNKNOWN = (0.95, 0.96)


class Backbone(Protocol):
    """What turns pixels into embeddings."""

    @property
    def device(self) -> str:
        """Where it runs: cpu, cuda or mps."""
        ...

    @property
    def batch_size(self) -> int:
        """How many covers a batch has at most."""
        ...

    def encode(self, batches: Iterable[Pixels]) -> Iterator[Embeddings]:
        """Embed batches of pixels, in order.

        batches : uint8 (n, size, size, 3) with n ≤ batch_size. Yields as many embeddings of n rows.
        """
        ...


@dataclass(frozen=True)
class FrozenBackbone:
    """A network on its runtime."""

    card: Card
    runtime: Runtime

    @property
    def device(self) -> str:
        """Where it runs: cpu, cuda or mps."""
        return self.runtime.device.value

    @property
    def batch_size(self) -> int:
        """How many covers a batch has at most."""
        return self.runtime.batch_size

    def encode(self, batches: Iterable[Pixels]) -> Iterator[Embeddings]:
        """Embed batches of pixels, in order; a network that says nothing of a cover gives NaN."""
        for top, middle in self.runtime.encode(batches):
            yield Embeddings(_unit(top), middle)


def _unit(top: Floats) -> Floats:
    """Scale rows to unit length, in double precision. A zero row becomes NaN."""
    norms = np.sqrt(np.einsum("ij,ij->i", top, top, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        unit: Floats = (top / norms[:, None]).astype(np.float32)
    return unit


def find_card(name: str, weights: Path | None = None, *, fetch: bool = True) -> Card:
    """Say what a backbone is, from memory where its weights' file has not changed since.

    Asking torch takes seconds, so what was found is kept beside the exported networks.
    Raises UnknownBackbone, MissingWeights.
    """
    asked = f"{name}\n{weights.resolve() if weights else ''}\n{networks.OUTPUTS_VERSION}"
    memory = cache_folder() / "cards" / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"
    known = _remembered(memory)
    if known is not None:
        return known
    card = networks.describe(name, weights, fetch=fetch)
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, {"card": card.as_json(), "stamp": _stamp(card)})
    except (OSError, CannotWrite):
        pass  # a read-only home costs seconds, nothing else
    return card


def _remembered(memory: Path) -> Card | None:
    try:
        content = read_json(memory)
        card = networks.Card.from_json(content["card"])
        return card if content["stamp"] == _stamp(card) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stamp(card: Card) -> list[int]:
    found = Path(card.weights).stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def card_from_json(content: Json) -> Card:
    """Read a card that was kept with vectors. Raises KeyError or TypeError for anything else."""
    return networks.Card.from_json(content)


def open_backbone(
    card: Card,
    device: Device = Device.AUTO,
    batch_size: int | None = None,
    *,
    single: bool = False,
    note: Callable[[str], None] = lambda _line: None,
) -> FrozenBackbone:
    """Load a backbone. See `albo.runtimes.open_runtime`. Raises RuntimeFailed, MissingWeights."""
    return FrozenBackbone(card, open_runtime(card, device, batch_size, single=single, note=note))


def near_duplicate_thresholds(card: Card) -> tuple[float, float, bool]:
    """Return the cosines from which covers are grouped, and shown as duplicates; if measured."""
    family = card.name.partition(":")[0]
    grouped, shown = _NEAR_DUPLICATE.get(family, _NEAR_DUPLICATE_UNKNOWN)
    return grouped, shown, family in _NEAR_DUPLICATE
