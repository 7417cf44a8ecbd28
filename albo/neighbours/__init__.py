"""Nearest covers: the files of indexes, near-duplicates, typicality.

`albo.index` searches. Here `updates` builds and tunes indexes, `lists` holds compressed codes,
`rows` exact vectors, `manifest` the files of indexes. `duplicates` and `typicality` compare covers
with each other. No module here knows albums.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
