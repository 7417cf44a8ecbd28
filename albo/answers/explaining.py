"""Why a cover reads as a genre: the head's reasons, and the votes of the nearest covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.answers.records import Explained
from albo.answers.reference import NoReference

if TYPE_CHECKING:
    from albo.answers.reference import Reference
    from albo.classify import Classified, Consultation, CoverAnswer


def explain_cover(
    consultation: Consultation,
    reference: Reference | NoReference,
    asked: CoverAnswer,
    classified: Classified,
    genre: str = "",
) -> Explained:
    """Explain why a cover reads as a genre, or not, with the votes of the nearest covers.

    Parameters
    ----------
    asked : the answer for the cover, with pictures.
    classified : the answer to show, which the explanation includes.
    genre : one that the head knows; "" is the cover's first genre.
    """
    query, said = asked.query, asked.prediction
    if said is None or query.embeddings is None:
        return Explained(classified)
    genre = genre or said.genres[0]
    reasons = consultation.explain(asked, genre)
    if isinstance(reference, NoReference):
        return Explained(classified, reasons, page=query.page)
    known = () if asked.known is None else asked.known.digests
    votes = reference.votes(
        query.embeddings.vector,
        query.digest,
        reference.spelling(genre),
        known,
        query.miniature,
    )
    own, others = reference.pictured(votes.own), reference.pictured(votes.others)
    return Explained(classified, reasons, votes, own, others, query.page)
