"""Albums, kept in a SQLite file or in MongoDB, and the table of the files that were read.

`addresses` chooses the catalog by its address. `catalog` holds the logic that all catalogs share,
over the few primitives of `sqlite` or `mongo`. `mongo_server` connects to MongoDB. `files` is the
table of files. `copying` copies a catalog. `albo.store` keeps the bytes of covers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
