"""The artifacts folder: one writer, atomic writes; vectors, words and covers by digest.

It computes nothing of what it keeps.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
