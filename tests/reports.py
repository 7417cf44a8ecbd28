"""Reports of nothing real, for the page: drawn covers, made-up figures."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from albo.answers import Apart, Draft, Explained, Report, Title, Votes, judge
from albo.answers.reference import Typicality
from albo.answers.thumbnails import SmallLine, Thumbnail
from albo.classify import Classified
from albo.heads import ActivationMap, Reasons, ViewReason, WordReason
from albo.images import Facts
from albo.neighbours import Standing
from albo.records import Album, Line, Prediction, ShownCover

GENRES = ("Country", "Rock", "Jazz", "Folk", "Blues", "Pop", "Metal", "Soul")


@cache
def draw(kind: str, width: int, height: int, colour: str = "sienna") -> bytes:
    """A picture of nothing, as JPEG or PNG."""
    image = Image.new("RGB", (width, height), "wheat")
    ImageDraw.Draw(image).ellipse((width / 5, height / 5, width / 2, height / 2), fill=colour)
    written = io.BytesIO()
    image.save(written, kind)
    return written.getvalue()


def predict(
    first: tuple[tuple[str, float], ...], inside: tuple[str, ...], *, decided: bool
) -> Prediction:
    """An answer: the genres given, then the others of GENRES, which share what is left."""
    named = [genre for genre, _ in first]
    others = [genre for genre in GENRES if genre not in named]
    left = (1 - sum(p for _, p in first)) / len(others)
    both = sorted([*first, *((genre, left) for genre in others)], key=lambda one: -one[1])
    return Prediction(tuple(g for g, _ in both), tuple(p for _, p in both), inside, decided)


OWN = np.linspace(0.05, 0.9, 24)
"""What a genre's own covers read as while held out: none below 5 %."""

READS = predict((("Country", 0.72), ("Folk", 0.12)), ("Country", "Folk"), decided=True)
OTHER = predict((("Rock", 0.64), ("Country", 0.08)), ("Rock", "Country"), decided=True)
UNSURE = predict((("Rock", 0.38), ("Country", 0.21)), GENRES[:5], decided=False)
UNLIKELY = predict((("Rock", 0.41), ("Jazz", 0.39), ("Country", 0.01)), ("Rock",), decided=False)


def make_near(number: int, genre: str, score: float, **said: object) -> ShownCover:
    """A known cover that is near to a draft."""
    values: dict[str, object] = {
        "digest": number.to_bytes(32, "big"),
        "artist": f"Artist {number}",
        "name": f"Album {number}",
        "year": 1990 + number,
        "uri": f"/home/somebody/covers/{number}.jpg",
    }
    album = Album("somewhere", str(number), **(values | said))  # type: ignore[arg-type]
    picture = draw("JPEG", 160, 160, "teal")
    return ShownCover(album.digest or b"", album, genre, score, thumbnail=picture)


def make_map(*evidence: float) -> ActivationMap:
    """A map of 2 by 2 places, and as much again that has no place."""
    places = np.array(evidence).reshape(2, 2)
    return ActivationMap(places, float(places.sum()), float(places.sum()))


def make_reasons(**said: object) -> Reasons:
    """Reasons of all kinds."""
    values: dict[str, object] = {
        "genre": "Country",
        "views": (
            ViewReason("characters", 1.2),
            ViewReason("image", 0.55),
            ViewReason("meaning", -0.3),
        ),
        "words": (
            WordReason("cactus", "characters", 1.45),
            WordReason("CACTUS SONGS", "meaning", -0.62),
        ),
        "activation": make_map(0.4, 0.1, -0.2, -0.1),
    }
    return Reasons(**(values | said))  # type: ignore[arg-type]


def make_draft(prediction: Prediction = READS, letter: str = "A", **said: object) -> Draft:
    """A draft of which everything is known."""
    genre = str(said.pop("genre", "Country"))
    place = prediction.genres.index(genre)
    values: dict[str, object] = {
        "letter": letter,
        "query": f"/home/somebody/drafts/draft-{letter}.png",
        "digest": bytes([200 + ord(letter[0]) % 50]) * 32,
        "judgement": judge(prediction, genre, OWN),
        "prediction": prediction,
        "probability": prediction.probabilities[place],
        "rank": place + 1,
        "among": Standing(8, 2, 14),
        "typicality": Typicality(0.03, Standing(5, 0, 20)),
        "reasons": make_reasons(genre=genre),
        "votes": Votes(genre, 25, 7, 4.25, (), (), ()),
        "own": tuple(make_near(n, genre, 0.9 - n / 20) for n in range(1, 7)),
        "others": tuple(make_near(n, "Rock", 0.9 - n / 20) for n in range(11, 17)),
        "words": ("CACTUS SONGS", "small print"),
        "lines": (
            Line("CACTUS SONGS", (0.1, 0.1, 0.9, 0.12, 0.9, 0.25, 0.1, 0.23), 0.9),
            Line("small print", (0.1, 0.9, 0.3, 0.9, 0.3, 0.93, 0.1, 0.93), 0.9),
        ),
        "facts": Facts("image/png", 1400, 1400),
        "thumbnail": Thumbnail(
            draw("PNG", 55, 55),
            (SmallLine("CACTUS SONGS", 9.25, "CACTUS SONCS"), SmallLine("small print", 1.5, "")),
            Title("CACTUS SONGS", is_named=False, on_cover=1.0, share=1.0, pixels=9.25),
        ),
        "picture": draw("JPEG", 640, 640),
        "speaks_for": draw("PNG", 640, 640, "gray"),
        "speaks_against": draw("PNG", 640, 640, "silver"),
    }
    return assemble(values | said)


def assemble(values: dict[str, object]) -> Draft:
    """A draft of these values; those that its explanation holds go there."""
    why = {
        name: values.pop(name) for name in ("reasons", "votes", "own", "others") if name in values
    }
    classified = {
        name: values.pop(name)
        for name in ("query", "prediction", "words", "given", "not_read", "error")
        if name in values
    }
    return Draft(why=Explained(Classified(**classified), **why), **values)  # type: ignore[arg-type]


def make_bare(reason: str, **said: object) -> Draft:
    """A draft of which nothing is known but what a head of the image alone says."""
    values: dict[str, object] = {
        "among": None,
        "no_standing": reason,
        "typicality": None,
        "no_typicality": reason,
        "votes": None,
        "no_votes": reason,
        "own": (),
        "others": (),
        "words": None,
        "lines": (),
        "thumbnail": Thumbnail(draw("PNG", 55, 55)),
        "reasons": make_reasons(
            views=(ViewReason("image", 0.5),), words=(), activation=None, no_map=reason
        ),
        "speaks_for": b"",
        "speaks_against": b"",
    }
    return make_draft(**(values | said))  # type: ignore[arg-type]


def make_broken(letter: str = "C", **said: object) -> Draft:
    """A draft that could not be read."""
    values: dict[str, object] = {
        "query": f"/home/somebody/drafts/draft-{letter}.png",
        "error": "damaged PNG: no picture in it; fetch it again",
    }
    return assemble({"letter": letter} | values | said)


def make_apart(better: Draft, worse: Draft, **said: object) -> Apart:
    """What sets two drafts apart: letters, the picture, and a word of each."""
    values: dict[str, object] = {
        "lead": 1.7,
        "views": (("characters", 0.55), ("image", 0.5), ("meaning", -0.25)),
        "better_words": (WordReason("cactus", "characters", 1.45),),
        "worse_words": (WordReason("ROCK OF AGES", "meaning", -0.9),),
        "is_close": False,
    }
    return Apart(better, worse, **(values | said))  # type: ignore[arg-type]


def make_report(*drafts: Draft, **said: object) -> Report:
    """A report on drafts, ranked as they would be; `close` as `Apart.is_close` of all."""
    close = said.pop("close", False)
    read = [one for one in drafts if not one.error]
    ranking = tuple(sorted(read, key=lambda one: (one.rank, -one.probability)))
    values: dict[str, object] = {
        "genre": "Country",
        "drafts": drafts,
        "ranking": ranking,
        "apart": tuple(make_apart(ranking[0], one, is_close=close) for one in ranking[1:]),
        "made": "2026-01-02",
        "head": "default",
        "kind": "logistic",
        "starter": False,
        "accuracy": 0.523,
        "learnt": 1234,
        "genres": len(GENRES),
        "prior": "corpus",
        "decide": 0.5,
        "coverage": 0.9,
        "backbone": "efficientnet-lite0",
        "corpus": 1300,
        "own": 60,
    }
    return Report(**(values | said))  # type: ignore[arg-type]
