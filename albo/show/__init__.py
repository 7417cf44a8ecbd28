"""How answers look: in the terminal, as pages, as pictures.

It decides nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
