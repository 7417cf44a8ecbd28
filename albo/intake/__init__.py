"""The intake of covers: their files become pixels, and the result for each is recorded.

The loader reads, hashes and decodes ahead of the network; the journal commits in an order that is
safe at any moment. The embedding stage decides which covers are embedded.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
