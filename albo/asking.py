"""How covers are asked about: which head answers, with what settings, and what stands on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from albo.errors import UsageError
from albo.records import Device, Prior, choose
from albo.words import Given

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from albo.limits import Limits


class AskingOptions(TypedDict, total=False):
    """The options of `Asking`, as keyword arguments."""

    head: str | None
    """As `Asking.head`."""
    prior: Prior | str
    """As `Asking.prior`, or its plain text."""
    decide: float
    """As `Asking.decide`."""
    coverage: float
    """As `Asking.coverage`."""
    device: Device | str
    """As `Asking.device`, or its plain text."""
    limits: Limits | None
    """As `Asking.limits`."""
    words: bool
    """As `Asking.words`."""
    artists: Sequence[str]
    """As `Asking.artists`."""
    titles: Sequence[str]
    """As `Asking.titles`."""
    texts: Sequence[str]
    """As `Asking.texts`."""


@dataclass(frozen=True)
class Asking:
    """How covers are asked about."""

    head: str | None = None
    """The name of the head that answers; None is the one that was trained last."""
    prior: Prior = Prior.CORPUS
    """Which genre frequencies probabilities refer to."""
    decide: float = 0.5
    """The least probability of a decided answer, 0 to 1."""
    coverage: float = 0.9
    """How often the set shall hold the true genre: above 0 and below 1."""
    device: Device = Device.AUTO
    """Where the backbone runs."""
    limits: Limits | None = None
    """The largest files and images that are read; None is the usual limits."""
    words: bool = True
    """Whether the words on covers are read, where the head looks at words."""
    artists: tuple[str, ...] = ()
    """The artist of each cover that is asked about, "" where unknown; () names none.

    What a head has learnt of an artist's other covers is then left out of the answer, and the name
    counts as standing on the cover.
    """
    titles: tuple[str, ...] = ()
    """The title of each cover, "" where unknown; () names none. It counts as standing on it."""
    texts: tuple[str, ...] = ()
    """Other text that stands on each cover, or will; "" for none, () for none at all."""

    @classmethod
    def of(cls, **options: Unpack[AskingOptions]) -> Asking:
        """Make one of keyword arguments, in which choices may be plain text. Raises UsageError."""
        prior = choose(Prior, options.get("prior", cls.prior), "prior")
        device = choose(Device, options.get("device", cls.device), "device")
        said = {
            name: _as_list(name, options.get(name, ())) for name in ("artists", "titles", "texts")
        }
        chosen = {"prior": prior, "device": device, **said}
        return cls(**{**options, **chosen})  # type: ignore[arg-type]

    def given(self, covers: int) -> list[Given]:
        """Return what is said to stand on each of n covers. Raises UsageError."""
        if not self.words and any((*self.titles, *self.texts)):
            raise UsageError(
                "--title and --text count among the words on a cover; leave out --no-words"
            )
        columns = (
            _one_each(self.artists, covers, "--artist"),
            _one_each(self.titles, covers, "--title"),
            _one_each(self.texts, covers, "--text"),
        )
        return [Given.of(*each) for each in zip(*columns, strict=True)]


def _as_list(name: str, given: object) -> tuple[str, ...]:
    """Return texts as a tuple. Raises UsageError for a text alone, which is a list of letters."""
    if isinstance(given, str):
        raise UsageError(f"{name}={given!r}; give a list, one of {name} for each cover")
    return tuple(given)  # type: ignore[arg-type]


def _one_each(given: Sequence[str], covers: int, name: str) -> Sequence[str]:
    """Return one text for each of n covers, "" where none was given. Raises UsageError."""
    if given and len(given) != covers:
        count = "1 cover" if covers == 1 else f"{covers} covers"
        raise UsageError(
            f"{len(given)} {name} for {count}; give one for each, in their order, '' for none"
        )
    return given or [""] * covers
