"""The records of an evaluation: `evaluate` fills them, the page and the tables show them.

Only sentences and JSON are made here. In arrays, a genre is its position in `Evaluation.genres`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from albo.learning.bootstrap import Interval
    from albo.learning.labels import Corpus
    from albo.learning.scores import Answered, Bin, ScoreSummary
    from albo.records import Bools, Doubles, Ints, Json, ShownCover


MAJORITY = "majority"
NEAREST = "nearest neighbour"
NO_HEAD = "none"

INTENDED_USE = (
    "To check whether proposed artwork reads as its intended genre, to look through a library of"
    " music by how its covers look, and to study how genre is drawn."
)

LIMITS = (
    "It reads the cover and hears nothing: it says what genre a cover looks like, not what the"
    " music is.",
    "A low figure for a cover is no judgement of its quality; many good covers break with their"
    " genre.",
    "It is not for deciding on people, payments or what may be published.",
    "It knows only the genres it was fitted on. A cover of another genre gets one of these all the"
    " same.",
    "Labels are one shop's or one library's; others would have filed many of these albums"
    " elsewhere.",
)


@dataclass(frozen=True, slots=True)
class Leak:
    """What a split that separates neither artists nor artworks adds to the accuracy."""

    grouped: Interval
    """Top-1 accuracy under the grouped split."""

    random: Interval
    """Top-1 accuracy of the same way of predicting under the random split."""

    difference: Interval
    """Random minus grouped, with an interval from the same resampled covers."""

    def describe(self) -> str:
        """Say what a random split would have claimed, in two sentences."""
        more = self.difference
        said = (
            f"With a random split the same way of predicting seems right for"
            f" {self.random.value:.1%} of covers, not {self.grouped.value:.1%}:"
            f" {100 * more.value:+.1f} points ({100 * more.low:+.1f} to {100 * more.high:+.1f})."
        )
        if more.low > 0:
            return (
                f"{said} That is no skill: covers of one artist or one artwork stand on both sides"
                " of such a split, and are recognised."
            )
        return f"{said} On these covers that is no sure difference."

    def as_json(self) -> Json:
        """Return all three as a JSON object."""
        return {
            "grouped": self.grouped.as_json(),
            "random": self.random.as_json(),
            "difference": self.difference.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One way of predicting, and how good it is."""

    view: str
    """The views' names joined by "+", or MAJORITY, or NEAREST."""

    head: str
    """The kind of the head; NO_HEAD for baselines."""

    split: str
    """"grouped", "random", "published" or the name of a file."""

    covers: int
    """The number of covers that were scored."""

    genres: tuple[str, ...]
    """The names of the genres."""

    groups: tuple[int, ...]
    """For each genre, the number of groups that its scored covers form."""

    summary: ScoreSummary
    """The scores."""

    artists_known: float
    """The share of covers whose artist is known, 0 to 1."""

    selected: bool = False
    """Whether `classify` would use it: all views, and the kind of head asked for."""

    leaky: bool = False
    """Whether covers of one artist or artwork are on both sides of the split."""

    leak: Leak | None = None
    """The leak against the other split; only the selected row has it."""

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline, without a head."""
        return self.head == NO_HEAD

    def describe(self) -> str:
        """Name it in a few words: views, head, and a split other than grouped."""
        head = "" if self.is_baseline else f", {self.head}"
        split = [] if self.split == "grouped" else [f"{self.split} split"]
        remarks = ", ".join([*split, *(["leaky"] if self.leaky else [])])
        remark = f" ({remarks})" if remarks else ""
        return f"{self.view.replace('+', ' + ')}{head}{remark}"

    def as_json(self) -> Json:
        """Return the object that `albo evaluate --json` prints."""
        leak = {} if self.leak is None else {"leak": self.leak.difference.as_json()}
        return {
            "split": self.split,
            "view": self.view,
            "head": self.head,
            "covers": self.covers,
            "genres": len(self.genres),
            **self.summary.as_json(self.genres, self.groups),
            **leak,
            "artists_known": round(self.artists_known, 4),
            "selected": self.selected,
            "leaky": self.leaky,
        }


@dataclass(frozen=True, slots=True)
class LearningPoint:
    """How good the selected way is with fewer covers to learn from."""

    covers_per_genre: float
    """The number of covers to learn from, mean over genres."""

    covers: int
    """The number of covers to learn from, in all."""

    top1: Interval
    """The share of covers whose first guess is right."""

    top3: Interval
    """The share of covers whose genre is among the first three guesses."""

    def as_json(self) -> Json:
        """Return the object of one point."""
        return {
            "covers_per_genre": round(self.covers_per_genre, 1),
            "covers": self.covers,
            "top1": self.top1.as_json(),
            "top3": self.top3.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Mistake:
    """A cover that was read as another genre than its label."""

    cover: ShownCover
    """The cover; its `genre` is the label."""

    guess: str
    """The first guess while the cover was held out."""

    probability: float
    """The probability of that guess."""

    conformal_set: tuple[str, ...]
    """The genres in its conformal set."""

    words: tuple[str, ...] = ()
    """The lines on the cover."""

    neighbours: tuple[ShownCover, ...] = ()
    """The covers most like it, nearest first."""

    def as_json(self) -> Json:
        """Return the cover's object with its guess, set, words and neighbours."""
        return {
            **self.cover.labelled_json(),
            "guess": self.guess,
            "probability": round(self.probability, 4),
            "set": list(self.conformal_set),
            "words": list(self.words),
            "neighbours": [near.near_json() for near in self.neighbours],
        }


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A genre with too few groups of covers to be scored."""

    genre: str
    """The genre's name."""

    covers: int
    """The number of its covers."""

    groups: int
    """The number of groups that these form."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The model card, after Mitchell et al. 2019: what was evaluated, and on which covers.

    Attributes
    ----------
    covers, groups, genres : how many there are.
    sources : the name of each source and its number of covers.
    evaluated : the day, as an ISO date.
    level : "genre" or "subgenre".
    split : the name of the split.
    folds : the number of folds.
    seeds : the fold seeds.
    coverage : the coverage that was asked of the conformal sets.
    head : the kind of the selected head.
    views : the name and the fingerprint of each view.
    backbone : the backbone's name.
    licence : the licence of the backbone's weights.
    settings : the name and the value of each further setting.
    libraries : the name and the version of each library.
    artists_known : the share of covers whose artist is known, 0 to 1.
    groups_needed : how many groups a genre needs to be scored.
    first_year, last_year : the albums' first and last year of release; None where unknown.
    from_charts : how many covers come from charts.
    conflicting, unlabelled : how many covers have several labels, and how many none.
    left_out : the genres with too few groups.
    near_duplicates_measured : whether the near-duplicate threshold was measured for the backbone.
    """

    covers: int
    groups: int
    genres: int
    sources: tuple[tuple[str, int], ...]
    evaluated: str
    level: str
    split: str
    folds: int
    seeds: tuple[int, ...]
    coverage: float
    head: str
    views: tuple[tuple[str, str], ...]
    backbone: str
    licence: str
    settings: tuple[tuple[str, str], ...]
    libraries: tuple[tuple[str, str], ...]
    artists_known: float
    groups_needed: int = 5
    first_year: int | None = None
    last_year: int | None = None
    from_charts: int = 0
    conflicting: int = 0
    unlabelled: int = 0
    left_out: tuple[LeftOut, ...] = ()
    near_duplicates_measured: bool = True

    def caveats(self) -> tuple[str, ...]:
        """Say in sentences what makes these figures less sure than they look."""
        said = [
            self.from_charts
            and f"{self.from_charts} of {self.covers} covers come from charts: what sells, in the"
            " shops asked, not all that is released.",
            self.artists_known < 1
            and f"The artist of {1 - self.artists_known:.0%} of the covers is not known. Covers of"
            " one artist may stand on both sides of the split there, and make it look easier.",
            not self.near_duplicates_measured
            and f"The near-duplicate threshold was not measured for {self.backbone}: the same"
            " artwork may stand on both sides of the split.",
            self.conflicting
            and f"{self.conflicting} covers with several labels are neither learned from nor"
            " scored.",
            self.unlabelled and f"{self.unlabelled} covers have no label and are not used.",
            *(
                f"{one.genre} is left out: {one.groups} groups of covers that share no artist or"
                f" artwork, {self.groups_needed} are needed."
                for one in self.left_out
            ),
        ]
        return tuple(line for line in said if isinstance(line, str))

    def as_json(self) -> Json:
        """Return all fields and the sentences made of them."""
        return {
            **asdict(self),
            "sources": dict(self.sources),
            "views": dict(self.views),
            "settings": dict(self.settings),
            "libraries": dict(self.libraries),
            "intended_use": INTENDED_USE,
            "limits": list(LIMITS),
            "caveats": list(self.caveats()),
        }


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Every way of predicting with its scores, and all answers of the selected way.

    All fields but `rows` describe the selected way.
    """

    rows: tuple[Row, ...]
    """Every way of predicting; exactly one is selected."""

    corpus: Corpus = field(repr=False, compare=False)
    """The covers that were learned from and scored."""

    seeds: tuple[int, ...]
    """The fold seeds, s of them."""

    scored: Ints = field(repr=False, compare=False)
    """int (m,): the rows of the corpus that were scored."""

    probabilities: Doubles = field(repr=False, compare=False)
    """float64 (s, m, c): p(genre) of each scored cover while it was held out, for each seed."""

    sets: Bools = field(repr=False, compare=False)
    """bool (s, m, c): whether a genre is in the conformal set of a scored cover, for each seed."""

    learning_curve: tuple[LearningPoint, ...] = ()
    """How good it is with fewer covers, fewest first; () where it was not measured."""

    leak: Leak | None = None
    """What the other split, random or grouped, adds to the accuracy; None where not measured."""

    @property
    def genres(self) -> tuple[str, ...]:
        """The names of the c genres."""
        return self.corpus.genres

    @property
    def labels(self) -> Ints:
        """The genres of the covers that were scored: int (m,)."""
        return self.corpus.labels[self.scored]

    @property
    def groups(self) -> Ints:
        """The groups of the covers that were scored: int (m,)."""
        return self.corpus.groups[self.scored]

    @property
    def selected(self) -> Row:
        """The row that `classify` would use."""
        return next(row for row in self.rows if row.selected)


@dataclass(frozen=True, kw_only=True)
class ReviewedEvaluation(Evaluation):
    """An evaluation with its curves, its surest mistakes and its model card, for people to read."""

    reliability: tuple[Bin, ...]
    """As `albo.learning.metrics.reliability` returns it."""

    risk_coverage: tuple[Answered, ...]
    """As `albo.learning.metrics.risk_coverage` returns it."""

    confusion: Doubles = field(repr=False, compare=False)
    """float64 (c, c): mean counts of covers, rows the true genre, columns the first guess."""

    card: ModelCard
    """The model card."""

    mistakes: tuple[Mistake, ...] = ()
    """The most confident mistakes, the surest first."""

    def lines(self) -> list[Json]:
        """Return the objects that `albo evaluate --json` prints, one for each row.

        The selected row's object also holds all other results, without the pictures.
        """
        found = self.as_json()
        del found["rows"], found["leak"]
        return [row.as_json() | (found if row.selected else {}) for row in self.rows]

    def as_json(self) -> Json:
        """Return everything but the pictures."""
        return {
            "rows": [row.as_json() for row in self.rows],
            "names": list(self.genres),
            "reliability": [one.as_json() for one in self.reliability],
            "risk_coverage": [one.as_json() for one in self.risk_coverage],
            "confusion": self.confusion.round(2).tolist(),
            "learning_curve": [point.as_json() for point in self.learning_curve],
            "leak": self.leak and self.leak.as_json(),
            "mistakes": [mistake.as_json() for mistake in self.mistakes],
            "card": self.card.as_json(),
        }
