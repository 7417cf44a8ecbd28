"""The sources of covers (folders, manifests, charts, other catalogs), and all downloads.

`opening` recognises a SOURCE. `folders`, `manifests` (over tables: `rows`) and `catalogs` list
albums. `plan` chooses the charts of a harvest, `charts` reads them, `chart_requests` and
`artwork_requests` order the requests. `downloads` fetches, with `politeness` and `connections`.
Nothing is decoded or kept here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
