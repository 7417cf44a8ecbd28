"""Where covers come from: folders, manifests, charts, other catalogs; and downloads.

It lists and fetches; it decodes nothing and keeps nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
