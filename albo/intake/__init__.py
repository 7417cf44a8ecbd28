"""The intake of covers: their files become pixels, and the outcome of each is recorded.

The loader reads, hashes and decodes ahead of the network. The journal commits in an order that is
safe at any moment. `albo.embed` decides which covers are embedded.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
