"""Answers to questions, as records: similar covers, explanations, typical ones, reports, reviews.

`report.py` makes reports, `explaining.py` explains a cover's genres, `reference.py` opens the
covers for comparison. `collection.py` answers for all stored covers. `thumbnails.py` shrinks a
cover to a report's thumbnail and finds what can be read there; `pictures.py` makes the small
pictures of other covers. `verdict.py` decides between yes, no and cannot tell; `advice.py` says in
a sentence what picture, words and nearest covers are like.

Nothing is printed or laid out here: that is `albo.show`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
