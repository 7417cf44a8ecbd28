"""Why, reports, typical covers and oddities, as commands; and bad input to each of them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from albo import Albo
from albo.samples import draw_sample, plan_samples
from albo.store import read_manifest, write_manifest
from benchmarks.starter import SAME_WITHIN, describe, make

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Answer, Speaking

    Run = Callable[..., Answer]

KEYS = {
    "query", "draft", "genre", "verdict", "probability", "rank", "percentile", "typicality",
    "typicality_percentile", "predictions", "set", "decided", "unlike_learnt", "size", "held_out",
    "known", "votes", "why",
    "p_value", "no_from", "advice",
    "words", "title",
    "title_found", "title_legible", "title_share", "same_as", "nearest", "nearest_others", "place",
    "same_file_as", "too_close_to_first", "head",
}  # fmt: skip


@pytest.fixture
def artifacts(speaking: Speaking, tmp_path: Path) -> Path:
    """What was made of forty covers that say what they are: a folder of our own."""
    return Path(shutil.copytree(speaking.artifacts, tmp_path / "artifacts"))


def places(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


# --- why -----------------------------------------------------------------------------------------


def test_why_is_said_and_drawn(albo_line: Run, artifacts: Path, speaking: Speaking) -> None:
    said = albo_line("classify", speaking.jazz, "--explain", "why.png")
    assert said.code == 0
    assert "nearest covers: " in said.out
    assert "why Jazz: " in said.out
    words = next(line for line in said.out.splitlines() if "words that counted" in line)
    assert "times the odds" in words
    assert any(word in words.lower() for word in ("blue", "bebop", "swing", "trio"))
    with Image.open(artifacts.parent / "why.png") as drawn:
        assert drawn.width > 1000
        assert drawn.height > 200


@pytest.mark.usefixtures("artifacts")
def test_why_in_json_adds_up(albo_line: Run, speaking: Speaking) -> None:
    plain = albo_line("classify", speaking.jazz, speaking.silent, "--json")
    said = albo_line("classify", speaking.jazz, speaking.silent, "--explain", "why.png", "--json")
    for one, without in zip(said.objects, plain.objects, strict=True):
        why = one.pop("why")
        assert one == without
        assert why["genre"] == one["predictions"][0]["genre"]
        assert 0 < why["map"]["share"] < 1
        assert sum(map(sum, why["map"]["evidence"])) == pytest.approx(
            why["map"]["mapped"], abs=0.01
        )
        assert why["votes"]["of"] == 25
        assert len(why["for"]) == len(why["against"]) == 6
        assert {near["genre"] for near in why["for"]} == {why["genre"]}
        assert why["genre"] not in {near["genre"] for near in why["against"]}
    assert [view["view"] for view in why["views"]] == ["image"]  # the silent one's
    assert why["words"] == []


@pytest.mark.usefixtures("artifacts")
def test_a_head_of_trees_has_no_map_and_says_so(albo_line: Run, speaking: Speaking) -> None:
    assert albo_line("train", "--kind", "lightgbm", "--name", "trees", "--seeds", "1").code == 0
    said = albo_line("classify", speaking.jazz, "--explain", "why.png", "--json")
    (why,) = [one["why"] for one in said.objects]
    assert why["map"] is None
    assert why["no_map"].startswith("a head of trees has no map")
    assert "no map of the picture: a head of trees" in (
        albo_line("classify", speaking.jazz, "--explain", "why.png").out
    )


@pytest.mark.usefixtures("artifacts")
def test_a_picture_of_another_kind_is_refused_before_any_work(
    albo_line: Run, speaking: Speaking
) -> None:
    for words in (
        ("classify", speaking.jazz, "--explain", "why.gif"),
        ("typical", "--genre", "Jazz", "--sheet", "sheet.tiff"),
    ):
        said = albo_line(*words)
        assert (said.code, said.out) == (2, "")
        assert "give it a name that ends in .png or .jpg" in said.err


def test_too_many_covers_for_a_picture_are_refused_before_any_work(albo_line: Run) -> None:
    said = albo_line("classify", *["x.jpg"] * 101, "--explain", "why.png")
    assert said.code == 2
    assert "101 covers are too many for a picture; explain 100 at a time" in said.err


# --- reports -------------------------------------------------------------------------------------


def test_a_report_is_one_file_and_a_few_lines(
    albo_line: Run, artifacts: Path, speaking: Speaking
) -> None:
    said = albo_line("report", speaking.jazz, "--as", "jazz")
    assert said.code == 0
    (page,) = (artifacts / "reports").iterdir()
    assert page.name.startswith("jazz-")
    assert page.name.endswith("-as-Jazz.html")
    assert said.out.splitlines()[-1].endswith(page.name)
    assert "reads as Jazz" in said.out
    assert "reads more like Jazz than " in said.out
    assert "looks more typical than " in said.out
    assert "read its largest text at 55 pixels: " in said.out
    content = page.read_text(encoding="utf-8")
    assert str(speaking.folder) not in content, "a report tells nobody where files lie"
    assert "<script" not in content


@pytest.mark.usefixtures("artifacts")
def test_a_report_in_json_says_all_of_it(albo_line: Run, speaking: Speaking) -> None:
    said = albo_line("report", speaking.jazz, "--as", "Metal", "--html", "r.html", "--json")
    (one,) = said.objects
    assert set(one) == KEYS
    assert one["genre"] == "Metal"
    assert one["verdict"] == "no"
    assert one["rank"] == 2
    assert one["percentile"] < 0.5
    assert {p["genre"] for p in one["predictions"]} == {"Jazz", "Metal"}
    assert isinstance(one["same_as"], list)


def test_a_title_that_is_named_is_looked_for(
    albo_line: Run, artifacts: Path, speaking: Speaking
) -> None:
    said = albo_line("report", speaking.jazz, "--as", "Jazz", "--title", "Blue Bebop")
    assert "read its title at 55 pixels: Blue Bebop" in said.out
    said = albo_line("report", speaking.jazz, "--as", "Jazz", "--title", "Night Train")
    assert "its title, Night Train, is not among the words that albo read on it" in said.out
    pages = sorted((artifacts / "reports").iterdir(), key=lambda page: page.stat().st_mtime_ns)
    assert len(pages) == 2, "another question does not replace the answer to the first"
    assert "“<bdi>Night Train</bdi>”" in pages[1].read_text(encoding="utf-8")
    (one,) = albo_line(
        "report", speaking.jazz, "--as", "Jazz", "--title", "bebop!", "--json"
    ).objects
    assert (one["title"], one["title_found"]) == ("bebop!", True)


def test_drafts_side_by_side(albo_line: Run, artifacts: Path, speaking: Speaking) -> None:
    broken = artifacts.parent / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff not a picture")
    page = artifacts.parent / "drafts.html"
    said = albo_line(
        "report", speaking.silent, broken, speaking.jazz, "--as", "Jazz", "--html", page
    )
    assert said.code == 1
    assert f"{broken}: " in said.err
    assert "C is ahead of A: " in said.out
    assert "right first time for " in said.out
    assert page.is_file()
    objects = albo_line(
        "report", speaking.silent, broken, speaking.jazz, "--as", "Jazz", "--html", page, "--json"
    ).objects
    assert [one.get("draft") for one in objects] == ["A", None, "C"]
    twins = albo_line("report", speaking.jazz, speaking.jazz, "--as", "Jazz", "--html", page)
    assert "A and B are the very same file" in twins.out
    twins = albo_line("report", speaking.jazz, speaking.jazz, "--as", "Jazz", "--json")
    assert [(one["place"], one["same_file_as"]) for one in twins.objects] == [
        (1, ["B"]),
        (1, ["A"]),
    ]
    assert [one["too_close_to_first"] for one in twins.objects] == [None, True]
    assert set(objects[1]) == {"query", "error"}


def test_a_cover_that_is_known_is_recognised(
    albo_line: Run, artifacts: Path, speaking: Speaking
) -> None:
    known = speaking.folder / "8.png"
    said = albo_line("report", known, "--as", "Jazz", "--json")
    assert said.objects[0]["same_as"][0] == str(known)
    assert said.objects[0]["held_out"] is True
    assert said.objects[0]["known"]["by"] == "same file"
    assert said.objects[0]["known"]["named"][0]["uri"] == str(known)
    assert "may have learnt" not in said.err
    assert artifacts.is_dir()


def test_without_words_nothing_is_read(albo_line: Run, artifacts: Path, speaking: Speaking) -> None:
    said = albo_line("report", speaking.jazz, "--as", "Jazz", "--no-words", "--json")
    (one,) = said.objects
    assert one["words"] is None
    assert one["title"] is None
    assert [view["view"] for view in one["why"]["views"]] == ["image"]
    assert artifacts.is_dir()


def test_a_head_that_looks_at_the_image_alone_is_told_the_title_too(
    albo_line: Run, artifacts: Path, speaking: Speaking
) -> None:
    said = albo_line("report", speaking.jazz, "--as", "Jazz", "--head", "image", "--json")
    (one,) = said.objects
    assert [view["view"] for view in one["why"]["views"]] == ["image"]
    assert one["words"]
    assert one["title"]
    assert artifacts.is_dir()


def test_no_file_of_the_users_is_replaced(
    albo_line: Run, artifacts: Path, speaking: Speaking
) -> None:
    """Where the output's name is forgotten, the cover after it takes its place."""
    cover = artifacts.parent / "cover.png"
    shutil.copy(speaking.jazz, cover)
    before = cover.read_bytes()
    for words in (
        ("report", "--as", "Jazz", "--html", cover, speaking.jazz),
        ("classify", "--explain", cover, cover),
        ("typical", "--genre", "Jazz", "--sheet", cover),
        ("report", "--as", "Jazz", "--html", artifacts / "catalog.sqlite", cover),
    ):
        said = albo_line(*words)
        assert said.code == 2
        assert said.out == ""
    assert cover.read_bytes() == before
    assert albo_line("status").code == 0
    for _ in range(2):  # its own it may replace
        assert albo_line("classify", cover, "--explain", "why.jpg").code == 0
        assert albo_line("report", cover, "--as", "Jazz", "--html", "r.html").code == 0


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_report_that_is_stopped_while_it_is_written_leaves_nothing(
    artifacts: Path, speaking: Speaking, how: signal.Signals
) -> None:
    place = artifacts.parent / "out"
    place.mkdir()
    program = [sys.executable, "-c", "from albo.cli import main; main()"]
    words = ["report", str(speaking.jazz), "--as", "Jazz", "--html", str(place / "r.html")]
    with subprocess.Popen(  # noqa: S603
        [*program, *words],
        cwd=artifacts.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while running.poll() is None and not any(place.iterdir()):
            time.sleep(0.0002)
        running.send_signal(how)
        said = running.communicate(timeout=60)[1]
    # It may have been done before the signal came.
    assert running.returncode in {0, 1}, said
    for file in place.iterdir():
        assert file.name == "r.html"
        assert file.read_text(encoding="utf-8").endswith("</html>\n")


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--as", "Jaz"), 2, "head 'default' does not know 'Jaz'; did you mean Jazz?"),
        (("--as", "Полька"), 2, "there are Jazz, Metal"),
        (("--as", ""), 2, "does not know ''"),
        ((), 2, "--as"),
        (("--as", "Jazz", "--title", "★"), 2, "has neither letters nor digits"),
        (("--as", "Jazz", "--title", "x", "--title", "y"), 2, "2 --title for 1 cover"),
        (("--as", "Jazz", "--text", "x", "--artist", "a", "--artist", "b"), 2, "2 --artist for 1"),
        (("--as", "Jazz", "--text", "x" * 2001), 2, "--text has 2,001 characters"),
        (("--as", "Jazz", "--title", "x", "--no-words"), 2, "leave out --no-words"),
        (("--as", "Jazz", "--html", "."), 2, "is a folder; name a file in it"),
        (("--as", "Jazz", "--html", "/dev/null/r.html"), 2, "cannot be written"),
        (("--as", "Jazz", "--head", "nope"), 2, "no head 'nope'"),
        (("--as", "Jazz", "--decide", "2"), 2, "--decide"),
        (("--as", "Jazz", "--coverage", "1.5"), 2, "coverage=1.5"),
    ],
)
def test_what_a_report_refuses(
    albo_line: Run,
    artifacts: Path,
    speaking: Speaking,
    *,
    words: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    before = places(artifacts.parent)
    said = albo_line("report", speaking.jazz, *words)
    assert said.code == code
    assert says in said.err
    assert len([line for line in said.err.splitlines() if line.startswith("albo:")]) == 1
    assert "Traceback" not in said.err
    assert places(artifacts.parent) == before


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0" + bytes(50)])
def test_a_report_on_a_broken_file_says_why_and_leaves_nothing(
    albo_line: Run, artifacts: Path, content: bytes
) -> None:
    broken = artifacts.parent / "broken.jpg"
    broken.write_bytes(content)
    before = places(artifacts.parent)
    said = albo_line("report", broken, "--as", "Jazz")
    assert said.code == 1
    assert said.out == ""
    assert f"{broken}: " in said.err
    assert places(artifacts.parent) == before


def test_a_genre_with_too_few_covers_says_how_many_it_takes(
    albo_line: Run, artifacts: Path, speaking: Speaking
) -> None:
    rows = "".join(f"{speaking.folder / name},Polka\n" for name in ("silent.png", "jazz.png"))
    manifest = artifacts.parent / "polka.csv"
    manifest.write_text(f"file,genre\n{rows}", encoding="utf-8")
    assert albo_line("embed", manifest).code == 0
    report = albo_line("report", speaking.jazz, "--as", "polka")
    assert report.code == 1
    assert (
        "does not know 'Polka', of which there are 2 covers here; a head needs 5, of 5"
        in report.err
    )
    assert "embed more of them with `albo embed`, then run `albo train`" in report.err
    typical = albo_line("typical", "--genre", "Polka")
    assert typical.code == 1
    assert "2 covers of 'Polka' with a vector; 5 are needed to say what is typical" in typical.err


@pytest.mark.usefixtures("artifacts")
def test_an_old_head_says_what_it_lacks(
    albo_line: Run, artifacts: Path, speaking: Speaking
) -> None:
    """A head of a former version: its scores are there, but not of which genre each is."""
    from albo.heads import load_head, save_head

    folder = artifacts / "heads" / "image"
    head = load_head(folder)
    object.__setattr__(head, "true_genres", {})
    save_head(head, folder)
    said = albo_line("report", speaking.jazz, "--as", "Jazz", "--head", "image", "--json")
    assert said.code == 0
    assert said.objects[0]["percentile"] is None
    page = next((artifacts / "reports").iterdir()).read_text(encoding="utf-8")
    assert "albo train --name image" in page


def test_an_index_out_of_step_is_told_and_the_head_answers(
    albo_line: Run, artifacts: Path, speaking: Speaking
) -> None:
    shutil.rmtree(artifacts / "index")
    said = albo_line("report", speaking.jazz, "--as", "Jazz", "--json")
    assert said.code == 1, "the rest was done"
    assert said.objects[0]["votes"] is None
    assert said.objects[0]["typicality"] is None
    assert "albo index" in said.err
    page = next((artifacts / "reports").iterdir()).read_text(encoding="utf-8")
    assert str(artifacts) not in page


def test_where_no_cover_could_be_embedded_nothing_is_compared(
    albo_line: Run, speaking: Speaking, tmp_path: Path
) -> None:
    (tmp_path / "covers").mkdir()
    (tmp_path / "covers" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert albo_line("embed", "covers").code == 1
    said = albo_line("report", speaking.jazz, "--as", "Rock", "--html", "r.html", "--json")
    assert said.code == 0
    assert (said.objects[0]["votes"], said.objects[0]["typicality"]) == (None, None)
    why = albo_line("classify", speaking.jazz, "--explain", "why.png", "--json")
    assert why.code == 0
    assert "votes" not in why.objects[0]["why"]


# --- typical covers and oddities -----------------------------------------------------------------


def test_typical_covers_and_oddities_are_one_order_from_both_ends(
    albo_line: Run, artifacts: Path
) -> None:
    first = albo_line("typical", "--genre", "jazz", "-k", "100", "--json").objects
    last = albo_line("oddities", "--genre", "JAZZ", "-k", "100", "--json").objects
    assert len(first) == 20
    assert [one["rank"] for one in first] == list(range(1, 21))
    assert [one["digest"] for one in first] == [one["digest"] for one in reversed(last)]
    values = [one["typicality"] for one in first]
    assert values == sorted(values, reverse=True)
    assert (first[0]["percentile"], last[0]["percentile"]) == (1.0, 0.0)
    assert {one["genre"] for one in first} == {"Jazz"}
    assert not (artifacts / "reports").exists(), "with --json a sheet is drawn where one is named"


def test_typical_covers_are_listed_and_drawn(albo_line: Run, artifacts: Path) -> None:
    said = albo_line("typical", "--genre", "Metal", "-k", "3")
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines() if ".png" in line] == ["1", "2", "3"]
    with Image.open(artifacts / "reports" / "typical-Metal.png") as drawn:
        assert drawn.width > 400
    named = albo_line("oddities", "--genre", "Metal", "--sheet", "odd.jpg", "--json")
    assert len(named.objects) == 20
    assert (artifacts.parent / "odd.jpg").is_file()


@pytest.mark.usefixtures("artifacts")
@pytest.mark.parametrize("command", ["typical", "oddities"])
def test_a_genre_that_nobody_has_gets_the_nearest_names(albo_line: Run, command: str) -> None:
    said = albo_line(command, "--genre", "Jass")
    assert said.code == 2
    assert (
        said.err.strip()
        == "albo: no cover is of genre 'Jass'; did you mean Jazz? There are Jazz, Metal"
    )


def test_where_nothing_is_embedded_it_is_said(albo_line: Run) -> None:
    said = albo_line("typical", "--genre", "Jazz")
    assert said.code == 1
    assert "run `albo embed SOURCE`" in said.err


# --- with nothing trained ------------------------------------------------------------------------


def test_a_fresh_installation_answers_from_the_starter_head(
    albo_line: Run, speaking: Speaking, tmp_path: Path
) -> None:
    said = albo_line("classify", speaking.jazz, "--json")
    assert said.code == 0
    (one,) = said.objects
    assert one["head"] == "starter"
    assert {p["genre"] for p in one["predictions"]} == {
        "Country", "Electronic", "Hip-Hop", "Pop", "Rock",
    }  # fmt: skip
    assert sum(p["probability"] for p in one["predictions"]) == pytest.approx(1, abs=1e-4)
    assert one["words"]
    (note,) = [line for line in said.err.splitlines() if "starter head" in line]
    assert "right for 53% of such covers" in note
    assert "`albo train` make one of your own" in note
    assert not (tmp_path / "artifacts").exists(), "asking makes nothing"


def test_a_report_of_the_starter_head_needs_no_collection(
    albo_line: Run, speaking: Speaking, tmp_path: Path
) -> None:
    said = albo_line("report", speaking.jazz, "--as", "country", "--html", "r.html", "--json")
    assert said.code == 0
    (one,) = said.objects
    assert one["genre"] == "Country"
    assert 0 <= one["percentile"] <= 1
    assert (one["votes"], one["typicality"]) == (None, None)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "starter head" in page
    unknown = albo_line("report", speaking.jazz, "--as", "Hip Hip")
    assert unknown.code == 2
    assert "head 'starter' does not know 'Hip Hip'; did you mean Hip-Hop" in unknown.err
    others = albo_line("report", speaking.jazz, "--as", "Jazz", "--head", "starter")
    assert others.code == 2
    assert "head 'starter' does not know 'Jazz'; there are Country" in others.err
    assert "albo train" not in others.err, "training teaches the starter nothing"
    assert albo_line("report", speaking.jazz, "--as", "hiphop", "--html", "r.html").code == 0


def test_a_head_of_ones_own_goes_before_the_starter(
    albo_line: Run, artifacts: Path, speaking: Speaking
) -> None:
    own = albo_line("classify", speaking.jazz, "--json")
    assert own.objects[0]["head"] == "default"
    assert "starter" not in own.err
    asked = albo_line("classify", speaking.jazz, "--head", "starter", "--json")
    assert asked.objects[0]["head"] == "starter"
    assert asked.err == ""
    shutil.rmtree(artifacts / "heads")
    assert "starter" in albo_line("classify", speaking.jazz).err
    assert "the starter head answers" in albo_line("status").out


def test_a_starter_head_of_other_weights_is_refused(
    tmp_path: Path, speaking: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    from albo.errors import StaleArtifact
    from albo.heads import starter

    shutil.copytree(starter.FOLDER, tmp_path / "starter")
    manifest = read_manifest(tmp_path / "starter", "head", "albo train")
    manifest["views"][0]["fingerprint"] = "0" * 64
    write_manifest(tmp_path / "starter", manifest)
    monkeypatch.setattr(starter, "FOLDER", tmp_path / "starter")
    albo = Albo(tmp_path / "artifacts")
    with pytest.raises(StaleArtifact, match=r"of other weights .* run `albo embed FOLDER`"):
        list(albo.classify([str(speaking.jazz)]))


def test_the_package_carries_no_more_than_a_megabyte_of_starter() -> None:
    from albo.heads import load_head, starter

    files = [file for file in starter.FOLDER.iterdir() if file.suffix in {".npz", ".json", ".md"}]
    assert sum(file.stat().st_size for file in files) <= 1_000_000
    head = load_head(starter.FOLDER)
    assert set(head.views) == {"image", "characters", "meaning"}
    inputs = head.card["inputs"]
    assert set(inputs) == {"manifest_sha256", "covers", "covers_sha256"}
    card = (starter.FOLDER / "CARD.md").read_text(encoding="utf-8")
    assert card == describe(head)
    assert inputs["covers_sha256"] in card
    assert inputs["manifest_sha256"] in card


@pytest.mark.long
def test_a_starter_head_made_again_says_the_same(speaking: Speaking, tmp_path: Path) -> None:
    into = tmp_path / "starter"
    rows = speaking.manifest.read_text(encoding="utf-8").splitlines()
    rows[1:] = [f"{speaking.folder}/{row}" for row in rows[1:]]
    # Covers of `speaking` are alike but for their words: too few groups by themselves.
    for number, sample in enumerate(plan_samples(1)):
        draw_sample(sample, 320).save(tmp_path / f"{number}.png")
        genre = ("Jazz", "Metal")[number % 2]
        rows.append(f"{tmp_path}/{number}.png,{genre},Another {number},train")
    manifest = tmp_path / "covers.csv"
    manifest.write_text("\n".join(rows), encoding="utf-8")
    first = make(Albo(tmp_path / "one"), manifest, into)
    assert first[1] is None
    assert first[0] == sum(file.stat().st_size for file in into.iterdir())
    again = make(Albo(tmp_path / "two"), manifest, into)
    assert again[1] is not None
    assert again[1] <= SAME_WITHIN
    card = (into / "CARD.md").read_text(encoding="utf-8")
    assert hashlib.sha256(manifest.read_bytes()).hexdigest() in card
    other = tmp_path / "other.csv"
    # Every label of the first covers is wrong now.
    swap = {"Jazz": "Metal", "Metal": "Jazz"}
    wrong = [row.split(",") for row in rows[1:17]]
    changed = [f"{name},{swap[genre]},{artist}," for name, genre, artist, _ in wrong]
    other.write_text("\n".join([rows[0], *changed, *rows[17:]]), encoding="utf-8")
    moved = make(Albo(tmp_path / "three"), other, into)[1]
    assert moved is not None
    assert moved > SAME_WITHIN
