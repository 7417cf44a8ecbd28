"""Answers to questions, as records: similar covers, typical ones, reports, reviews.

It prints nothing.
"""

from __future__ import annotations

from albo.answers.collection import VOTERS, Collection, Votes
from albo.answers.records import (
    DuplicateMember,
    EmbedResult,
    Explained,
    Neighbour,
    ReadingResult,
    Similar,
    Typical,
)
from albo.answers.report import Apart, Draft, Report, Reporter, Verdict
from albo.answers.review import review
from albo.answers.search import (
    album_by_digest,
    digests_present,
    files_of,
    genres_alike,
    members_of_group,
    search_index,
    unknown_genre,
)
from albo.answers.thumbnails import THUMBNAIL, Seen, Title

__all__ = [
    "THUMBNAIL",
    "VOTERS",
    "Apart",
    "Collection",
    "Draft",
    "DuplicateMember",
    "EmbedResult",
    "Explained",
    "Neighbour",
    "ReadingResult",
    "Report",
    "Reporter",
    "Seen",
    "Similar",
    "Title",
    "Typical",
    "Verdict",
    "Votes",
    "album_by_digest",
    "digests_present",
    "files_of",
    "genres_alike",
    "members_of_group",
    "review",
    "search_index",
    "unknown_genre",
]
