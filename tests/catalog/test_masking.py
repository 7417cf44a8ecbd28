"""No password is shown: not in a line, not in JSON, not in a table or a page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from albo import Albo, cli
from albo.catalog import mask_text, mask_values
from albo.errors import UnknownSource
from albo.show import printable, terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mongodb://someone:hunter2@host/music", "mongodb://host/music"),
        ("Mongodb://someone:hunter2@host", "Mongodb://host"),
        ("MONGODB+SRV://someone:hunter2@host/?tls=true", "MONGODB+SRV://host/"),
        ("mongodb+srv://someone:hunter2@host:1,other/music?w=1", "mongodb+srv://host:1,other/music"),
        ("mongodb://someone:hunter%402%2f@host/a", "mongodb://host/a"),
        ("mongodb://someone:h@unter2/and\nso on@host/a", "mongodb://host/a"),
        ("mongodb://someone:hunter2?@host/a", "mongodb://host/a"),
        ("mongodb://hunter2@host", "mongodb://host"),
        ("mongodb://host/a?authMechanismProperties=AWS_SESSION_TOKEN:hunter2", "mongodb://host/a"),
        ("'mongodb://someone:hunter2@host/a?w=1': gone", "'mongodb://host/a': gone"),
        ("mongodb://someone:hunter2@host/a?w=1: gone (why?)", "mongodb://host/a: gone (why?)"),
        ("from mongodb://u:hunter2@a/x to mongodb://u:hunter2@b/y", "from mongodb://a/x to mongodb://b/y"),
        ("/here/mongodb:/someone:hunter2@host/a", "/here/mongodb:/host/a"),
        ("mongodb:someone:hunter2@host", "mongodb:host"),
        ("postgres://someone:hunter2@host/a", "postgres://host/a"),
        ("https://someone:hunter2@host/a@b?c=d@e", "https://host/a@b?c=d@e"),
    ],
)  # fmt: skip
def test_user_and_password_are_left_out(text: str, masked: str) -> None:
    assert mask_text(text) == masked
    assert mask_text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mongodb://host:1,other/music",
        "mongodb+srv://host",
        "mongodb://host: no such file; is there one?",
        "sqlite:///music@home.sqlite?",
        "sqlite:////music/a@b.sqlite",
        "s3://bucket/a@2x.png",
        "/music/100% of it/someone@home/cover.jpg",
        "https://host/?q=someone@home",
        "albo/0.1 (+https://host/albo; me@home)",
    ],
)
def test_what_has_no_password_is_shown_as_it_is(text: str) -> None:
    assert mask_text(text) == text


def test_every_text_of_a_json_answer_is_masked() -> None:
    uri = "mongodb://u:hunter2@h"
    content = {uri: [uri, 1.5, None, True, {"a": (uri,)}]}
    plain = "mongodb://h"
    assert mask_values(content) == {plain: [plain, 1.5, None, True, {"a": [plain]}]}


def test_all_that_is_printed_goes_through_the_mask(capsys: pytest.CaptureFixture[str]) -> None:
    uri = "mongodb://u:hunter2@h"
    terminal.say(f"{uri}: 3")
    terminal.note(uri, quiet=False)
    terminal.complain(uri)
    terminal.print_json({"a": uri})
    assert printable(uri) == "mongodb://h"
    terminal.console().print(terminal.table(uri))
    said = capsys.readouterr()
    assert (said.out[:15], said.err) == ("mongodb://h: 3\n", "mongodb://h\nalbo: mongodb://h\n")
    assert "hunter2" not in said.out


# --- commands ------------------------------------------------------------------------------------

REFUSED = "mongodb://someone:%68unter2@/a"
ADDRESSES = [
    "mongodb://someone:hunter2@127.0.0.1:1/a?serverSelectionTimeoutMS=200",
    "Mongodb://someone:hunter2@127.0.0.1:1/a",
    "MongoDB+SRV://someone:hunter2@nowhere.invalid/a",
    REFUSED,
    "mongodb://someone:hunter2/x+y@",
]


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, sample_artifacts: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a command in this process on artifacts that hold covers; gives its code and its words."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: str) -> tuple[int, str]:
        place = ["--artifacts", str(sample_artifacts)] if words[0] != "catalog" else []
        code = cli.run([*words, *place])
        said = capfd.readouterr()
        for line in said.out.splitlines() if "--json" in words else ():
            json.loads(line)
        return code, said.out + said.err

    return run


LINES = [
    *(
        f"{command} {address}"
        for command in ("embed", "forget", "similar")
        for address in ADDRESSES
    ),
    *(
        line.format(REFUSED)
        for line in (
            "forget {} gone",
            "classify {} --no-words",
            "report {} --as Woodcut",
            "status --catalog {}",
            "embed --catalog {}",
            "catalog copy gone.sqlite {}",
        )
    ),
]


@pytest.mark.parametrize("line", LINES)
def test_no_command_prints_a_password(
    call: Callable[..., tuple[int, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for form in ([], ["--json"]):
        code, said = call(*line.split(" "), *form)
        assert code in {1, 2}
        assert said.strip()
        assert "hunter2" not in said
        assert "%68unter2" not in said
        assert "someone" not in said


def test_a_name_says_where_in_the_answer_and_in_the_complaint(
    call: Callable[..., tuple[int, str]],
) -> None:
    code, said = call("similar", "mongodb://someone:hunter2@host/a", "--json")
    assert code == 1
    assert json.loads(said)["query"] == "mongodb://host/a"
    code, said = call("forget", "mongodb://someone:hunter2@host/a", "--json")
    assert code == 2
    assert json.loads(said.splitlines()[0])["forgotten"] == "mongodb://host/a"


def test_a_picture_and_a_page_have_no_password(
    call: Callable[..., tuple[int, str]], tmp_path: Path, kept_aside: list[str]
) -> None:
    page = tmp_path / "page.html"
    bad = "mongodb://someone:hunter2@host"
    call("report", kept_aside[0], bad, "--as", "Woodcut", "--html", str(page))
    assert "hunter2" not in page.read_text()


def test_errors_of_the_python_interface_have_no_password(sample_artifacts: Path) -> None:
    albo = Albo(sample_artifacts)
    for ask in (albo.forget, lambda name: albo.embed([name])):
        with pytest.raises(UnknownSource) as caught:
            ask("Mongodb://someone:hunter2@host")
        assert "hunter2" not in str(caught.value)
        assert "Mongodb://host" in str(caught.value)
    [answer] = albo.similar(["mongodb://someone:hunter2@host"])
    assert answer.query == "mongodb://host"
