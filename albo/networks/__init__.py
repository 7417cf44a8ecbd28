"""Frozen networks: their weights, their preprocessing, and their runtimes on CPU and GPU.

`weights` finds and fetches weights, `modules` makes torch modules of them, `cards` describes them.
`runtimes` chooses `openvino_runtime` or `torch_runtime`, `precision` chooses their arithmetic,
`engines` keeps compiled networks. `backbones` opens a network, `batches` feeds it.
Nothing here knows of albums.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
