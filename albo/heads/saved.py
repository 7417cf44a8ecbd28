"""Heads as files: written in a single step, and checked when they are read.

`manifest.json` names `head-<checksum>.npz` (plain arrays) and, for LightGBM, one
`<view>-<checksum>.txt` in LightGBM's own format. The manifest is written last and replaces the
former one in a single step; the former one's files are removed after that. So a reader finds the
whole old head or the whole new one, and needs no lock. Writers take turns.

The heads of the folds lie in one `fold-<checksum>.npz` each, and the table of covers that were
learnt in `learnt-<checksum>.npz`. They are read only when a cover is asked about that the head has
learnt. Their matrices are kept as float16: that moves a probability by less than 0.001.
"""

from __future__ import annotations

import math
import zipfile
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from albo.errors import StaleArtifact
from albo.heads.crossfit import CrossFit, Learnt
from albo.heads.familiarity import Familiarity
from albo.heads.fusion import Scores
from albo.heads.head import Head
from albo.heads.kept import (
    VIEW_NAME,
    WHAT,
    mending_command,
    name_by_content,
    pack_arrays,
    read_contents,
    refuse_head,
    remove_others,
    sha256,
    unpack,
)
from albo.heads.numbers import GENRES, check_array
from albo.heads.predictors import PREDICTORS
from albo.store import library_versions, read_manifest, write_atomically, write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from albo.heads.numbers import Array
    from albo.records import Json

_T = TypeVar("_T")

_LARGEST_HALF = 65_504.0
_MATRIX = 2


def save_head(head: Head, folder: Path) -> None:
    """Write a head; a former one is replaced in a single step.

    The caller holds the writer lock. Raises CannotWrite, and what reading the folds' heads raises.
    """
    content: dict[str, bytes] = {}
    described = _describe(head, "head", content, halved=False)
    crossfit = head.crossfit
    if crossfit is not None:
        # Read before anything is written: they may lie in this very folder.
        folds = [crossfit.head(fold, head.views) for fold in range(crossfit.folds)]
        learnt = pack_arrays(crossfit.learnt.arrays())
        content[name_by_content("learnt", "npz", learnt)] = learnt
        described["crossfit"] = {
            "learnt": name_by_content("learnt", "npz", learnt),
            "folds": [_describe(fold, "fold", content, halved=True) for fold in folds],
        }
    for name, data in content.items():
        write_atomically(folder / name, lambda file, data=data: file.write(data))  # type: ignore[misc]
    write_manifest(folder, {**_manifest_of(head, content), **described})
    remove_others(folder, set(content))


def load_head(folder: Path) -> Head:
    """Read a head and check all of it.

    Raises StaleArtifact where it is missing, damaged or no head: the message names the fault and
    the mending command.
    """
    for _ in range(3):
        manifest = read_manifest(folder, WHAT, mending_command(folder))
        # A file that is gone may have been replaced since the manifest was read.
        with suppress(FileNotFoundError):
            return _guarded(folder, lambda manifest=manifest: _assemble(folder, manifest))  # type: ignore[misc]
    return refuse_head(folder, "a file that its manifest names is missing")


def _manifest_of(head: Head, content: Mapping[str, bytes]) -> Json:
    return {
        "what": WHAT,
        "name": head.name,
        "kind": head.kind,
        "level": head.level,
        "genres": list(head.genres),
        "backbone": head.backbone,
        "counts": head.counts,
        "card": head.card,
        "files": {name: sha256(data) for name, data in content.items()},
        "libraries": library_versions("numpy", "scikit-learn", "lightgbm"),
    }


def _describe(head: Head, stem: str, content: dict[str, bytes], *, halved: bool) -> Json:
    """Add the files of a head, or of a fold's, to `content`; return what the manifest says of it.

    Parameters
    ----------
    stem : what the name of its npz file begins with.
    halved : keep matrices as float16.
    """
    texts = {view: predictor.text().encode() for view, predictor in head.predictors.items()}
    named = {view: name_by_content(view, "txt", text) for view, text in texts.items() if text}
    content |= {name: texts[view] for view, name in named.items()}
    arrays = _arrays_of(head)
    packed = pack_arrays(_halved(arrays) if halved else arrays)
    file = name_by_content(stem, "npz", packed)
    content[file] = packed
    return {
        "arrays": file,
        "temperature": head.temperature,
        "alone": head.alone
        and {"views": list(head.alone.views), "temperature": head.alone.temperature},
        "views": [
            {
                "name": view,
                "predictor": predictor.kind,
                "fingerprint": head.fingerprints[view],
                "text": named.get(view, ""),
            }
            for view, predictor in head.predictors.items()
        ],
    }


def _arrays_of(head: Head) -> dict[str, Array]:
    arrays: dict[str, Array] = {"weights": head.weights, "frequencies": head.frequencies}
    arrays |= Scores(head.nonconformity, head.true_genres).arrays("")
    if head.alone is not None:
        arrays["alone.weights"] = head.alone.weights
        arrays |= Scores(head.alone.nonconformity, head.alone.true_genres).arrays("alone.")
    if head.familiarity is not None:
        arrays |= head.familiarity.arrays()
    for view, predictor in head.predictors.items():
        for name, array in predictor.arrays().items():
            arrays[f"view.{view}.{name}"] = array
    return arrays


def _halved(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {
        name: array.astype(np.float16)
        if array.ndim == _MATRIX
        and array.dtype == np.float32
        and np.abs(array).max(initial=0) <= _LARGEST_HALF
        else array
        for name, array in arrays.items()
    }


def _widened(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in arrays.items()
    }


def _guarded(folder: Path, read: Callable[[], _T]) -> _T:
    """Turn what damaged files raise into StaleArtifact; FileNotFoundError where one is gone."""
    try:
        return read()
    except FileNotFoundError:
        raise
    except KeyError as error:
        return refuse_head(folder, f"{error.args[0]!r} is missing")
    except OSError as error:
        return refuse_head(folder, error.strerror or str(error))
    except (ValueError, TypeError, AttributeError, MemoryError, EOFError, zipfile.BadZipFile) as no:
        return refuse_head(folder, str(no).partition("\n")[0][:200] or type(no).__name__)


def _assemble(folder: Path, manifest: Json) -> Head:
    # Former versions kept one npz file, did not name it, and kept nothing else.
    needed = _files_of(manifest) if "arrays" in manifest else list(manifest["files"])
    contents = read_contents(folder, manifest, needed)
    (packed,) = [data for name, data in contents.items() if name.endswith(".npz")]
    head = _restored(manifest, manifest, unpack(packed), contents)
    if manifest.get("crossfit") is None:
        return head
    return replace(head, crossfit=_crossfit(folder, manifest, head))


def _files_of(described: Json) -> list[str]:
    texts = (view["text"] for view in described["views"])
    return [described["arrays"], *(text for text in texts if text)]


def _crossfit(folder: Path, manifest: Json, head: Head) -> CrossFit:
    """Return the heads of the folds, to be read when they are needed."""
    folds = manifest["crossfit"]["folds"]

    def read_learnt() -> Learnt:
        name = manifest["crossfit"]["learnt"]
        contents = read_contents(folder, manifest, [name])
        return Learnt.restore(unpack(contents[name]), len(folds))

    def read_head(fold: int) -> Head:
        described = folds[fold]
        contents = read_contents(folder, manifest, _files_of(described))
        arrays = _widened(unpack(contents[described["arrays"]]))
        found = _restored(manifest, described, arrays, contents)
        if found.fingerprints != head.fingerprints:
            raise ValueError("a fold that looks at other views")
        return found

    return CrossFit(
        len(folds),
        lambda: _read_later(folder, read_learnt),
        lambda fold: _read_later(folder, lambda: read_head(fold)),
    )


def _read_later(folder: Path, read: Callable[[], _T]) -> _T:
    try:
        return _guarded(folder, read)
    except FileNotFoundError as error:
        raise StaleArtifact(
            f"the head in {folder} has been trained anew meanwhile, or is damaged; ask again, or"
            f" run `{mending_command(folder)}`"
        ) from error


def _restored(
    manifest: Json, described: Json, arrays: Mapping[str, Array], contents: Mapping[str, bytes]
) -> Head:
    """Make a head, or a fold's, of its arrays and texts. Raises ValueError, KeyError."""
    predictors = {}
    for view in described["views"]:
        text = contents[view["text"]].decode() if view["text"] else ""
        prefix = f"view.{view['name']}."
        own = {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        predictors[view["name"]] = PREDICTORS[view["predictor"]].restore(own, text)
    scores = Scores.restore(arrays, "")
    head = Head(
        name=manifest["name"],
        kind=manifest["kind"],
        level=manifest["level"],
        genres=tuple(manifest["genres"]),
        predictors=predictors,
        weights=arrays["weights"],
        temperature=float(described["temperature"]),
        frequencies=arrays["frequencies"],
        nonconformity=scores.nonconformity,
        true_genres=scores.true_genres,
        fingerprints={view["name"]: view["fingerprint"] for view in described["views"]},
        backbone=manifest["backbone"],
        counts=manifest["counts"],
        card=manifest["card"],
        familiarity=Familiarity.restore(arrays),
    )
    _check_head(head, len(described["views"]))
    if described["alone"] is None:
        return head
    alone = head.part(
        described["alone"]["views"],
        weights=arrays["alone.weights"],
        temperature=float(described["alone"]["temperature"]),
        scores=Scores.restore(arrays, "alone."),
    )
    _check_head(alone, len(described["alone"]["views"]))
    return replace(head, alone=alone)


def _check_head(head: Head, views: int) -> None:
    """Check that all parts fit together. Raises ValueError."""
    words = (head.name, head.kind, head.level, head.backbone, *head.fingerprints.values())
    if not all(isinstance(word, str) for word in (*words, *head.genres)):
        raise ValueError("a name that is no text")
    if {type(head.counts), type(head.card)} != {dict}:
        raise ValueError("counts or card that are no object")
    if len(head.genres) not in GENRES or len(set(head.genres)) != len(head.genres):
        raise ValueError(f"{len(head.genres)} genres, {len(set(head.genres))} of them different")
    if len(head.predictors) != views or not all(map(VIEW_NAME.fullmatch, head.predictors)):
        raise ValueError("views without names of their own")
    if any(predictor.genres != len(head.genres) for predictor in head.predictors.values()):
        raise ValueError(f"a view that does not know {len(head.genres)} genres")
    _check_numbers(head)


def _check_numbers(head: Head) -> None:
    if not (math.isfinite(head.temperature) and head.temperature > 0):
        raise ValueError(f"temperature {head.temperature}")
    check_array(head.weights, (len(head.predictors),), np.float64)
    if head.weights.min() < 0 or head.weights.max() <= 0:
        raise ValueError("fusion weights that are negative or nothing")
    check_array(head.frequencies, (len(head.genres),), np.float64)
    if head.frequencies.min() <= 0 or not math.isclose(head.frequencies.sum(), 1, rel_tol=1e-6):
        raise ValueError("frequencies that do not add up to 1")
    for prior, scores in head.nonconformity.items():
        check_array(scores, (len(scores),), np.float64)
        if scores[0] < 0 or scores[-1] > 1 or (np.diff(scores) < 0).any():
            raise ValueError("nonconformity scores that do not ascend from 0 to 1")
        genres = head.true_genres.get(prior, np.zeros(len(scores), np.int32))
        check_array(genres, scores.shape, np.int32)
        if genres.min() < 0 or genres.max() >= len(head.genres):
            raise ValueError("scores of genres that are not there")
