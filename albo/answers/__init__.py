"""Answers to questions, as records: similar covers, typical ones, reports, reviews.

It prints nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
