"""From bytes to pixels, within limits; every byte is hostile.

`formats` tells what bytes are; `jpeg`, `png`, `webp`, `gif`, `bmp` and `tiff` check a file and keep
what its pixels depend on; `decoding` makes pixels of it, `flattening` makes every mode RGB.
Nothing here opens a file or knows a network.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
