"""The words on covers: reading them (OCR), which lines are a title, what they mean.

What was read is kept elsewhere (`albo.store`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
