"""Frozen networks: their weights, their preprocessing, and what runs them on CPU and GPU.

It knows nothing of albums.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
