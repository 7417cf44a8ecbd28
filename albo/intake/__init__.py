"""Covers on their way in: their files become pixels, and what became of each is recorded.

The loader reads, hashes and decodes ahead of the network; the journal commits in an order that is
safe at any moment. Which covers are embedded is decided by the stage that embeds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
