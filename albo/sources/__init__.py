"""Where covers come from: folders, manifests, charts, other catalogs; and all downloads.

`opening` tells what a SOURCE is; `folders`, `manifests` (over tables: `rows`) and `catalogs` list
albums. `plan` says which charts a harvest asks for, `charts` what they say, `chart_requests` and
`artwork_requests` what is asked next. `downloads` fetches, with `politeness` and `connections`.
Nothing is decoded or kept here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
