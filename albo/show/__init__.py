"""How answers look: in the terminal, as pages, as pictures.

`page.py` writes pages from the folder `templates`; `sheet.py` and `poster.py` draw pictures;
`tables.py`, `scores.py` and `verdicts.py` print. Nothing is computed or decided here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
