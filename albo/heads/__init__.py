"""Heads predict genres from features, with numpy alone, and say why.

`views` make features, `predictors` (with `grams`, `trees`) predict from one view, `fusion` joins
and calibrates them, `head` is the whole, `kept` its files. `reasons` and `maps` say why; `starter`
comes with albo. `albo.learning` fits.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
