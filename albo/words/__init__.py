"""The words on covers (OCR).

`boxes` finds where text is, level, slanted or vertical, `reader` reads it, `titles` tells which
lines are a title, `sentences` and `meanings` turn texts into vectors. `albo.store` keeps what was
read.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
