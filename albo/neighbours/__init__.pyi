from .duplicates import (
    duplicate_groups as duplicate_groups,
)
from .duplicates import (
    near_duplicate_links as near_duplicate_links,
)
from .lists import Lists as Lists
from .manifest import (
    MEND as MEND,
)
from .manifest import (
    IndexManifest as IndexManifest,
)
from .manifest import (
    OpenedIndex as OpenedIndex,
)
from .manifest import (
    Tuning as Tuning,
)
from .manifest import (
    VectorStore as VectorStore,
)
from .manifest import (
    damaged_index as damaged_index,
)
from .manifest import (
    load_index_files as load_index_files,
)
from .manifest import (
    next_generation as next_generation,
)
from .manifest import (
    open_if_whole as open_if_whole,
)
from .manifest import (
    read_if_there as read_if_there,
)
from .manifest import (
    read_index_manifest as read_index_manifest,
)
from .rows import ROUNDING as ROUNDING
from .rows import UNIT_TOLERANCE as UNIT_TOLERANCE
from .typicality import (
    LEAST_COVERS as LEAST_COVERS,
)
from .typicality import (
    GenreMeans as GenreMeans,
)
from .typicality import (
    Standing as Standing,
)
from .typicality import (
    standing as standing,
)
from .updates import (
    IVF_LEAST as IVF_LEAST,
)
from .updates import (
    IndexSummary as IndexSummary,
)
from .updates import (
    IndexUpdate as IndexUpdate,
)
from .updates import (
    choose_kind as choose_kind,
)
