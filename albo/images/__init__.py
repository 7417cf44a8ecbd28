"""Decode bytes to pixels, within limits; all input is treated as hostile.

`formats` tells the format of bytes. `jpeg`, `png`, `webp`, `gif`, `bmp` and `tiff` check a file and
keep the parts that its pixels depend on. `decoding` makes pixels, `flattening` turns every mode
into RGB. Nothing here opens a file or uses a network.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
