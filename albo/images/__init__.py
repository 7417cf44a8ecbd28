"""From bytes to pixels, within limits; every byte is hostile.

Nothing here opens a file or knows a network.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
