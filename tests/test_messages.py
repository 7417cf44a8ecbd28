"""What goes wrong around the covers: one line each, the remedy in it, and the right exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from albo import Albo, cli, index
from tests.conftest import Answer

Run = Callable[..., Answer]

MAIN = f"'{sys.executable}' -c 'from albo.cli import main; main()'"


def the_line(answer: Answer) -> str:
    """The one line on standard error."""
    lines = answer.err.splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("albo: ")
    assert "Errno" not in lines[0]
    return lines[0]


def in_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `albo` stands for the program."""
    return subprocess.run(  # noqa: S603
        ["/bin/bash", "-c", command.replace("albo", MAIN)],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


# --- wrong usage ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said", "remedy"),
    [
        ("similar x.jpg --nonsense", "--nonsense", "`albo similar --help`"),
        ("similar x.jpg --artefacts y", "--artifacts", "`albo similar --help`"),
        ("embed x --device tpu", "'cpu', 'cuda', 'mps'", "`albo embed --help`"),
        ("embed x --genre", "--genre", "`albo embed --help`"),
        ("similar x.jpg -k 0", "-k", "`albo similar --help`"),
        ("similar", "COVER", "`albo similar --help`"),
        ("simlar x.jpg", "'similar'", "`albo --help`"),
    ],
)
def test_wrong_usage_is_one_line_with_the_remedy(
    albo_line: Run, words: str, said: str, remedy: str
) -> None:
    answer = albo_line(*words.split())
    assert answer.code == 2
    assert said in the_line(answer)
    assert remedy in answer.err
    assert answer.out == ""


def test_no_word_at_all_shows_the_help(albo_line: Run) -> None:
    answer = albo_line()
    assert answer.code == 2
    assert "similar" in answer.out


def test_shells_can_complete(run_albo: Run) -> None:
    answer = run_albo(
        _ALBO_COMPLETE="complete_bash", COMP_WORDS="albo sim", COMP_CWORD="1",
        _TYPER_COMPLETE_ARGS="albo sim",
    )  # fmt: skip
    assert answer.out.split() == ["similar"]


@pytest.mark.whole
@pytest.mark.parametrize("command", ["embed", "similar", "classify"])
def test_a_device_that_is_not_here_is_refused_before_any_work(
    albo_line: Run, tmp_path: Path, command: str
) -> None:
    missing = "cuda" if sys.platform == "darwin" else "mps"
    answer = albo_line(command, tmp_path, "--device", missing)
    assert answer.code == 2
    assert "use --device auto or --device cpu" in the_line(answer)
    assert not (tmp_path / "artifacts").exists()


# --- stopping, and answers that nobody takes -----------------------------------------------------


@pytest.mark.parametrize(("command", "goes_on"), [("similar", False), ("embed", True)])
def test_only_what_writes_says_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    goes_on: bool,
) -> None:
    def stop(*_words: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Albo, command, stop)
    assert cli.run([command, "x.jpg"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("albo: stopped")
    assert ("the same command goes on from there" in said) is goes_on


@pytest.mark.whole
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", ["status", "status --json", "backbones", "--help", "--version"])
def test_an_answer_that_cannot_be_written_is_said(words: str, tmp_path: Path) -> None:
    done = in_shell(f"albo {words} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "albo: cannot write the answer: No space left on device\n"


@pytest.mark.whole
@pytest.mark.parametrize("words", ["backbones", "backbones --json"])
def test_whoever_has_read_enough_ends_it_in_silence(words: str, tmp_path: Path) -> None:
    done = in_shell(f"albo {words} | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout == "1\n"
    assert done.stderr == ""


# --- what does not stand where it should ---------------------------------------------------------


@pytest.fixture(scope="module")
def small(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the covers of two styles, and their artifacts, trained on; to be copied."""
    folder = tmp_path_factory.mktemp("small")
    for style in ("Op art", "Woodcut"):
        shutil.copytree(samples / "covers" / style, folder / "covers" / style)
    albo = Albo(folder / "artifacts")
    albo.embed([str(folder / "covers")])
    albo.train(seeds=(0,))
    return folder


@pytest.fixture
def artifacts(small: Path, tmp_path: Path) -> Path:
    """Artifacts of a test's own, in the folder that commands run in."""
    copy = tmp_path / "artifacts"
    shutil.copytree(small / "artifacts", copy)
    return copy


@pytest.mark.whole
@pytest.mark.parametrize(
    ("name", "command", "remedy"),
    [
        ("writer.lock", "index", "run it again"),
        ("heads", "train", "`albo train`"),
        ("heads", "classify COVER", "`albo train`"),
        ("index", "similar COVER", "`albo index`"),
        ("index", "index", "`albo index`"),
        ("vectors", "similar COVER", "`albo embed`"),
        ("vectors", "embed COVERS", "`albo embed`"),
        ("catalog.sqlite", "similar COVER", "`albo embed SOURCE`"),
        ("catalog.sqlite", "status", "`albo embed SOURCE`"),
        ("files.sqlite", "embed COVERS", "`albo embed SOURCE`"),
    ],
)
def test_what_is_of_the_wrong_kind_is_named_with_the_remedy(
    albo_line: Run, small: Path, artifacts: Path, name: str, command: str, *, remedy: str
) -> None:
    place = artifacts / name
    if place.is_dir():
        shutil.rmtree(place)
        place.write_text("")
    else:
        place.unlink(missing_ok=True)
        place.mkdir()
    covers = small / "covers"
    there = {"COVER": str(min((covers / "Op art").iterdir())), "COVERS": str(covers)}
    answer = albo_line(*(there.get(word, word) for word in command.split()))
    assert answer.code == 1
    assert f"{name} is a " in the_line(answer)
    assert f"move it away and {remedy if ' it ' in remedy else 'run ' + remedy}" in answer.err


@pytest.mark.whole
def test_a_catalog_that_is_gone_is_no_empty_folder(
    albo_line: Run, small: Path, artifacts: Path
) -> None:
    for file in artifacts.glob("catalog.sqlite*"):
        file.unlink()
    status = albo_line("status")
    assert "catalog.sqlite is gone; run `albo embed SOURCE`" in status.out
    for command in ("index", "train", "duplicates"):
        answer = albo_line(command)
        assert answer.code == 1
        assert "catalog.sqlite is gone; run `albo embed SOURCE`" in the_line(answer)
    again = albo_line("embed", small / "covers", "--json").objects[0]
    assert (again["embedded"], again["known"]) == (0, 50)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("status --artifacts file", "name another with --artifacts"),
        ("status --artifacts file/below/it", "name another with --artifacts"),
        ("demo file", "name another: `albo demo FOLDER`"),
        ("demo file/below/it", "name another: `albo demo FOLDER`"),
    ],
)
def test_a_file_in_place_of_a_folder_is_refused_at_once(
    albo_line: Run, tmp_path: Path, words: str, remedy: str
) -> None:
    (tmp_path / "file").write_text("")
    answer = albo_line(*words.split())
    assert answer.code == 2
    assert the_line(answer) == f"albo: file is not a folder; {remedy}"
    assert answer.out == ""


@pytest.mark.whole
@pytest.mark.parametrize("lost", ["manifest.json", "*.npz"])
def test_an_incomplete_head_is_said_to_be_so(
    albo_line: Run, artifacts: Path, small: Path, lost: str
) -> None:
    (artifacts / "heads" / "default").rename(artifacts / "heads" / "mine")
    for file in artifacts.glob(f"heads/mine/{lost}"):
        file.unlink()
    answer = albo_line("classify", min((small / "covers" / "Op art").iterdir()), "--head", "mine")
    assert answer.code == 1
    assert "missing" in the_line(answer)
    assert "run `albo train --name mine`" in answer.err


def test_an_export_that_cannot_be_kept_names_its_own_folder(
    run_albo: Run, small: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    cover = min((small / "covers" / "Op art").iterdir())
    answer = run_albo("embed", cover, XDG_CACHE_HOME=str(tmp_path / "file"))
    assert answer.code == 0
    (line,) = (line for line in answer.err.splitlines() if "not kept" in line)
    assert line.endswith("; mend that or set $XDG_CACHE_HOME to another folder")


@pytest.mark.whole
def test_a_url_is_no_missing_file(albo_line: Run, artifacts: Path) -> None:
    asked = albo_line("similar", "https://example.org/a.jpg", "--artifacts", artifacts)
    listed = albo_line("embed", "-", "--artifacts", artifacts, stdin="https://example.org/a.jpg\n")
    for answer in (asked, listed):
        assert answer.code == 1
        assert "a URL; albo reads files only" in the_line(answer)


# --- vectors, weights, indexes -------------------------------------------------------------------


@pytest.mark.whole
def test_covers_whose_vectors_are_lost_are_counted_until_they_are_embedded(
    albo_line: Run, samples: Path, artifacts: Path
) -> None:
    for part in artifacts.glob("vectors/*/part-*"):
        part.unlink()
    other = samples / "covers" / "One line"
    answer = albo_line("embed", other, "--json")
    assert answer.code == 1
    assert answer.objects[0]["embedded"] == 25
    assert "50 covers have no vector and are left out; run `albo embed`" in answer.err
    trained = albo_line("train", "--seeds", "1")
    lacking = "50 labelled covers have no vector and are left out; run `albo embed --backbone eff"
    assert lacking in trained.err
    mended = albo_line("embed", "--json")
    assert mended.code == 0
    assert (mended.objects[0]["embedded"], mended.objects[0]["indexed"]) == (50, 75)
    assert "no vector" not in mended.err


def test_own_weights_are_there_and_fit(albo_line: Run, tmp_path: Path) -> None:
    words = ("embed", tmp_path, "--backbone", "efficientnet-lite0", "--weights")
    answer = albo_line(*words, "gone.pth")
    assert answer.code == 2
    assert "--weights takes a state dict" in the_line(answer)
    (tmp_path / "junk.pth").write_text("junk")
    answer = albo_line(*words, "junk.pth")
    assert answer.code == 1
    assert "give a state dict of that network" in the_line(answer)


@pytest.mark.whole
def test_an_inverted_file_of_too_few_covers_is_said_to_be_none(
    albo_line: Run, artifacts: Path
) -> None:
    answer = albo_line("index", "--kind", "ivf", "--json")
    assert answer.objects[0]["kind"] == "flat"
    assert answer.err == (
        "an inverted file needs 1,000 covers, here are 50;"
        " the index is exact until there are as many\n"
    )
    assert albo_line("index", "--artifacts", artifacts).err == "", "said when it is asked for"


# --- what is counted -----------------------------------------------------------------------------


@pytest.mark.whole
def test_embed_and_status_count_the_same_files_as_skipped(
    albo_line: Run, samples: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in" / "Jazz"
    folder.mkdir(parents=True)
    covers = sorted((samples / "covers" / "Op art").iterdir())
    shutil.copy(covers[0], folder)
    shutil.copy(covers[1], folder / os.fsdecode(b"caf\xe9.jpg"))
    (folder / "broken.jpg").write_text("no image")
    answer = albo_line("embed", tmp_path / "in")
    assert answer.code == 1
    assert "1 skipped (they will be tried again), 1 that could not be listed" in answer.out
    assert "1 genre from the folders' names: Jazz 1" in answer.err.splitlines()
    assert len(albo_line("status", "--json").objects[0]["skipped"]) == 1


# --- readers beside a writer ---------------------------------------------------------------------


@pytest.mark.whole
def test_a_writer_that_comes_and_goes_while_the_index_is_opened_makes_no_stale_one(
    monkeypatch: pytest.MonkeyPatch, samples: Path, artifacts: Path
) -> None:
    others = [samples / "covers" / "One line"]

    def write_meanwhile(folder: Path, fingerprint: str) -> index.Index:
        found = open_index(folder, fingerprint)
        while others:
            Albo(artifacts).embed([str(others.pop())])
        return found

    open_index = index.open_index
    monkeypatch.setattr(index, "open_index", write_meanwhile)
    cover = str(min((samples / "covers" / "One line").iterdir()))
    (answer,) = Albo(artifacts).similar([cover], k=1)
    assert [near.mark for near in answer.neighbours] == ["same file"]
