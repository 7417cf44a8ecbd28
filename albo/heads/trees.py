"""Check that a LightGBM model in text form is sound before LightGBM reads it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from albo.heads.numbers import GENRES, check_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from albo.records import Doubles


def check_trees(text: str, width: int) -> None:
    """Check a model's text before LightGBM, which trusts its numbers, reads it.

    People pass artifacts on, and a forged artifact has matching checksums. A feature, a child or a
    number of leaves that does not exist would kill the process, and a tree that leads back to
    itself would never answer.

    Parameters
    ----------
    width : how many numbers a tree may look at.

    Raises ValueError.
    """
    header, *trees = text.split("\nTree=")
    classes = model_number(header, "num_class")
    if not header.startswith("tree\n") or classes not in GENRES:
        raise ValueError("trees without a header of their kind")
    if model_number(header, "num_tree_per_iteration") != classes or len(trees) % classes:
        raise ValueError("trees that are not of as many kinds as there are genres")
    if model_number(header, "max_feature_idx") + 1 != width or not trees:
        raise ValueError("trees over features that are not there")
    _check_offsets(header, text.encode())
    for tree in trees:
        _check_tree(tree.split("end of trees")[0], width)


def _check_offsets(header: str, data: bytes) -> None:
    """Check that the sizes in the header lead from tree to tree and end where the trees end."""
    (sizes,) = re.findall(r"^tree_sizes=([\d ]+)$", header, re.MULTILINE)
    place = data.index(b"\nTree=") + 1
    for size in map(int, sizes.split()):
        if not data.startswith(b"Tree=", place):
            raise ValueError("sizes of trees that lead nowhere")
        place += size
    if not data.startswith(b"end of trees", place):
        raise ValueError("sizes of trees that lead nowhere")


def _check_tree(tree: str, width: int) -> None:
    fields = dict(line.partition("=")[::2] for line in tree.splitlines() if "=" in line)
    leaves = int(fields["num_leaves"])
    if leaves < 1 or fields["num_cat"] != "0" or fields.get("is_linear", "0") != "0":
        raise ValueError("a tree of another kind")
    _numbers(fields, "leaf_value", leaves)
    if leaves == 1:
        return
    nodes = leaves - 1
    looks_at = _numbers(fields, "split_feature", nodes)
    children = [_numbers(fields, side, nodes) for side in ("left_child", "right_child")]
    _numbers(fields, "threshold", nodes)
    decisions = _numbers(fields, "decision_type", nodes).astype(np.int64)
    order = np.arange(nodes)
    # A child always comes after its parent, so a walk down a tree ends.
    sound = all(((child > order) & (child < nodes) | (child < 0)).all() for child in children)
    if not sound or min(child.min() for child in children) < -leaves or (decisions & 1).any():
        raise ValueError("a tree whose branches lead nowhere")
    if looks_at.min() < 0 or looks_at.max() >= width:
        raise ValueError("a tree over features that are not there")


def _numbers(fields: Mapping[str, str], name: str, count: int) -> Doubles:
    numbers = np.array(fields[name].split(), np.float64)
    check_array(numbers, (count,), np.float64)
    return numbers


def model_number(text: str, name: str) -> int:
    """Read a number from LightGBM's text. Raises ValueError unless it is there exactly once."""
    found = re.findall(rf"^{name}=(\d{{1,9}})$", text, re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"trees with {len(found)} entries {name}, where there is one")
    return int(found[0])
