"""Reasons: the parts add up to what the head says; words, lines and places get what is theirs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albo.heads import (
    ActivationMap,
    GramPredictor,
    Head,
    Heard,
    LogisticPredictor,
    Reasons,
    Scaler,
    Scores,
    UnitPredictor,
    explain,
)
from albo.heads.grams import Grams
from albo.records import Line, Words
from albo.texts import joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.records import Floats

WIDTH = 7
GENRES = ("Blues", "Jazz", "K-Pop/Ἑλλάς", "Rock")
BOX = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)


def words(*lines: str) -> Words:
    return Words(tuple(Line(line, BOX, 1.0) for line in lines))


def meaning_of(text: str) -> Floats:
    """Make a text a direction of its own."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    vector = np.random.default_rng(seed).normal(size=WIDTH)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@dataclass
class Meanings:
    """What lines mean, as a listener says it; it keeps what it was asked."""

    asked: list[Words] = field(default_factory=list)

    def __call__(self, several: Sequence[Words]) -> Floats:
        self.asked += several
        rows = [self.of(one) for one in several]
        return np.array(rows, np.float32).reshape(-1, WIDTH)

    @staticmethod
    def of(said: Words) -> Floats:
        lines = [meaning_of(line.text) for line in said.lines]
        whole = np.sum([np.zeros(WIDTH), *lines], axis=0)
        return (whole / (np.linalg.norm(whole) or 1.0)).astype(np.float32)


def make_head(seed: int = 0) -> Head:
    """Make a head of three views, of which the image alone speaks of every cover."""
    rng = np.random.default_rng(seed)
    known = Grams.of(["night train blue note doom love volume"]).ids

    def normal(*shape: int) -> Floats:
        return rng.normal(size=shape).astype(np.float32)

    frequencies = rng.dirichlet(np.full(4, 3.0))
    scores = Scores.of(rng.dirichlet(np.ones(4), 40), rng.integers(4, size=40), frequencies)
    head = Head(
        name="test",
        kind="logistic",
        level="genre",
        genres=GENRES,
        predictors={
            "image": LogisticPredictor(
                Scaler(normal(WIDTH), rng.uniform(0.5, 2, WIDTH).astype(np.float32)),
                normal(WIDTH, 4),
                normal(4),
            ),
            "characters": GramPredictor(
                known,
                rng.uniform(1, 3, len(known)).astype(np.float32),
                normal(len(known), 4),
                normal(4),
            ),
            "meaning": UnitPredictor(normal(WIDTH, 4), normal(4)),
        },
        weights=rng.dirichlet(np.ones(3)),
        temperature=float(rng.uniform(0.5, 2)),
        frequencies=frequencies,
        nonconformity=scores.nonconformity,
        true_genres=scores.true_genres,
        fingerprints=dict.fromkeys(("image", "characters", "meaning"), "f" * 8),
    )
    alone = head.part(["image"], np.array([0.7]), float(rng.uniform(0.5, 2)), scores)
    return replace(head, alone=alone)


def features_of(said: Words, seed: int = 0) -> dict[str, Any]:
    """Return what the three views see of one cover that says this."""
    image = np.random.default_rng(seed).normal(size=(1, WIDTH)).astype(np.float32)
    return {
        "image": image,
        "characters": Grams.of([joined(said)]),
        "meaning": Meanings()([said]),
    }


def reasons_for(said: Words, genre: str = "Jazz", seed: int = 0) -> Reasons:
    return explain(make_head(seed), features_of(said, seed), genre, Heard(said, Meanings()))


def centred(row: np.ndarray, genre: str) -> float:
    place = GENRES.index(genre)
    return float(row[place] - np.delete(row, place).mean())


VOCABULARY = ("night", "train", "blue", "doom", "love", "zyx", "nightly")
saying = st.lists(
    st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=4).map(" ".join),
    min_size=1,
    max_size=5,
).map(lambda lines: words(*lines))


# --- views ---------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(said=saying, genre=st.sampled_from(GENRES), seed=st.integers(0, 500))
def test_views_add_up_to_what_the_head_says(said: Words, genre: str, seed: int) -> None:
    head, features = make_head(seed), features_of(said, seed)
    found = explain(head, features, genre)
    assert {one.view for one in found.views} == set(head.views)
    for one in found.views:
        own = head.predictors[one.view].log_probabilities(features[one.view])[0]
        weight = head.weights[head.views.index(one.view)] / head.temperature
        assert one.evidence == pytest.approx(weight * centred(own, genre))
    whole = centred(np.log(head.predict(features)[0]), genre)
    assert sum(one.evidence for one in found.views) == pytest.approx(whole)


def test_what_is_below_the_floor_counts_as_the_floor() -> None:
    head = make_head()
    image = head.predictors["image"]
    assert isinstance(image, LogisticPredictor)
    sure = replace(image, weights=image.weights * 40)
    head = replace(head, predictors={**head.predictors, "image": sure})
    features = features_of(words("night train"))
    found = {one.view: one.evidence for one in explain(head, features, "Jazz").views}
    row = sure.log_probabilities(features["image"])[0]
    assert row.min() == pytest.approx(np.log(1e-7))
    assert found["image"] == pytest.approx(
        head.weights[0] / head.temperature * centred(row, "Jazz")
    )
    assert sum(found.values()) == pytest.approx(
        centred(np.log(head.predict(features)[0]), "Jazz"), abs=1e-5
    )


def test_a_cover_without_words_is_explained_by_the_views_that_spoke() -> None:
    found = reasons_for(Words())
    head, features = make_head(), features_of(Words())
    assert head.alone is not None
    (image,) = found.views
    whole = centred(np.log(head.alone.predict(features)[0]), "Jazz")
    assert (image.view, image.evidence) == ("image", pytest.approx(whole))
    assert found.words == ()


def test_a_view_of_no_weight_gives_no_reasons() -> None:
    head = make_head()
    head = replace(head, weights=np.array([0.5, 0.0, 0.5]))
    said = words("night train")
    found = explain(head, features_of(said), "Jazz", Heard(said, Meanings()))
    assert {one.view for one in found.views} == {"image", "meaning"}
    assert {one.view for one in found.words} == {"meaning"}


def test_reasons_are_the_same_whatever_prior_the_answer_has() -> None:
    """They are of what is seen and read; the frequencies of genres are no reason."""
    head, features = make_head(), features_of(words("night"))
    other = replace(head, frequencies=head.frequencies[::-1].copy())
    assert explain(head, features, "Jazz") == explain(other, features, "Jazz")


# --- words ---------------------------------------------------------------------------------------


def letters_of(found: Reasons) -> dict[str, float]:
    return {one.text: one.evidence for one in found.words if one.view == "characters"}


def lines_of(found: Reasons) -> list[tuple[str, float]]:
    return [(one.text, one.evidence) for one in found.words if one.view == "meaning"]


def share_of(head: Head, view: str) -> float:
    return float(head.weights[head.views.index(view)] / head.temperature)


@settings(max_examples=40, deadline=None)
@given(said=saying, genre=st.sampled_from(GENRES), seed=st.integers(0, 500))
def test_words_add_up_to_what_the_characters_say_beyond_the_bias(
    said: Words, genre: str, seed: int
) -> None:
    head, features = make_head(seed), features_of(said, seed)
    found = letters_of(explain(head, features, genre, Heard(said, Meanings())))
    characters = head.predictors["characters"]
    assert isinstance(characters, GramPredictor)
    logits = characters.log_probabilities(features["characters"])[0] - characters.bias
    whole = share_of(head, "characters") * centred(logits, genre)
    assert sum(found.values()) == pytest.approx(whole, abs=1e-6)
    assert set(found) == set(joined(said).split())


def test_a_word_that_stands_twice_counts_twice() -> None:
    text = Grams.of(["night doom night"])
    characters = make_head().predictors["characters"]
    assert isinstance(characters, GramPredictor)
    night, doom = characters.contributions(text, Grams.of(["night", "doom"]))
    found = letters_of(reasons_for(words("Night DOOM", "night")))
    share = share_of(make_head(), "characters")
    assert found == {
        "night": pytest.approx(2 * share * centred(night, "Jazz")),
        "doom": pytest.approx(share * centred(doom, "Jazz")),
    }
    assert abs(found["night"]) > 0.01


def test_contributions_by_hand() -> None:
    """One gram is known, "b", with rarity 2: a text of unit length has the value 1 there."""
    known = GramPredictor(
        np.array([crc32(b"b")], np.uint32),
        np.array([2.0], np.float32),
        np.array([[3.0, -1.0]], np.float32),
        np.array([5.0, 7.0], np.float32),
    )
    found = known.contributions(Grams.of(["bab abc c"]), Grams.of(["bab", "abc", "c"]))
    # Three times "b" in all, two of them in the first word, none in the last.
    np.testing.assert_allclose(found, [[2, -2 / 3], [1, -1 / 3], [0, 0]], atol=1e-6)


def test_a_text_whose_grams_nobody_knows_gives_nothing() -> None:
    characters = make_head().predictors["characters"]
    assert isinstance(characters, GramPredictor)
    text = Grams.of(["ψψψ"])
    assert not characters.contributions(text, text).any()
    assert letters_of(reasons_for(words("ψψψ"))) == {"ψψψ": 0.0}


def test_a_line_means_what_is_lost_without_it() -> None:
    said = words("night train", "love", "doom of iron")
    head, meanings = make_head(), Meanings()
    found = dict(lines_of(explain(head, features_of(said), "Rock", Heard(said, meanings))))
    assert [joined(one) for one in meanings.asked] == [
        "love doom of iron",
        "night train doom of iron",
        "night train love",
    ]
    unit = head.predictors["meaning"]
    assert isinstance(unit, UnitPredictor)
    whole = centred(unit.logits(Meanings.of(said)[None])[0], "Rock")
    for row, line in enumerate(said.lines):
        rest = Words(said.lines[:row] + said.lines[row + 1 :])
        lost = whole - centred(unit.logits(Meanings.of(rest)[None])[0], "Rock")
        assert found[line.text] == pytest.approx(share_of(head, "meaning") * lost)
    assert len(found) == 3


def test_a_single_line_means_all_that_is_said_beyond_the_bias() -> None:
    said = words("night train")
    head = make_head()
    ((text, evidence),) = lines_of(reasons_for(said, "Rock"))
    unit = head.predictors["meaning"]
    assert isinstance(unit, UnitPredictor)
    logits = unit.logits(Meanings.of(said)[None])[0] - unit.bias
    assert text == "night train"
    assert evidence == pytest.approx(share_of(head, "meaning") * centred(logits, "Rock"))


def test_of_many_lines_the_first_are_weighed_and_all_words_count() -> None:
    said = words(*(f"line{number} volume" for number in range(40)))
    meanings = Meanings()
    found = explain(make_head(), features_of(said), "Jazz", Heard(said, meanings))
    assert sorted(text for text, _ in lines_of(found)) == sorted(
        f"line{number} volume" for number in range(24)
    )
    assert {len(one.lines) for one in meanings.asked} == {39}
    assert set(letters_of(found)) == {"volume", *(f"line{number}" for number in range(40))}


def test_lines_that_are_alike_are_each_weighed() -> None:
    found = lines_of(reasons_for(words("doom", "doom")))
    assert [text for text, _ in found] == ["doom", "doom"]
    assert found[0] == found[1]


def test_nobody_heard_means_no_words_and_the_same_views() -> None:
    head, features = make_head(), features_of(words("night train"))
    heard = explain(head, features, "Jazz", Heard(words("night train"), Meanings()))
    unheard = explain(head, features, "Jazz")
    assert unheard.words == ()
    assert heard.words
    assert unheard.views == heard.views


def test_who_does_not_know_meanings_gives_none() -> None:
    said = words("night train")
    found = explain(make_head(), features_of(said), "Jazz", Heard(said, lambda _words: None))
    assert lines_of(found) == []
    assert letters_of(found)


def test_the_strongest_come_first() -> None:
    for seed in range(5):
        found = reasons_for(words("night train", "love doom", "blue note", "zyx"), seed=seed)
        for some in (found.views, found.words):
            sizes = [abs(one.evidence) for one in some]
            assert sizes == sorted(sizes, reverse=True)
        assert {one.view for one in found.words} == {"characters", "meaning"}
        assert min(one.evidence for one in found.words) < 0 < max(o.evidence for o in found.words)


# --- places --------------------------------------------------------------------------------------


def test_a_map_is_in_the_unit_of_all_reasons() -> None:
    asked: list[int] = []
    plain = ActivationMap(np.array([[1.0, -3.0]]), -2.0, 0.5)

    def locate(place: int) -> ActivationMap:
        asked.append(place)
        return plain

    said = words("night")
    head = make_head()
    found = explain(head, features_of(said), "Rock", locate=locate, no_map="no use")
    assert asked == [3], "the place of Rock"
    assert found.activation is not None
    np.testing.assert_allclose(found.activation.evidence, plain.evidence * share_of(head, "image"))
    assert found.activation.share == pytest.approx(0.8)
    assert found.no_map == ""
    silent = explain(head, features_of(Words()), "Rock", locate=locate)
    assert silent.activation is not None
    assert head.alone is not None
    assert silent.activation.mapped == pytest.approx(-2 * 0.7 / head.alone.temperature)


def test_where_there_is_no_map_it_says_why() -> None:
    found = explain(make_head(), features_of(words("night")), "Rock", no_map="trees have none")
    assert (found.activation, found.no_map) == (None, "trees have none")


def test_an_image_that_counts_for_nothing_is_not_mapped() -> None:
    head = replace(make_head(), weights=np.array([0.0, 0.5, 0.5]))

    def locate(_place: int) -> ActivationMap:
        raise AssertionError("it was asked")

    found = explain(head, features_of(words("night")), "Rock", locate=locate)
    assert found.activation is None
    assert "counts for nothing" in found.no_map
    assert "image" not in {one.view for one in found.views}


# --- JSON ----------------------------------------------------------------------------------------


def test_reasons_are_plain_json() -> None:
    said = words("night train", "Ἑλλάς")
    mapped = ActivationMap(np.array([[1.0, -3.00004]]), -2.00004, 0.5)
    found = explain(
        make_head(),
        features_of(said),
        "K-Pop/Ἑλλάς",
        Heard(said, Meanings()),
        locate=lambda _place: mapped,
    )
    content = json.loads(json.dumps(found.as_json()))
    assert set(content) == {"genre", "views", "words", "map", "no_map"}
    assert content["genre"] == "K-Pop/Ἑλλάς"
    assert [set(one) for one in content["views"]] == [{"view", "evidence"}] * 3
    assert all(set(one) == {"text", "view", "evidence"} for one in content["words"])
    assert len(content["words"]) == 5
    assert set(content["map"]) == {"evidence", "mapped", "unmapped", "share"}
    assert np.shape(content["map"]["evidence"]) == (1, 2)
    assert content["no_map"] is None
    for one, view in zip(content["views"], found.views, strict=True):
        assert one["evidence"] == round(view.evidence, 4)


def test_reasons_without_a_map_say_in_json_why() -> None:
    found = explain(make_head(), features_of(words("night")), "Rock", no_map="trees have none")
    content = json.loads(json.dumps(found.as_json()))
    assert (content["map"], content["no_map"], content["words"]) == (None, "trees have none", [])
