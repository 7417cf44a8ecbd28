"""Networks as torch modules with two outputs: the pooled top and the middle stages."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from albo.errors import MissingWeights, UnknownBackbone
from albo.texts import in_one_line, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch
    from torch import nn
    from torch.overrides import TorchFunctionMode

    from albo.networks.cards import Resample

    _State: TypeAlias = dict[str, torch.Tensor]


# Stages for `middle`, the mean and standard deviation of channels, by torchvision's class name.
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
_SAME_MEAN = 1e-3  # relative to the top's length
_NESTS = ("state_dict", "model", "model_state_dict")
_WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """How to get a network: where its weights are or come from, and its input."""

    name: str
    """The name on its card, with the weights' entry if there is a choice."""

    family: str
    """The library that makes it: default, torchvision or timm."""

    architecture: str
    """Its name in that library."""

    size: int
    """Side of the square input in pixels."""

    mean: tuple[float, float, float]
    """Subtracted from each channel (RGB), on the scale 0 to 255."""

    std: tuple[float, float, float]
    """Each channel is then divided by it, on the same scale."""

    resample: Resample
    """The filter that scales covers to the input."""

    licence: str
    """The published weights' licence."""

    commercial: bool
    """Whether that licence is known to allow commercial use."""

    file: Path | None
    """The file of the published weights, present or to be fetched; None if not known."""

    origin: str
    """A URL, a repository of the hub, or the package with the weights; "" for none."""

    entry: str = ""
    """The entry of torchvision's weights."""


def reason_of(error: Exception) -> str:
    """Return the message of an error of torch or of a hub in one line."""
    lines = lines_of(error)
    # torch's first line may be just a heading.
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return in_one_line(said, _MAX_REASON)


# --- modules -------------------------------------------------------------------------------------


def make_trunk(plan: NetworkPlan, pretrained: Path | None) -> nn.Module:
    """Make the network without its classifier; with weights if a file is given."""
    makers = {"default": _trunk_default, "torchvision": _trunk_torchvision, "timm": _trunk_timm}
    make = makers[plan.family]
    if pretrained is None:
        return make(plan, None)
    try:
        return make(plan, _state_dict(pretrained))
    except Exception as error:  # a hostile state dict can make the loaders raise anything
        raise MissingWeights(
            f"{pretrained} does not fit {plan.name} ({reason_of(error)}); give a state dict of that"
            " network"
        ) from error


def _trunk_default(plan: NetworkPlan, state: _State | None) -> nn.Module:
    import timm

    network: nn.Module = timm.create_model(plan.architecture, pretrained=False)
    if state is not None:
        # The names in the package and in timm differ, but their order is the same. Every shape is
        # checked, so that another file is not accepted.
        ours = network.state_dict()
        if [tuple(x.shape) for x in state.values()] != [tuple(x.shape) for x in ours.values()]:
            raise ValueError("its tensors are not EfficientNet-Lite0's")
        network.load_state_dict(dict(zip(ours, state.values(), strict=True)))
    network.reset_classifier(0)  # type: ignore[operator]
    return network


def _trunk_torchvision(plan: NetworkPlan, state: _State | None) -> nn.Module:
    from torchvision import models

    # torchvision sets this only when it loads published weights itself.
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
    """Whether a tensor is of Inception's or GoogLeNet's auxiliary heads, used in training only."""
    return key.startswith(("AuxLogits.", "aux1.", "aux2."))


def _drop_classifier(network: nn.Module) -> None:
    """Replace the last linear layer by the identity: its input is the pooled top."""
    from torch import nn

    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if linear:
        parent, _, last = linear[-1].rpartition(".")
        setattr(network.get_submodule(parent), last, nn.Identity())
    else:  # SqueezeNet classifies by a convolution
        network.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _trunk_timm(plan: NetworkPlan, state: _State | None) -> nn.Module:
    import timm

    if state is None:
        network = timm.create_model(plan.architecture, pretrained=False)
    else:
        # With the file's number of classes, timm loads strictly; else it would accept any file.
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
    """Return the number of classes of a state dict's classifier, if that is a plain layer."""
    weight = state.get(f"{classifier}.weight") if isinstance(classifier, str) else None
    return int(weight.shape[0]) if weight is not None and weight.ndim > 1 else None


def _state_dict(file: Path) -> _State:
    """Load tensors only, never a pickled object. Raises ValueError."""
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


def _load(file: Path) -> Any:  # noqa: ANN401  (any content)
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about files that are no state dict; refused anyway
        return torch.load(file, map_location="cpu", weights_only=True)


def _is_state(loaded: object) -> bool:
    import torch

    return (
        isinstance(loaded, dict)
        and len(loaded) > 0
        and all(type(k) is str and isinstance(x, torch.Tensor) for k, x in loaded.items())
    )


def two_outputs(trunk: nn.Module, plan: NetworkPlan) -> nn.Module:
    """Wrap a trunk: pixels as of `build` in, (top, middle) out."""
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
            # Float32 before summing over positions: bfloat16 would lose small deviations.
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


def pooled_map(network: nn.Module, size: int) -> tuple[str, bool] | None:
    """Find the last module whose mean output is the pooled top, and whether to rectify it.

    Some networks rectify and pool that output by functions, which are not modules.
    """
    import torch

    noise = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8, generator=noise)
    means: dict[str, list[torch.Tensor]] = {}

    def keep(name: str, output: Any) -> None:  # noqa: ANN401  (any output)
        is_map = isinstance(output, torch.Tensor) and output.ndim == _MAP_AXES
        if is_map and output.shape[2:].numel() > 1:  # a pooled output has only one place
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


def one_map(network: nn.Module, name: str, rectified: bool) -> nn.Module:
    """Make the network that returns one module's output, float32 (n, d, h, w).

    Parameters
    ----------
    name, rectified : as `pooled_map` found them.
    """
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


def _middle_stages(trunk: nn.Module, plan: NetworkPlan) -> tuple[str, ...]:
    if plan.family == "default":
        return ("blocks.2", "blocks.4", "blocks.5")  # blocks 4, 10 and 14, counted flat
    if plan.family == "torchvision":
        return _MIDDLE_STAGES.get(type(trunk).__name__, ())
    # timm lists its stages; only maps with channels first have such statistics.
    listed = list(getattr(trunk, "feature_info", ()))
    if len({stage["reduction"] for stage in listed}) < len(_MIDDLE_REDUCTIONS) + 1:
        return ()
    last = {stage["reduction"]: stage["module"] for stage in listed}
    chosen = tuple(last[r] for r in _MIDDLE_REDUCTIONS if r in last)
    return chosen if all(_is_channels_first(trunk, plan, name) for name in chosen) else ()


def _is_channels_first(trunk: nn.Module, plan: NetworkPlan, stage: str) -> bool:
    """Whether a stage's output has channels first, found by one tiny forward pass."""
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


def widths_of(plan: NetworkPlan) -> tuple[int, int]:
    """Return (d, m), by a forward pass of shapes only: no numbers, no weights."""
    import torch

    with torch.inference_mode():
        with _weightless():
            network = two_outputs(make_trunk(plan, pretrained=None).to("meta"), plan)
        pixels = torch.zeros(1, plan.size, plan.size, 3, dtype=torch.uint8, device="meta")
        top, middle = network.to("meta").eval()(pixels)
    if top.ndim != 2:  # noqa: PLR2004  (n, d)
        raise UnknownBackbone(f"{plan.name} gives no pooled vector; use another network")
    return int(top.shape[1]), int(middle.shape[1])


def _weightless() -> TorchFunctionMode:
    """Make modules without memory for their parameters.

    `torch.device("meta")` would remove the numbers of all tensors, but RegNet computes its widths
    with tensors. So only `torch.empty`, which makes parameters, is changed.
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
