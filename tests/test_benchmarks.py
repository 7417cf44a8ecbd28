"""The benchmarks' own arithmetic and bookkeeping; what they measure is run by `make bench`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks import covers, measure, results
from benchmarks.__main__ import BENCHMARKS
from benchmarks.measure import CommandFailed, Sample, imported_modules, interleave, run_command
from benchmarks.pairs import Pair, draw_sample
from benchmarks.results import Row, Section, Skipped, at_least, at_most, write_section

if TYPE_CHECKING:
    from pathlib import Path


def test_a_ratio_is_taken_round_by_round() -> None:
    ratio = Sample((10.0, 40.0, 30.0)).over(Sample((1.0, 2.0, 10.0)))
    assert ratio.values == (10.0, 20.0, 3.0)
    assert ratio.show(1, "x") == "10.0x (3.0 to 20.0)"


def test_rounds_go_forwards_and_backwards() -> None:
    order: list[str] = []

    def job(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleave({"a": lambda: job("a"), "b": lambda: job("b")}, rounds=2)
    assert order == ["a", "b", "b", "a"]
    assert found["a"].values == (1.0, 4.0)


@pytest.mark.whole
def test_a_command_says_its_memory_and_output() -> None:
    code = "import sys; block = bytearray(80 << 20); print('out'); print('err', file=sys.stderr)"
    done = run_command([sys.executable, "-c", code])
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert done.seconds > 0
    small = run_command([sys.executable, "-c", "pass"])
    # A child's figure starts at what its parent holds, which in a test run may be more.
    assert done.peak_mib >= max(80, small.peak_mib)


@pytest.mark.whole
def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(CommandFailed, match=r"ended with 3: .*why"):
        run_command([sys.executable, "-c", "import sys; print('why'); sys.exit(3)"])


@pytest.mark.whole
def test_imports_are_seen_by_their_top_names() -> None:
    found = imported_modules(["-c", "import email.message"], {})
    assert "email" in found
    assert "torch" not in found


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (1.0, 4), (0.0, 1), (0.51, 3)])
def test_percentiles_are_values_that_occurred(share: float, expected: int) -> None:
    assert measure.percentile([4, 1, 3, 2], share) == expected


def test_one_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "R.md"
    order = ("embed", "cold", "heads")
    write_section("heads", "## heads\n", order, file)
    write_section("embed", "## embed, old\n", order, file)
    write_section("embed", "## embed, new\n", order, file)
    text = file.read_text(encoding="utf-8")
    assert "old" not in text
    assert text.index("## embed, new") < text.index("## heads")
    assert dict(results.read_sections(file)) == {
        "embed": "## embed, new\n",
        "heads": "## heads\n",
    }


def test_a_section_says_command_machine_target_and_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cold.md").write_text("Something else, to no avail.\n", encoding="utf-8")
    monkeypatch.setattr(results, "NOTES", tmp_path)
    rows = [
        Row("fast", "2.0", "1.0", "2.0x", at_least(2.0, 6.0, "≥ 6x")),
        Row("small", "1", target=at_most(1, 2)),
    ]
    text = results.show_section(
        "cold", Section("cold", rows, ["A remark."], ["numpy"]), "python -m benchmarks cold"
    )
    assert "| fast | 2.0 | 1.0 | 2.0x | ≥ 6x | **falls short** |" in text
    assert "| small | 1 |  |  | ≤ 2 | met |" in text
    assert re.search(
        r"`python -m benchmarks cold` · \d{4}-\d\d-\d\d · .+ cores? · .*numpy \d", text
    )
    assert text.endswith("### What was tried\n\nSomething else, to no avail.\n")


def test_a_sample_of_pairs_is_stable() -> None:
    pairs = [Pair(bytes([i]) * 32, bytes([i + 1]) * 32) for i in range(200)]
    drawn = draw_sample(pairs, 50)
    assert draw_sample(reversed(pairs), 50) == drawn
    assert len(set(draw_sample(pairs[1:], 50)) & set(drawn)) >= 49


def test_without_real_covers_it_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALBO_SHARED", str(tmp_path))
    with pytest.raises(Skipped, match="set ALBO_SHARED"):
        covers.shared_folder()


def test_variants_are_distinct_files_of_the_same_picture(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    source.write_bytes(b"\xff\xd8 picture \xff\xd9")
    covers.make_variants([source], tmp_path / "out", 3)
    covers.make_variants([source], tmp_path / "out", 4)
    found = [file.read_bytes() for file in sorted((tmp_path / "out").rglob("*.jpg"))]
    assert len(set(found)) == 4
    assert all(data.startswith(source.read_bytes()) for data in found)


def test_every_benchmark_has_its_module() -> None:
    for name in BENCHMARKS:
        assert (results.HERE / f"{name}.py").is_file()


def test_targets_are_met_at_their_limit() -> None:
    assert at_least(6.0, 6.0).met
    assert at_most(6.0, 6.0).met
    assert not at_least(5.9, 6.0).met
    assert not at_most(6.1, 6.0).met
