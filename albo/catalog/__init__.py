"""Albums, kept in a SQLite file or in MongoDB, and the table of the files that were read.

`addresses` opens the catalog that an address names. `catalog` has the methods of every catalog,
over the few primitives of `sqlite` or `mongo`. `mongo_server` connects, `files` is the table of
files, `copying` copies. `albo.store` keeps the bytes of covers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
