from .artwork_requests import (
    Artwork as Artwork,
)
from .artwork_requests import (
    ArtworkFetches as ArtworkFetches,
)
from .artwork_requests import (
    Fetched as Fetched,
)
from .artwork_requests import (
    FetchResult as FetchResult,
)
from .artwork_requests import (
    NotFetched as NotFetched,
)
from .artwork_requests import (
    WantedArtwork as WantedArtwork,
)
from .artwork_requests import (
    as_arrived as as_arrived,
)
from .artwork_requests import (
    as_arriving as as_arriving,
)
from .artwork_requests import (
    as_failed as as_failed,
)
from .artwork_requests import (
    change_row as change_row,
)
from .artwork_requests import (
    is_for_result as is_for_result,
)
from .artwork_requests import (
    is_out_of_sight as is_out_of_sight,
)
from .artwork_requests import (
    rows_of_result as rows_of_result,
)
from .catalogs import CatalogSource as CatalogSource
from .chart_requests import ChartAnswer as ChartAnswer
from .chart_requests import ChartRequests as ChartRequests
from .chart_requests import timestamp as timestamp
from .charts import (
    SOURCE as SOURCE,
)
from .charts import (
    Address as Address,
)
from .charts import (
    Chart as Chart,
)
from .charts import (
    artwork_key as artwork_key,
)
from .charts import (
    artwork_urls as artwork_urls,
)
from .charts import (
    is_same as is_same,
)
from .charts import (
    merged as merged,
)
from .charts import (
    parse_chart as parse_chart,
)
from .downloads import Downloads as Downloads
from .folders import genre_notes as genre_notes
from .listing import (
    FILES as FILES,
)
from .listing import (
    Entry as Entry,
)
from .listing import (
    Remarks as Remarks,
)
from .listing import (
    Source as Source,
)
from .listing import (
    is_gone as is_gone,
)
from .listing import (
    stamp_file as stamp_file,
)
from .opening import open_sources as open_sources
from .opening import possible_names as possible_names
from .plan import (
    Harvested as Harvested,
)
from .plan import (
    HarvestSettings as HarvestSettings,
)
from .plan import (
    Part as Part,
)
from .plan import (
    Plan as Plan,
)
from .plan import (
    Tally as Tally,
)
from .politeness import Politeness as Politeness
from .rows import open_table as open_table
