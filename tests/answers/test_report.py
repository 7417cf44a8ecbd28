"""Reports as records: verdicts, thumbnails, where drafts stand, and what sets them apart."""

from __future__ import annotations

import io
import json
import math
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from albo import Albo
from albo.answers import Draft, Explained, NoReference, Reporter, Verdict
from albo.answers.apart import set_apart
from albo.answers.report import _letter
from albo.asking import Asking
from albo.classify import Classified, Consultation
from albo.errors import UnknownGenre
from albo.heads import Reasons, Scores, ViewReason, WordReason, load_head, save_head
from albo.learning import seed_deviation
from albo.neighbours import Standing, standing
from albo.networks import card_of
from albo.queries import Listener
from albo.records import Device, Prediction, Prior, Words

if TYPE_CHECKING:
    from pathlib import Path

    from albo.answers import Report
    from tests.conftest import Speaking

DRAFT_KEYS = {
    "query", "draft", "genre", "verdict", "probability", "rank", "percentile", "typicality",
    "typicality_percentile", "predictions", "set", "decided", "unlike_learnt", "size", "held_out",
    "known", "votes", "why",
    "p_value", "no_from", "advice",
    "words", "title",
    "title_found", "title_legible", "title_share", "same_as", "nearest", "nearest_others",
}  # fmt: skip


def test_drafts_have_letters_and_beyond_them_numbers() -> None:
    assert [_letter(number) for number in (0, 1, 25, 26, 27)] == ["A", "B", "Z", "27", "28"]
    assert len({_letter(number) for number in range(100)}) == 100


# --- what sets two drafts apart ------------------------------------------------------------------


def made_up(
    letter: str,
    probability: float,
    views: dict[str, float],
    words: tuple[WordReason, ...] = (),
    says: tuple[str, ...] | None = (),
) -> Draft:
    reasons = Reasons("Jazz", tuple(ViewReason(*one) for one in views.items()), words)
    classified = Classified(f"{letter}.png", words=says)
    return Draft(letter, Explained(classified, reasons), probability=probability)


def test_views_are_set_against_each_other() -> None:
    better = made_up("A", 0.8, {"image": 0.5, "meaning": 1.5})
    worse = made_up("B", 0.5, {"image": 1.0, "characters": 0.25})
    apart = set_apart(better, worse, None)
    assert apart.views == (("meaning", 1.5), ("image", -0.5), ("characters", -0.25))
    assert sum(added for _, added in apart.views) == pytest.approx(2.0 - 1.25)
    assert apart.lead == pytest.approx(math.log(4))
    assert (apart.better, apart.worse, apart.is_close) == (better, worse, None)


def test_of_two_genres_the_views_add_up_to_the_lead(report: Report) -> None:
    """There the mean of the others is the other."""
    # Where a draft is as good as sure, its log-odds are cut off and its evidence is not.
    drafts = [one for one in report.ranking if 1e-9 < one.probability < 1 - 1e-9]
    assert len(drafts) > 1
    for worse in drafts[1:]:
        apart = set_apart(drafts[0], worse, None)
        assert apart.lead == pytest.approx(sum(added for _, added in apart.views), abs=1e-6)


@pytest.mark.parametrize(
    ("deviation", "is_close"), [(None, None), (0.7, True), (0.69, False), (0.0, False)]
)
def test_drafts_are_close_within_two_deviations(
    deviation: float | None, is_close: bool | None
) -> None:
    lead_of_log_4 = made_up("A", 0.8, {}), made_up("B", 0.5, {})
    assert set_apart(*lead_of_log_4, deviation).is_close is is_close


def test_equal_drafts_are_close_however_small_the_deviation() -> None:
    assert set_apart(made_up("A", 0.8, {}), made_up("B", 0.8, {}), 0.0).is_close is True


def test_sure_drafts_have_a_finite_lead() -> None:
    assert 40 < set_apart(made_up("A", 1.0, {}), made_up("B", 0.0, {}), 0.1).lead < 42


def word(text: str, evidence: float, view: str = "characters") -> WordReason:
    return WordReason(text, view, evidence)


def test_words_that_one_draft_alone_says_set_itset_apart() -> None:
    better = made_up(
        "A",
        0.8,
        {},
        (word("Blue TRAIN", 2.0, "meaning"), word("train", 0.9), word("blue", 0.8)),
        ("Blue TRAIN",),
    )
    worse = made_up(
        "B",
        0.5,
        {},
        (word("blue doom", -1.0, "meaning"), word("doom", -0.9), word("blue", 0.8)),
        ("BLUE doom",),
    )
    apart = set_apart(better, worse, None)
    assert [one.text for one in apart.better_words] == ["Blue TRAIN", "train"]
    assert [one.text for one in apart.worse_words] == ["blue doom", "doom"]


def test_a_line_that_both_say_sets_neitherset_apart() -> None:
    same = (word("Blue Train", 2.0, "meaning"),)
    apart = set_apart(
        made_up("A", 0.8, {}, same, ("Blue Train",)),
        made_up("B", 0.5, {}, (), ("live", "BLUE  train")),
        None,
    )
    assert apart.better_words == ()


def test_three_telling_words_are_enough_and_the_faint_tell_nothing() -> None:
    many = tuple(word(f"word{place}", 1 - place / 10) for place in range(9))
    apart = set_apart(made_up("A", 0.8, {}, many, ("x",)), made_up("B", 0.5, {}), None)
    assert [one.text for one in apart.better_words] == ["word0", "word1", "word2"]
    faint = (word("loud", -0.1), word("faint", 0.09))
    apart = set_apart(made_up("A", 0.8, {}, faint, ("x",)), made_up("B", 0.5, {}), None)
    assert [one.text for one in apart.better_words] == ["loud"]


def test_drafts_that_nobody_read_have_no_words_between_them() -> None:
    apart = set_apart(made_up("A", 0.8, {}, says=None), made_up("B", 0.5, {}, says=None), None)
    assert (apart.better_words, apart.worse_words) == ((), ())


@pytest.mark.parametrize("seeds", [0, 1])
def test_one_seed_says_nothing_of_chance(seeds: int) -> None:
    assert seed_deviation(np.array([0, 1]), np.full((seeds, 2, 2), 0.5)) is None


def test_seeds_that_agree_do_not_deviate() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 5)
    assert seed_deviation(np.array([0, 1, 2, 0, 1]), np.stack([rows] * 3)) == 0.0


def test_the_deviation_between_seeds_by_hand() -> None:
    """Log-odds of three covers with two seeds; the lead of each over the next is what counts."""
    odds = np.array([[0.0, 0.0, 4.0], [2.0, 0.0, 5.0]])  # (seeds, covers)
    own = 1 / (1 + np.exp(-odds))
    probabilities = np.stack([own, 1 - own], axis=2)
    labels = np.array([0, 0, 0])
    # Leads 0 and 2, -4 and -5, 4 and 3: of two numbers the deviation is the gap over sqrt(2).
    assert seed_deviation(labels, probabilities) == round(1 / math.sqrt(2), 4)
    assert seed_deviation(1 - labels, probabilities) == round(1 / math.sqrt(2), 4)
    together = np.stack([own[:1, [0, 0]], own[1:, [0, 0]]])[:, 0]
    moved = np.stack([together, 1 - together], axis=2)
    assert seed_deviation(np.array([0, 0]), moved) == 0.0, "what moves all moves no lead"
    sure = np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    assert seed_deviation(np.array([0]), sure) == 0.0, "and certainty is finite"


# --- whole reports -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reporter(speaking: Speaking) -> Reporter:
    """What reports, with the real reader, and no covers to compare with."""
    head = load_head(speaking.artifacts / "heads" / "default")
    folder = speaking.artifacts / "words"
    listener = Listener(head.fingerprints, folder, single=True, note=lambda _line: None)
    card = card_of(Albo(speaking.artifacts).library.vectors(None))
    asking = Asking(device=Device.CPU)
    consultation = Consultation(head, card, listener, asking, lambda _line: None)
    return Reporter(consultation, NoReference("there are no covers here"))


@pytest.fixture(scope="module")
def drafts(speaking: Speaking, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A silent cover, a broken one, one of Jazz, one of Metal, and one of the collection."""
    folder = tmp_path_factory.mktemp("drafts")
    (folder / "broken.png").write_text("no image")
    Image.open(speaking.folder / "1.png").convert("L").save(folder / "metal.png")
    known = speaking.folder / "0.png"
    return [
        str(path)
        for path in (
            speaking.silent,
            folder / "broken.png",
            speaking.jazz,
            folder / "metal.png",
            known,
        )
    ]


@pytest.fixture(scope="module")
def report(speaking: Speaking, drafts: list[str]) -> Report:
    return Albo(speaking.artifacts).report(drafts, " jazz ", device=Device.CPU)


def test_every_draft_is_in_the_report_in_the_order_given(report: Report, drafts: list[str]) -> None:
    assert [draft.letter for draft in report.drafts] == ["A", "B", "C", "D", "E"]
    assert [draft.query for draft in report.drafts] == drafts
    assert (report.genre, report.head, report.kind) == ("Jazz", "default", "logistic")
    assert (report.corpus, report.own, report.genres, report.learnt) == (40, 20, 2, 40)
    assert (report.prior, report.decide, report.coverage) == ("corpus", 0.5, 0.9)
    assert not report.starter


def test_a_broken_draft_says_why_and_the_others_go_on(report: Report, drafts: list[str]) -> None:
    broken = report.drafts[1]
    assert broken.error == "text, not an image"
    assert broken.as_json("Jazz") == {"query": drafts[1], "error": broken.error}
    assert broken not in report.ranking
    assert not any(draft.error for draft in report.drafts if draft is not broken)


def test_covers_that_say_what_they_are_read_as_it(report: Report) -> None:
    _, _, jazz, metal, known = report.drafts
    assert (jazz.verdict, jazz.rank) == (Verdict.YES, 1)
    assert known.verdict is Verdict.YES
    assert (metal.verdict, metal.rank) == (Verdict.NO, 2)
    assert metal.judgement.p_value == pytest.approx(1 / 21)
    for draft in (jazz, metal):
        assert draft.prediction is not None
        place = draft.prediction.genres.index("Jazz")
        assert draft.probability == draft.prediction.probabilities[place]
        assert draft.reasons is not None
        assert draft.reasons.genre == "Jazz", "of the genre asked about, whatever it reads as"


def test_drafts_are_ranked_by_how_much_they_read_as_the_genre(report: Report) -> None:
    ranked = [draft.probability for draft in report.ranking]
    assert ranked == sorted(ranked, reverse=True)
    assert len(ranked) == 4
    assert report.ranking[-1] is report.drafts[3], "the one that says Metal"


def test_the_first_is_held_against_each_other_draft(report: Report) -> None:
    assert [one.worse for one in report.apart] == list(report.ranking[1:])
    assert {one.better.letter for one in report.apart} == {report.ranking[0].letter}
    assert all(one.lead >= 0 for one in report.apart)
    assert {one.is_close for one in report.apart} == {None}, "one fold seed measures no deviation"
    last = report.apart[-1]
    assert {one.text for one in last.better_words} & {"blue bebop", "swing trio", "bebop", "trio"}
    assert any("death" in one.text for one in last.worse_words)


def test_a_drafts_probability_stands_among_those_of_the_genres_own_covers(
    report: Report, speaking: Speaking
) -> None:
    head = load_head(speaking.artifacts / "heads" / "default")
    for draft in report.ranking:
        assert draft.among == standing(draft.probability, head.own_probabilities("Jazz"))
        assert draft.among.count == 20
        assert draft.no_standing == ""


def test_the_very_same_file_is_recognised_and_has_no_vote(
    report: Report, drafts: list[str], speaking: Speaking
) -> None:
    known = report.drafts[4]
    assert drafts[4] in {one.album.uri for one in known.same}
    assert drafts[4] not in {one.album.uri for one in known.own}
    assert known.as_json("Jazz")["same_as"][0] == drafts[4]
    assert known.typicality is not None
    assert known.known is not None
    with Albo(speaking.artifacts).library.reading() as catalog:
        jazz = {album.digest for album in catalog.albums() if album.genre == "Jazz"}
    apart = jazz - known.known.digests
    assert known.typicality.among.count == len(apart), "it stands among those of other groups"
    assert 0 < len(apart) < 19
    stranger = report.drafts[2]
    assert drafts[2] not in {one.album.uri for one in stranger.same}
    assert min((one.score for one in stranger.same), default=1.0) >= 0.865
    assert stranger.typicality is not None
    assert stranger.typicality.among.count <= 20


def test_the_nearest_covers_of_both_kinds_are_shown_with_pictures(report: Report) -> None:
    for draft in report.ranking:
        assert draft.votes is not None
        assert 0 < draft.votes.voters <= 25
        assert {one.genre for one in draft.own} == {"Jazz"}
        assert {one.genre for one in draft.others} == {"Metal"}
        assert len(draft.own) == len(draft.others) == 6
        scores = [one.score for one in draft.own]
        assert scores == sorted(scores, reverse=True)
        for near in (*draft.own, *draft.others, *draft.same):
            assert Image.open(io.BytesIO(near.thumbnail)).format == "JPEG"


def test_a_draft_comes_with_its_pictures(report: Report, speaking: Speaking) -> None:
    jazz = report.drafts[2]
    made = [jazz.picture, jazz.speaks_for, jazz.speaks_against]
    opened = [Image.open(io.BytesIO(picture)) for picture in made]
    assert {image.format for image in opened} == {"JPEG"}
    assert {image.size for image in opened} == {(320, 320)}
    assert jazz.speaks_for != jazz.speaks_against
    assert jazz.reasons is not None
    assert jazz.reasons.activation is not None
    assert jazz.reasons.activation.evidence.shape == (7, 7)
    image = next(one.evidence for one in jazz.reasons.views if one.view == "image")
    # The classifier's bias is of no place, and the backbone rounds where the map does not.
    crossfit = load_head(speaking.artifacts / "heads" / "default").crossfit
    assert crossfit is not None
    assert jazz.known is not None
    head = crossfit.head(jazz.known.fold, ("image", "characters", "meaning"))
    own, other = head.predictors["image"].arrays()["bias"]
    bias = head.weights[0] / head.temperature * (own - other)
    placed = jazz.reasons.activation.mapped + jazz.reasons.activation.unmapped
    assert abs(placed + bias - image) < 0.1


def test_what_is_read_is_said_with_the_title_first(report: Report) -> None:
    silent, _, jazz, *_ = report.drafts
    assert jazz.words == ("blue bebop", "swing trio")
    assert jazz.thumbnail is not None
    assert {line.text for line in jazz.thumbnail.lines} == {"blue bebop", "swing trio"}
    assert silent.words == ()
    assert silent.thumbnail is not None
    assert silent.thumbnail.title is None
    assert silent.reasons is not None
    assert [one.view for one in silent.reasons.views] == ["image"]


def test_a_draft_is_plain_json(report: Report) -> None:
    for draft in report.ranking:
        content = json.loads(json.dumps(draft.as_json("Jazz")))
        assert set(content) == DRAFT_KEYS
        assert content["genre"] == "Jazz"
        assert content["verdict"] in {"yes", "no", "cannot tell"}
        assert content["votes"].keys() == {"in_favour", "of", "by_chance"}
        assert 0 <= content["percentile"] <= 1
        assert {one["genre"] for one in content["predictions"]} == {"Jazz", "Metal"}
    content = report.drafts[2].as_json("Jazz")
    assert (content["draft"], content["words"]) == ("C", ["blue bebop", "swing trio"])
    assert content["title"] == "blue bebop swing trio", "lines of one size that follow each other"
    assert isinstance(content["title_legible"], bool)
    silent = report.drafts[0].as_json("Jazz")
    assert (silent["words"], silent["title"], silent["title_legible"]) == ([], None, None)


def test_what_stands_at_the_very_bottom_is_in_the_json_as_zero() -> None:
    """Zero is an answer, and nothing is none."""
    said = Prediction(("Rock", "Jazz"), (0.9, 0.1), ("Rock",), decided=True)
    lowest = Draft("A", Explained(Classified("a.png", said)), among=Standing(0, 0, 9))
    assert lowest.as_json("Jazz")["percentile"] == 0.0
    unknown = replace(lowest, among=None).as_json("Jazz")
    assert unknown["percentile"] is unknown["typicality"] is unknown["votes"] is None
    assert unknown["why"] is unknown["words"] is None


# --- what cannot be said -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lone(speaking: Speaking, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts with a head of a former version, and no catalog any more."""
    folder = tmp_path_factory.mktemp("lone") / "artifacts"
    shutil.copytree(speaking.artifacts, folder)
    for file in folder.glob("catalog*"):
        file.unlink()
    head = load_head(folder / "heads" / "default")
    assert head.alone is not None
    former = replace(head, true_genres={}, alone=replace(head.alone, true_genres={}))
    save_head(former, folder / "heads" / "default")
    return folder


@pytest.fixture(scope="module")
def bare(lone: Path, drafts: list[str]) -> tuple[Report, list[str]]:
    """A report of 26 broken drafts and a good one, by the image alone, and what was noted."""
    noted: list[str] = []
    albo = Albo(lone, note=noted.append)
    covers = [drafts[1]] * 26 + [drafts[2]]
    return albo.report(covers, "Jazz", words=False, device=Device.CPU), noted


def test_the_27th_draft_is_called_27(bare: tuple[Report, list[str]]) -> None:
    found, _ = bare
    assert [draft.letter for draft in found.drafts[-2:]] == ["Z", "27"]
    assert [draft.letter for draft in found.ranking] == ["27"]
    assert found.apart == ()
    assert all(draft.error for draft in found.drafts[:26])


def test_a_head_of_a_former_version_says_that_it_kept_no_standing(
    bare: tuple[Report, list[str]],
) -> None:
    draft = bare[0].drafts[-1]
    assert draft.among is None
    assert "did not keep the probabilities of its genres' own covers" in draft.no_standing
    assert "albo train --name default" in draft.no_standing
    assert draft.as_json("Jazz")["percentile"] is None


def test_without_a_collection_a_draft_says_why_nothing_is_compared(
    bare: tuple[Report, list[str]],
) -> None:
    found, noted = bare
    draft = found.drafts[-1]
    assert draft.typicality is draft.votes is None
    assert draft.no_typicality == draft.no_votes != ""
    assert (draft.own, draft.others, draft.same) == ((), (), ())
    assert (found.corpus, found.own) == (0, 0)
    assert draft.as_json("Jazz")["votes"] is None
    assert any("albo embed" in line for line in [*noted, draft.no_votes])


def test_without_words_the_image_alone_is_asked(bare: tuple[Report, list[str]]) -> None:
    draft = bare[0].drafts[-1]
    assert draft.words is None
    assert draft.thumbnail is not None
    assert draft.thumbnail.lines == ()
    assert draft.reasons is not None
    assert [one.view for one in draft.reasons.views] == ["image"]
    assert draft.as_json("Jazz")["words"] is None


@pytest.mark.parametrize("prior", Prior)
def test_a_draft_stands_among_covers_under_the_same_prior(reporter: Reporter, prior: Prior) -> None:
    """Jazz is rare here: where the frequencies are divided out, its covers read more as it."""
    rows = np.array([[0.2, 0.8], [0.3, 0.7], [0.9, 0.1]])
    scores = Scores.of(rows, np.array([0, 0, 1]), np.array([0.1, 0.9]))
    asked = reporter.consultation
    head = replace(asked.head, nonconformity=scores.nonconformity, true_genres=scores.true_genres)
    assert head.genres == ("Jazz", "Metal")
    consultation = replace(asked, head=head, asking=replace(asked.asking, prior=prior))
    own, why = replace(reporter, consultation=consultation)._own("Jazz")
    assert own is not None
    assert standing(0.5, own) == (Standing(2, 0, 2) if prior == "corpus" else Standing(0, 0, 2))
    assert why == ""


def test_a_genre_of_which_nothing_was_held_out_has_no_standing(reporter: Reporter) -> None:
    scores = Scores.of(np.array([[0.2, 0.8]]), np.array([1]), np.array([0.5, 0.5]))
    asked = reporter.consultation
    head = replace(asked.head, nonconformity=scores.nonconformity, true_genres=scores.true_genres)
    one = replace(reporter, consultation=replace(asked, head=head))
    own, why = one._own("Jazz")
    assert own is None
    assert "Jazz" in why


def test_words_that_could_not_be_read_say_so(reporter: Reporter, speaking: Speaking) -> None:
    (asked,) = reporter.consultation.ask([str(speaking.jazz)], keep_pictures=True)
    failed = Words(error="its words could not be read (ValueError)")
    lost = replace(asked, query=replace(asked.query, words=failed))
    draft = reporter._draft(lost, "Jazz", "A")
    assert (draft.words, draft.no_words) == (None, failed.error)
    assert draft.as_json("Jazz")["words"] is None
    heard = reporter._draft(asked, "Jazz", "A")
    assert (heard.words, heard.no_words) == (("blue bebop", "swing trio"), "")


def test_no_drafts_but_broken_ones_are_a_report_without_a_ranking(
    speaking: Speaking, drafts: list[str]
) -> None:
    found = Albo(speaking.artifacts).report([drafts[1]], "Jazz", device=Device.CPU)
    assert (found.ranking, found.apart) == ((), ())
    assert found.drafts[0].error


def test_a_genre_that_the_head_does_not_know_is_refused(speaking: Speaking) -> None:
    albo = Albo(speaking.artifacts)
    with pytest.raises(UnknownGenre, match=r"does not know 'Jaz'; did you mean Jazz\?"):
        albo.report([str(speaking.jazz)], "Jaz")
