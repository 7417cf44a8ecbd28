"""The page of a report: plain words for every verdict, safe with anything in it, fit to be sent."""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from albo.answers import Draft, Title, Votes
from albo.answers.thumbnails import SmallLine, Thumbnail
from albo.errors import CannotWrite
from albo.heads import Reasons, ViewReason, WordReason
from albo.images import Facts
from albo.learning import LIMITS
from albo.records import Line, Prediction
from albo.show.page import render_report, write
from albo.words import Given
from tests.browser import Reader, count_printed, measure
from tests.evaluations import HOSTILE
from tests.reports import (
    OTHER,
    READS,
    UNLIKELY,
    UNSURE,
    draw,
    make_apart,
    make_bare,
    make_broken,
    make_draft,
    make_map,
    make_near,
    make_reasons,
    make_report,
    predict,
)

if TYPE_CHECKING:
    from pathlib import Path

    from albo.answers import Report

TINY = predict((("Rock", 0.9), ("Country", 0.0004)), ("Rock",), decided=True)
LONG = "Ж" * 2000
EVIL = (*HOSTILE, LONG)
NO_COVERS = "nothing has been embedded here with efficientnet-lite0"


def make_three(**said: object) -> Report:
    """Two drafts and one that could not be read."""
    drafts = (make_draft(OTHER, "A"), make_draft(READS, "B"), make_broken("C"))
    return make_report(*drafts, **said)


def make_same(number: int, genre: str = "Country", **said: object) -> Draft:
    """A draft whose artwork is known."""
    return make_draft(same=(make_near(number, genre, 0.97, **said),))


def make_hostile() -> Report:
    """Genres, files, words, artists, reasons and settings that mean harm."""
    genre, rest = EVIL[0], 1 / (len(EVIL) + 1)
    said = Prediction(EVIL, tuple(2 * rest if name == genre else rest for name in EVIL), EVIL, True)
    words = tuple(WordReason(bad, "meaning", 1 - n / 10) for n, bad in enumerate(EVIL))
    near = tuple(
        make_near(n, bad, 0.9, artist=bad, name=bad, uri=f"/x/{bad}") for n, bad in enumerate(EVIL)
    )
    drafts = [
        make_draft(
            said,
            letter,
            genre=genre,
            query=f"/x/{bad}",
            words=EVIL,
            own=near,
            others=near,
            same=near,
            reasons=Reasons(genre, (ViewReason(bad, 0.3),), words, None, bad),
            no_standing=bad,
            among=None,
            thumbnail=Thumbnail(
                draw("PNG", 55, 40), tuple(SmallLine(bad, 5.0, bad) for bad in EVIL)
            ),
        )
        for letter, bad in zip("AB", (EVIL[4], LONG), strict=True)
    ]
    broken = make_broken("C", query=EVIL[1], error=EVIL[4])
    bare = make_bare(EVIL[0], prediction=said, genre=genre, letter="D", query=EVIL[2])
    found = make_report(*drafts, broken, bare, genre=genre, head=EVIL[1], kind=EVIL[2])
    apart = tuple(
        make_apart(one.better, one.worse, better_words=words, worse_words=words, lead=50.0)
        for one in found.apart
    )
    return replace(found, apart=apart, backbone=EVIL[3], made=EVIL[7], genres=len(EVIL))


PAGES = {
    "one": make_report(make_draft()),
    "same": make_report(make_same(5)),
    "bare": make_report(make_bare(NO_COVERS), corpus=0, own=0, accuracy=None, starter=True),
    "tiny": make_report(make_draft(TINY)),
    "three": make_three(),
    "close": make_report(make_draft(UNSURE, "A"), make_draft(UNSURE, "B"), close=True),
    "unread": make_report(make_broken("A"), make_broken("B")),
    "one unread": make_report(make_broken("A")),
    "hostile": make_hostile(),
}
NAMES = list(PAGES)
READ = [name for name in PAGES if "unread" not in name]


@pytest.fixture(scope="module", params=NAMES)
def page(request: pytest.FixtureRequest) -> str:
    return render_report(PAGES[request.param])


def words_of(report: Report) -> str:
    """What a page says; blanks before a comma or a stop come from elements that end there."""
    said = Reader(render_report(report)).words.replace("\N{MINUS SIGN}", "-")
    return re.sub(r"(?<=\w) (?=[,.;:?])", "", said)


def words_of_one(draft: Draft, **said: object) -> str:
    return words_of(make_report(draft, **said))


def headline(report: Report) -> str:
    found = re.search(r'<h1 id="verdict">(.*?)</h1>', render_report(report), re.DOTALL)
    assert found
    return re.sub("<.*?>", "", found[1])


# --- the form ------------------------------------------------------------------------------------


def test_elements_are_closed_and_ids_unique(page: str) -> None:
    assert page.startswith("<!DOCTYPE html>\n<html lang=")
    read = Reader(page)
    assert read.open == []
    ids = Counter(attributes["id"] for _, attributes in read.elements if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    assert len(read.all("h1")) == len(read.all("title")) == 1


def test_headings_are_in_order(page: str) -> None:
    read = Reader(page)
    levels = [int(name[1]) for name, _ in read.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(cell["scope"] in {"row", "col"} for cell in read.all("th"))
    assert len(read.all("caption")) == len(read.all("table"))


def test_nothing_is_loaded_and_nothing_runs(page: str) -> None:
    read = Reader(page)
    names = {name for name, _ in read.elements}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form", "a"}
    for name, attributes in read.elements:
        for key, value in attributes.items():
            assert not key.startswith("on"), (name, key)
            if key in {"src", "href", "xlink:href", "srcset", "action", "poster"}:
                assert re.match("data:image/(jpeg|png);base64,", value), (name, value)
            if key == "style":
                assert re.fullmatch(r"(width: [\d.]+%|max-width: [\d.]+rem)", value), value
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    policy = [meta["content"] for meta in read.all("meta") if "http-equiv" in meta]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_every_picture_says_what_it_is(page: str) -> None:
    read = Reader(page)
    for image in read.all("img"):
        assert len(image["alt"]) > 5
        kind = "jpeg" if "base64,/9j/" in image["src"] else "png"
        assert image["src"].startswith(f"data:image/{kind};base64,")
    blanks = [one for one in read.all("span") if one.get("role") == "img"]
    assert all(len(one["aria-label"]) > 5 for one in blanks)


def test_pictures_are_there() -> None:
    draft = make_draft()
    assert draft.thumbnail is not None
    images = Reader(render_report(PAGES["one"])).all("img")
    shown = {image["alt"]: b64decode(image["src"].split(",")[1]) for image in images}
    assert shown["The cover: draft-A.png"] == draft.picture
    for way, picture in (("for", draft.speaks_for), ("against", draft.speaks_against)):
        said = f"draft-A.png: what speaks {way} Country in colour, the rest pale"
        assert shown[said] == picture
    for size in ("real size", "enlarged"):
        assert shown[f"draft-A.png at 55 pixels, {size}"] == draft.thumbnail.picture
    assert sum(alt.startswith("Cover: Artist") for alt in shown) == 12


def test_what_means_harm_is_shown_as_text() -> None:
    hostile = render_report(PAGES["hostile"])
    read = Reader(hostile)
    assert "<script" not in hostile
    assert "<img src=x" not in hostile
    assert "<!--" not in hostile
    assert "<script>alert(1)</script>" in read.words
    assert "{{ 7*7 }}" in read.words
    assert "Ж" * 30 in read.words
    assert "Ж" * 300 not in hostile, "what would fill the page is cut"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\uffff\ud800-\udfff]", hostile)
    hostile.encode("utf-8")


def test_what_turns_text_round_turns_itself_alone() -> None:
    """Each name that could is in an element or between marks that keep it apart."""
    hostile = render_report(PAGES["hostile"])
    tidy = re.sub('alt="[^"]*"|aria-label="[^"]*"', "", hostile)
    tidy = re.sub("\u2068[^\u2069]*\u2069", "", tidy)
    tidy = re.sub("<bdi[^>]*>[^<]*</bdi>", "", tidy)
    assert "\u202e" not in hostile, "an override could show a name backwards"
    assert "موسيقى" not in tidy


def test_no_folder_of_the_machine_is_told() -> None:
    folder = make_broken("B", query="/home/somebody/drafts/", error="it is a folder")
    for report in (make_report(make_draft(), folder), PAGES["same"], PAGES["unread"]):
        assert "somebody" not in render_report(report)
    assert "It could not be read: it is a folder" in words_of(make_report(make_draft(), folder))


def test_the_same_report_gives_the_same_page() -> None:
    assert render_report(PAGES["three"]) == render_report(make_three())


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    write(render_report(PAGES["one"]), place)
    assert place.read_text("utf-8") == render_report(PAGES["one"])
    blocked = tmp_path / "a file" / "report.html"
    blocked.parent.write_text("in the way")
    with pytest.raises(CannotWrite, match="give --html another place"):
        write("<!DOCTYPE html>", blocked)


# --- the verdict ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prediction", "verdict", "lede"),
    [
        (
            READS,
            "This cover reads as Country",
            "Its probability of Country is 72%, the highest of 8 genres: enough for albo to name"
            " it, which takes 50%. Country is in the set of genres made to hold the true one for"
            " 90% of covers, with Folk.",
        ),
        (
            OTHER,
            "albo cannot tell whether this cover reads as Country",
            "Its probability of Rock is 64%: enough for albo to name that, which takes 50%. Country"
            " is number 2 of 8 genres, with 8.0%. Of 24 Country covers that the head had not seen,"
            " 1 reads as weakly as Country: too many for albo to say no. Country is in the set of"
            " genres made to hold the true one for 90% of covers, with Rock: it cannot be ruled"
            " out.",
        ),
        (
            UNLIKELY,
            "Probably not Country: 8th of 8 genres; more like Rock (41%)",
            "Its probability of Country is 1.0%. Of 24 Country covers that the head had not seen,"
            " none reads as weakly as Country: few enough for albo to say no. Country is not in the"
            " set of genres made to hold the true one for 90% of covers: that has Rock.",
        ),
        (
            UNSURE,
            "albo cannot tell whether this cover reads as Country",
            "No genre is probable enough to be named: Rock comes first with 38%, and Country is"
            " number 2 of 8 genres, with 21%. Of 24 Country covers that the head had not seen, 5"
            " read as weakly as Country: too many for albo to say no. Country is in the set of"
            " genres made to hold the true one for 90% of covers, with Rock, Jazz, Folk and Blues:"
            " it cannot be ruled out.",
        ),
    ],
)
def test_the_verdict_in_plain_words(prediction: Prediction, verdict: str, lede: str) -> None:
    report = make_report(make_draft(prediction))
    assert headline(report) == verdict
    assert lede in words_of(report)
    assert "albo report, 2026-01-02" in words_of(report)


def test_a_genre_that_comes_first_may_be_too_little() -> None:
    said = replace(READS, decided=False, conformal_set=("Country",))
    report = make_report(make_draft(said), coverage=0.995)
    assert headline(report) == "albo cannot tell whether this cover reads as Country"
    assert (
        "Country itself comes first of 8, but with only 72%. Of 24 Country covers that the head"
        " had not seen, 19 read as weakly as Country: too many for albo to say no. Country is in"
        " the set of genres made to hold the true one for 99.5% of covers, alone: it cannot be"
        " ruled out."
    ) in words_of(report)


def test_nothing_is_as_good_as_sure() -> None:
    sure = Prediction(("Country", "Rock"), (0.99999, 0.00001), ("Country",), True)
    said = words_of_one(make_draft(sure))
    assert "Its probability of Country is over 99%" in said
    assert "1. Country asked about over 99% in the set" in said
    assert "2. Rock under 0.1% outside" in said


def test_the_key_figures() -> None:
    said = words_of_one(make_draft())
    assert "probability of Country 72% calibrated; the highest of 8 genres" in said
    assert "reads more like Country than 64% of 14 Country covers that the head had not" in said
    assert "looks more typical than 25% of 20 Country covers known here" in said
    assert "nearest covers that are Country 7 of 25" in said
    assert (
        "its largest text at 55 pixels legible to albo: “ CACTUS SONGS ”, 9.2 pixels high" in said
    )


def test_what_is_not_known_says_why() -> None:
    said = words_of(PAGES["bare"])
    assert said.count(f"not known {NO_COVERS}") == 3
    assert f"There are no covers to compare it with: {NO_COVERS}." in said
    assert "its largest text at 55 pixels not read" in said
    assert "compared with no covers" in said
    assert "right at the first guess" not in said
    assert "Not near-identical" not in said


# --- covers that are known -----------------------------------------------------------------------


def test_artwork_that_is_known_is_warned_of() -> None:
    said = words_of(PAGES["same"])
    assert "This artwork is known here already. It is near-identical to 1 cover." in said
    assert "The head may have learnt from it, so the probability is no test." in said
    assert "Artist 5 - Album 5 (1995) near-identical, Country, cosine 0.97" in said
    assert "It is not near-identical" not in said


def test_the_very_same_file_is_named_so() -> None:
    draft = make_same(5, digest=make_draft().digest)
    assert "exactly the same file, Country, cosine 0.97" in words_of_one(draft)


def test_what_a_head_cannot_have_learnt_from_is_not_said_so() -> None:
    known = "This artwork is known here already."
    unlabelled = words_of_one(make_same(5, ""))
    assert known in unlabelled
    assert "may have learnt" not in unlabelled
    starter = words_of_one(make_same(5), starter=True)
    assert known in starter
    assert "may have learnt" not in starter


def test_of_many_copies_a_few_are_shown() -> None:
    copies = tuple(make_near(n, "Country", 0.95) for n in range(20))
    report = make_report(make_draft(same=copies))
    assert (
        "near-identical to 20 covers, 6 of which are shown. The head may have learnt from them"
        in (words_of(report))
    )
    alts = [image["alt"] for image in Reader(render_report(report)).all("img")]
    assert sum(alt.startswith("Cover: Artist") for alt in alts) == 12 + 6


def test_artwork_that_is_new_is_said_to_be() -> None:
    said = words_of_one(make_draft())
    assert "It is not near-identical to any of the 1,300 labelled covers known here." in said
    assert "known here already" not in said


# --- what it is taken for ------------------------------------------------------------------------


def test_the_likeliest_genres_and_the_one_asked_about() -> None:
    said = words_of_one(make_draft(UNLIKELY))
    assert "1. Rock 41% in the set 2. Jazz 39% outside" in said
    assert "8. Country asked about 1.0% outside" in said
    assert "2 others together 7.6% none in it" in said
    page = render_report(make_report(make_draft(UNLIKELY)))
    assert '<span class="fill" style="width: 41.0%"></span>' in page


def test_a_genre_among_the_first_is_not_listed_twice() -> None:
    said = words_of_one(make_draft(UNSURE))
    assert "2. Country asked about 21% in the set" in said
    assert len(re.findall(r"\d\. Country", said)) == 1
    assert "3 others together 20% none in it" in said


# --- why -----------------------------------------------------------------------------------------


def test_evidence_is_said_in_numbers_beside_its_bars() -> None:
    page = render_report(make_report(make_draft()))
    said = words_of_one(make_draft())
    assert (
        "Full bars to the right speak for Country. Hatched bars to the left speak against" in said
    )
    assert (
        "the letters of the words on it 3.3 times the odds +1.20"
        " the picture 1.7 times the odds +0.55"
    ) in said
    assert "what these words mean odds divided by 1.3 -0.30" in said
    # The strongest of all, a word's 1.45, has the whole of its half.
    assert '<span class="for" style="width: 50.0%">' in page
    assert '<span class="for" style="width: 41.4%">' in page
    assert '<span class="against" style="width: 10.3%">' in page


def test_weak_evidence_has_no_long_bars() -> None:
    weak = make_reasons(views=(ViewReason("image", 0.07),), words=())
    page = render_report(make_report(make_draft(reasons=weak)))
    assert '<span class="for" style="width: 5.0%">' in page


def test_evidence_that_rounds_to_nothing_has_no_sign() -> None:
    nothing = make_reasons(views=(ViewReason("image", -0.001),))
    assert "the picture hardly changes the odds 0.00" in words_of_one(make_draft(reasons=nothing))


def test_the_words_that_counted() -> None:
    said = words_of_one(make_draft())
    assert "“ cactus ” by its letters 4.3 times the odds +1.45" in said
    assert "“ CACTUS SONGS ” by what it means odds divided by 1.9 -0.62" in said
    many = tuple(WordReason(f"word{n}", "characters", 2 - n / 20) for n in range(30))
    said = words_of_one(make_draft(reasons=make_reasons(words=many)))
    assert "the 12 strongest; 18 more weigh less" in said
    assert "word11" in said
    assert "word12" not in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (None, "The words on it were not read."),
        ((), "No words were found on it."),
        (("LATE LIGHT",), "Words were found on it, but none that this head weighs."),
    ],
)
def test_no_words_says_why(words: tuple[str, ...] | None, sentence: str) -> None:
    draft = make_draft(words=words, reasons=make_reasons(words=()))
    assert sentence in words_of_one(draft)


def test_the_map_says_how_much_it_shows() -> None:
    said = words_of_one(make_draft())
    assert "For Country: +0.50. What keeps its colour speaks for it" in said
    assert "Against Country: -0.30. What keeps its colour speaks against it" in said
    assert (
        "The map adds up to +0.20. Textures in earlier stages, which have no places, add"
        " +0.20, and every cover has +0.15 beforehand: so the map shows 50%, by size"
    ) in said
    assert "2 by 2 places" in said
    assert "Zhou et al. 2016" in said


@pytest.mark.parametrize(
    ("evidence", "sentence", "pictures"),
    [
        ((-0.4, -0.1, -0.2, 0.0), "For Country: 0.00. No place speaks for it.", 1),
        ((0.4, 0.1, 0.2, 0.0), "Against Country: 0.00. No place speaks against it.", 1),
        ((0.4, 0.1, 0.2, -0.01), "Against Country: -0.01. Hardly any place speaks against", 1),
        ((0.1, 0.1, 0.1, -0.012), "Against Country: -0.01. Hardly any place speaks against", 1),
        ((-0.4, 0.01, -0.2, -0.1), "For Country: +0.01. Hardly any place speaks for it.", 1),
        ((0.0, 0.0, 0.0, 0.0), "For Country: 0.00. No place speaks for it.", 0),
    ],
)
def test_no_pale_picture_is_shown_as_evidence(
    evidence: tuple[float, ...], sentence: str, pictures: int
) -> None:
    report = make_report(make_draft(reasons=make_reasons(activation=make_map(*evidence))))
    assert sentence in words_of(report)
    alts = [image["alt"] for image in Reader(render_report(report)).all("img")]
    assert sum("what speaks" in alt for alt in alts) == pictures


def test_no_map_says_why() -> None:
    trees = "a head of trees has no map: only a linear one is a sum over places"
    draft = make_draft(reasons=make_reasons(activation=None, no_map=trees))
    assert f"There is no map: {trees}." in words_of_one(draft)


# --- covers like it, and as a thumbnail ----------------------------------------------------------


def test_the_nearest_covers_are_named() -> None:
    said = words_of_one(make_draft())
    assert "Of the 25 nearest covers, 7 are Country; 4.2 expected by chance." in said
    assert "Artist 1 - Album 1 (1991) Country, cosine 0.85" in said
    assert "Artist 11 - Album 11 (2001) Rock, cosine 0.35" in said


@pytest.mark.parametrize(
    ("in_favour", "voters", "sentence"),
    [
        (0, 25, "Of the 25 nearest covers, none is Country; 1.5 expected by chance."),
        (1, 25, "Of the 25 nearest covers, 1 is Country; 1.5 expected by chance."),
        (0, 0, "No labelled cover is near enough to vote."),
    ],
)
def test_few_votes(in_favour: int, voters: int, sentence: str) -> None:
    votes = Votes("Country", voters, in_favour, 1.5, (), (), ())
    said = words_of_one(make_draft(votes=votes, own=(), others=()))
    assert sentence in said
    assert said.count("There are none.") == 2


def test_votes_of_few_covers_are_no_votes_by_chance() -> None:
    few = Votes("Country", 5, 3, 3.0, (), (), ())
    said = words_of_one(make_draft(votes=few))
    assert "Of the 5 nearest covers, 3 are Country; all that are known here." in said
    none = Votes("Country", 25, 0, 0.0, (), (), ())
    said = words_of_one(make_draft(votes=none))
    assert "none is Country; none of that genre is known here." in said
    assert "expected by chance" not in said


def test_an_artist_list_leaves_room_for_the_album() -> None:
    near = make_near(1, "Opera", 0.9)
    assert near.album is not None
    many = replace(near, album=replace(near.album, artist="The Metropolitan Opera, " * 20))
    said = words_of_one(make_draft(own=(many,)))
    assert "… - Album 1 (1991)" in said


def test_the_thumbnail_says_what_is_lost() -> None:
    said = words_of_one(make_draft())
    assert "albo can still read the largest text on it, title or artist: “ CACTUS SONGS ”" in said
    assert "CACTUS SONGS 9.2 px can be read small print 1.5 px is lost" in said
    line = SmallLine("CACTUS", 2.0, "CAT")
    title = Title("CACTUS", is_named=False, on_cover=1.0, share=0.0, pixels=2.0)
    lost = Thumbnail(draw("PNG", 55, 55), (line,), title)
    said = words_of_one(make_draft(thumbnail=lost))
    assert "albo cannot read the largest text on it, title or artist: “ CACTUS ”" in said
    assert "CACTUS 2.0 px is read as “ CAT ”" in said
    assert "its largest text at 55 pixels lost to albo: “ CACTUS ”, 2.0 pixels high" in said


@pytest.mark.parametrize(
    ("on_cover", "share", "at_a_glance", "sentence"),
    [
        (1.0, 0.8, "legible to albo: “ Rain ”, 9.4 pixels", "can still read its title: “ Rain ”."),
        (0.0, 0.8, "legible to albo: “ Rain ”, 9.4 pixels", "can still read its title: “ Rain ”."),
        (1.0, 0.4, "in part to albo: “ Rain ”", "can only in part read its title: “ Rain ”."),
        (1.0, 0.1, "lost to albo: “ Rain ”", "cannot read its title: “ Rain ”."),
        (
            0.4,
            0.4,
            "unclear albo read only a part of “ Rain ” at full size",
            "Only a part of its title, “ Rain ”, is among the words that albo read on it, even",
        ),
        (
            0.1,
            0.4,
            "not found “ Rain ” is not among the words that albo read at full size",
            "“ Rain ”, is not among the words that albo read on it, even at full size",
        ),
    ],
)
def test_a_title_that_was_named(
    on_cover: float, share: float, at_a_glance: str, sentence: str
) -> None:
    title = Title("Rain", is_named=True, on_cover=on_cover, share=share, pixels=9.4)
    given = Given(title="Rain")
    draft = make_draft(given=given, thumbnail=Thumbnail(draw("PNG", 55, 55), (), title))
    said = words_of_one(draft)
    assert f"its title at 55 pixels {at_a_glance}" in said
    assert sentence in said
    assert "the largest text" not in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (None, "The words on it were not read."),
        ((), "No words were found on it even at full size."),
        (("LATE LIGHT",), "Nobody looked whether its words can be read."),
    ],
)
def test_a_thumbnail_without_lines_says_why(words: tuple[str, ...] | None, sentence: str) -> None:
    draft = make_draft(words=words, thumbnail=Thumbnail(draw("PNG", 55, 55)))
    assert f"in lists, at 55 pixels. {sentence}" in words_of_one(draft)


def test_what_was_said_to_stand_on_it_is_among_what_it_rests_on() -> None:
    given = Given("The Cacti", "Cactus Songs")
    said = words_of_one(make_draft(given=given))
    assert "said to stand on them artist “The Cacti”; title “Cactus Songs”" in said
    assert "said to stand on them" not in words_of_one(make_draft())
    long = make_draft(given=Given(text="word " * 20_000))
    assert words_of_one(long).count("word ") < 200


def test_what_was_read_is_framed_and_listed() -> None:
    page = render_report(make_report(make_draft()))
    assert '<polygon points="10.00,10.00 90.00,12.00 90.00,25.00 10.00,23.00"/>' in page
    said = words_of_one(make_draft())
    assert "A frame stands round each line that albo read. CACTUS SONGS small print" in said
    assert "What you said stands on it" not in said


def test_what_was_given_and_not_read_is_said() -> None:
    given = Given("The Cacti", "Cactus Songs", "Live in Rome\n2024")
    draft = make_draft(given=given, not_read=("The Cacti", "2024"))
    said = words_of_one(draft)
    assert "artist “ The Cacti ”: not read on it" in said
    assert "title “ Cactus Songs ”: read" in said
    assert "text “ Live in Rome ”: read text “ 2024 ”: not read on it" in said
    silent = make_draft(given=given, not_read=("The Cacti",), lines=(), words=())
    assert "albo read no line on it." in words_of_one(silent)


def test_boxes_stay_on_the_picture() -> None:
    line = Line("far out", (-3.0, 0.1, 7.0, 0.1, 7.0, 0.2, -3.0, 0.2), 0.9)
    page = render_report(make_report(make_draft(lines=(line,))))
    assert '<polygon points="0.00,10.00 100.00,10.00 100.00,20.00 0.00,20.00"/>' in page


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (Facts("image/png", 660, 600), "660 x 600 pixels: shops want 3,000 x 3,000 and a square."),
        (Facts("image/png", 3000, 3000), "3,000 x 3,000 pixels: large enough for shops."),
        (
            Facts("image/jpeg", 4000, 4000, is_cmyk=True),
            "shops want RGB (this file has the",
        ),
        (Facts("image/jpeg", 3200, 3000), "3,200 x 3,000 pixels: shops want a square."),
    ],
)
def test_the_size_of_a_draft_is_judged(facts: Facts, sentence: str) -> None:
    assert sentence in words_of_one(make_draft(facts=facts))
    assert "shops want" not in words_of_one(make_draft(facts=None))


def test_genres_are_written_as_people_write_them() -> None:
    labels = ("Children's_Music", "Hip-Hop_Rap", "Home Brew")
    said = Prediction(labels, (0.5, 0.3, 0.2), labels, False)
    draft = make_draft(said, genre="Children's_Music")
    page = words_of(make_report(draft, genre="Children's_Music"))
    assert "Children's Music" in page
    assert "Hip-Hop/Rap" in page
    assert "Home Brew" in page
    assert "Children's_Music" not in page
    assert "Hip-Hop_Rap" not in page


def test_many_lines_are_cut_short() -> None:
    lines = tuple(SmallLine(f"line{n}", 9 - n / 10, "") for n in range(40))
    said = words_of_one(make_draft(thumbnail=Thumbnail(draw("PNG", 55, 55), lines)))
    assert "28 smaller ones are left out" in said
    assert "line11" in said
    assert "line12" not in said


# --- what it rests on ----------------------------------------------------------------------------


def test_what_a_report_rests_on() -> None:
    said = words_of_one(make_draft())
    assert "head default (logistic regression)" in said
    assert "learnt from 1,234 covers" in said
    assert "genres that it knows 8" in said
    assert "52% of covers of artists and artworks that it had not seen" in said
    assert "made to hold the true one for 90% of covers" in said
    assert "sees with efficientnet-lite0" in said
    assert "1,300 labelled covers, 60 of them of the genre asked about" in said
    assert all(line in said for line in LIMITS)
    assert "The artwork belongs to its owners." in said
    assert "starter" not in said
    assert "boosted trees (LightGBM)" in words_of_one(make_draft(), kind="lightgbm")


def test_the_starter_head_says_so() -> None:
    said = words_of(PAGES["bare"])
    assert "The starter head that comes with albo answered: it knows 8 genres" in said
    assert "albo train makes a head of your own genres and covers" in said


# --- several drafts ------------------------------------------------------------------------------


def test_drafts_that_are_one_file_say_so() -> None:
    one, twin = (make_draft(letter=letter, digest=b"same") for letter in "AB")
    broken = make_broken("C", query="draft-C.png", error="broken")
    said = words_of(make_report(one, twin, broken))
    assert "Draft A draft-A.png, the very same file as B" in said
    assert "Draft B draft-B.png, the very same file as A" in said
    assert "These two are the very same file." in said
    assert "B is the very same file as A" in said
    assert said.count("place among the drafts 1 of 2") == 2
    assert headline(make_report(one, twin, broken)) == "The drafts are one and the same file"
    assert said.count("very same file") == 4
    assert "is ahead of" not in said


def test_several_drafts_stand_side_by_side() -> None:
    said = words_of(PAGES["three"])
    assert headline(PAGES["three"]) == "Draft B reads most as Country"
    assert (
        "3 drafts were held against Country. B comes first: Country is its 1st of 8 genres, with"
        " 72%. A is next: 2nd, with 8.0%. 1 could not be read."
    ) in said
    assert (
        "Draft A draft-A.png albo cannot tell whether it reads as Country 7 of its 25 nearest"
        " covers are Country. 1,400 x 1,400 pixels: shops want 3,000 x 3,000."
        " place among the drafts 2 of 2"
        " probability of Country 8.0% rank among the genres 2 of 8 reads more like it than 64% of"
        " 14 looks more typical than 25% of 20 nearest covers of Country 7 of 25 largest text"
        " at 55 pixels legible"
    ) in said
    assert "Draft B draft-B.png It reads as Country 7 of its 25 nearest" in said
    read = Reader(render_report(PAGES["three"]))
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert ids == ["verdict", "drafts", "apart", "draft-1", "draft-2", "draft-3", "rests"]


def test_what_sets_drafts_apart() -> None:
    said = words_of(PAGES["three"])
    assert "B is ahead of A: its odds of Country are 5.5 times as high" in said
    assert "the letters of the words on it 1.7 times the odds +0.55 the picture 1.6 times" in said
    assert "Only B says “ cactus ” (letters +1.45)." in said
    assert "Only A says “ ROCK OF AGES ” (meaning -0.90)." in said
    assert "Too close to call" not in said
    assert "was not measured" not in said


@pytest.mark.parametrize(
    ("lead", "odds"), [(0.01, "1.0"), (2.5, "12"), (6.9, "992"), (40.0, "over 1,000")]
)
def test_leads_as_odds(lead: float, odds: str) -> None:
    report = make_three()
    apart = tuple(replace(one, lead=lead) for one in report.apart)
    assert f"its odds of Country are {odds} times as high" in words_of(replace(report, apart=apart))


def test_a_draft_that_cannot_be_read_is_named_wherever_drafts_are() -> None:
    said = words_of(PAGES["three"])
    why = "It could not be read: damaged PNG: no picture in it; fetch it again"
    assert f"Draft C draft-C.png {why}" in said
    assert f"Draft C: draft-C.png {why}" in said


def test_one_draft_left_speaks_for_itself() -> None:
    report = make_report(make_broken("A"), make_draft(UNSURE, "B"))
    assert headline(report) == "albo cannot tell whether draft B reads as Country"
    assert "What sets them apart" not in words_of(report)
    assert "2 drafts were held against Country. 1 could not be read." in words_of(report)


def test_what_could_not_be_read_at_all() -> None:
    assert headline(PAGES["one unread"]) == "This cover could not be read"
    assert "draft-A.png: damaged PNG: no picture in it; fetch it again" in (
        words_of(PAGES["one unread"])
    )
    assert headline(PAGES["unread"]) == "None of these covers could be read"


def test_drafts_too_close_to_call() -> None:
    said = words_of(PAGES["close"])
    close = "Too close to call: the gap is within chance."
    assert headline(PAGES["close"]) == (
        "No draft surely reads as Country, and albo cannot tell which comes nearest"
    )
    assert close in said
    assert "The gap is within chance." in said
    sure = make_report(make_draft(READS, "A"), make_draft(READS, "B"), close=True)
    assert headline(sure) == "albo cannot tell which draft reads most as Country"


def test_some_drafts_too_close_to_call() -> None:
    drafts = [make_draft(READS, "A"), make_draft(READS, "B"), make_draft(OTHER, "C")]
    report = make_report(*drafts)
    near, far = report.apart
    report = replace(report, apart=(replace(near, is_close=True), far))
    assert headline(report) == (
        "Drafts A and B read most as Country; albo cannot tell which of them does"
    )
    read = Reader(render_report(report))
    assert [one.get("class", "") for one in read.all("li")][:3] == ["leader", "leader", ""]


def test_no_draft_may_read_surely() -> None:
    report = make_report(make_draft(UNSURE, "A"), make_draft(UNLIKELY, "B"))
    assert headline(report) == "No draft surely reads as Country; A comes nearest"


def test_what_was_not_measured_is_not_called_close_or_clear() -> None:
    said = words_of(make_three(close=None))
    assert "How much of the gap is chance was not measured." in said


def test_known_artwork_shows_in_the_comparison() -> None:
    report = make_report(make_same(5), make_draft(OTHER, "B"))
    assert "near-identical covers known here 1" in words_of(report)


# --- in a browser --------------------------------------------------------------------------------

LOOK = """
const box = (one) => {
  const { left, right, top, bottom, width, height } = one.getBoundingClientRect();
  return { left, right, top, bottom, width, height };
};
const all = (selector) => [...page.querySelectorAll(selector)].map(box);
const root = page.documentElement;
return {
  needed: root.scrollWidth, there: root.clientWidth,
  verdict: all("#verdict"), lede: all(".lede"), figures: all(".figures > div"),
  covers: all("img.cover"), maps: all(".map img"), tables: all("table"), likely: all(".likely"),
  real: all(".thumbnail img"), enlarged: all(".enlarged img"), near: all(".shelf li img"),
  bars: all(".likely .fill"), drafts: all(".drafts > li"), same: all("aside.same"),
  unloaded: [...page.images].filter((one) => !one.naturalWidth).map((one) => one.alt),
  scrolled: [...page.querySelectorAll(".scroll")].filter(
    (one) => one.scrollWidth > one.clientWidth
  ).map((one) => one.getAttribute("aria-label")),
  outside: [...page.body.querySelectorAll("*")].filter(
    (one) => !one.closest(".scroll *") && one.getBoundingClientRect().right > root.clientWidth + 1
  ).map((one) => one.outerHTML.slice(0, 90)),
};
"""


@pytest.mark.whole
@pytest.mark.parametrize("width", [375, 1440])
@pytest.mark.parametrize("name", READ)
def test_a_page_fits_phones_and_desks(tmp_path: Path, name: str, width: int) -> None:
    seen = measure(render_report(PAGES[name]), width, LOOK, tmp_path)
    assert width - 20 <= seen["there"] <= width
    assert seen["needed"] <= seen["there"]
    assert seen["outside"] == []
    assert seen["unloaded"] == []
    assert seen["scrolled"] == [], "tables can be scrolled, but none of these has to"
    for what in ("verdict", "lede", "figures", "covers", "tables", "real", "enlarged", "bars"):
        assert seen[what], what
        assert all(one["height"] >= 2 for one in seen[what]), what
    for what in ("verdict", "lede", "figures", "covers", "tables", "enlarged"):
        assert all(one["width"] > 90 for one in seen[what]), what
    assert all(one["width"] <= 55 and one["height"] <= 55 for one in seen["real"])
    assert all(one["width"] == one["height"] == 220 for one in seen["enlarged"])


OVERLAPS = """
const boxes = (one) => [...one.getClientRects()];
const meet = (one, other) => boxes(one).some((a) => boxes(other).some((b) =>
  Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5 &&
  Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5));
const drawn = [...page.querySelectorAll(".fill, .for, .against")];
const printed = [...page.querySelectorAll(".value, .value small, th, caption span, td.word")];
return {
  bars: drawn.length,
  covered: drawn.flatMap((bar) => printed.filter((text) => meet(bar, text))
    .map((text) => text.innerText)),
  beyond: drawn.filter((bar) => {
    const own = bar.getBoundingClientRect(), track = bar.parentNode.getBoundingClientRect();
    return own.left < track.left - 0.5 || own.right > track.right + 0.5;
  }).map((bar) => bar.getAttribute("style")),
  crossed: [...page.querySelectorAll(".drafts > li, .said, .summary, .drafts dl")].flatMap((of) => {
    const parts = [...of.children];
    return parts.flatMap((part, at) => parts.slice(at + 1).filter((next) => meet(part, next))
      .map((next) => part.innerText.slice(0, 40) + " / " + next.innerText.slice(0, 40)));
  }),
  printed: [...page.querySelectorAll(".value")].flatMap((one) =>
    printed.filter((other) => other !== one && !one.contains(other) && meet(one, other))
    .map((other) => one.innerText + " / " + other.innerText)),
};
"""


@pytest.mark.whole
@pytest.mark.parametrize("width", [375, 1440])
@pytest.mark.parametrize("name", ["one", "rest", "three", "close", "bare"])
def test_no_bar_covers_a_number(tmp_path: Path, name: str, width: int) -> None:
    rest = make_reasons(
        views=(ViewReason("meaning", 4.0), ViewReason("image", -3.0)),
        words=(WordReason("cactus", "meaning", 1.0),),
    )
    report = make_report(make_draft(reasons=rest)) if name == "rest" else PAGES[name]
    seen = measure(render_report(report), width, OVERLAPS, tmp_path)
    assert seen["bars"] > 3
    assert seen["covered"] == []
    assert seen["beyond"] == []
    assert seen["crossed"] == []
    assert seen["printed"] == []


@pytest.mark.whole
def test_what_matters_is_seen_first(tmp_path: Path) -> None:
    seen = measure(render_report(PAGES["one"]), 1440, LOOK, tmp_path)
    (cover,), (verdict,), (lede,) = seen["covers"], seen["verdict"], seen["lede"]
    assert cover["width"] == 320
    assert verdict["right"] <= cover["left"], "they stand side by side"
    assert lede["bottom"] < cover["bottom"]
    assert [one["width"] for one in seen["real"]] == [55]
    assert len(seen["maps"]) == 2
    assert seen["maps"][0]["right"] <= seen["maps"][1]["left"]
    assert all(one["width"] == one["height"] > 200 for one in seen["maps"])
    assert len(seen["near"]) == 12
    assert len(seen["figures"]) == 5
    assert len({one["height"] for one in seen["figures"]}) == 1


@pytest.mark.whole
def test_drafts_stand_in_one_row(tmp_path: Path) -> None:
    seen = measure(render_report(PAGES["three"]), 1440, LOOK, tmp_path)
    lefts = [one["left"] for one in seen["drafts"]]
    assert lefts == sorted(set(lefts))
    assert len({one["height"] for one in seen["drafts"]}) == 1


@pytest.mark.whole
@pytest.mark.parametrize(("name", "most"), [("one", 4), ("same", 5), ("bare", 4), ("three", 9)])
def test_a_page_prints_on_a_few_sheets(tmp_path: Path, name: str, most: int) -> None:
    assert 2 <= count_printed(render_report(PAGES[name]), tmp_path) <= most


def test_a_known_cover_without_anything_but_its_digest_is_named() -> None:
    bare = make_near(1, "Country", 0.9)
    nameless = replace(bare, digest=b"\xab" * 32, album=None, thumbnail=b"")
    page = Reader(render_report(make_report(make_draft(own=(nameless,)))))
    blanks = [one.get("aria-label") for one in page.all("span") if one.get("role") == "img"]
    assert blanks == ["No picture: abababababab"]


def test_a_reading_that_failed_is_no_cover_without_words() -> None:
    draft = make_draft(READS)
    assert draft.reasons is not None
    mute = replace(draft.reasons, words=())
    failed = replace(draft, no_words="the reader gave up", why=replace(draft.why, reasons=mute))
    assert "The words on it were not read: the reader gave up." in words_of(make_report(failed))


def test_it_is_said_how_frequent_genres_are_held_to_be() -> None:
    assert "as frequent as among the covers learnt from" in words_of(make_report(make_draft(READS)))
    even = make_report(make_draft(READS), prior="uniform", decide=0.7)
    assert "as if all were equally frequent" in words_of(even)
    assert "which takes 70%" in words_of(even)
