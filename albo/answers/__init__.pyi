from .apart import Apart as Apart
from .collection import classify_collection as classify_collection
from .draft import MOST_SAME as MOST_SAME
from .draft import Draft as Draft
from .explaining import explain_cover as explain_cover
from .finding import find_duplicates as find_duplicates
from .finding import find_similar as find_similar
from .finding import find_typical as find_typical
from .opening import (
    find_known_genre as find_known_genre,
)
from .opening import (
    gather_reference as gather_reference,
)
from .opening import (
    open_reference as open_reference,
)
from .pictures import CoverPictures as CoverPictures
from .records import (
    EmbedResult as EmbedResult,
)
from .records import (
    Explained as Explained,
)
from .records import (
    PlannedHarvest as PlannedHarvest,
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
from .reference import VOTERS as VOTERS
from .reference import NoReference as NoReference
from .reference import Reference as Reference
from .reference import Votes as Votes
from .report import (
    Report as Report,
)
from .report import (
    Reporter as Reporter,
)
from .review import evaluate_library as evaluate_library
from .search import (
    album_by_digest as album_by_digest,
)
from .search import (
    genres_alike as genres_alike,
)
from .search import (
    unknown_genre as unknown_genre,
)
from .thumbnails import THUMBNAIL as THUMBNAIL
from .thumbnails import Seen as Seen
from .thumbnails import Title as Title
from .verdict import Judgement as Judgement
from .verdict import Verdict as Verdict
from .verdict import judge as judge
