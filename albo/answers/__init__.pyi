from .collection import VOTERS as VOTERS
from .collection import Collection as Collection
from .collection import Votes as Votes
from .records import (
    DuplicateMember as DuplicateMember,
)
from .records import (
    EmbedResult as EmbedResult,
)
from .records import (
    Explained as Explained,
)
from .records import (
    Neighbour as Neighbour,
)
from .records import (
    ReadingResult as ReadingResult,
)
from .records import (
    Similar as Similar,
)
from .records import (
    Typical as Typical,
)
from .report import (
    Apart as Apart,
)
from .report import (
    Draft as Draft,
)
from .report import (
    Report as Report,
)
from .report import (
    Reporter as Reporter,
)
from .report import (
    Verdict as Verdict,
)
from .review import review_evaluation as review_evaluation
from .search import (
    album_by_digest as album_by_digest,
)
from .search import (
    digests_present as digests_present,
)
from .search import (
    files_of as files_of,
)
from .search import (
    genres_alike as genres_alike,
)
from .search import (
    members_of_group as members_of_group,
)
from .search import (
    search_index as search_index,
)
from .search import (
    unknown_genre as unknown_genre,
)
from .thumbnails import THUMBNAIL as THUMBNAIL
from .thumbnails import Seen as Seen
from .thumbnails import Title as Title
