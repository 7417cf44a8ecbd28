"""Fit heads, and score them on covers held out.

What is fitted predicts elsewhere (`albo.heads`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
