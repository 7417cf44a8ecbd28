"""One sentence of advice for a draft, made from its evidence and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.genres import as_people_write
from albo.texts import ordinal

if TYPE_CHECKING:
    from albo.answers.reference import Votes
    from albo.records import Prediction, Said

_PICTURE = "image"

UNLIKE = (
    "The picture is unlike the covers that the head has learnt, so what it reads as means little."
)
"""What is said of a picture that is no cover, or of a kind that the head does not know."""


def advise(genre: str, said: Prediction | None, votes: Votes | None) -> str:
    """Say in one sentence what picture, words and nearest covers are like; "" if unknown.

    Parameters
    ----------
    genre : the genre that is asked about.
    said : the prediction, with what each view says by itself.
    votes : the genres of the nearest covers.
    """
    if said is not None and said.is_unlike:
        return UNLIKE
    picture, words = _picture_and_words(said)
    parts = [part for part in (_views(genre, picture, words), _nearest(genre, votes)) if part]
    sentence = "; ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""


def _views(genre: str, picture: Said | None, words: Said | None) -> str:
    """Say what the picture and the words read as by themselves, and whether they disagree."""
    if picture is None and words is None:
        return ""
    if words is None:
        return f"the picture reads most like {_first(picture, genre)}, and no words on it count"
    if picture is None:
        return f"the words read most like {_first(words, genre)}, and the picture does not count"
    if picture.genres[0] == words.genres[0]:
        return f"the picture and the words both read most like {_first(picture, genre)}"
    return (
        f"the picture and the words disagree: the picture reads most like {_first(picture, genre)},"
        f" the words most like {_first(words, genre)}"
    )


def _first(view: Said | None, genre: str) -> str:
    """Name a view's likeliest genre and, if that is another, the place of the one asked about."""
    assert view is not None  # noqa: S101  (seen by the caller)
    named, asked = as_people_write(view.genres[0]), as_people_write(genre)
    if view.genres[0] == genre:
        return named
    return f"{named} ({asked} {ordinal(view.genres.index(genre) + 1)})"


def _picture_and_words(said: Prediction | None) -> tuple[Said | None, Said | None]:
    """Return the picture's view, and the view of words that counts most; None if it is silent."""
    heard = [view for view in said.views if view.genres and view.weight > 0] if said else []
    picture = [view for view in heard if view.view == _PICTURE]
    words = [view for view in heard if view.view != _PICTURE]
    return (
        picture[0] if picture else None,
        max(words, key=lambda view: view.weight) if words else None,
    )


def _nearest(genre: str, votes: Votes | None) -> str:
    if votes is None or not votes.voters:
        return ""
    asked, commonest = as_people_write(genre), as_people_write(votes.commonest)
    if votes.commonest == genre:
        in_favour = _of(votes.in_favour, votes)
        return f"{asked} is the commonest genre of its nearest covers ({in_favour})"
    if not votes.commonest:
        return f"{votes.in_favour or 'none'} of its {votes.voters} nearest covers are {asked}"
    return (
        f"the commonest genre of its nearest covers is {commonest}"
        f" ({_of(votes.commonest_count, votes)}; {asked} {votes.in_favour})"
    )


def _of(count: int, votes: Votes) -> str:
    return f"{count} of {votes.voters}"
