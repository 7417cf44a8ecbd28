"""From bytes to pixels, within limits. No byte is trusted.

`formats` recognises the format. `jpeg`, `png`, `webp`, `gif`, `bmp` and `tiff` check a file and
keep the parts that pixels depend on. `decoding` decodes them, `flattening` turns modes into RGB.
Nothing here opens a file or knows a network.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
