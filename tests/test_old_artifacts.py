"""An artifacts folder that an earlier albo made answers today as it did then.

`data/artifacts-0.1.0.zip` holds 24 drawn covers' artifacts, two queries and `answers.json`: what
that albo answered. What is only read from files is the same to the bit; what a network or a sum
makes of it may differ in the last digits, by processor.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albo import Albo
from albo.heads import load_head
from albo.networks import card_of, find_card
from albo.store import Vectors, WordStore

DATA = Path(__file__).parent / "data" / "artifacts-0.1.0.zip"
WITHIN = 2e-3
"""How far scores and probabilities of a query may be off on another processor."""
FITTED_WITHIN = 0.09
"""How far scores may be off where heads are fitted anew: two of 24 covers."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an earlier albo, unpacked: `artifacts/`, two covers, `answers.json`."""
    folder = tmp_path_factory.mktemp("old")
    with zipfile.ZipFile(DATA) as packed:
        packed.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def then(old: Path) -> dict[str, Any]:
    """What the earlier albo answered."""
    found: dict[str, Any] = json.loads((old / "answers.json").read_text(encoding="utf-8"))
    return found


def vectors_in(old: Path) -> Vectors:
    (manifest,) = (old / "artifacts" / "vectors").glob("*/manifest.json")
    return Vectors.open(manifest.parent)


def assert_alike(now: object, then: object, place: str = "", within: float = WITHIN) -> None:
    """Compare two answers: texts, counts and order are the same, fractions are close."""
    if isinstance(then, dict):
        assert isinstance(now, dict), place
        assert now.keys() >= then.keys(), place
        for key, value in then.items():
            assert_alike(now[key], value, f"{place}/{key}", within)
    elif isinstance(then, list):
        assert isinstance(now, list | tuple), place
        assert len(now) == len(then), place
        for at, (one, other) in enumerate(zip(now, then, strict=True)):
            assert_alike(one, other, f"{place}/{at}", within)
    elif isinstance(then, float):
        assert now == pytest.approx(then, abs=within), place
    else:
        assert now == then, place


def as_read(answer: object) -> object:
    """Turn an answer into what a reader of its JSON gets."""
    return json.loads(json.dumps(answer, default=str))


def test_fingerprints_are_what_they_were(old: Path, then: dict[str, Any]) -> None:
    from albo.words import reader_card

    assert vectors_in(old).fingerprint == then["fingerprint"]
    assert find_card("efficientnet-lite0").fingerprint == then["fingerprint"]
    assert reader_card().fingerprint == then["reader"]


def test_vectors_and_words_are_read_to_the_bit(old: Path, then: dict[str, Any]) -> None:
    vectors = vectors_in(old)
    digests, embeddings = vectors.read(vectors.digests())
    assert [digest.hex() for digest in digests] == then["digests"]
    assert card_of(vectors).name == "efficientnet-lite0"
    for rows, sums in (
        (embeddings.vector, then["vector_sums"]),
        (embeddings.middle, then["middle_sums"]),
    ):
        # Sums of doubles in whatever order: 1e-9 of them is far below one bit of one float16.
        np.testing.assert_allclose(rows.astype(np.float64).sum(axis=1), sums, rtol=1e-6)
    (manifest,) = (old / "artifacts" / "words").glob("*/manifest.json")
    words = WordStore.open(manifest.parent)
    read = {
        digest.hex(): [line.text for line in found.lines]
        for digest, found in zip(digests, words.read(digests), strict=True)
    }
    assert read == then["words"]


def test_heads_open(old: Path, then: dict[str, Any]) -> None:
    for name in ("default", "trees"):
        assert list(load_head(old / "artifacts" / "heads" / name).genres) == then["genres"]


def test_what_is_stored_answers_as_it_did(old: Path, then: dict[str, Any]) -> None:
    albo = Albo(old / "artifacts")
    said = albo.status()
    for place in ("artifacts", "catalog"):
        assert str(old) in said.pop(place)
    assert as_read(said) == then["status"]
    groups = [[member.as_json() for member in group] for group in albo.duplicates(0.5)]
    assert_alike(as_read(groups), then["duplicates"])
    typical = [each.as_json() for each in albo.typical("Jazz", 5)]
    # Copies of a cover no longer count for it: the figures are others, the covers the same.
    assert {one["digest"] for one in typical} == {one["digest"] for one in then["typical"]}


@pytest.mark.whole
def test_queries_are_answered_as_they_were(
    old: Path, then: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(old)
    albo = Albo(old / "artifacts")
    for answer in albo.similar(["jazz.jpg", "silent.jpg"], k=4):
        assert_alike(as_read(answer.as_json()), then["similar"][answer.query])
    for asked, answers in then["classify"].items():
        head, words = asked.split()
        told = albo.classify(["jazz.jpg", "silent.jpg"], head=head, words=words == "True")
        for answer in told:
            (wanted,) = [each for each in answers if each["query"] == answer.query]
            assert_alike(as_read(answer.as_json()), wanted)


@pytest.mark.long
def test_evaluation_says_what_it_said(old: Path, then: dict[str, Any]) -> None:
    (wanted,) = then["evaluate"]
    found = as_read(Albo(old / "artifacts").evaluate(seeds=(0,)).as_json())
    assert isinstance(found, dict)
    for row, before in zip(found["rows"], wanted["rows"], strict=True):
        name = row["view"], row["head"]
        assert name == (before["view"], before["head"])
        for key in ("top1", "top3", "macro_f1", "set_size"):
            if isinstance(before[key], dict) and before[key]["value"] in {0.0, 1.0}:
                assert row[key]["value"] == before[key]["value"]  # its interval is Wilson's now
                continue
            # A processor decides how a tie between genres ends.
            assert_alike(row[key], before[key], f"{name} {key}", FITTED_WITHIN)
