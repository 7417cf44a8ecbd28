"""Fit heads, and score them on covers held out.

`labels` chooses covers, `groups` links those that may not be apart, `material` gathers features,
`trainers` fit classifiers, `folds` cross-validates, `fitting` makes a head. `splits` reads splits
that others drew; `metrics`, `scores` and `bootstrap` score; `evaluation` is the record.
`albo.heads` predicts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
