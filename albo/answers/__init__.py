"""Answers to questions, as records: similar covers, explanations, typical ones, reports, reviews.

`report.py` makes reports, `explaining.py` explains a cover's genres, `reference.py` opens the
covers for comparison. `collection.py` answers for all stored covers. `thumbnails.py` shrinks a
cover to a report's thumbnail and finds what can be read there; `pictures.py` makes the small
pictures of other covers.

Nothing is printed or laid out here: that is `albo.show`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
