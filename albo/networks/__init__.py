"""Frozen networks: their weights, their preprocessing, and what runs them on CPU and GPU.

`weights` finds and fetches weights, `modules` makes torch modules of them, `cards` says what is
known of them. `runtimes` chooses `openvino_runtime` or `torch_runtime`, `precision` their
arithmetic, `engines` keeps compiled networks. `backbones` puts it together, `batches` feeds it.
Albums are unknown here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
