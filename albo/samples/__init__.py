"""Sample covers, drawn by albo itself: what `albo demo` works on, free of rights.

Each of the twelve styles is a way of drawing, not a genre of music. Inside a style every artist has
a hand of their own (palette, lettering, favourite composition), so covers of one artist resemble
each other; and some covers borrow a motif from another style, so styles overlap as genres do.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
