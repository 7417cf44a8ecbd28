"""Where covers come from: folders, manifests, charts, other catalogs; and all downloads.

`opening` opens a SOURCE; `folders`, `manifests` (read by `rows`) and `catalogs` list albums. `plan`
chooses the charts of a harvest, `charts` reads them, `chart_requests` and `artwork_requests` choose
the next requests. `downloads` fetches, with `politeness` and `connections`.
Nothing is decoded or kept here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
