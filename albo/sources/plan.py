"""The charts of a harvest, its speed, and its results."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from albo.errors import UsageError
from albo.genres import find_genre, umbrellas, with_subgenres
from albo.sources.charts import (
    BASE_URL,
    LIMIT,
    Address,
    ChartRequest,
    admits_artwork,
    check_base_url,
    check_storefront,
)
from albo.sources.downloads import Downloads
from albo.sources.politeness import Politeness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.records import Json


EVERY_GENRE = "all"
"""The word for every umbrella genre."""

ART_SIZE = 1_000
RATE = 20.0
"""Charts a minute, about the limit that Apple states."""
ART_RATE = 5.0
"""Artworks a second."""
_LARGEST_CHART = 32 << 20
_LARGEST_ARTWORK = 16 << 20
_SIZES = 3  # sizes to try for one artwork
_USUAL = 100  # albums that a chart usually lists, even if asked for more


# --- settings and plan ---------------------------------------------------------------------------


@dataclass(frozen=True)
class HarvestSettings:
    """The settings of a harvest, as the user gives them."""

    genres: Sequence[str]
    """Names or ids, "all" for every umbrella; each comes with its subgenres."""
    storefronts: Sequence[str] = ("us",)
    """Countries, by two letters."""
    base_url: str | None = None
    """The charts' server; None is `$ALBO_ITUNES_URL`, else Apple's."""
    limit: int = LIMIT
    """Albums to ask of each chart."""
    art_size: int = ART_SIZE
    """Pixels a side of artwork."""
    rate: float = RATE
    """Charts a minute; 0 for no limit."""
    art_rate: float = ART_RATE
    """Artworks a second; 0 for no limit."""
    contact: str = ""
    """A mail or web address to send with each request."""
    timeout: float = 60.0
    """Seconds for one attempt."""
    attempts: int = 5
    """The number of attempts for one URL."""
    backoff: float = 1.0
    """Seconds until the second attempt; they double."""

    def __post_init__(self) -> None:
        """Raise UsageError if a number is too small or infinite."""
        least = {
            "limit": 1, "art_size": 1, "rate": 0, "art_rate": 0, "timeout": 0.01, "attempts": 1,
            "backoff": 0,
        }  # fmt: skip
        for name, bound in least.items():
            value = getattr(self, name)
            if not bound <= value < math.inf:
                raise UsageError(f"{name} is {value}; it has to be {bound:g} or more")

    def plan(self) -> Plan:
        """Choose the charts. Raises UsageError, UnknownGenre if a word is not understood."""
        url = self.base_url or os.environ.get("ALBO_ITUNES_URL") or BASE_URL
        base_url = check_base_url(url)
        parts = plan_parts(self.genres, self.storefronts, base_url, self.limit)
        return Plan(parts, base_url, self.limit, self.art_size)

    def downloads(self, plan: Plan) -> tuple[Downloads, Downloads]:
        """Prepare the downloads of charts and those of artwork. Raises UsageError."""
        charts = Politeness(
            seconds_apart=60 / self.rate if self.rate else 0.0,
            attempts=self.attempts,
            backoff=self.backoff,
            timeout=self.timeout,
            max_bytes=_LARGEST_CHART,
            contact=self.contact,
        )
        import requests

        apart = 1 / self.art_rate if self.art_rate else 0.0
        artwork = replace(
            charts,
            seconds_apart=apart,
            max_bytes=_LARGEST_ARTWORK,
            give_up=_SIZES * charts.give_up,
        )
        # The host as in a request: names in other scripts are encoded.
        asked = requests.Request("GET", plan.base_url).prepare().url or ""
        home = urlsplit(asked).hostname or ""
        return (
            Downloads(lambda host: host == home, charts),
            Downloads(lambda host: admits_artwork(host, home), artwork),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a plan for one genre name."""

    name: str
    """The genre's name in the taxonomy."""
    requests: tuple[ChartRequest, ...]
    """Its charts by storefront; in each, the genre's chart before those of its subgenres."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a harvest."""

    parts: tuple[Part, ...]
    """The genres with their charts, umbrellas first."""
    base_url: str
    """The charts' server, without a slash at the end."""
    limit: int
    """Albums to ask of each chart."""
    art_size: int
    """Pixels a side of artwork to ask for."""

    @property
    def requests(self) -> list[tuple[Part, ChartRequest]]:
        """Every chart request with the part that it belongs to, in the order of asking."""
        return [(part, request) for part in self.parts for request in part.requests]

    @property
    def key(self) -> str:
        """The run's key, the same when a command is repeated."""
        urls = "\n".join(request.url for _, request in self.requests)
        return hashlib.sha256(urls.encode()).hexdigest()

    def describe(self, rate: float, art_rate: float) -> Json:
        """Return what will be asked for, and how long that takes at least.

        Parameters
        ----------
        rate : charts a minute; 0 for no limit.
        art_rate : artworks a second; 0 for no limit.
        """
        charts = len(self.requests)
        albums = charts * self.limit
        return {
            "charts": charts,
            "storefronts": sorted({request.address.storefront for _, request in self.requests}),
            "albums_at_most": albums,
            "albums_usually": min(albums, charts * _USUAL),
            "chart_seconds": round(charts * 60 / rate) if rate else 0,
            "artwork_seconds_at_most": round(albums / art_rate) if art_rate else 0,
            "artwork_seconds_usually": (
                round(min(albums, charts * _USUAL) / art_rate) if art_rate else 0
            ),
        }


def plan_parts(
    genres: Sequence[str],
    storefronts: Sequence[str],
    base_url: str = BASE_URL,
    limit: int = LIMIT,
) -> tuple[Part, ...]:
    """Choose the charts of genres, by name or id, each with its subgenres, without repeats.

    Parameters
    ----------
    base_url : the charts' server, as `check_base_url` returns it.
    limit : albums to ask of each chart.

    Raises UnknownGenre, and UsageError, also if nothing is named.
    """
    if not genres:
        raise UsageError("which genres? name some with --genre, or --genre all")
    named = [
        genre
        for text in genres
        for genre in (
            umbrellas() if text.strip().casefold() == EVERY_GENRE else (find_genre(text),)
        )
    ]
    codes = list(dict.fromkeys(map(check_storefront, storefronts)))
    taken: set[int] = set()
    parts = []
    # Umbrellas first, in any order of names: a subgenre named too belongs to its umbrella.
    for genre in sorted(dict.fromkeys(named), key=lambda genre: genre.parent_id is not None):
        own = [each for each in with_subgenres(genre) if each.id not in taken]
        taken.update(each.id for each in own)
        if own:
            charts = [Address(code, each) for code in codes for each in own]
            requests = (ChartRequest(chart, chart.url(base_url, limit)) for chart in charts)
            parts.append(Part(genre.name, tuple(requests)))
    return tuple(parts)


# --- the outcome ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """The result of a harvest for one part of the plan."""

    genre: str
    """The name of the part of the plan."""
    asked: int = 0
    """Albums that were asked of charts."""
    listed: int = 0
    """Albums that charts listed; each is either new or known."""
    new: int = 0
    """Albums that the catalog did not have."""
    known: int = 0
    """Albums that the catalog had."""
    covers: int = 0
    """Covers that were stored, one for each album."""
    failed: int = 0
    """Charts and covers that failed."""
    art_missing: int = 0
    """Albums for which the charts give no artwork."""
    reasons: Counter[str] = field(default_factory=Counter)
    """The number of failures for each reason; their sum is `failed`."""

    def fail(self, reason: str) -> None:
        """Count a chart or a cover that failed."""
        self.failed += 1
        self.reasons[reason] += 1

    def as_json(self) -> Json:
        """Return the object that `albo harvest --json` prints for it."""
        return {
            "genre": self.genre,
            "asked": self.asked,
            "listed": self.listed,
            "new": self.new,
            "known": self.known,
            "covers": self.covers,
            "failed": self.failed,
            "reasons": dict(self.reasons.most_common()),
        }


@dataclass(frozen=True, slots=True)
class Harvested:
    """The result of a harvest."""

    tallies: tuple[Tally, ...]
    """One for each part of the plan, in its order."""
    seconds: float
    """How long it took."""

    @property
    def total(self) -> Tally:
        """The sum of all tallies."""
        total = Tally("total")
        for tally in self.tallies:
            total.asked += tally.asked
            total.listed += tally.listed
            total.new += tally.new
            total.known += tally.known
            total.covers += tally.covers
            total.failed += tally.failed
            total.art_missing += tally.art_missing
            total.reasons += tally.reasons
        return total
