from .duplicates import Pairs as Pairs
from .duplicates import (
    duplicate_groups as duplicate_groups,
)
from .duplicates import (
    near_duplicate_links as near_duplicate_links,
)
from .lists import Lists as Lists
from .looks import copies_in as copies_in
from .looks import update_looks as update_looks
from .manifest import (
    MEND as MEND,
)
from .manifest import (
    IndexFiles as IndexFiles,
)
from .manifest import (
    SearchTuning as SearchTuning,
)
from .manifest import (
    VectorStore as VectorStore,
)
from .manifest import (
    damaged_index as damaged_index,
)
from .manifest import digest_set_hash as digest_set_hash
from .manifest import (
    open_index_files as open_index_files,
)
from .manifest import (
    read_index_manifest as read_index_manifest,
)
from .miniatures import (
    GROUPED_MINIATURES as GROUPED_MINIATURES,
)
from .miniatures import (
    SHOWN_MINIATURES as SHOWN_MINIATURES,
)
from .miniatures import pairs_in as pairs_in
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
    IndexSummary as IndexSummary,
)
from .updates import update_index_files as update_index_files
