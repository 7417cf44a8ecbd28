"""Answers to questions, as records: similar covers, explanations, typical ones, reports, reviews.

`report.py` makes a report, `explaining.py` explains why a cover reads as a genre, and
`reference.py` has the covers for comparison. `thumbnails.py` shrinks a cover to a report's
thumbnail and tests which words can be read there; `pictures.py` makes small pictures of other
covers.

Nothing is printed or laid out here: that is the task of `albo.show`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
