"""Frozen networks: their weights, their preprocessing, and what runs them on CPU and GPU.

It knows nothing of albums.
"""

from __future__ import annotations

from albo.networks.backbones import (
    Backbone,
    FrozenBackbone,
    find_card,
    near_duplicate_thresholds,
    open_backbone,
)
from albo.networks.cards import Card, card_of
from albo.networks.engines import (
    Device,
    Export,
    cores,
    export_file,
    import_openvino,
    last_line,
    load_or_export,
    open_core,
    openvino_failed,
)
from albo.networks.maps import compile_map_network
from albo.networks.memory import recall, remember
from albo.networks.runtimes import check_device
from albo.networks.weights import DEFAULT, offers

__all__ = [
    "DEFAULT",
    "Backbone",
    "Card",
    "Device",
    "Export",
    "FrozenBackbone",
    "card_of",
    "check_device",
    "compile_map_network",
    "cores",
    "export_file",
    "find_card",
    "import_openvino",
    "last_line",
    "load_or_export",
    "near_duplicate_thresholds",
    "offers",
    "open_backbone",
    "open_core",
    "openvino_failed",
    "recall",
    "remember",
]
