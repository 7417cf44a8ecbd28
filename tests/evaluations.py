"""Evaluations of nothing real, for the page and the tables: drawn covers, made-up figures."""

from __future__ import annotations

import io
from functools import cache

import numpy as np

from albo.learning import (
    MAJORITY,
    NEAREST,
    NO_HEAD,
    Corpus,
    Leak,
    LearningPoint,
    LeftOut,
    Mistake,
    ModelCard,
    ReviewedEvaluation,
    Row,
    metrics,
)
from albo.records import Album, ShownCover
from albo.samples.covers import draw_sample
from albo.samples.plan import plan_samples

FIVE = ("Electronic", "Hip-Hop/Rap", "Jazz", "Metal", "Pop")
HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "موسيقى عربية",
    "W" * 300,
    "a\x00b\x1b[31mc\u202ed\ud800e\uffff",
    "{{ 7*7 }} {% raw %} $x^2$",
    "演歌 / J-Pop ✨",
    "-->]]></style></svg><b>",
)


def genres_of(count: int) -> tuple[str, ...]:
    """Name genres: the shop's for 36, five for 5."""
    if count == len(FIVE):
        return FIVE
    from albo.genres import umbrellas

    return tuple(genre.name for genre in umbrellas())[:count]


def simulate(count: int, genres: int, skill: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities (2, n, c) that know as much of them as `skill` says."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.integers(genres, size=count), rng.integers(genres, size=count))
    layers = []
    for _ in range(2):
        logits = rng.normal(size=(count, genres)) + 0.5 * np.cos(np.arange(genres))
        logits[np.arange(count), labels] += skill * rng.random(count) * 2
        layers.append(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    return labels, np.stack(layers)


@cache
def summarise(genres: int, skill: float) -> metrics.ScoreSummary:
    """Figures of 400 covers, as good as `skill` says."""
    labels, probabilities = simulate(400, genres, skill)
    groups = np.arange(400) // 2
    return metrics.summarise(labels, probabilities, probabilities > 0.05, groups, draws=100)


def make_row(genres: tuple[str, ...], skill: float, **said: object) -> Row:
    """One way of predicting, as good as `skill` says."""
    values: dict[str, object] = {
        "view": "image",
        "head": "logistic",
        "split": "grouped",
        "covers": 400,
        "genres": genres,
        "groups": (40,) * len(genres),
        "summary": summarise(len(genres), skill),
        "artists_known": 0.9,
    }
    return Row(**(values | said))  # type: ignore[arg-type]


@cache
def thumbnails() -> tuple[bytes, ...]:
    """Drawn covers, 160 px."""
    made = []
    for sample in plan_samples()[:60:3]:
        out = io.BytesIO()
        draw_sample(sample, 160).save(out, "JPEG", quality=80)
        made.append(out.getvalue())
    return tuple(made)


def make_mistakes(genres: tuple[str, ...], count: int = 20, near: int = 5) -> tuple[Mistake, ...]:
    """Mistakes of drawn covers."""
    pictures = thumbnails()
    names = ("The Long Winters", "Ana Prada", "", "Kairo Orchestra of the Upper Nile and Friends")

    def cover(number: int, score: float = 0.0) -> ShownCover:
        digest = number.to_bytes(32, "big")
        album = Album(
            "somewhere",
            str(number),
            f"/home/somebody/covers/{number}.jpg",
            digest,
            name=("Late Light", "Ⅱ", "", "What We Said When the Harbour Froze")[number % 4],
            artist=names[number % len(names)],
            year=(1998, None, 2015)[number % 3],
        )
        picture = b"" if number == 7 else pictures[number % len(pictures)]
        return ShownCover(digest, album, genres[number % len(genres)], score, thumbnail=picture)

    return tuple(
        Mistake(
            cover(number),
            genres[(number + 1) % len(genres)],
            0.97 - number * 0.02,
            genres[: 1 + number % 4],
            ("LATE LIGHT", "the long winters")[: number % 3],
            tuple(cover(number * 5 + place + 1, 0.93 - place * 0.04) for place in range(near)),
        )
        for number in range(count)
    )


def make_card(genres: tuple[str, ...], **said: object) -> ModelCard:
    """A model card of made-up data."""
    values: dict[str, object] = {
        "covers": 400,
        "groups": 200,
        "genres": len(genres),
        "sources": (("labels.csv", 380), ("itunes", 20)),
        "evaluated": "2026-01-02",
        "level": "genre",
        "split": "grouped",
        "folds": 5,
        "seeds": (0, 1, 2, 3, 4),
        "coverage": 0.9,
        "head": "logistic",
        "views": (("image", "ab12cd34"), ("characters", "ef56ab78"), ("meaning", "9012cdef")),
        "backbone": "efficientnet-lite0",
        "licence": "Apache-2.0",
        "settings": (("C of image", "0.001"), ("weights", "0.3, 0.3, 0.4")),
        "libraries": (("albo", "0.1"), ("numpy", "2.3.1"), ("scikit-learn", "1.8.0")),
        "artists_known": 0.9,
        "first_year": 1961,
        "last_year": 2023,
        "from_charts": 20,
        "conflicting": 3,
        "unlabelled": 12,
        "left_out": (LeftOut("Skiffle", 4, 3),),
        "near_duplicates_measured": False,
    }
    return ModelCard(**(values | said))  # type: ignore[arg-type]


def make_evaluation(
    genres: tuple[str, ...] = FIVE, mistakes: tuple[Mistake, ...] | None = None
) -> ReviewedEvaluation:
    """An evaluation with everything in it."""
    labels, probabilities = simulate(400, len(genres), 2.0)
    groups = np.arange(400) // 2
    _, better = simulate(400, len(genres), 2.4)
    leak = Leak(
        make_row(genres, 2.0).summary.top1,
        make_row(genres, 2.4).summary.top1,
        metrics.paired_difference(labels, better, probabilities, groups),
    )
    everything = "image+characters+meaning"
    rows = (
        make_row(genres, 2.0, view=everything, selected=True, leak=leak),
        make_row(genres, 2.4, view=everything, split="random", leaky=True),
        make_row(genres, 1.4, view="image"),
        make_row(genres, 1.5, view="image", head="lightgbm"),
        make_row(genres, 1.7, view="image+characters"),
        make_row(genres, 0.7, view=NEAREST, head=NO_HEAD),
        make_row(genres, 0.0, view=MAJORITY, head=NO_HEAD),
    )
    return ReviewedEvaluation(
        rows=rows,
        corpus=Corpus((), genres, labels, groups, ()),
        seeds=(0, 1),
        scored=np.arange(400),
        probabilities=probabilities,
        sets=probabilities > 0.05,
        reliability=metrics.reliability(labels, probabilities, groups, draws=100),
        risk_coverage=metrics.risk_coverage(labels, probabilities, groups, draws=100),
        confusion=metrics.confusion(labels, probabilities),
        card=make_card(genres),
        learning_curve=tuple(
            LearningPoint(
                n,
                int(n * len(genres)),
                make_row(genres, skill).summary.top1,
                make_row(genres, skill).summary.top3,
            )
            for n, skill in ((5.0, 0.9), (10.0, 1.3), (20.0, 1.7), (38.4, 2.0))
        ),
        leak=leak,
        mistakes=make_mistakes(genres) if mistakes is None else mistakes,
    )
