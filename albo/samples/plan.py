"""The list of sample covers: styles, invented artists and albums, always the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from albo.errors import UsageError

MOST_PER_STYLE = 800
"""Sample numbers leave room for this many covers of a style."""


KEPT_PER_STYLE = 2


STYLES: tuple[str, ...] = (
    "Swiss grid",
    "Woodcut",
    "Halftone portrait",
    "Watercolour landscape",
    "Neon grid",
    "Particle swirl",
    "Concrete blocks",
    "Botanical ornament",
    "Op art",
    "Torn collage",
    "Night city",
    "One line",
)
"""Named after the drawings. They are not genres of music."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One cover to draw."""

    style: str
    """The name of the style that it is drawn in."""
    artist: str
    """The artist's name."""
    album: str
    """The album's title."""
    year: int
    """The year of release."""
    number: int
    """The number of this cover."""
    copy_of: int | None = None
    """The number of the cover that this one repeats; None if it is an original."""


def _words(text: str) -> list[str]:
    return text.split()


_FIRST = _words("""
    Amber Apricot Argyle Ashen Basalt Bellows Borrowed Brass Calico Cedar Cinder Cobalt Copper
    Crooked Damask Distant Drowsy Dusty Eastward Elder Fallow Feather Ferrous Flannel Folded
    Forgotten Gilded Glass Granite Half Harbour Hazel Hollow Inland Ivory Juniper Kindly Lacquer
    Lantern Linen Lunar Marbled Merry Mineral Mottled Narrow Nearly Oblique Ochre Opal Orchard
    Outer Painted Paper Parallel Patient Pewter Pocket Quartz Quiet Rumpled Saffron Salted
    Sandstone Second Sleepless Slow Spare Sundry Tangled Thistle Tidal Timber Umber Unlit
    Velour Verdant Walnut Wandering Woollen
""")


_SECOND = _words("""
    Abacus Almanac Aqueduct Archers Atlas Ballast Barometer Beacon Beekeepers Bicycle Binoculars
    Botanists Bricklayers Cartographers Causeway Compass Conductor Cormorant Dormouse Embassy
    Equinox Escalator Estuary Ferry Footnotes Foundry Gazette Glaciers Gondola Greenhouse
    Harvesters Hedgerow Heron Isobars Isthmus Kiosk Ledger Lighthouse Lockkeepers Longitudes
    Magpies Meridian Metronome Mezzanine Millwright Mosaic Nocturnes Observatory Octagon Orrery
    Pangolin Parasol Pavilion Peninsula Periscope Pilots Postcards Quarry Rafters Reservoir
    Rookery Sawmill Semaphore Sextant Shipwrights Signalmen Skylight Solstice Sparrows Stationers
    Tangents Terrace Thermals Tollhouse Typists Viaduct Watermark Weathervane Windmill Zeppelin
""")


_THINGS = _words("""
    Afternoon Anchor Ashes Avalanche Balcony Bells Bridges Carousel Chalk Circles Clockwork Coast
    Corridor Currents Daylight Delta Distance Drift Echo Ember Fathom Fever Field Fires Floods
    Fold Frequency Garden Ghosts Gravity Half-Light Harvest Horizon Hours Island Kites Ladder
    Lanes Letters Machines Maps Mirrors Morning Moth Motion Needle North Oceans Orbit Pages Paths
    Pattern Pulse Rain Rivers Roof Salt Season Shadows Shelter Signal Silver Smoke Snow Station
    Stones Strangers Summer Surface Thread Tides Towers Traffic Tunnel Valley Voices Water Weather
    Windows Winter Wires
""")


_KINDS = _words("""
    Bright Broken Cold Common Deep Early Empty Endless Electric Familiar First Foreign
    Gentle Heavy Hidden High Invisible Last Late Little Long Lost Low New Old Open Other Perfect
    Plain Private Pure Red Blue Restless Secret Simple Sudden Temporary Thin True Warm White Wide
""")


EDITIONS = ("Deluxe Edition", "Remastered", "Anniversary Edition")
"""The kinds of reissue: with a sticker, cropped and brightened, or in a border and rescaled."""


@lru_cache(maxsize=1)
def _artists() -> tuple[str, ...]:
    """Return every artist's name, in a fixed shuffled order."""
    names = [f"{a} {b}" for a in _FIRST for b in _SECOND]
    order = generator("artists").permutation(len(names))
    return tuple(("The " if k % 3 == 0 else "") + names[i] for k, i in enumerate(order.tolist()))


def _title_of_album(rng: np.random.Generator) -> str:
    one, two = (_THINGS[i] for i in rng.choice(len(_THINGS), 2, replace=False))
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    forms = (one, f"{kind} {one}", f"{one} & {two}", f"{one} of {two}", f"The {kind} {one}")
    return forms[int(rng.choice(5, p=(0.2, 0.3, 0.15, 0.2, 0.15)))]


def _discography(style: str, artist: str, count: int, number: int) -> list[Sample]:
    """Make `count` albums of one artist, each with another title."""
    rng = generator("albums", style, artist)
    titles: list[str] = []
    while len(titles) < count:
        title = _title_of_album(rng)
        if title not in titles:
            titles.append(title)
    start = int(rng.integers(1968, 2016))
    return [
        Sample(style, artist, title, start + 2 * k, number + k) for k, title in enumerate(titles)
    ]


def _copy(original: Sample, number: int, edition: str) -> Sample:
    album, year = f"{original.album} ({edition})", original.year + 1
    return Sample(original.style, original.artist, album, year, number, original.number)


def _plan_style(row: int, per_style: int) -> list[Sample]:
    """Return a style's labelled covers: about ten artists for 25 covers, two of them copies."""
    style, copies = STYLES[row], per_style // 12
    originals = per_style - copies
    artists = _artists()[row :: len(STYLES)][: max(1, round(per_style / 2.5))]
    samples: list[Sample] = []
    for k, artist in enumerate(artists):
        count = originals // len(artists) + (k < originals % len(artists))
        samples += _discography(style, artist, count, 1000 * row + len(samples))
    for k in range(copies):
        original = samples[(k * len(samples)) // copies]
        edition = EDITIONS[(row + k) % len(EDITIONS)]
        samples.append(_copy(original, 1000 * row + len(samples), edition))
    return samples


def plan_samples(per_style: int = 25) -> tuple[Sample, ...]:
    """Return all labelled sample covers, style by style, always the same.

    Parameters
    ----------
    per_style : int
        Covers of each style, 1 to 800. One in twelve repeats another cover's artwork.

    Raises
    ------
    UsageError
        When `per_style` is out of range.
    """
    if not 1 <= per_style <= MOST_PER_STYLE:
        raise UsageError(
            f"{per_style} sample covers per style, but 1 to {MOST_PER_STYLE} can be drawn;"
            " the usual number is 25"
        )
    return tuple(s for row in range(len(STYLES)) for s in _plan_style(row, per_style))


def plan_kept_aside() -> tuple[Sample, ...]:
    """Return two covers of each style, by artists that `plan_samples` never names, for tests."""
    samples: list[Sample] = []
    spare = _artists()[-KEPT_PER_STYLE * len(STYLES) :]
    for k, artist in enumerate(spare):
        row, place = divmod(k, KEPT_PER_STYLE)
        samples += _discography(STYLES[row], artist, 1, 1000 * row + MOST_PER_STYLE + place)
    return tuple(samples)


def generator(*words: object) -> np.random.Generator:
    """Make a generator that depends only on the words: the same in every process."""
    digest = hashlib.sha256("\x1f".join(map(str, words)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
