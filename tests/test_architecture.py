"""What ARCHITECTURE.md says of the structure is true."""

from __future__ import annotations

import re

import pytest

from tests.conftest import REPOSITORY

ALBO = REPOSITORY / "albo"
ARCHITECTURE = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
WINGS = sorted(face.parent.name for face in ALBO.glob("*/__init__.py"))


@pytest.mark.parametrize("wing", WINGS)
def test_every_wing_has_its_row(wing: str) -> None:
    assert len(re.findall(rf"^\| `{wing}/` \|.*\|.*\|$", ARCHITECTURE, re.MULTILINE)) == 1


def test_only_rows_stand_in_a_table() -> None:
    for heading in ("## The wings", "## Where do I add"):
        table = ARCHITECTURE.split(heading)[1].split("\n\n")[1]
        assert all(line.startswith(("| ", "|-")) for line in table.splitlines())


def test_every_file_that_is_named_is_there() -> None:
    named = re.findall(r"`([a-z_]+/[a-z_0-9]+\.py|[a-z_]+\.(?:py|tsv))`", ARCHITECTURE)
    assert len(named) > 20
    for name in named:
        assert (ALBO / name).is_file(), name
