"""The genres of the iTunes store: 37 umbrellas and their subgenres, by id and by name.

The tree is the file `genres.tsv` beside this module, in the store's order.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from albo.errors import UnknownGenre, UsageError
from albo.texts import cut_short, likeness, near_names

_JOINERS = frozenset({"and", "n", "y"})  # words for & and /, or left out
_SPELLINGS = {"rnb": "r b"}
_LONGEST = 100  # maximum characters of a name; the longest in the tree has 30
_SHOWN = 40  # characters of the asked name in a message
_NEAR = 5  # names that a message suggests
_LIKE = 0.6  # least share of common letters of two similar names
_TELLING = 4  # least letters for a match inside a word


@dataclass(frozen=True)
class Genre:
    """One genre of the tree."""

    id: int
    """The store's number of the genre."""
    name: str
    """The store's English name; a subgenre may share it with another genre."""
    parent_id: int | None
    """The id of its umbrella; None for an umbrella."""


# --- the tree ------------------------------------------------------------------------------------


def umbrellas() -> tuple[Genre, ...]:
    """Return every umbrella, in the tree's order."""
    return tuple(genre for genre in _tree().values() if genre.parent_id is None)


def subgenres_of(genre: Genre) -> tuple[Genre, ...]:
    """Return an umbrella's subgenres in the tree's order; a subgenre has none."""
    return tuple(other for other in _tree().values() if other.parent_id == genre.id)


def with_subgenres(genre: Genre) -> tuple[Genre, ...]:
    """Return a genre, then its subgenres in the tree's order; a subgenre alone."""
    return (genre, *subgenres_of(genre))


def genre_of(genre_id: int) -> Genre | None:
    """Return the genre of that id, or None if the tree has none."""
    return _tree().get(genre_id)


def umbrella_of(genre_id: int) -> Genre | None:
    """Return the umbrella of a genre, of an umbrella itself; None for an unknown id."""
    genre = genre_of(genre_id)
    if genre is None or genre.parent_id is None:
        return genre
    return genre_of(genre.parent_id)


@cache
def _tree() -> dict[int, Genre]:
    """Read the tree: genres by id, in the file's order."""
    _header, *lines = files("albo").joinpath("genres.tsv").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    genres = (Genre(int(i), name, int(parent) if parent else None) for i, name, parent in rows)
    return {genre.id: genre for genre in genres}


# --- by name -------------------------------------------------------------------------------------


def find_genre(text: str) -> Genre:
    """Find a genre by its id or its name.

    Case, accents, punctuation and blanks make no difference, and `&` equals `and`. If an umbrella
    and a subgenre have the name, the umbrella is returned. Raises UnknownGenre, and UsageError if
    two subgenres have the name.
    """
    asked = text.strip()
    if asked.isascii() and asked.isdigit():
        return _genre_with_id(asked)
    words = _fold(asked) if len(asked) <= _LONGEST else ""
    alike = _by_name().get(_join(words), ())
    found = [genre for genre in alike if genre.parent_id is None] or alike
    if not found:
        near = "".join(f", {genre.name} ({genre.id})" for genre in _nearest(words))
        offer = f" nearest: {near[2:]};" if near else ""
        raise UnknownGenre(
            f"{cut_short(asked, _SHOWN)!r} is no genre of the iTunes store;{offer} {_remedy()}"
        )
    if len(found) > 1:
        several = " and ".join(f"{genre.id} (in {_umbrella_name(genre)})" for genre in found)
        raise UsageError(
            f"{cut_short(asked, _SHOWN)!r} is the name of {several}; say which by its id"
        )
    return found[0]


def as_people_write(label: str) -> str:
    """Return a genre as the store writes it; a label that it does not know, as it is.

    "Children's Music" for "Children's_Music", "Hip-Hop/Rap" for "Hip-Hop_Rap": the names of folders
    cannot hold every character.
    """
    return _written(label) if len(label) <= _LONGEST else label


@cache
def _written(label: str) -> str:
    if label.strip().isdigit():
        return label
    try:
        return find_genre(label).name
    except (UnknownGenre, UsageError):
        return label


def _genre_with_id(digits: str) -> Genre:
    # As text: Python refuses numbers with thousands of digits.
    found = next((genre for genre in _tree().values() if str(genre.id) == digits), None)
    if found is None:
        raise UnknownGenre(
            f"no genre of the iTunes store has the id {cut_short(digits, _SHOWN)}; {_remedy()}"
        )
    return found


def _umbrella_name(genre: Genre) -> str:
    umbrella = umbrella_of(genre.id)
    return umbrella.name if umbrella else ""


def _remedy() -> str:
    return f"`albo genres` lists all {len(_tree())} with their ids"


@cache
def _by_name() -> dict[str, tuple[Genre, ...]]:
    """Return the genres of each name, folded and joined, in the tree's order."""
    named: dict[str, tuple[Genre, ...]] = {}
    for genre in _tree().values():
        key = _join(_fold(genre.name))
        named[key] = (*named.get(key, ()), genre)
    return named


def _fold(name: str) -> str:
    """Keep the words that distinguish names, without accents, separated by blanks."""
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    words = re.findall(r"[^\W_]+", plain)
    return " ".join(_SPELLINGS.get(word, word) for word in words if word not in _JOINERS)


def _join(words: str) -> str:
    """Join folded words into one: people write hiphop, hip-hop and hip hop."""
    return words.replace(" ", "")


# --- near names ----------------------------------------------------------------------------------


def _nearest(asked: str) -> list[Genre]:
    """Return the genres whose names are nearest to a folded one, the nearest first.

    Names that contain the one asked for, or that it contains, come first; then similar names.
    """
    if not asked:
        return []
    letters = _join(asked)

    def rank(genre: Genre) -> tuple[int, bool, float]:
        # Of many names that contain a word, umbrellas come first.
        name = _fold(genre.name)
        later = genre.parent_id is not None
        return -_kinship(asked, name), later, -likeness(_join(name), letters)

    kin = [genre for genre in _tree().values() if _kinship(asked, _fold(genre.name))]
    alike = near_names(letters, _by_name(), count=len(_by_name()), least=_LIKE)
    others = (genre for name in alike for genre in _by_name()[name] if genre not in kin)
    return [*sorted(kin, key=rank), *others][:_NEAR]


def _kinship(asked: str, name: str) -> int:
    """Return how well one folded name contains the other: 3 at its beginning, 0 not at all."""
    asked_letters, letters = _join(asked), _join(name)
    if letters.startswith(asked_letters):
        return 3
    if f" {asked}" in f" {name}":
        return 2
    inside = len(asked_letters) >= _TELLING and asked_letters in letters
    return int(inside or f" {name} " in f" {asked} ")
