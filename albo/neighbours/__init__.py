"""Nearest covers: exact and compressed indexes, near-duplicates, typicality.

It knows vectors and digests, no albums.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
