"""Sample covers for `albo demo`, drawn by albo itself and free of rights.

Each of the twelve styles is a way of drawing, not a genre of music. Within a style every artist has
their own palette, lettering and favourite composition, so covers of one artist are similar.
Some covers borrow a motif from another style, so styles overlap as genres do.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
