"""The artifacts folder, and the vectors, words and covers in it, by digest.

`artifacts` is the folder and its lock, `writing` writes files safely, `local` reads the user's
files. `vectors` and `words` are two forms of rows over `parts` (Parquet). `part_writer` writes
parts, `merging` merges them, and `salvage` finds lost ones. `covers` opens the store of covers:
`folder_covers` or `s3_covers`. Nothing is computed here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
