"""Tests of cross-fitting in use: a cover that a head has learnt is answered by what has not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from albo import Albo
from albo.errors import UsageError
from albo.heads import load_head, save_head
from albo.learning import TrainingSettings, gather_material
from albo.records import Level
from albo.samples.covers import draw_sample
from albo.samples.plan import plan_samples
from albo.train import train

if TYPE_CHECKING:
    from collections.abc import Callable

    from albo.classify import Classified
    from tests.conftest import Answer, Speaking

pytestmark = pytest.mark.whole


@pytest.fixture
def albo(speaking: Speaking, tmp_path: Path) -> Albo:
    """Speak with a copy of the artifacts, which tests may change."""
    folder = tmp_path / "artifacts"
    shutil.copytree(speaking.artifacts, folder)
    return Albo(folder)


def ask(albo: Albo, *covers: Path, **asking: object) -> list[Classified]:
    return list(albo.classify([str(one) for one in covers], **asking))  # type: ignore[arg-type]


def first(answer: Classified, genre: str) -> float:
    said = answer.prediction
    assert said is not None
    return said.probabilities[said.genres.index(genre)]


def test_known_covers_are_answered_as_they_were_cross_validated(
    albo: Albo,
) -> None:
    material = gather_material(albo.library, Level.GENRE, None, "a test")
    settings = TrainingSettings(name="fresh", seeds=(0,), backbone=material.card.name)
    training = train(material.labelling, material.links, material.views, settings)
    save_head(training.head, albo.artifacts.head("fresh"))
    genres = training.head.genres
    own = {one.digest: row for row, one in enumerate(training.covers)}
    with albo.library.reading() as catalog:
        uris = {album.digest: album.uri for album in catalog.albums()}
    said = ask(albo, *(Path(uris[digest]) for digest in own), head="fresh")
    for answer, row in zip(said, own.values(), strict=True):
        assert answer.known is not None
        assert answer.known.is_held_out
        probabilities = [first(answer, genre) for genre in genres]
        # The vectors that were learnt are kept as float16, and so are the heads of the folds.
        np.testing.assert_allclose(probabilities, training.probabilities[0, row], atol=0.01)
    labels = np.array([genres[label] for label in training.labels])
    right = [one.prediction.genres[0] for one in said if one.prediction] == labels
    low, high = training.report["top1"]["low"], training.report["top1"]["high"]
    assert low <= right.mean() <= high


def test_every_link_is_seen_and_said(
    albo: Albo, albo_line: Callable[..., Answer], speaking: Speaking, tmp_path: Path
) -> None:
    with Image.open(speaking.folder / "0.png") as image:
        image.convert("RGB").resize((200, 200)).save(tmp_path / "scan.jpg", quality=80)
    draw_sample(plan_samples()[5], 320).save(tmp_path / "new.png")
    file, scan, new = (
        ask(albo, one)[0]
        for one in (speaking.folder / "0.png", tmp_path / "scan.jpg", tmp_path / "new.png")
    )
    assert file.known is not None
    assert file.known.by == "same file"
    assert scan.known is not None
    assert scan.known.by == "near-duplicate"
    assert scan.known.covers[0].album is not None
    assert scan.known.covers[0].album.uri == str(speaking.folder / "0.png")
    assert scan.known.digests == file.known.digests
    assert new.known is None
    (named,) = ask(albo, tmp_path / "new.png", artists=["artist 1"])
    assert named.known is not None
    assert named.known.by == "artist"
    assert named.as_json()["held_out"] is named.known.is_held_out
    assert new.as_json()["held_out"] is False
    assert new.as_json()["known"] is None
    line = albo_line(
        "classify",
        tmp_path / "new.png",
        "--artist",
        "ARTIST  1",
        "--artifacts",
        albo.artifacts.root,
    )
    assert line.code == 0
    assert f"learnt {named.known.count} covers by its artist; a predictor" in line.out
    (nobody,) = ask(albo, tmp_path / "new.png", artists=["Various Artists"])
    assert nobody.known is None


def test_a_small_grey_turned_copy_is_recognised(
    albo: Albo, speaking: Speaking, tmp_path: Path
) -> None:
    """Its vector is far from the cover's; its miniature is the same."""
    with Image.open(speaking.folder / "8.png") as image:
        small = image.convert("L").resize((100, 100)).rotate(90)
    small.save(tmp_path / "copy.jpg", quality=75)
    (copy,), (original,) = ask(albo, tmp_path / "copy.jpg"), ask(albo, speaking.folder / "8.png")
    assert copy.known is not None
    assert original.known is not None
    assert copy.known.by == "near-duplicate"
    assert copy.known.digests >= original.known.digests


def test_an_old_collection_gets_its_miniatures_once(
    albo: Albo, albo_line: Callable[..., Answer], speaking: Speaking
) -> None:
    store = albo.library.miniatures()
    shutil.rmtree(store.folder)
    said = albo_line("duplicates", "--artifacts", albo.artifacts.root)
    assert "40 covers have no miniature yet" in said.err
    albo_line("embed", "--artifacts", albo.artifacts.root)
    assert len(albo.library.miniatures()) == 40
    albo.forget(str(speaking.folder / "8.png"))
    assert len(albo.library.miniatures()) == 39
    assert "miniature" not in albo_line("duplicates", "--artifacts", albo.artifacts.root).err


def test_one_artist_is_named_for_each_cover(albo: Albo, speaking: Speaking) -> None:
    with pytest.raises(UsageError, match="1 --artist for 2 covers; give one for each"):
        ask(albo, speaking.silent, speaking.jazz, artists=["Artist 1"])
    with pytest.raises(UsageError, match="artists='Artist 1'; give a list"):
        ask(albo, speaking.silent, artists="Artist 1")


def test_another_dup_group_of_the_catalog_links_too(
    albo: Albo, speaking: Speaking, tmp_path: Path
) -> None:
    """A cover that came after training, marked as the artwork of one that was learnt."""
    rows = speaking.manifest.read_text(encoding="utf-8").splitlines()
    marked = [f"{speaking.folder}/{row},mark-{number}" for number, row in enumerate(rows[1:])]
    draw_sample(plan_samples()[5], 320).save(tmp_path / "late.png")
    table = tmp_path / "marked.csv"
    header = f"{rows[0]},dup_group"
    table.write_text("\n".join([header, *marked]), encoding="utf-8")
    albo.embed([str(table)])
    albo.train(seeds=(0,))
    late = f"{tmp_path}/late.png,,,,mark-3"
    table.write_text("\n".join([header, *marked, late]), encoding="utf-8")
    albo.embed([str(table)])
    (answer,) = ask(albo, tmp_path / "late.png")
    assert answer.known is not None
    assert answer.known.by == "dup_group"


def test_without_words_the_part_that_always_speaks_is_held_out_as_well(
    albo: Albo, speaking: Speaking
) -> None:
    (answer,) = ask(albo, speaking.folder / "0.png", words=False)
    assert answer.known is not None
    head = load_head(albo.artifacts.head("default"))
    assert head.crossfit is not None
    assert head.alone is not None
    part = head.crossfit.head(answer.known.fold, head.alone.views)
    assert part.views == head.alone.views == ("image",)
    assert answer.prediction is not None
    assert [one.view for one in answer.prediction.views] == ["image"]


def test_reasons_and_votes_are_of_what_has_not_learnt_it(albo: Albo, speaking: Speaking) -> None:
    (explained,) = albo.explain([str(speaking.folder / "0.png")])
    known = explained.classified.known
    assert known is not None
    shown = {one.digest for one in (*explained.own, *explained.others)}
    assert shown
    assert not shown & known.digests
    assert explained.reasons is not None
    assert explained.classified.prediction is not None
    (plain,) = ask(albo, speaking.folder / "0.png")
    assert plain.prediction is not None
    assert plain.prediction.probabilities == explained.classified.prediction.probabilities


def test_what_was_forgotten_is_said_until_the_head_is_trained_again(
    albo: Albo, speaking: Speaking
) -> None:
    said: list[str] = []
    albo.note = said.append
    ask(albo, speaking.silent)
    assert not said
    albo.forget(str(speaking.folder / "0.png"))
    ask(albo, speaking.silent)
    (line,) = said
    assert line == (
        "head 'default' has learnt 1 cover that is no longer in the collection; run"
        " `albo train --name default` to make it forget"
    )
    albo.train(seeds=(0,))
    said.clear()
    ask(albo, speaking.silent)
    assert not said


def test_a_head_of_an_older_albo_says_what_it_lacks(albo: Albo, speaking: Speaking) -> None:
    folder = albo.artifacts.head("default")
    save_head(replace(load_head(folder), crossfit=None), folder)
    said: list[str] = []
    albo.note = said.append
    (answer,) = ask(albo, speaking.folder / "0.png")
    assert answer.known is None
    assert len(said) == 1
    assert "trained by an older albo; run `albo train --name default`" in said[0]


def test_all_covers_are_asked_without_a_file(
    albo: Albo,
    albo_line: Callable[..., Answer],
    speaking: Speaking,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("albo.queries.read_file", None)
    every = list(albo.classify_collection())
    assert [one.query for one in every] == sorted(
        str(speaking.folder / f"{number}.png") for number in range(40)
    )
    assert all(one.is_held_out for one in every)
    jazz = list(albo.classify_collection("JAZZ"))
    assert [one.query for one in jazz] == [one.query for one in every if one.label == "Jazz"]
    alike = [first(one, "Jazz") for one in every if one.label == "Jazz"]
    # Other batches may round otherwise.
    assert [first(one, "Jazz") for one in jazz] == pytest.approx(alike, abs=1e-4)
    line = albo_line("classify", "--all", "--genre", "jazz", "--artifacts", albo.artifacts.root)
    assert line.code == 0
    assert line.out.count("(here: Jazz)") == 20
    assert "20 of these covers were learnt: predictors that have not learnt them" in line.err
    assert "very file" not in line.out
    monkeypatch.undo()
    (asked,) = ask(albo, Path(jazz[3].query))
    assert jazz[3].words == asked.words
    for genre in ("Jazz", "Metal"):
        assert abs(first(asked, genre) - first(jazz[3], genre)) < 0.01


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no cover is named; give one COVER or more, or --all"),
        (["x.jpg", "--all"], "give no COVER"),
        (["--all", "--artist", "A"], "give no COVER, --artist"),
        (["--all", "--explain", "x.png"], "--explain"),
        (["x.jpg", "--genre", "Jazz"], "give it with --all"),
        (["x.jpg", "--artist", "A", "--artist", "B"], "2 --artist for 1 cover"),
    ],
)
def test_wrong_usage_is_one_line(
    albo_line: Callable[..., Answer], albo: Albo, words: list[str], said: str
) -> None:
    answer = albo_line("classify", *words, "--artifacts", albo.artifacts.root)
    assert answer.code == 2
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1
