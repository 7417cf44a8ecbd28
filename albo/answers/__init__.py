"""Answers to questions, as records: similar covers, explanations, typical ones, reports, reviews.

A report is put together in `report.py`, why a cover reads as it does in `explaining.py`, the covers
that it is compared with in `reference.py`. `collection.py` answers for all stored covers. How a
cover is shrunk to a report's thumbnail, and what can be read there, is in `thumbnails.py`;
`pictures.py` makes the small pictures of other covers. `verdict.py` answers yes, no or cannot tell;
`advice.py` says in a sentence what speaks for a genre.

Nothing is printed or laid out here: that is `albo.show`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
