"""How answers look: in the terminal, as pages, as pictures.

`terminal` prints lines and draws the progress bar; `tables`, `scores` and `verdicts` print answers.
`evaluation_page` and `report_page` fill the pages of `templates` (layout and sizes of pictures are
there), with drawings of `plots`. `sheet` and `poster` draw pictures. Nothing is computed or decided
here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
