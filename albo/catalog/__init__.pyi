from .addresses import (
    check_catalog as check_catalog,
)
from .addresses import (
    is_address as is_address,
)
from .addresses import (
    open_catalog as open_catalog,
)
from .addresses import (
    same_catalog as same_catalog,
)
from .addresses import (
    shown as shown,
)
from .addresses import (
    source_name as source_name,
)
from .copying import copy_catalog as copy_catalog
from .files import NOT_AN_IMAGE as NOT_AN_IMAGE
from .files import Files as Files
from .files import KnownFile as KnownFile
from .protocol import Catalog as Catalog
