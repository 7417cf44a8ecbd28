"""A whole harvest on this machine alone: `make demo-harvest`.

Starts a chart server, a MongoDB-protocol server and an S3-protocol server on loopback, and runs the
commands that a user would, each shown as it is typed, with what it prints. The charts are real ones
with real covers where those are to be had (`$ALBO_SHARED`), else the demo's drawn covers.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from albo.samples import write_samples
from tests.chart_server import ChartServer, Served, served_covers, served_feeds
from tests.conftest import shared_folder
from tests.servers import S3_ENV, make_bucket, mongodb_server, running_s3

_BUCKET = "albo-covers"


def main() -> int:
    """Run everything; return the first exit code that is not 0."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "mongodb").mkdir()
        albums, cover = gather_albums(folder)
        with (
            ChartServer(albums) as charts,
            mongodb_server(folder / "mongodb") as mongodb,
            running_s3() as s3,
        ):
            make_bucket(s3, _BUCKET)
            environment = {
                **S3_ENV,
                "AWS_ENDPOINT_URL_S3": s3,
                "ALBO_ITUNES_URL": charts.url,
                "ALBO_CATALOG": f"{mongodb.uri}/albo",
                "ALBO_COVERS": f"s3://{_BUCKET}/covers",
                "ALBO_ARTIFACTS": str(folder / "artifacts"),
            }
            for name in environment.keys() - S3_ENV.keys():
                print(f"export {name}={environment[name]}")
            return rehearse(environment, cover)


def gather_albums(folder: Path) -> tuple[list[Served], Path]:
    """Return what the charts list, and a cover to ask about."""
    real = shared_folder()
    labels = real / "covers" / "itunes36" / "labels.csv"
    if labels.is_file():
        pictures = sorted((real / "covers" / "discogs5" / "images").rglob("*.jpg"))
        feeds = sorted((real / "itunes").glob("topalbums__*.json"))
        replayed = served_feeds(feeds, lambda number: pictures[number].read_bytes())
        return [*replayed, *served_covers(labels)], pictures[-1]
    write_samples(folder / "samples")
    kept_aside = sorted((folder / "samples" / "kept-aside").iterdir())
    return served_covers(folder / "samples" / "labels.csv"), kept_aside[0]


def rehearse(environment: dict[str, str], cover: Path) -> int:
    """Harvest twice, embed, train, classify; show each command and what it says."""
    quickly = ("--rate", "0", "--art-rate", "0")
    commands = (
        ("harvest", "--genre", "all", "--dry-run"),
        ("harvest", "--genre", "all", *quickly),
        ("harvest", "--genre", "country", *quickly, "--json"),
        ("embed",),
        ("train", "--seeds", "1"),
        ("similar", str(cover), "-k", "3"),
        ("classify", str(cover), "--top", "3"),
        ("status",),
    )
    for words in commands:
        print(f"\n$ albo {shlex.join(words)}", flush=True)
        done = subprocess.run(  # noqa: S603  ourselves
            [sys.executable, "-c", "from albo.cli import main; main()", *words],
            env={**os.environ, **environment},
            stderr=None if words[0] != "harvest" else subprocess.DEVNULL,  # a line for each chart
            check=False,
        )
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
