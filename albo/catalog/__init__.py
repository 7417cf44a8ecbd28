"""Albums, kept in a SQLite file or in MongoDB, and the table of the files that were read.

Bytes of covers are kept elsewhere (`albo.store`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
