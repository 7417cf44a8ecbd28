"""Descriptions of networks, made without loading them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from albo.errors import StaleArtifact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.records import Json
    from albo.store import Vectors


Resample: TypeAlias = Literal["bilinear", "bicubic", "lanczos"]

OWN_LICENCE = "as the file's author says"


@dataclass(frozen=True, slots=True)
class Card:
    """The description of a backbone, known without loading it."""

    name: str
    """The name as the user writes it, with the weights' entry if there is a choice."""
    fingerprint: str
    """SHA-256 (hex) of the weights' file and of everything that affects the network's outputs."""
    dimension: int
    """d, the width of the vector."""
    middle_dimension: int
    """m, the width of the middle; may be 0."""
    size: int
    """The side of the square input in pixels."""
    mean: tuple[float, float, float]
    """For each channel (RGB), on the scale 0 to 255; the input is ``(x - mean) / std``."""
    std: tuple[float, float, float]
    """For each channel (RGB), on the scale 0 to 255."""
    resample: Resample
    """The filter that scales a cover to the input."""
    licence: str
    """The licence of the weights."""
    commercial: bool
    """Whether the licence is known to allow commercial use."""
    weights: str
    """The path of the weights' file."""

    @property
    def is_published(self) -> bool:
        """Whether the weights are the published ones, rather than a file of the user's."""
        return self.licence != OWN_LICENCE

    def as_json(self) -> Json:
        """Return the card in plain JSON types, for a manifest."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, content: Json) -> Card:
        """Read the JSON of `as_json`. Raises KeyError, TypeError or ValueError for any other."""
        triples = {key: _triple(content[key]) for key in ("mean", "std")}
        card = cls(**{**{key: content[key] for key in cls.__slots__}, **triples})
        if not _is_sound(card):
            raise ValueError("not the card of a backbone")
        return card


def _triple(numbers: Sequence[object]) -> tuple[float, float, float]:
    red, green, blue = (float(cast("float", x)) for x in numbers)
    return red, green, blue


def _is_sound(card: Card) -> bool:
    texts = (card.name, card.fingerprint, card.licence, card.weights)
    whole = (card.dimension, card.middle_dimension, card.size)
    return (
        all(type(x) is str for x in texts)
        and all(type(x) is int for x in whole)
        and type(card.commercial) is bool
        and card.dimension > 0
        and card.middle_dimension >= 0
        and card.size > 0
        and card.resample in get_args(Resample)
        and re.fullmatch(r"[0-9a-f]{64}", card.fingerprint) is not None
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """One line of `albo backbones`: an available network."""

    name: str
    """The name as the user writes it."""

    dimension: int
    """Width of the pooled top."""

    size: int
    """Side of the square input in pixels."""

    licence: str
    """The weights' licence."""

    commercial: bool
    """Whether the licence is known to allow commercial use."""

    weights_here: bool
    """Whether the weights are on this machine."""


def card_of(vectors: Vectors) -> Card:
    """Return the card of the backbone that made some vectors. Raises StaleArtifact if lost."""
    try:
        return Card.from_json(vectors.extra["card"])
    except (KeyError, TypeError, ValueError) as error:
        raise StaleArtifact(
            f"{vectors.folder} does not say how its vectors were made; run `{vectors.kind.mend}`"
        ) from error
