"""Tests of the verdict: yes, no and cannot tell; and of the sentence of advice."""

from __future__ import annotations

import numpy as np
import pytest

from albo.answers import Verdict, Votes, judge
from albo.answers.advice import advise
from albo.records import Prediction, Said
from albo.texts import ordinal


def predict(own: float, *, decided: bool = False) -> Prediction:
    """Of Jazz, with this probability, and two more genres."""
    both = sorted([("Jazz", own), ("Rock", (1 - own) * 0.6), ("Pop", (1 - own) * 0.4)],
                  key=lambda one: -one[1])  # fmt: skip
    return Prediction(tuple(g for g, _ in both), tuple(p for _, p in both), ("Rock",), decided)


def test_yes_is_a_decision_for_the_genre() -> None:
    own = np.full(50, 0.95)
    assert judge(predict(0.8, decided=True), "Jazz", own).verdict is Verdict.YES
    assert judge(predict(0.8), "Jazz", own).verdict is Verdict.NO, "all its own covers read more"


def test_no_is_said_from_one_in_twenty_of_the_genres_own() -> None:
    own = np.arange(1, 100) / 100  # 99 covers
    found = judge(predict(0.045), "Jazz", own)
    assert (found.verdict, found.p_value, found.as_weak) == (Verdict.NO, 0.05, 4)
    found = judge(predict(0.055), "Jazz", own)
    assert (found.verdict, found.p_value) == (Verdict.UNSURE, 0.06)
    assert not found.is_coarse
    # Equal ones are as weak.
    assert judge(predict(0.05), "Jazz", own).p_value == 0.06


@pytest.mark.parametrize(("count", "level"), [(19, 0.05), (15, 1 / 16), (5, 1 / 6)])
def test_few_covers_allow_a_coarser_test(count: int, level: float) -> None:
    own = np.linspace(0.3, 0.9, count)
    weakest = judge(predict(0.2), "Jazz", own)
    assert weakest.verdict is Verdict.NO
    assert weakest.level == weakest.p_value == pytest.approx(level)
    assert weakest.is_coarse is (count < 19)
    assert judge(predict(0.31), "Jazz", own).verdict is Verdict.UNSURE


def test_without_the_genres_own_covers_no_is_never_said() -> None:
    for own in (None, np.empty(0)):
        assert judge(predict(0.001), "Jazz", own).verdict is Verdict.UNSURE
        assert judge(predict(0.9, decided=True), "Jazz", own).verdict is Verdict.YES
        assert judge(predict(0.001), "Jazz", own).p_value is None


def test_no_is_said_of_one_in_twenty_of_exchangeable_covers() -> None:
    """Vovk's promise: of covers of the genre, at most the level, whatever their distribution."""
    rng = np.random.default_rng(0)
    for count in (19, 20, 60):
        drawn = rng.beta(0.5, 3.0, (4_000, count + 1))
        said = [
            judge(predict(float(row[0])), "Jazz", row[1:]).verdict is Verdict.NO for row in drawn
        ]
        assert np.mean(said) <= 0.05 + 3 * (0.05 * 0.95 / len(said)) ** 0.5
        assert np.mean(said) > 0.02


def said(**views: tuple[float, str]) -> Prediction:
    """What is said of a cover of which each view has a weight, and genres in this order."""
    return Prediction(
        ("Jazz", "Rock", "Pop"),
        (0.5, 0.3, 0.2),
        ("Jazz",),
        False,
        tuple(
            Said(view, weight, tuple(genres.split()), (0.5, 0.3, 0.2)[: len(genres.split())])
            for view, (weight, genres) in views.items()
        ),
    )


def votes(in_favour: int, commonest: str, count: int) -> Votes:
    return Votes("Jazz", 25, in_favour, 2.0, (), (), (), commonest, count)


@pytest.mark.parametrize(
    ("answer", "near", "sentence"),
    [
        (
            said(image=(0.4, "Pop Rock Jazz"), characters=(0.4, "Jazz Rock Pop")),
            votes(1, "Latin", 6),
            "The picture and the words disagree: the picture reads most like Pop (Jazz 3rd), the"
            " words most like Jazz; the commonest genre of its nearest covers is Latin (6 of 25;"
            " Jazz 1).",
        ),
        (
            said(image=(0.4, "Rock Jazz Pop"), characters=(0.1, "Jazz Rock Pop"),
                 meaning=(0.4, "Rock Pop Jazz")),
            votes(9, "Jazz", 9),
            "The picture and the words both read most like Rock (Jazz 2nd); Jazz is the commonest"
            " genre of its nearest covers (9 of 25).",
        ),
        (
            said(image=(0.9, "Jazz Pop"), characters=(0.0, "Pop Jazz"), meaning=(0.2, "")),
            None,
            "The picture reads most like Jazz, and no words on it count.",
        ),
        (
            said(image=(0.0, "Rock Jazz Pop"), characters=(1.0, "Jazz Rock Pop")),
            None,
            "The words read most like Jazz, and the picture does not count.",
        ),
        (
            None,
            votes(3, "Rock", 5),
            "The commonest genre of its nearest covers is Rock (5 of 25; Jazz 3).",
        ),
        (None, None, ""),
    ],
)  # fmt: skip
def test_advice_says_what_the_evidence_says(
    answer: Prediction | None, near: Votes | None, sentence: str
) -> None:
    assert advise("Jazz", answer, near) == sentence


@pytest.mark.parametrize(
    ("number", "written"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (13, "13th"), (22, "22nd"),
     (111, "111th"), (101, "101st")],
)  # fmt: skip
def test_places_are_written_as_people_write_them(number: int, written: str) -> None:
    assert ordinal(number) == written
