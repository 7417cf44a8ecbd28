"""Fixtures for the whole suite: the folder of real covers, where it is to be had."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image, ImageDraw, ImageFont
from pymongo import MongoClient

from albo import Albo, cli
from albo.samples import write_samples
from albo.samples.covers import draw_sample
from albo.samples.plan import plan_samples
from tests.servers import S3, S3_ENV, make_bucket, mongodb_server, running_s3
from tests.tiers import Guard, give_tiers, long_tests_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

REPOSITORY = Path(__file__).resolve().parent.parent
_GUARD = Guard()
_GUARD.watch()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test a tier, before `-m` chooses among them."""
    give_tiers(items)
    long_tests_first(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold a unit test to what it may do, from its first fixture on."""
    _GUARD.is_unit = item.get_closest_marker("unit") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Let go: servers that the whole session shares are stopped after the last test."""
    _GUARD.is_unit = False


def shared_folder() -> Path:
    """Where real covers and feeds are: `$ALBO_SHARED`, or `../shared` beside the checkout."""
    return Path(os.environ.get("ALBO_SHARED", REPOSITORY.parent / "shared")).resolve()


@pytest.fixture(scope="session", autouse=True)
def _interrupts_are_heard() -> None:
    """Let commands that tests start be interrupted, where whoever runs the tests ignores that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_catalog_of_the_users() -> Iterator[None]:
    """Keep tests away from the catalog that whoever runs them has named."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("ALBO_CATALOG", raising=False)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Skip with a reason where the folder of real covers is not."""
    folder = shared_folder()
    if not (folder / "covers" / "itunes36" / "labels.csv").is_file():
        pytest.skip(
            f"no real covers: set ALBO_SHARED, or put them at {folder.name}/ beside the checkout"
        )
    return folder


@pytest.fixture(scope="session")
def itunes36(shared: Path) -> Path:
    """538 real covers of 36 genres, mostly 1000 px, with `labels.csv`."""
    return shared / "covers" / "itunes36"


@pytest.fixture(scope="session")
def discogs5(shared: Path) -> Path:
    """4,701 real covers of 5 genres, 300 px, with `labels.csv`."""
    return shared / "covers" / "discogs5"


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that is made once a run, by whichever worker needs it first."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, made = root / name, root / f"{name}.made"
    with FileLock(root / f"{name}.lock"):
        if not made.exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's drawn covers: `labels.csv`, `covers/<style>/`, `kept-aside/`."""
    return made_once(tmp_path_factory, "samples", write_samples)


@pytest.fixture(scope="session")
def kept_aside(samples: Path) -> list[str]:
    """Covers by artists who are not in the samples' labels."""
    return sorted(str(path) for path in (samples / "kept-aside").iterdir())


@pytest.fixture(scope="session")
def sample_artifacts(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples, embedded, indexed and trained on; to be read, not changed."""

    def make(folder: Path) -> None:
        albo = Albo(folder)
        albo.embed([str(samples / "labels.csv")])
        albo.train(seeds=(0,))

    return made_once(tmp_path_factory, "sample-artifacts", make)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server: the one at `$ALBO_TEST_S3`, with its credentials in the environment, or ours.

    The bucket is `$ALBO_TEST_S3_BUCKET`, or a new one, which stays behind on a server not ours.
    """
    given = os.environ.get("ALBO_TEST_S3")
    bucket = os.environ.get("ALBO_TEST_S3_BUCKET")
    real_env = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    env = real_env if given else S3_ENV
    with nullcontext(given) if given else running_s3() as endpoint:
        if bucket is None:
            bucket = f"albo-tests-{uuid4().hex}"
            make_bucket(endpoint, bucket, env)
        yield S3(endpoint, bucket, env)


def write_manifest_of(file: Path, rows: Iterable[tuple[Path, str]]) -> Path:
    """Write a manifest of covers, each with its genre."""
    lines = [f'"{path}",{genre}\n' for path, genre in rows]
    file.write_text("file,genre\n" + "".join(lines), encoding="utf-8")
    return file


@dataclass(frozen=True)
class Answer:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects on standard output; nothing else may be there."""
        return [json.loads(line) for line in self.out.splitlines()]


def run_command(words: Iterable[str | Path], cwd: Path, stdin: str = "", **env: str) -> Answer:
    """Run the command line as a process of its own."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", "from albo.cli import main; main()", *map(str, words)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "COLUMNS": "120", **env},
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def run_albo(tmp_path: Path) -> Callable[..., Answer]:
    """Run the command line, in an empty folder unless one is named."""

    def run(*words: str | Path, cwd: Path | None = None, stdin: str = "", **env: str) -> Answer:
        return run_command(words, cwd or tmp_path, stdin, **env)

    return run


@pytest.fixture
def albo_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Run the command line in this process, in an empty folder unless one is named.

    A process of its own (`run_albo`) is for signals, streams, encodings and what a start loads.
    """

    def run(*words: str | Path, cwd: Path | None = None, stdin: str = "", **env: str) -> Answer:
        with monkeypatch.context() as patched:
            patched.chdir(cwd or tmp_path)
            patched.setattr(sys, "stdin", io.StringIO(stdin))
            for name, value in {"COLUMNS": "120", **env}.items():
                patched.setenv(name, value)
            capsys.readouterr()
            code = cli.run([str(word) for word in words])
        printed = capsys.readouterr()
        return Answer(code, printed.out, printed.err)

    return run


SPEAKING = {
    "Jazz": ("blue", "note", "quartet", "swing", "trio", "bebop", "ballads"),
    "Metal": ("doom", "iron", "death", "steel", "wrath", "thrash", "legion"),
}
"""What the covers of `speaking` say, by genre; how they look says nothing of it."""


def draw_speaking(number: int, lines: Iterable[str]) -> Image.Image:
    """Draw a cover that says these lines, over what no cover of another number shows."""
    plain = np.random.default_rng(number).integers(40, 216, (3, 3, 3)).astype(np.uint8)
    image = Image.fromarray(plain).resize((320, 320), Image.Resampling.BICUBIC)
    if lines := list(lines):
        backdrop = plan_samples()[(number * 7) % len(plan_samples())]
        image = draw_sample(backdrop, 320).crop((90, 120, 230, 200)).resize((320, 320))
        pen = ImageDraw.Draw(image)
        pen.rectangle((0, 0, 320, 40 + 50 * len(lines)), fill="white")
        for row, line in enumerate(lines):
            pen.text((16, 20 + 50 * row), line, "black", ImageFont.load_default(32))
    return image


@dataclass(frozen=True)
class Speaking:
    """Covers that say what genre they are, and what was made of them by commands.

    Eight have no artist, but a name that is on all of them; the last four say nothing. answers : of
    each command that made `artifacts`, by what it did. silent, jazz : in no manifest.
    """

    folder: Path
    manifest: Path
    artifacts: Path
    silent: Path
    jazz: Path
    answers: dict[str, Answer]


@pytest.fixture(scope="session")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Speaking:
    """Forty covers embedded, read and trained on, with the image alone first; not to be changed."""
    folder = made_once(tmp_path_factory, "speaking", _make_speaking)
    kept = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return Speaking(
        folder,
        folder / "covers.csv",
        folder / "artifacts",
        folder / "silent.png",
        folder / "jazz.png",
        {name: Answer(**answer) for name, answer in kept.items()},
    )


def _make_speaking(folder: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        genre = tuple(SPEAKING)[number % 2]
        said = [" ".join(rng.choice(SPEAKING[genre], 2, replace=False)), f"volume {number}"]
        artist = "" if number % 10 in {4, 5} else f"Artist {number // 4 * 2 + number % 2}"
        said += [] if artist else ["Orchard Pilots"]
        draw_speaking(number, said if number < 36 else ()).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{genre},{artist},{'test' if number < 12 else 'train'}")
    manifest = folder / "covers.csv"
    manifest.write_text("file,genre,artist,published_split\n" + "\n".join(rows), encoding="utf-8")
    draw_speaking(90, ()).save(folder / "silent.png")
    draw_speaking(91, ("blue bebop", "swing trio")).save(folder / "jazz.png")
    answers = {}
    for name, words in (
        ("embed", ("embed", manifest)),
        ("train image", ("train", "--name", "image")),
        ("words", ("words",)),
        ("train", ("train",)),
    ):
        seeds = ("--seeds", "1") if "train" in words else ()
        done = run_command([*words, *seeds, "--json"], folder)
        assert done.code == 0, done.err
        answers[name] = asdict(done)
        # These covers are alike but for their words, and miniatures would make them few groups. So
        # the heads are those of an older collection, which gets its miniatures in the end.
        if name == "embed":
            shutil.rmtree(folder / "artifacts" / "miniatures")
    # Reading comes last, as it did before: a reader of the catalog leaves its shared memory behind.
    assert all(run_command([name], folder).code == 0 for name in ("embed", "status"))
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MongoDB server: `$ALBO_TEST_MONGODB`, or one of the tests' own."""
    if given := os.environ.get("ALBO_TEST_MONGODB"):
        yield given
        return
    with mongodb_server(tmp_path_factory.mktemp("mongodb")) as server:
        yield server.uri


@pytest.fixture
def mongodb(mongodb_uri: str) -> Iterator[str]:
    """The address of a database that is not there yet; it is dropped in the end."""
    server, _, options = mongodb_uri.partition("?")
    scheme, _, hosts = server.partition("://")
    name = f"albo_test_{secrets.token_hex(6)}"
    if "@" in hosts and "authsource" not in options.lower():
        options = f"authSource=admin&{options}"  # as it was without the database's name
    yield f"{scheme}://{hosts.partition('/')[0]}/{name}" + (f"?{options}" if options else "")
    with MongoClient(mongodb_uri) as client:
        client.drop_database(name)


@pytest.fixture(params=["read-only", "none"])
def no_cache(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave no place for exported networks: a folder that cannot be made, or no home at all."""
    if request.param == "none":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    else:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
