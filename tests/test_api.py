"""What `import albo` gives: several backbones side by side, filters, many queries at once."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import timm
import torch

from albo import Albo
from albo.catalog.sqlite import SqliteCatalog
from albo.demo import run_demo
from albo.errors import RuntimeFailed, TooFewCovers, UsageError
from albo.library import Library
from albo.records import Device, Prior
from albo.store import Vectors
from tests.conftest import write_manifest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from albo.records import Album
    from tests.conftest import Speaking

TINY = "timm/test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of a random network of 0.4 million numbers."""
    file = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.manual_seed(1)
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    return file


@pytest.fixture
def albo(sample_artifacts: Path, tmp_path: Path) -> Albo:
    """An artifacts folder of its own, with the 300 sample covers."""
    shutil.copytree(sample_artifacts, tmp_path / "artifacts")
    return Albo(tmp_path / "artifacts")


def notes_of(albo: Albo) -> list[str]:
    """Collect what the folder's owner is told from now on."""
    said: list[str] = []
    albo.note = said.append
    return said


# --- several backbones ---------------------------------------------------------------------------


def test_every_backbones_index_follows_the_catalog(
    albo: Albo, kept_aside: list[str], tiny: Path
) -> None:
    albo.embed(kept_aside[:5], backbone=TINY, weights=tiny)
    said = notes_of(albo)
    (first,) = albo.similar(kept_aside[:1], 300, backbone="efficientnet-lite0")
    assert len(first.neighbours) == 300
    assert said == [
        "5 covers have no vector and are left out;"
        " run `albo embed --backbone efficientnet-lite0` to embed them"
    ]
    albo.embed([], backbone="efficientnet-lite0")
    (whole,) = albo.similar(kept_aside[:1], 305, backbone="efficientnet-lite0")
    assert len(whole.neighbours) == 305
    assert [(one.backbone, one.count) for one in albo.index()] == [
        ("efficientnet-lite0", 305),
        (TINY, 5),
    ]


def test_a_run_that_broke_off_goes_on_with_the_same_backbone(
    albo: Albo, kept_aside: list[str], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Library, "update_index", lambda *_, **__: _fail())
        with pytest.raises(RuntimeFailed):
            albo.embed(kept_aside[:2], backbone=TINY, weights=tiny)
    assert albo.embed(kept_aside[:3]).backbone == TINY


def _fail() -> None:
    raise RuntimeFailed("the lights went out")


def test_forgetting_that_was_stopped_can_be_done_again(
    albo: Albo, kept_aside: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    albo.embed(kept_aside[:3])
    with monkeypatch.context() as patched:
        patched.setattr(Vectors, "remove", lambda *_: _fail())
        with pytest.raises(RuntimeFailed):
            albo.forget(kept_aside[0])
    assert albo.status()["covers"] == 303
    assert albo.forget(kept_aside[0]) == 1
    assert [backbone["vectors"] for backbone in albo.status()["backbones"]] == [302]


# --- filters -------------------------------------------------------------------------------------


@pytest.fixture
def twice_listed(tmp_path: Path, kept_aside: Sequence[str]) -> Albo:
    """Six covers: two of Rock, one of rock, one of Jazz, two of Blues; one of Rock and Blues."""
    files = [Path(file) for file in kept_aside[:6]]
    first = write_manifest_of(
        tmp_path / "first.csv", zip(files, ["Rock", "Rock", "rock", "Jazz"], strict=False)
    )
    second = write_manifest_of(tmp_path / "second.csv", [(files[0], "Blues"), (files[5], "Blues")])
    albo = Albo(tmp_path / "artifacts")
    albo.embed([str(first), str(second)])
    return albo


@pytest.mark.whole
@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("Rock", ["Rock", "Rock"]),
        ("rock", ["rock"]),
        ("ROCK", ["Rock", "Rock", "rock"]),
        ("blues", ["Blues", "Blues"]),
    ],
)
def test_a_genre_is_found_as_written_else_whatever_its_case(
    twice_listed: Albo, kept_aside: list[str], asked: str, shown: list[str]
) -> None:
    (answer,) = twice_listed.similar(kept_aside[4:5], genre=asked)
    found = [near.album.genre for near in answer.neighbours if near.album]
    assert sorted(found) == shown


# --- what is told --------------------------------------------------------------------------------


def test_copies_of_a_file_are_duplicates(albo: Albo, kept_aside: list[str], tmp_path: Path) -> None:
    before = albo.duplicates()
    copy = tmp_path / "copy.jpg"
    shutil.copy(kept_aside[3], copy)
    albo.embed([kept_aside[3], str(copy)])
    (group,) = [group for group in albo.duplicates() if group not in before]
    found = {member.album.uri: member.score for member in group}
    assert found == {kept_aside[3]: 1.0, str(copy): 1.0}


def test_what_a_writer_forgets_meanwhile_is_in_no_group(
    albo: Albo, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = albo.duplicates()
    gone = first[0].digest
    albums = SqliteCatalog.albums

    def without_it(catalog: SqliteCatalog, digests: set[bytes]) -> list[Album]:
        return [album for album in albums(catalog, digests) if album.digest != gone]

    monkeypatch.setattr(SqliteCatalog, "albums", without_it)
    left = [first[1:]] if len(first) > 2 else []
    assert sorted(albo.duplicates(), key=str) == sorted([*left, *others], key=str)


def test_a_cover_that_a_head_may_have_learnt_from_is_told(
    albo: Albo, samples: Path, kept_aside: list[str]
) -> None:
    said = notes_of(albo)
    list(albo.classify(kept_aside[:2]))
    assert said == []
    learnt = sorted(str(path) for path in (samples / "covers" / "Woodcut").iterdir())
    *_, known = albo.classify([*kept_aside[:2], learnt[0]])
    assert said == []
    assert known.known is not None
    assert known.known.by == "same file"
    albo.artifacts.catalog_file.unlink()
    assert len(list(albo.classify(kept_aside[:2]))) == 2


@pytest.mark.whole
def test_without_genres_training_says_how_to_give_some(
    kept_aside: list[str], tmp_path: Path
) -> None:
    albo = Albo(tmp_path / "artifacts")
    albo.embed(kept_aside)
    with pytest.raises(TooFewCovers, match=r"no cover has a genre.*--genre folder"):
        albo.train()


def test_the_demo_leaves_other_peoples_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "mine" / "samples").mkdir(parents=True)
    (tmp_path / "mine" / "samples" / "labels.csv").write_text("file\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="holds other files"):
        run_demo(tmp_path / "mine", Albo(tmp_path / "mine" / "artifacts"), print)
    assert sorted(tmp_path.rglob("*")) == before


# --- many queries --------------------------------------------------------------------------------


def test_queries_are_answered_in_order_more_than_fit_a_batch(
    albo: Albo, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("albo.queries._BATCH", 7)
    with (samples / "labels.csv").open(encoding="utf-8", newline="") as file:
        covers = [str(samples / row["file"]) for row in csv.DictReader(file)][:20]
    covers[8] = str(samples / "none.jpg")
    answers = list(albo.similar(covers, 3))
    assert [answer.query for answer in answers] == covers
    for answer, cover in zip(answers, covers, strict=True):
        assert [n.mark for n in answer.neighbours][:1] == ([] if answer.error else ["same file"])
        assert bool(answer.error) == (cover == covers[8])
    others = list(albo.similar(covers, 2, without_self=True))
    for both, other in zip(answers, others, strict=True):
        kept = [near.digest for near in both.neighbours[1:]]
        assert [near.digest for near in other.neighbours] == kept
        assert [near.rank for near in other.neighbours] == ([] if other.error else [1, 2])


# --- how far a score is to be believed -----------------------------------------------------------


def test_training_says_what_its_scores_lack(albo: Albo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("albo.learning.labels.SEEDS", (0, 1))
    said = notes_of(albo)
    report = albo.train(words=False)
    assert (report["seeds"], report["near_duplicates_measured"], said) == ([0, 1], True, [])
    monkeypatch.setattr("albo.networks.backbones._NEAR_DUPLICATE", {})
    monkeypatch.setattr("albo.learning.labels.SMALL_CORPUS", 299)
    report = albo.train(words=False)
    assert (report["seeds"], report["near_duplicates_measured"]) == ([0], False)
    assert said == [
        "nobody has measured these weights of efficientnet-lite0: copies of one artwork may be on"
        " both sides of a split and raise the scores; a column dup_group keeps them together",
        "scored with fold seed 0 alone; `albo train --seeds 2` averages 2 seeds and varies less",
    ]


@pytest.mark.whole
def test_a_genre_without_a_letter_is_found_by_its_very_name(
    tmp_path: Path, kept_aside: Sequence[str]
) -> None:
    files = [Path(file) for file in kept_aside[:3]]
    manifest = write_manifest_of(
        tmp_path / "odd.csv", zip(files, ["!!!", "???", "Rock"], strict=True)
    )
    albo = Albo(tmp_path / "artifacts")
    albo.embed([str(manifest)])
    (answer,) = albo.similar(kept_aside[4:5], genre="!!!")
    assert [near.album.genre for near in answer.neighbours if near.album] == ["!!!"]


# --- choices, and two commands in one call -------------------------------------------------------


def test_choices_may_be_plain_text_and_unknown_ones_name_what_there_is(
    sample_artifacts: Path, kept_aside: list[str]
) -> None:
    albo = Albo(sample_artifacts)
    (plain,) = albo.classify(kept_aside[:1], prior="uniform", device="cpu")
    (chosen,) = albo.classify(kept_aside[:1], prior=Prior.UNIFORM, device=Device.CPU)
    assert plain == chosen
    with pytest.raises(UsageError, match="device 'tpu'; give one of auto, cpu, cuda, mps"):
        next(albo.similar(kept_aside[:1], device="tpu"))
    with pytest.raises(UsageError, match="prior 'even'; give one of corpus, uniform"):
        next(albo.classify(kept_aside[:1], prior="even"))
    with pytest.raises(UsageError, match="kind 'tree'; give one of logistic, lightgbm"):
        albo.train(kind="tree")
    with pytest.raises(UsageError, match="level 'mood'; give one of genre, subgenre"):
        albo.evaluate(level="mood")
    with pytest.raises(UsageError, match="kind 'hnsw'; give one of auto, flat, ivf"):
        albo.index("hnsw")


def test_one_call_embeds_and_reads_words(speaking: Speaking, tmp_path: Path) -> None:
    albo = Albo(tmp_path / "artifacts")
    done = albo.embed([str(speaking.jazz), str(speaking.silent)], words=True)
    assert done.reading is not None
    assert (done.summary.embedded, done.reading.summary.read) == (2, 2)
    assert [store.digests() != [] for store in albo.library.all_words()] == [True]
    assert albo.embed([str(speaking.jazz)]).reading is None
