"""Fixtures for the whole suite: the folder of real covers, where it is to be had."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from albo import Albo
from albo.samples import write_samples
from tests.servers import S3, S3_ENV, make_bucket, mongodb_server, running_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    """Where real covers and feeds are: `$ALBO_SHARED`, or `../shared` beside the checkout."""
    return Path(os.environ.get("ALBO_SHARED", REPOSITORY.parent / "shared")).resolve()


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


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's drawn covers: `labels.csv`, `covers/<style>/`, `kept-aside/`."""
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


@pytest.fixture(scope="session")
def kept_aside(samples: Path) -> list[str]:
    """Covers by artists who are not in the samples' labels."""
    return sorted(str(path) for path in (samples / "kept-aside").iterdir())


@pytest.fixture(scope="session")
def sample_artifacts(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples, embedded, indexed and trained on; to be read, not changed."""
    folder = tmp_path_factory.mktemp("artifacts")
    albo = Albo(folder)
    albo.embed([str(samples / "labels.csv")])
    albo.train(seeds=(0,))
    return folder


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


@pytest.fixture
def run_albo(tmp_path: Path) -> Callable[..., Answer]:
    """Run the command line as a process of its own, in an empty folder unless one is named."""

    def run(*words: str | Path, cwd: Path | None = None, stdin: str = "", **env: str) -> Answer:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", "from albo.cli import main; main()", *map(str, words)],
            cwd=cwd or tmp_path,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={**os.environ, "COLUMNS": "120", **env},
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


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
