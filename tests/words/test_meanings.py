"""Meanings: what is stored is not encoded again, and says the same to the bit."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pytest

from albo.errors import ForeignArtifact, RuntimeFailed
from albo.store import Vectors
from albo.words import meanings as module
from albo.words.meanings import meaning_folder, meaning_store, meanings
from albo.words.sentences import open_encoder, sentence_card

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from albo.records import Digest, Floats
    from albo.words.sentences import SentenceEncoder

pytestmark = pytest.mark.whole


def digest(text: str) -> Digest:
    return sha256(text.encode()).digest()


SAID = ["KIND OF BLUE miles davis", "", "master of puppets", "백예린", " \x00 ", "🎸"]
TEXTS = {digest(f"cover {n}"): text for n, text in enumerate(SAID)}
SPOKEN = [0, 2, 3, 5]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentenceEncoder]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield open_encoder()


class Counting:
    """The real encoder, and what it was asked."""

    def __init__(self, real: SentenceEncoder) -> None:
        self.real = real
        self.opened = 0
        self.asked: list[str] = []
        self.fail_at = 1 << 30

    def open(self) -> Counting:
        self.opened += 1
        return self

    def encode(self, texts: Iterable[str]) -> Floats:
        given = list(texts)
        if len(self.asked) + len(given) > self.fail_at:
            raise RuntimeFailed("out of memory")
        self.asked += given
        return self.real.encode(given)


@pytest.fixture
def encoder(real: SentenceEncoder) -> Counting:
    return Counting(real)


@pytest.fixture
def store(tmp_path: Path, real: SentenceEncoder) -> Vectors:
    return meaning_store(tmp_path / "words" / "reader", real.card)


def spoken(texts: dict[Digest, str]) -> list[str]:
    return [text for text in texts.values() if text.strip("\x00 ")]


def test_what_is_stored_is_not_encoded_again(
    store: Vectors, encoder: Counting, real: SentenceEncoder
) -> None:
    first = meanings(store, TEXTS, encoder.open, keep=True)
    assert encoder.asked == spoken(TEXTS)
    second = meanings(store, TEXTS, encoder.open, keep=True)
    third = meanings(store, TEXTS, encoder.open)
    assert (encoder.opened, len(encoder.asked)) == (1, 4)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    assert (first.shape, first.dtype) == ((6, 384), np.float32)
    assert not first[[1, 4]].any()
    np.testing.assert_allclose(np.linalg.norm(first[SPOKEN], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(first, real.encode(SAID), atol=2e-4)
    assert len(store) == 4


def test_without_the_lock_nothing_is_written_and_the_answer_is_the_same(
    store: Vectors, encoder: Counting
) -> None:
    found = meanings(store, TEXTS, encoder.open)
    assert not store.folder.parent.exists()
    np.testing.assert_array_equal(found, meanings(store, TEXTS, encoder.open, keep=True))
    assert encoder.opened == 2


def test_only_what_is_missing_is_encoded_in_whatever_order_it_is_asked(
    store: Vectors, encoder: Counting
) -> None:
    whole = meanings(store, TEXTS, encoder.open)
    some = dict(list(TEXTS.items())[:3])
    encoder.asked.clear()
    meanings(store, some, encoder.open, keep=True)
    assert encoder.asked == spoken(some)
    encoder.asked.clear()
    backwards = meanings(store, dict(reversed(TEXTS.items())), encoder.open, keep=True)
    assert sorted(encoder.asked) == sorted(spoken(TEXTS)[2:])
    np.testing.assert_array_equal(backwards, whole[::-1])
    assert len(store) == 4
    np.testing.assert_array_equal(meanings(store, some, encoder.open), whole[:3])


@pytest.mark.parametrize("keep", [False, True])
def test_where_nobody_says_anything_nothing_is_loaded(
    store: Vectors, encoder: Counting, keep: bool
) -> None:
    silent = {digest("a"): "", digest("b"): "\n\t \x00"}
    assert not meanings(store, silent, encoder.open, keep=keep).any()
    assert meanings(store, {}, encoder.open, keep=keep).shape == (0, 384)
    assert encoder.opened == 0
    assert not store.folder.exists()


def test_what_the_encoder_alone_finds_empty_is_not_stored(
    store: Vectors, encoder: Counting
) -> None:
    texts = {digest("a"): "\ufffd", digest("b"): "blue"}
    found = meanings(store, texts, encoder.open, keep=True)
    assert not found[0].any()
    assert found[1].any()
    assert store.digests() == [digest("b")]


@pytest.mark.parametrize("damage", ["part cut", "part gone", "manifest cut", "manifest gone"])
def test_a_damaged_store_is_encoded_around_and_mended_by_who_may(
    store: Vectors, encoder: Counting, damage: str
) -> None:
    whole = meanings(store, TEXTS, encoder.open, keep=True)
    kind = "part-*" if damage.startswith("part") else "manifest.json"
    [file] = store.folder.glob(kind)
    if damage.endswith("gone"):
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    np.testing.assert_array_equal(meanings(store, TEXTS, encoder.open), whole)
    said: list[str] = []
    again = meanings(store, TEXTS, encoder.open, keep=True, note=said.append)
    np.testing.assert_array_equal(again, whole)
    assert len(said) == (1 if kind == "part-*" else 0)
    opened = encoder.opened
    assert opened == (3 if kind == "part-*" else 2)  # parts without a manifest are salvaged
    np.testing.assert_array_equal(meanings(store, TEXTS, encoder.open), whole)
    assert encoder.opened == opened


def test_a_run_that_fails_keeps_what_it_had(
    store: Vectors, encoder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COMMIT", 2)
    encoder.fail_at = 3
    with pytest.raises(RuntimeFailed, match="out of memory"):
        meanings(store, TEXTS, encoder.open, keep=True)
    assert len(store) == 2
    encoder.fail_at = 1 << 30
    meanings(store, TEXTS, encoder.open, keep=True)
    assert encoder.asked == spoken(TEXTS)


def test_anothers_store_is_never_overwritten(store: Vectors, encoder: Counting) -> None:
    Vectors.open_or_create(store.folder, "another", "f" * 64, 384, 0)
    expected = meanings(store, TEXTS, encoder.open)
    assert expected[0].any()
    with pytest.raises(ForeignArtifact, match="another"):
        meanings(store, TEXTS, encoder.open, keep=True)
    assert Vectors.open(store.folder).backbone == "another"


def test_the_folder_is_named_for_the_network(tmp_path: Path, store: Vectors) -> None:
    card = sentence_card()
    assert meaning_folder(tmp_path, card) == tmp_path / f"meaning-{card.fingerprint[:8]}"
    assert store.folder.name == f"meaning-{card.fingerprint[:8]}"
    assert (store.backbone, store.dimension, store.middle_dimension) == ("all-MiniLM-L6-v2", 384, 0)
