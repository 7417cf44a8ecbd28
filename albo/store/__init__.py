"""The artifacts folder, and what is kept in it by digest: vectors, words and covers.

This wing writes files safely, lets one writer work at a time, and checks what it reads. The
numbers and words themselves are computed elsewhere.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
