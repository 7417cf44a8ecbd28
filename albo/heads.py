"""What predicts: a fitted, calibrated head, and its files.

A head holds one predictor for each view, and what makes their log-probabilities one calibrated
answer: fusion weights, a temperature, the genre frequencies and the nonconformity scores. It was
fitted elsewhere; nothing is fitted here, and importing this needs numpy alone.

    log p(genre | cover)  ~  sum over views of weight * log p_view(genre | cover), / temperature

On disk: `manifest.json` names `head-<checksum>.npz` (plain arrays) and, for LightGBM, one
`<view>-<checksum>.txt` in LightGBM's own format. The manifest is written last and replaces the
former one in a single step; what that one named is removed only after. So a reader finds the old
head or the new one, whole, and needs no lock; writers take turns.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Protocol, TypeAlias

import numpy as np

from albo.artifacts import library_versions, read_manifest, sweep, write_atomically, write_manifest
from albo.errors import StaleArtifact, UsageError
from albo.records import Prediction

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from albo.records import Bools, Floats, Json

Doubles: TypeAlias = "NDArray[np.float64]"
Array: TypeAlias = "NDArray[Any]"
Prior: TypeAlias = Literal["corpus", "uniform"]

PRIORS: tuple[Prior, ...] = ("corpus", "uniform")
FLOOR = 1e-7
"""No genre is ever less probable than this to a view: one sure view must not silence another."""

_MEND = "albo train"
_WHAT = "head"
_CLIP = 3.0
_BATCH = 4096
_GENRES = range(2, 10_001)
_MAX_MODEL_BYTES = 1 << 30
_MADE_HERE = re.compile(r"(head-[0-9a-f]{16}\.npz|[a-z]{1,32}-[0-9a-f]{16}\.txt)")
_VIEW_NAME = re.compile(r"[a-z]{1,32}")


class Predictor(Protocol):
    """What a view's fitted classifier says of covers, and how it is kept.

    kind : its key in `PREDICTORS`.
    """

    kind: ClassVar[str]

    @property
    def genres(self) -> int:
        """The number of genres, c."""
        ...

    def log_probabilities(self, features: Any) -> Doubles:  # noqa: ANN401  (its view's features)
        """Return log p(genre) for n covers: float64 (n, c)."""
        ...

    def arrays(self) -> dict[str, Array]:
        """Return the arrays it consists of; never of objects."""
        ...

    def text(self) -> str:
        """Return what it keeps as text, "" where nothing."""
        ...

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], text: str) -> Predictor:
        """Make it of what it kept. Raises ValueError or KeyError where that cannot be."""
        ...


@dataclass(frozen=True)
class Scaler:
    """Standardises features: (x - mean) / scale, cut off at three standard deviations.

    mean, scale : float32 (p,). The cut keeps one odd number, of which a blank or broken cover has
    many, from outweighing the rest.
    """

    mean: Floats
    scale: Floats

    def __call__(self, features: Floats) -> Floats:
        """Return float32 (n, p). Raises UsageError where p is another."""
        if features.shape[1:] != self.mean.shape:
            raise UsageError(
                f"features of shape {features.shape}, the head reads (n, {len(self.mean)});"
                f" embed with the head's own backbone, or run `{_MEND}`"
            )
        scaled = np.subtract(features, self.mean, dtype=np.float32)
        scaled /= self.scale
        return np.clip(scaled, -_CLIP, _CLIP, out=scaled)

    def check(self) -> None:
        """Raise ValueError unless both are float32 (p,), finite, with positive scales."""
        _check(self.mean, (len(self.mean),), np.float32)
        _check(self.scale, self.mean.shape, np.float32)
        if not (self.scale > 0).all():
            raise ValueError("a scale that is not positive")


@dataclass(frozen=True)
class LogisticPredictor:
    """Multinomial logistic regression on standardised features.

    weights : float32 (p, c). bias : float32 (c,).
    """

    kind: ClassVar[str] = "logistic"

    scaler: Scaler
    weights: Floats
    bias: Floats

    @property
    def genres(self) -> int:
        """The number of genres, c."""
        return len(self.bias)

    def log_probabilities(self, features: Floats) -> Doubles:
        """Return log p(genre): features float32 (n, p) give float64 (n, c)."""
        parts = [
            self.scaler(features[first : first + _BATCH]) @ self.weights + self.bias
            for first in range(0, max(len(features), 1), _BATCH)
        ]
        return _floored(log_softmax(np.concatenate(parts)))

    def arrays(self) -> dict[str, Array]:
        """Return mean, scale, weights and bias."""
        return {
            "mean": self.scaler.mean,
            "scale": self.scaler.scale,
            "weights": self.weights,
            "bias": self.bias,
        }

    def text(self) -> str:
        """Return nothing."""
        return ""

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], text: str) -> LogisticPredictor:
        """Make it of its arrays. Raises ValueError or KeyError where they do not fit."""
        if text:
            raise ValueError("a text that is not its own")
        made = cls(Scaler(arrays["mean"], arrays["scale"]), arrays["weights"], arrays["bias"])
        made.scaler.check()
        _check(made.bias, (len(made.bias),), np.float32)
        _check(made.weights, (len(made.scaler.mean), len(made.bias)), np.float32)
        return made


@dataclass(frozen=True)
class LightgbmPredictor:
    """LightGBM on the principal components of standardised features.

    components : float32 (p, k). model : LightGBM's own text format.
    """

    kind: ClassVar[str] = "lightgbm"

    scaler: Scaler
    components: Floats
    model: str = field(repr=False)

    @cached_property
    def _booster(self) -> Any:  # noqa: ANN401  (LightGBM has no types)
        import lightgbm

        return lightgbm.Booster(model_str=self.model)

    @cached_property
    def genres(self) -> int:
        """The number of genres, c."""
        return _model_number(self.model, "num_class")

    def reduce(self, features: Floats) -> Floats:
        """Return float32 (n, k), what the trees see."""
        parts = [
            self.scaler(features[first : first + _BATCH]) @ self.components
            for first in range(0, max(len(features), 1), _BATCH)
        ]
        return np.concatenate(parts)

    def log_probabilities(self, features: Floats) -> Doubles:
        """Return log p(genre): features float32 (n, p) give float64 (n, c)."""
        reduced = self.reduce(features)
        if len(reduced) == 0:
            return np.empty((0, self.genres))
        shares = np.asarray(self._booster.predict(reduced, num_threads=1), np.float64)
        return _floored(np.log(np.maximum(shares.reshape(len(reduced), -1), FLOOR)))

    def arrays(self) -> dict[str, Array]:
        """Return mean, scale and components."""
        return {
            "mean": self.scaler.mean,
            "scale": self.scaler.scale,
            "components": self.components,
        }

    def text(self) -> str:
        """Return the trees."""
        return self.model

    @classmethod
    def restore(cls, arrays: Mapping[str, Array], text: str) -> LightgbmPredictor:
        """Make it of its arrays and trees. Raises ValueError or KeyError where they do not fit."""
        made = cls(Scaler(arrays["mean"], arrays["scale"]), arrays["components"], text)
        made.scaler.check()
        width = made.components.shape[-1]
        _check(made.components, (len(made.scaler.mean), width), np.float32)
        check_trees(text, width)
        return made


PREDICTORS: dict[str, type[Predictor]] = {
    LogisticPredictor.kind: LogisticPredictor,
    LightgbmPredictor.kind: LightgbmPredictor,
}


@dataclass(frozen=True)
class Head:
    """A fitted, calibrated whole.

    name, kind, level : as asked of `albo train`; kind "logistic" or "lightgbm", level "genre" or
    "subgenre". genres : c names, in the order of all columns. predictors : by view. weights :
    float64 (v,), not negative, in the predictors' order. temperature : divides the fused logits.
    frequencies : float64 (c,), each genre's share of the covers it was fitted on. nonconformity :
    for each prior, float64 (n,), ascending: 1 - p(true genre) of covers held out. fingerprints :
    by view, whose features it reads. backbone : the name of the image view's, "" without one.
    counts : covers and groups it was fitted on. card : what is to be known of it (how good it is).
    """

    name: str
    kind: str
    level: str
    genres: tuple[str, ...]
    predictors: Mapping[str, Predictor]
    weights: Doubles
    temperature: float
    frequencies: Doubles
    nonconformity: Mapping[Prior, Doubles]
    fingerprints: Mapping[str, str]
    backbone: str = ""
    counts: Json = field(default_factory=dict)
    card: Json = field(default_factory=dict)

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views it looks at."""
        return tuple(self.predictors)

    def predict(self, features: Mapping[str, Any], prior: Prior = "corpus") -> Doubles:
        """Return p(genre) of n covers: float64 (n, c).

        features : for each view of the head, the features of the same n covers. prior : "corpus"
        refers to the frequencies of genres in the corpus, "uniform" divides them out.
        Raises UsageError for a view that is missing, features of another width, another prior.
        """
        missing = [view for view in self.predictors if view not in features]
        if missing:
            raise UsageError(f"head {self.name!r} looks at {', '.join(self.views)}; give them all")
        spoken = [
            predictor.log_probabilities(features[view])
            for view, predictor in self.predictors.items()
        ]
        return weigh_prior(fuse(spoken, self.weights, self.temperature), self.frequencies, prior)

    def conformal_set(
        self, probabilities: Doubles, coverage: float = 0.9, prior: Prior = "corpus"
    ) -> Bools:
        """Return the smallest sets that hold the true genre with the coverage asked for.

        Split conformal with the score 1 - p(true genre): Vovk et al. 2005; Sadinle, Lei and
        Wasserman 2019. The first genre is in every set. Returns bool (n, c).

        probabilities : of `predict` with the same prior. Raises UsageError unless 0 < coverage < 1.
        """
        return conformal_sets(probabilities, self.nonconformity[_checked(prior)], coverage)

    def answer(
        self,
        features: Mapping[str, Any],
        prior: Prior = "corpus",
        decide: float = 0.5,
        coverage: float = 0.9,
    ) -> list[Prediction]:
        """Say of n covers what they read as: all genres best first, the set, and if it is decided.

        decide : the top probability from which on a cover is decided. Raises as `predict` and
        `conformal_set` do, and UsageError unless 0 <= decide <= 1.
        """
        if not 0 <= decide <= 1:
            raise UsageError(f"decide={decide:g}; give a probability from 0 to 1")
        probabilities = self.predict(features, prior)
        sets = self.conformal_set(probabilities, coverage, prior)
        return [
            self._say(row, inside, decide) for row, inside in zip(probabilities, sets, strict=True)
        ]

    def _say(self, row: Doubles, inside: Bools, decide: float) -> Prediction:
        order = np.argsort(-row, kind="stable")
        return Prediction(
            genres=tuple(self.genres[genre] for genre in order),
            probabilities=tuple(float(row[genre]) for genre in order),
            conformal_set=tuple(self.genres[genre] for genre in order if inside[genre]),
            decided=bool(row[order[0]] >= decide),
        )

    def save(self, folder: Path) -> None:
        """Write the head; one that stands there is replaced in a single step.

        The caller holds the writer lock. Raises CannotWrite.
        """
        texts = {view: predictor.text() for view, predictor in self.predictors.items()}
        content = {
            _named(view, "txt", text.encode()): text.encode()
            for view, text in texts.items()
            if text
        }
        arrays = _pack(self._arrays())
        content[_named("head", "npz", arrays)] = arrays
        for name, data in content.items():
            write_atomically(folder / name, lambda file, data=data: file.write(data))  # type: ignore[misc]
        write_manifest(folder, self._manifest(content, texts))
        _remove_others(folder, set(content))

    def _arrays(self) -> dict[str, Array]:
        arrays: dict[str, Array] = {"weights": self.weights, "frequencies": self.frequencies}
        for prior, scores in self.nonconformity.items():
            arrays[f"nonconformity.{prior}"] = scores
        for view, predictor in self.predictors.items():
            for name, array in predictor.arrays().items():
                arrays[f"view.{view}.{name}"] = array
        return arrays

    def _manifest(self, content: Mapping[str, bytes], texts: Mapping[str, str]) -> Json:
        return {
            "what": _WHAT,
            "name": self.name,
            "kind": self.kind,
            "level": self.level,
            "genres": list(self.genres),
            "temperature": self.temperature,
            "backbone": self.backbone,
            "views": [
                {
                    "name": view,
                    "predictor": predictor.kind,
                    "fingerprint": self.fingerprints[view],
                    "text": _named(view, "txt", texts[view].encode()) if texts[view] else "",
                }
                for view, predictor in self.predictors.items()
            ],
            "counts": self.counts,
            "card": self.card,
            "files": {name: _sha256(data) for name, data in content.items()},
            "libraries": library_versions("numpy", "scikit-learn", "lightgbm"),
        }

    @classmethod
    def load(cls, folder: Path) -> Head:
        """Read a head and check all of it.

        Raises StaleArtifact where it is missing, damaged or no head: the message names what is
        wrong and the mending command.
        """
        for _ in range(3):
            manifest = read_manifest(folder, _WHAT, _mend(folder))
            # A file that is gone may have been replaced since the manifest was read.
            with suppress(FileNotFoundError):
                return _restore(folder, manifest)
        return _refuse(folder, "a file that its manifest names is missing")


def log_softmax(logits: Array) -> Doubles:
    """Return logits less the logarithm of their summed exponentials, by row: float64 (n, c)."""
    shifted: Doubles = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def fuse(spoken: list[Doubles], weights: Doubles, temperature: float) -> Doubles:
    """Weigh and add the views' log-probabilities, divide by the temperature, normalise.

    Guo et al. 2017 for the temperature. Returns probabilities, float64 (n, c).
    """
    fused = sum(weight * view for weight, view in zip(weights, spoken, strict=True))
    return np.exp(log_softmax(np.asarray(fused) / temperature))


def weigh_prior(probabilities: Doubles, frequencies: Doubles, prior: Prior) -> Doubles:
    """Return probabilities under the prior: as they are, or with the corpus's divided out.

    Saerens, Latinne and Decaestecker 2002, eq. 4. Raises UsageError for another prior.
    """
    if _checked(prior) == "corpus":
        return probabilities
    weighed = probabilities / frequencies
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))


def conformal_sets(probabilities: Doubles, nonconformity: Doubles, coverage: float) -> Bools:
    """Return bool (n, c): where 1 - p is at most the ceil((n + 1) coverage)-th smallest score.

    nonconformity : ascending. With too few scores for the coverage asked for, every genre is in.
    Raises UsageError unless 0 < coverage < 1.
    """
    if not 0 < coverage < 1:
        raise UsageError(f"coverage={coverage:g}; give a share above 0 and below 1, as 0.9")
    rank = math.ceil((len(nonconformity) + 1) * coverage)
    limit = nonconformity[rank - 1] if rank <= len(nonconformity) else np.inf
    inside: Bools = 1.0 - probabilities <= limit
    if len(inside):
        inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return inside


def check_trees(text: str, width: int) -> None:
    """Check LightGBM's text before LightGBM, which trusts it, follows its numbers into memory.

    Artifacts are passed on, and whoever forges them makes the checksums fit too: a feature, child
    or number of leaves that is not there then kills the process, and a tree that leads back never
    answers. width : how many numbers a tree may look at. Raises ValueError.
    """
    header, *trees = text.split("\nTree=")
    classes = _model_number(header, "num_class")
    if not header.startswith("tree\n") or classes not in _GENRES:
        raise ValueError("trees without a header of their kind")
    if _model_number(header, "num_tree_per_iteration") != classes or len(trees) % classes:
        raise ValueError("trees that are not of as many kinds as there are genres")
    if _model_number(header, "max_feature_idx") + 1 != width or not trees:
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
    # A child was always made after its parent, so a walk down a tree comes to an end.
    sound = all(((child > order) & (child < nodes) | (child < 0)).all() for child in children)
    if not sound or min(child.min() for child in children) < -leaves or (decisions & 1).any():
        raise ValueError("a tree whose branches lead nowhere")
    if looks_at.min() < 0 or looks_at.max() >= width:
        raise ValueError("a tree over features that are not there")


def _numbers(fields: Mapping[str, str], name: str, count: int) -> Doubles:
    numbers = np.array(fields[name].split(), np.float64)
    _check(numbers, (count,), np.float64)
    return numbers


def _model_number(text: str, name: str) -> int:
    found = re.findall(rf"^{name}=(\d{{1,9}})$", text, re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"trees with {len(found)} entries {name}, where there is one")
    return int(found[0])


def _floored(log_probabilities: Doubles) -> Doubles:
    """Raise what is below the floor to it; what that adds to a row is below a millionth."""
    return np.maximum(log_probabilities, math.log(FLOOR), out=log_probabilities)


def _checked(prior: str) -> Prior:
    for known in PRIORS:
        if prior == known:
            return known
    raise UsageError(f"prior {prior!r}; give one of {', '.join(PRIORS)}")


def _check(array: Array, shape: tuple[int, ...], kind: type) -> None:
    if array.dtype != np.dtype(kind) or array.shape != shape or 0 in shape:
        raise ValueError(f"an array {array.dtype} {array.shape} where {kind.__name__} {shape} is")
    if not np.isfinite(array).all():
        raise ValueError("a number that is not finite")


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _named(stem: str, suffix: str, data: bytes) -> str:
    return f"{stem}-{_sha256(data)[:16]}.{suffix}"


def _pack(arrays: Mapping[str, Array]) -> bytes:
    # Not np.savez: it stamps the time of day into the file, so no two checksums would agree.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def _unpack(data: bytes) -> dict[str, Array]:
    """Read plain arrays. Raises ValueError for compressed or oversized ones and for objects."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("a compressed array")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _remove_others(folder: Path, named: set[str]) -> None:
    """Remove what a former manifest named, or a killed writer left."""
    for path in list(folder.iterdir()):
        if path.name not in named and _MADE_HERE.fullmatch(path.name):
            with suppress(OSError):
                path.unlink(missing_ok=True)
    sweep(folder)


def _refuse(folder: Path, reason: str) -> NoReturn:
    raise StaleArtifact(f"the head in {folder} is damaged ({reason}); run `{_mend(folder)}`")


def _mend(folder: Path) -> str:
    return f"{_MEND} --name {folder.name}"


def _restore(folder: Path, manifest: Json) -> Head:
    """Make a head of what its files hold; FileNotFoundError where one is gone."""
    try:
        return _assemble(manifest, _contents(folder, manifest))
    except FileNotFoundError:
        raise
    except KeyError as error:
        return _refuse(folder, f"{error.args[0]!r} is missing")
    except OSError as error:
        return _refuse(folder, error.strerror or str(error))
    except (ValueError, TypeError, AttributeError, MemoryError, EOFError, zipfile.BadZipFile) as no:
        return _refuse(folder, str(no).partition("\n")[0][:200] or type(no).__name__)


def _contents(folder: Path, manifest: Json) -> dict[str, bytes]:
    """Read every file that the manifest names, and check its sum."""
    contents = {}
    for name, checksum in manifest["files"].items():
        if _MADE_HERE.fullmatch(name) is None:
            raise ValueError(f"no head has a file {name[:60]!r}")
        path = folder / name
        if path.stat().st_size > _MAX_MODEL_BYTES:
            raise ValueError(f"{name} has more than {_MAX_MODEL_BYTES >> 20} MiB")
        contents[name] = path.read_bytes()
        if _sha256(contents[name]) != checksum:
            raise ValueError(f"checksum of {name}")
    return contents


def _assemble(manifest: Json, contents: Mapping[str, bytes]) -> Head:
    (packed,) = [data for name, data in contents.items() if name.endswith(".npz")]
    arrays = _unpack(packed)
    predictors = {}
    for view in manifest["views"]:
        text = contents[view["text"]].decode() if view["text"] else ""
        prefix = f"view.{view['name']}."
        own = {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        predictors[view["name"]] = PREDICTORS[view["predictor"]].restore(own, text)
    head = Head(
        name=manifest["name"],
        kind=manifest["kind"],
        level=manifest["level"],
        genres=tuple(manifest["genres"]),
        predictors=predictors,
        weights=arrays["weights"],
        temperature=float(manifest["temperature"]),
        frequencies=arrays["frequencies"],
        nonconformity={prior: arrays[f"nonconformity.{prior}"] for prior in PRIORS},
        fingerprints={view["name"]: view["fingerprint"] for view in manifest["views"]},
        backbone=manifest["backbone"],
        counts=manifest["counts"],
        card=manifest["card"],
    )
    _check_head(head, len(manifest["views"]))
    return head


def _check_head(head: Head, views: int) -> None:
    """Check that all parts are of one head. Raises ValueError."""
    words = (head.name, head.kind, head.level, head.backbone, *head.fingerprints.values())
    if not all(isinstance(word, str) for word in (*words, *head.genres)):
        raise ValueError("a name that is no text")
    if {type(head.counts), type(head.card)} != {dict}:
        raise ValueError("counts or card that are no object")
    if len(head.genres) not in _GENRES or len(set(head.genres)) != len(head.genres):
        raise ValueError(f"{len(head.genres)} genres, {len(set(head.genres))} of them different")
    if len(head.predictors) != views or not all(map(_VIEW_NAME.fullmatch, head.predictors)):
        raise ValueError("views without names of their own")
    if any(predictor.genres != len(head.genres) for predictor in head.predictors.values()):
        raise ValueError(f"a view that does not know {len(head.genres)} genres")
    _check_numbers(head)


def _check_numbers(head: Head) -> None:
    if not (math.isfinite(head.temperature) and head.temperature > 0):
        raise ValueError(f"temperature {head.temperature}")
    _check(head.weights, (len(head.predictors),), np.float64)
    if head.weights.min() < 0 or head.weights.max() <= 0:
        raise ValueError("fusion weights that are negative or nothing")
    _check(head.frequencies, (len(head.genres),), np.float64)
    if head.frequencies.min() <= 0 or not math.isclose(head.frequencies.sum(), 1, rel_tol=1e-6):
        raise ValueError("frequencies that do not add up to 1")
    for scores in head.nonconformity.values():
        _check(scores, (len(scores),), np.float64)
        if scores[0] < 0 or scores[-1] > 1 or (np.diff(scores) < 0).any():
            raise ValueError("nonconformity scores that do not ascend from 0 to 1")
