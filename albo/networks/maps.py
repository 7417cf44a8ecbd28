"""The network that returns an activation map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from albo.errors import NoActivationMap
from albo.networks import weights as networks
from albo.networks.engines import Export, export_file, load_or_export
from albo.networks.file_facts import recall, remember
from albo.networks.openvino_runtime import convert
from albo.store import backbone_key, scratch_folder

if TYPE_CHECKING:
    from pathlib import Path

    from albo.networks.cards import Card
    from albo.records import Note


_EXPORT_VERSION = 1  # raised when the export changes


def compile_map_network(card: Card, core: Any, note: Note) -> Any:  # noqa: ANN401
    """Load the network of a card's activation maps on OpenVINO; export it if none is kept.

    Parameters
    ----------
    note : called with one line when the network is exported.

    Raises NoActivationMap, MissingWeights, RuntimeError.
    """
    made_from = [card.fingerprint, networks.OUTPUTS_VERSION, _EXPORT_VERSION]
    file = export_file(f"map-{backbone_key(card.name, card.fingerprint)}", made_from, core)

    question = f"no map\n{made_from}"
    if known := recall(question):
        raise NoActivationMap(known["reason"])

    def make() -> Export:
        note(f"exporting the activation maps of {card.name} for this processor (once)")
        try:
            return _export(card, core)
        except NoActivationMap as reason:
            remember(question, {"reason": str(reason)})  # kept too: it takes as long to find
            raise

    return load_or_export(file, core, lambda _export: _CONFIG, make, note)[1]


_CONFIG = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


def _export(card: Card, core: Any) -> Export:  # noqa: ANN401
    network = networks.build_map(card)
    with scratch_folder() as scratch:
        file: Path = scratch / "map.xml"
        convert(network, card.size, file)
        exported = core.compile_model(file, "CPU", _CONFIG).export_model().getvalue()
    return Export({"arithmetic": "float32"}, exported)
