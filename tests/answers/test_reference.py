"""The covers that a question is held against: real vectors, a real index, made-up directions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from albo.answers import VOTERS, Reference, Typical
from albo.errors import TooFewCovers
from albo.index import open_index, update_index
from albo.learning import label_covers
from albo.neighbours import GenreMeans
from albo.records import Album, Embeddings
from albo.store import Vectors

if TYPE_CHECKING:
    from references.abc import Callable, Iterable, Sequence

    from albo.records import Digest, Floats, ShownCover

FINGERPRINT = "f" * 64
SAME_FROM = 0.99  # 8.1 degrees


@dataclass(frozen=True)
class Cover:
    """A cover by its name, which way it points, its genre and artist; "" for none."""

    name: str
    degrees: float
    genre: str = ""
    artist: str = ""


def digest_of(name: str) -> Digest:
    return hashlib.sha256(name.encode()).digest()


def pointing(degrees: float) -> Floats:
    """Return a unit vector in the plane: float32 (1, 2)."""
    radians = np.radians(degrees)
    return np.array([[np.cos(radians), np.sin(radians)]], np.float32)


def collect(
    folder: Path, digests: Sequence[Digest], rows: Floats, albums: list[Album]
) -> Reference:
    """Embed and index covers, and label them by their albums."""
    vectors = Vectors.open_or_create(folder / "vectors", "test", FINGERPRINT, rows.shape[1], 0)
    with vectors.writer() as writer:
        writer.add(digests, Embeddings(rows, np.empty((len(rows), 0), np.float32)))
    update_index(folder / "index", vectors, set(digests))
    index = open_index(folder / "index", FINGERPRINT)
    labelling = label_covers(albums).restrict(index.digests())
    by_digest = {album.digest: album for album in albums if album.digest is not None}
    return Reference(labelling, by_digest, index, vectors, SAME_FROM)


@pytest.fixture
def gather(tmp_path: Path) -> Callable[[Iterable[Cover]], Reference]:
    """Make a reference of covers in the plane."""

    def make(covers: Iterable[Cover]) -> Reference:
        covers = list(covers)
        rows = np.concatenate([pointing(cover.degrees) for cover in covers])
        albums = [
            Album(
                "test",
                cover.name,
                f"{cover.name}.jpg",
                digest_of(cover.name),
                cover.genre,
                artist=cover.artist,
            )
            for cover in covers
        ]
        return collect(tmp_path, [digest_of(cover.name) for cover in covers], rows, albums)

    return make


Gather = "Callable[[Iterable[Cover]], Reference]"
DRAFT = digest_of("a draft that is in no collection")


def names(near: Iterable[ShownCover]) -> list[str]:
    return [Path(one.album.uri).stem for one in near]


# --- votes ---------------------------------------------------------------------------------------


def test_other_scans_of_the_artwork_have_no_vote(gather: Gather) -> None:
    reference = gather(
        [
            Cover("itself", 0, "Rock"),
            Cover("scan", 3, "Rock"),
            Cover("unlabelled scan", 5),
            Cover("near", 20, "Jazz"),
            Cover("next", 30, "Rock"),
            Cover("far", 90, "Jazz"),
        ]
    )
    votes = reference.votes(pointing(0), digest_of("itself"), "Rock")
    assert names(votes.same) == ["itself", "scan", "unlabelled scan"]
    assert (votes.voters, votes.in_favour) == (3, 1)
    assert votes.by_chance == 1.0, "the three covers of another artwork all vote: one is Rock"
    assert names(votes.own) == ["next"]
    assert names(votes.others) == ["near", "far"]
    assert votes.own[0].score == pytest.approx(np.cos(np.radians(30)), abs=1e-3)


def test_no_copy_votes_however_many_covers_have_no_label(gather: Gather) -> None:
    """Labelled covers are searched for apart then, and their copies are found only there."""
    crowd = [Cover(f"nameless {number}", 1 + number / 1000) for number in range(210)]
    labelled = [Cover("scan", 2, "Rock"), Cover("next", 60, "Rock"), Cover("far", 80, "Jazz")]
    votes = gather([*crowd, *labelled]).votes(pointing(0), digest_of("asked"), "Rock")
    assert (votes.voters, votes.in_favour) == (2, 1)
    assert (names(votes.own), names(votes.others)) == (["next"], ["far"])
    assert len(votes.same) == 200


def test_a_genre_is_found_as_most_covers_write_it(gather: Gather) -> None:
    covers = [Cover("a", 0, "hip-hop"), Cover("b", 9, "hip-hop"), Cover("c", 18, "HIP-HOP")]
    reference = gather(covers)
    assert reference.spelling("Hip-Hop") == "hip-hop"
    assert reference.spelling("HipHop") == "hip-hop", "as a genre that is asked for is found"
    assert reference.spelling("HIP-HOP") == "hip-hop", "labels that differ by case are one"
    assert reference.spelling("Jazz") == "Jazz"


def test_the_very_same_file_is_known_however_it_was_read(gather: Gather) -> None:
    """Another reading of the same bytes may give another vector: their digest decides."""
    reference = gather([Cover("itself", 0, "Rock"), Cover("other", 10, "Rock")])
    votes = reference.votes(pointing(40), digest_of("itself"), "Rock")
    assert names(votes.same) == ["itself"]
    assert (votes.voters, votes.in_favour, names(votes.own)) == (1, 1, ["other"])


def test_covers_without_one_clear_label_have_no_vote(tmp_path: Path) -> None:
    digests = [digest_of(name) for name in ("clear", "none", "two")]
    rows = np.concatenate([pointing(20), pointing(25), pointing(30)])
    albums = [
        Album("test", "1", "clear.jpg", digests[0], "Rock"),
        Album("test", "2", "none.jpg", digests[1]),
        Album("test", "3", "two.jpg", digests[2], "Rock"),
        Album("test", "4", "two.jpg", digests[2], "Jazz"),
    ]
    reference = collect(tmp_path, digests, rows, albums)
    votes = reference.votes(pointing(0), DRAFT, "Rock")
    assert (votes.voters, votes.in_favour) == (1, 1)
    assert names(votes.own) == ["clear"]
    assert votes.others == ()
    assert reference.counts == {"Rock": 1}


def test_so_many_of_the_nearest_vote_and_few_are_shown(gather: Gather) -> None:
    rock = [Cover(f"rock {place}", 20 + place, "Rock") for place in range(VOTERS)]
    jazz = [Cover(f"jazz {place}", 19.5 + place, "Jazz") for place in range(VOTERS)]
    scans = [Cover("rock scan", 1, "Rock"), Cover("jazz scan", 2, "Jazz")]
    votes = gather([*rock, *jazz, *scans, Cover("plain", 19)]).votes(pointing(0), DRAFT, "Rock")
    assert (votes.voters, votes.in_favour) == (VOTERS, VOTERS // 2)
    assert votes.by_chance == VOTERS / 2, "half of those that may vote are Rock"
    assert names(votes.same) == ["rock scan", "jazz scan"]
    assert names(votes.own) == [f"rock {place}" for place in range(6)]
    assert names(votes.others) == [f"jazz {place}" for place in range(6)]
    assert votes.own[0].score > votes.own[-1].score


def test_a_rare_genre_is_found_behind_a_crowd(gather: Gather) -> None:
    crowd = [Cover(f"rock {place}", 20 + place / 4, "Rock") for place in range(220)]
    rare = [Cover(f"jazz {place}", 100 + place * 10, "Jazz") for place in range(8)]
    reference = gather([*crowd, *rare])
    votes = reference.votes(pointing(0), DRAFT, "Jazz")
    assert (votes.voters, votes.in_favour) == (VOTERS, 0)
    assert names(votes.own) == [f"jazz {place}" for place in range(6)]
    assert names(votes.others) == [f"rock {place}" for place in range(6)]
    turned = reference.votes(pointing(0), DRAFT, "Rock")
    assert names(turned.others) == names(votes.own), "and where it is the others that are rare"
    assert turned.in_favour == VOTERS


def test_scans_are_no_neighbours_in_the_second_search_either(gather: Gather) -> None:
    crowd = [Cover(f"rock {place}", place / 40, "Rock") for place in range(220)]
    rare = [Cover("scan", 7, "Jazz"), Cover("another", 60, "Jazz")]
    votes = gather([*crowd, *rare]).votes(pointing(0), DRAFT, "Jazz")
    assert names(votes.own) == ["another"]


def test_a_genre_without_a_cover_has_no_votes(gather: Gather) -> None:
    reference = gather([Cover("one", 20, "Rock"), Cover("two", 30, "Jazz"), Cover("plain", 40)])
    votes = reference.votes(pointing(0), DRAFT, "Polka")
    assert (votes.genre, votes.voters, votes.in_favour) == ("Polka", 2, 0)
    assert votes.own == ()
    assert names(votes.others) == ["one", "two"]


def test_covers_of_one_genre_alone_have_no_others(gather: Gather) -> None:
    votes = gather([Cover("one", 20, "Rock"), Cover("plain", 30)]).votes(pointing(0), DRAFT, "Rock")
    assert (names(votes.own), votes.others) == (["one"], ())


def test_a_reference_without_labels_has_no_voters(gather: Gather) -> None:
    votes = gather([Cover("one", 2), Cover("two", 30)]).votes(pointing(0), DRAFT, "Rock")
    assert (votes.voters, votes.own, votes.others) == (0, (), ())
    assert votes.by_chance == 0.0
    assert names(votes.same) == ["one"]


def test_a_cover_that_a_writer_has_forgotten_meanwhile_is_passed_over(gather: Gather) -> None:
    reference = gather([Cover("one", 20, "Rock"), Cover("two", 30, "Rock")])
    left = {digest: a for digest, a in reference.albums.items() if a.uri != "one.jpg"}
    votes = replace(reference, albums=left).votes(pointing(0), DRAFT, "Rock")
    assert (votes.voters, names(votes.own)) == (1, ["two"])


# --- typicality ----------------------------------------------------------------------------------

ROCK = [Cover(f"rock {degrees}", degrees, "Rock", f"R{degrees}") for degrees in (0, 10, 20, 30, 50)]
JAZZ = [
    Cover(f"jazz {degrees}", degrees, "Jazz", f"J{degrees}") for degrees in (90, 95, 100, 120, 140)
]
FEW = [Cover("polka", 60, "Polka"), Cover("plain", 200)]


def by_hand(degrees: float, own: Iterable[float], others: Iterable[float]) -> float:
    """Say how typical a cover is of one of two genres."""
    near, far = (
        np.mean([np.cos(np.radians(degrees - one)) for one in some]) for some in (own, others)
    )
    return float(near - far) / 2


def test_a_draft_is_held_against_the_covers_of_genres_that_have_enough(gather: Gather) -> None:
    found = gather([*ROCK, *JAZZ, *FEW]).typicality(pointing(15), "Rock")
    rock, jazz = ([cover.degrees for cover in some] for some in (ROCK, JAZZ))
    assert found.value == pytest.approx(by_hand(15, rock, jazz), abs=2e-3)
    own = [by_hand(one, [other for other in rock if other != one], jazz) for one in rock]
    assert (found.among.count, found.among.equal) == (5, 0)
    assert found.among.below == sum(one < found.value for one in own)


def test_a_cover_of_the_reference_is_compared_with_the_others_alone(gather: Gather) -> None:
    reference = gather([*ROCK, *JAZZ])
    known = reference.typicality(pointing(50), "Rock", {digest_of("rock 50")})
    value = by_hand(50, [0, 10, 20, 30], [90, 95, 100, 120, 140])
    assert known.value == pytest.approx(value, abs=2e-3)
    assert (known.among.below, known.among.equal, known.among.count) == (0, 0, 4)
    new = reference.typicality(pointing(50), "Rock")
    assert new.value > known.value + 0.015, "to a stranger it is one of the genre's covers"
    other = reference.typicality(pointing(50), "Jazz", {digest_of("rock 50")})
    assert other.among.count == 5, "it is not one of Jazz's"


def test_another_scan_of_a_cover_is_no_proof_that_a_draft_is_typical(gather: Gather) -> None:
    """A designer's draft is often the cover that is known already, saved once more."""
    reference = gather([*ROCK, *JAZZ])
    scan = {digest_of("rock 50")}
    again = reference.typicality(pointing(50.5), "Rock", scan)
    known = reference.typicality(pointing(50), "Rock", scan)
    assert again.value == pytest.approx(known.value, abs=0.01)
    assert again.among.count == 4


def test_covers_of_one_artist_are_not_typical_of_one_another(gather: Gather) -> None:
    same = [replace(cover, artist="One Band") for cover in ROCK[:4]]
    reference = gather([*same, ROCK[4], *JAZZ])
    found = reference.typicality(pointing(0), "Rock", {digest_of("rock 0")})
    jazz = [cover.degrees for cover in JAZZ]
    assert found.value == pytest.approx(by_hand(0, [50], jazz), abs=2e-3)
    reference = gather([replace(cover, artist="One Band") for cover in ROCK] + JAZZ)
    with pytest.raises(TooFewCovers, match="all covers of 'Rock' here are of this artwork or its"):
        reference.typicality(pointing(0), "Rock", {digest_of("rock 0")})


def test_covers_of_one_dup_group_are_not_typical_of_one_another(tmp_path: Path) -> None:
    digests = [digest_of(cover.name) for cover in [*ROCK, *JAZZ]]
    rows = np.concatenate([pointing(cover.degrees) for cover in [*ROCK, *JAZZ]])
    albums = [
        Album("t", c.name, c.name, digest, c.genre, dup_group="x" if c.degrees < 25 else "")
        for c, digest in zip([*ROCK, *JAZZ], digests, strict=True)
    ]
    found = collect(tmp_path, digests, rows, albums).typicality(pointing(0), "Rock", {digests[0]})
    jazz = [cover.degrees for cover in JAZZ]
    assert found.value == pytest.approx(by_hand(0, [30, 50], jazz), abs=2e-3)


@pytest.mark.parametrize(
    ("genre", "message"),
    [
        ("Polka", "1 cover of 'Polka' with a vector; 5 are needed .*`albo embed`"),
        ("Tango", "0 covers of 'Tango' with a vector; 5 are needed .*`albo embed`"),
        ("Blues", "4 covers of 'Blues' with a vector; 5 are needed .*`albo embed`"),
        ("Rock", "'Rock' is the only genre of 5 covers or more; embed covers of others .*typical"),
    ],
)
def test_what_cannot_be_said_says_how_to_mend_it(gather: Gather, genre: str, message: str) -> None:
    blues = [Cover(f"blues {place}", 70 + place, "Blues") for place in range(4)]
    reference = gather([*ROCK, *FEW, *blues])
    with pytest.raises(TooFewCovers, match=message):
        reference.typicality(pointing(0), genre)
    with pytest.raises(TooFewCovers, match=message):
        reference.ranked(genre, 10)


def unranked(one: Typical) -> Typical:
    return replace(one, cover=replace(one.cover, rank=0))


def test_a_genres_covers_are_ranked_from_the_most_typical_to_the_oddest(gather: Gather) -> None:
    reference = gather([*ROCK, *JAZZ, *FEW])
    ranked = reference.ranked("Rock", 10)
    assert len(ranked) == 5
    assert reference.ranked("Rock", 2) == ranked[:2]
    oddest = reference.ranked("Rock", 10, oddest=True)
    assert [unranked(one) for one in oddest] == [unranked(one) for one in ranked[::-1]]
    assert [one.rank for one in oddest] == [1, 2, 3, 4, 5]
    assert [one.rank for one in ranked] == [1, 2, 3, 4, 5]
    values = [one.typicality.value for one in ranked]
    assert values == sorted(values, reverse=True)
    assert {Path(one.cover.album.uri).stem for one in ranked} == {cover.name for cover in ROCK}
    for one in ranked:
        assert one.cover.digest == one.cover.album.digest
        again = reference.typicality(
            pointing(float(one.cover.album.album_id.split()[1])), "Rock", {one.cover.digest}
        )
        assert one.typicality.value == pytest.approx(again.value, abs=1e-3)
        assert one.typicality.among == again.among
        assert one.looks_like == "Rock"
    assert [one.typicality.among.percentile for one in ranked] == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_what_a_cover_looks_like_is_not_its_own_genre_because_it_is_in_it(gather: Gather) -> None:
    """At 60 degrees it is nearer to Jazz (cosine 0.62) than to the rest of Rock (0.59)."""
    odd = Cover("rock 60", 60, "Rock", "R60")
    rock = [0.0, 5.0, 8.0, 12.0]
    jazz = [101.0, 106, 111, 116, 121]
    assert by_hand(60, rock, jazz) < 0 < by_hand(60, [*rock, 60], jazz)
    reference = gather(
        [
            odd,
            *(Cover(f"rock {one}", one, "Rock", f"R{one}") for one in rock),
            *(Cover(f"jazz {one}", one, "Jazz", f"J{one}") for one in jazz),
        ]
    )
    last = reference.ranked("Rock", 10)[-1]
    assert last.cover.album.uri == "rock 60.jpg"
    assert last.typicality.value < 0
    assert last.looks_like == "Jazz"


def test_vectors_in_many_parts_are_the_same_reference(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    digests = [digest_of(str(number)) for number in range(60)]
    albums = [
        Album("t", str(number), f"{number}.jpg", digest, ("A", "B", "C")[number % 3])
        for number, digest in enumerate(digests)
    ]
    reference = collect(tmp_path, digests, rows, albums)
    means = GenreMeans.of([(np.arange(60) % 3, rows)], 3, 8)
    draft = rows[:1] * -1
    for place, genre in enumerate(("A", "B", "C")):
        found = reference.typicality(draft, genre).value
        assert found == pytest.approx(means.typicality(draft)[0, place], abs=1e-3)
