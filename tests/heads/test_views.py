"""Views of words: what they make of covers, and of the genres' own names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albo.genres import find_genre, umbrellas, with_subgenres
from albo.heads import CharactersView, MeaningView
from albo.heads.grams import Grams
from albo.heads.views import HINT_WEIGHT
from albo.learning import open_trainer
from albo.learning.trainers import GramTrainer, UnitTrainer
from albo.records import Line, Words
from albo.texts import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from albo.records import Digest, Floats

BOX = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)


def digest_of(number: int) -> Digest:
    return hashlib.sha256(str(number).encode()).digest()


def words(*lines: str) -> Words:
    return Words(tuple(Line(line, BOX, 1.0) for line in lines))


@dataclass
class LetterMeanings:
    """Meanings that count letters, so that what is asked can be told from the answer."""

    fingerprint: str = "letters 1"
    ranks: Mapping[str, int] = field(default_factory=lambda: {"night": 0, "train": 1})
    asked: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> Floats:
        self.asked += texts
        counts = [[text.casefold().count(letter) for letter in "abcdefghin"] for text in texts]
        rows = np.array(counts, np.float32).reshape(-1, 10)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    def of_covers(self, texts: Mapping[Digest, str]) -> Floats:
        return self.encode(list(texts.values()))


SAID = {
    digest_of(0): words("NIGHTTRAIN", "B-side"),
    digest_of(1): Words(),
    digest_of(2): Words(error="too dark"),
}
DIGESTS = [digest_of(number) for number in (3, 1, 0, 2)]


def test_characters_are_the_grams_of_what_was_read() -> None:
    view = CharactersView("reader 1", SAID)
    found = view.features(DIGESTS)
    assert found.speaks.tolist() == [False, False, True, False]
    assert rows(found) == rows(Grams.of(["", "", "nighttrain b-side", ""]))
    assert rows(view.from_words([SAID[digest_of(0)], None])) == rows(found[[2, 3]])
    assert (view.name, view.classifier, view.blocks, view.always) == (
        "characters", "grams", (), False,
    )  # fmt: skip
    assert view.fingerprint == f"reader 1/{VERSION}"


def rows(grams: Grams) -> list[list[float]]:
    return [grams.starts.tolist(), grams.ids.tolist(), grams.counts.tolist()]


def test_meanings_are_of_words_taken_apart_and_zero_where_there_are_none() -> None:
    meanings = LetterMeanings()
    view = MeaningView("reader 1", meanings, SAID)
    found = view.features(DIGESTS)
    assert meanings.asked == ["", "", "night train, B-side", ""]
    assert found.any(axis=1).tolist() == [False, False, True, False]
    asked = view.from_words([SAID[digest_of(0)], Words()])
    np.testing.assert_array_equal(asked, found[[2, 3]])
    assert (view.name, view.classifier, view.always) == ("meaning", "unit", False)


def test_fingerprints_change_with_reader_and_encoder() -> None:
    found = {
        MeaningView(reader, LetterMeanings(encoder)).fingerprint
        for reader in ("r1", "r2")
        for encoder in ("e1", "e2")
    }
    assert len(found) == 4
    assert CharactersView("r1").fingerprint != CharactersView("r2").fingerprint


# --- hints ---------------------------------------------------------------------------------------


def hinted(*genres: str) -> list[list[str]]:
    """The texts that name each genre, as the encoder is asked for them."""
    meanings = LetterMeanings()
    hints = MeaningView("reader 1", meanings, SAID).hints(genres)
    assert hints.features.shape == (len(hints.labels), 10)
    assert (hints.labels.dtype, hints.weights.dtype) == (np.int64, np.float64)
    return [
        [text for text, label in zip(meanings.asked, hints.labels, strict=True) if label == genre]
        for genre in range(len(genres))
    ]


def test_a_genre_of_the_store_brings_its_subgenres() -> None:
    blues, unknown, folder, folk = hinted("Blues", "Skronk_Wave", "Hip-Hop_Rap", "Traditional Folk")
    assert blues == [one.name for one in with_subgenres(find_genre("Blues"))]
    assert {"Blues", "Chicago Blues", "Delta Blues"} <= set(blues)
    assert unknown == ["Skronk Wave"]
    assert folder[0] == "Hip-Hop Rap"
    assert {"Hip-Hop/Rap", "Gangsta Rap"} <= set(folder)
    assert folk == ["Traditional Folk"]


@pytest.mark.parametrize("label", ["20", "1970", "Latin Jazz", "\x00", "🎸", "A" * 500])
def test_labels_of_no_or_several_genres_name_themselves(label: str) -> None:
    assert hinted(label) == [[label]]


def test_every_genre_counts_as_much() -> None:
    genres = [genre.name for genre in umbrellas()] + ["Something Else"]
    for hints in (
        CharactersView("reader 1", SAID).hints(genres),
        MeaningView("reader 1", LetterMeanings(), SAID).hints(genres),
    ):
        counted = np.bincount(hints.labels, hints.weights, len(genres))
        np.testing.assert_allclose(counted, HINT_WEIGHT)
        assert hints.features.shape[0] == len(hints.labels)


@pytest.mark.whole
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4))
def test_no_label_is_too_strange_to_be_a_hint(genres: list[str]) -> None:
    hints = CharactersView("reader 1", SAID).hints(genres)
    assert sorted(set(hints.labels.tolist())) == list(range(len(genres)))
    np.testing.assert_allclose(np.bincount(hints.labels, hints.weights), HINT_WEIGHT)


def test_hints_reach_the_trainers() -> None:
    genres = ["Blues", "Jazz"]
    characters = open_trainer(CharactersView("reader 1", SAID), "lightgbm", genres)
    meaning = open_trainer(MeaningView("reader 1", LetterMeanings(), SAID), "logistic", genres)
    assert isinstance(characters, GramTrainer)
    assert isinstance(meaning, UnitTrainer)
    assert characters.hints is not None
    assert meaning.hints is not None
    assert set(characters.hints.labels) == set(meaning.hints.labels) == {0, 1}
    # Nobody has said a word, and "Chicago Blues" is known for what it is.
    silent = Grams.of([""] * 4), np.array([0, 1, 0, 1])
    *_, predictor = characters.path(*silent, 2)
    said = predictor.log_probabilities(Grams.of(["chicago blues band", "bebop jazz"]))
    assert said.argmax(1).tolist() == [0, 1]
