"""The artifacts folder, and what is kept in it by digest: vectors, words and covers.

`artifacts` is the folder and its lock, `writing` writes files safely, `local` reads files of the
user's. `vectors` and `words` are two forms of rows over `parts` (Parquet), which `part_writer`
writes, `merging` merges and `salvage` finds again. `covers` opens the store of covers:
`folder_covers` or `s3_covers`. Numbers and words are computed elsewhere.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
