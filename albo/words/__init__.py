"""The words on covers (OCR).

`boxes` finds text, level, slanted or vertical, and `reader` reads it. `titles` finds the lines of
a title, `given` is what a user says stands on a cover. `sentences` and `meanings` turn texts into
vectors. `albo.store` keeps the words.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
