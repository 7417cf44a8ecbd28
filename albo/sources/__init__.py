"""Where covers come from: folders, manifests, charts, other catalogs; and downloads.

It lists and fetches; it decodes nothing and keeps nothing.
"""

from __future__ import annotations

from albo.sources.artwork import (
    Artwork,
    Fetched,
    FetchResult,
    NotFetched,
    as_arrived,
    as_arriving,
    as_failed,
    change_row,
    is_for_result,
    is_out_of_sight,
    rows_of_result,
)
from albo.sources.catalogs import CatalogSource
from albo.sources.charts import (
    SOURCE,
    Address,
    Chart,
    artwork_key,
    artwork_urls,
    is_same,
    merged,
    parse_chart,
)
from albo.sources.downloads import Downloads
from albo.sources.folders import genre_notes
from albo.sources.listing import FILES, Entry, Report, Source, is_gone, stamp_file
from albo.sources.opening import open_sources, possible_names
from albo.sources.plan import Harvested, Part, Plan, Settings, Tally
from albo.sources.shelf import NearCover, Shelf, ShownCover

__all__ = [
    "FILES",
    "SOURCE",
    "Address",
    "Artwork",
    "CatalogSource",
    "Chart",
    "Downloads",
    "Entry",
    "FetchResult",
    "Fetched",
    "Harvested",
    "NearCover",
    "NotFetched",
    "Part",
    "Plan",
    "Report",
    "Settings",
    "Shelf",
    "ShownCover",
    "Source",
    "Tally",
    "artwork_key",
    "artwork_urls",
    "as_arrived",
    "as_arriving",
    "as_failed",
    "change_row",
    "genre_notes",
    "is_for_result",
    "is_gone",
    "is_out_of_sight",
    "is_same",
    "merged",
    "open_sources",
    "parse_chart",
    "possible_names",
    "rows_of_result",
    "stamp_file",
]
