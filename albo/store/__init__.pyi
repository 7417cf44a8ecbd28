from .artifacts import (
    REPORTS as REPORTS,
)
from .artifacts import (
    WRITER_LOCK as WRITER_LOCK,
)
from .artifacts import (
    Artifacts as Artifacts,
)
from .artifacts import (
    are_artifacts as are_artifacts,
)
from .artifacts import (
    backbone_key as backbone_key,
)
from .artifacts import (
    check_can_be_folder as check_can_be_folder,
)
from .artifacts import (
    reader_key as reader_key,
)
from .covers import (
    CoverStore as CoverStore,
)
from .covers import (
    StoredCovers as StoredCovers,
)
from .covers import (
    is_remote as is_remote,
)
from .covers import (
    lies_in_store as lies_in_store,
)
from .covers import (
    open_covers as open_covers,
)
from .local import read_file as read_file
from .miniatures import MiniatureStore as MiniatureStore
from .miniatures import MiniatureWriter as MiniatureWriter
from .outputs import (
    MARK as MARK,
)
from .outputs import (
    PAGES as PAGES,
)
from .outputs import (
    PICTURES as PICTURES,
)
from .outputs import (
    check_output as check_output,
)
from .vectors import VectorForm as VectorForm
from .vectors import Vectors as Vectors
from .words import WordStore as WordStore
from .words import WordWriter as WordWriter
from .words import as_kept as as_kept
from .writing import (
    ELSEWHERE as ELSEWHERE,
)
from .writing import (
    MANIFEST as MANIFEST,
)
from .writing import (
    cache_folder as cache_folder,
)
from .writing import (
    file_checksum as file_checksum,
)
from .writing import (
    library_versions as library_versions,
)
from .writing import (
    plain_write_errors as plain_write_errors,
)
from .writing import (
    read_json as read_json,
)
from .writing import (
    read_manifest as read_manifest,
)
from .writing import (
    remove_unnamed as remove_unnamed,
)
from .writing import (
    scratch_folder as scratch_folder,
)
from .writing import (
    sweep as sweep,
)
from .writing import (
    write_atomically as write_atomically,
)
from .writing import (
    write_json as write_json,
)
from .writing import (
    write_manifest as write_manifest,
)
