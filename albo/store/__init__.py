"""The artifacts folder, and its content by digest: vectors, words and covers.

`artifacts` is the folder and its lock, `writing` writes files safely, `local` reads the user's
files. `vectors` and `words` are two forms of rows over `parts` (Parquet). `part_writer` writes
parts, `merging` merges them, and `salvage` finds them after the loss of a manifest. `covers` opens
the store of covers: `folder_covers` or `s3_covers`. Numbers and words are computed elsewhere.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
