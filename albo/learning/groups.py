"""Which covers have to be on the same side of a split.

A group is a connected component of covers that share an artist or a `dup_group`, or are
near-duplicates of one another. A head that is scored on a group it was fitted on is scored on
covers it has seen: the same artwork in another scan, or the next album of a band whose covers look
alike.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from albo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from albo.heads import Mark
    from albo.records import Ints


Artist: TypeAlias = tuple[str, str]
"""An artist's name and id."""

_NOBODY = frozenset(
    """
    various|various artist|various artists|various composers|various performers
    various interpreters|various authors|va|v a|va various artists|various artists va
    compilation|compilations|sampler
    soundtrack|soundtracks|original soundtrack|original soundtracks|ost|o s t
    original soundtrack recording|motion picture soundtrack|original motion picture soundtrack
    original score|original motion picture score|film soundtrack|movie soundtrack|tv soundtrack
    original television soundtrack|original game soundtrack
    original cast|original cast recording|original broadway cast
    original broadway cast recording|original london cast|original london cast recording
    original off broadway cast|broadway cast|london cast|studio cast|original studio cast
    original television cast|original movie cast
    verschiedene|verschiedene interpreten|verschiedene kunstler|diverse|diverse interpreten
    diverse kunstler|diverse artiesten|verschillende artiesten|diverse artister
    blandade artister|forskellige kunstnere|eri esittajia|eri esittajat
    artistes divers|divers artistes|artistes varies|multi interpretes|compilation d artistes
    varios|varios artistas|varios interpretes|artistas varios|artistas diversos
    artisti vari|vari artisti|autori vari|aa vv|colonna sonora|banda sonora|bande originale
    bande originale du film|trilha sonora|rozni wykonawcy|ruzni interpreti|ruzni umelci
    kulonbozo eloadok|cesitli sanatcilar|cesitli|razni izvodaci|разные исполнители|сборник
    разные артисты|різні виконавці|群星|合輯|合辑|オムニバス
    ヴァリアス アーティスト|ヴァリアス アーティスツ
    サウンドトラック|여러 아티스트
    nan|none|null|nil|na|no name|anonymous|anonyme|anonym|anonimo|anonymus
    multiple artists|several artists|various artists compilation|aavv|vvaa|vv aa
    unknown|unknown artist|unbekannt|unbekannter interpret|artiste inconnu|artista desconocido
    artista sconosciuto|no artist|not available|n a
    """.replace("\n", "|").split("|")
)
"""Names that stand for no particular artist."""

_CAST_OF = re.compile(r"(original )?((off )?broadway |london |studio )?cast (recording )?of .+")


_RARE_LETTERS = 7
_RARE_COVERS = range(2, 13)


def _fold(name: str) -> str:
    """Return a name as names are compared: NFKC, casefold, runs of white space to one blank."""
    # Casefolding can leave characters that NFKC composes, so NFKC comes before and after it.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def _bare(name: str) -> str:
    """Fold, and drop accents and punctuation: "[V.A.]" gives "va", "Künstler" "kunstler"."""
    letters = unicodedata.normalize("NFKD", _fold(name).replace("ł", "l").replace("đ", "d"))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    plain = unicodedata.normalize("NFKC", plain)
    return " ".join(re.sub(r"[\W_]+", " ", plain.replace(".", "").replace("'", "")).split())


_BARE = frozenset(_bare(name) for name in _NOBODY if name.strip())


def is_compilation(artist: str) -> bool:
    """Tell whether an artist's name stands for no particular artist.

    True for compilations, soundtracks and casts ("Various Artists", "V.A.", "Original Cast",
    "Artistes Divers"), for placeholders ("Unknown Artist", "nan", "None") and for names without any
    letter or digit ("-", "?"); False for the blank name. There are artists called "!!!" and "None":
    to link none of theirs costs little, and to link strangers makes them one group that is held out
    as a whole.
    """
    bare = _bare(artist)
    if not bare:
        return bool(artist.strip())
    return bare in _BARE or _CAST_OF.fullmatch(bare) is not None


def is_known(artist: str, artist_id: str = "") -> bool:
    """Tell whether a cover's artist is known: it has a name or an id, and is no compilation."""
    return bool(artist.strip() or artist_id.strip()) and not is_compilation(artist)


def group_covers(
    artists: Sequence[Sequence[Artist]], dup_groups: Sequence[Sequence[str]], pairs: Ints
) -> Ints:
    """Find the groups of covers: the connected components of the links between them.

    Parameters
    ----------
    artists : for each of n covers, its artists' names and ids, "" where one is unknown. Names are
        compared after NFKC and casefold, white space folded. Ids tell artists of the same name
        apart. A cover with that name and no id may be by any of them, so it is linked to all.
    dup_groups : for each of n covers, its marks of the same artwork; equal in all sources.
    pairs : int (p, 2), near-duplicates as positions from 0 to n - 1.

    Returns int64 (n,): the group of each cover, numbered from 0 in the order of first appearance.
    Names and ids of compilations (`is_compilation`) and blanks link nothing.
    Raises UsageError where the columns differ in length or a pair names a cover that is not there.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(artists)
    if len(dup_groups) != count:
        raise UsageError(
            f"artists of {count} covers and dup_groups of {len(dup_groups)};"
            " give both for every cover"
        )
    if count == 0:
        return np.empty(0, np.int64)
    nodes: dict[Mark, int] = {}
    links = [
        (cover, nodes.setdefault(mark, count + len(nodes)))
        for cover, mark in chain(_linking_artists(artists), _linking_artworks(dup_groups))
    ]
    edges = np.concatenate(
        [np.array(links, np.int64).reshape(-1, 2), _checked_pairs(pairs, count)], axis=0
    )
    size = count + len(nodes)
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), (size, size))
    components = connected_components(graph, directed=False)[1][:count]
    return _by_first_appearance(components)


def artist_marks(artists: Iterable[Artist]) -> set[Mark]:
    """Return all marks by which one of these artists may be recognised.

    Whoever asks about a cover may know its artist by name alone. So the name counts even where the
    artist has an id: at worst, a namesake's covers are held out as well.
    """
    marks: set[Mark] = set()
    for name, artist_id in artists:
        if is_known(name, artist_id):
            marks |= {("id", artist_id.strip())} if artist_id.strip() else set()
            marks |= {("name", _fold(name))} if _fold(name) else set()
    return marks


def artwork_marks(dup_groups: Iterable[str]) -> set[Mark]:
    """Return the marks of these `dup_group`s."""
    return {("dup", mark.strip()) for mark in dup_groups if mark.strip()}


def rare_line_links(lines: Sequence[Sequence[str]], *, nameless: Sequence[bool]) -> Ints:
    """Link covers without an artist that bear the same rare line: most such lines name an artist.

    A rare line is on 2 to 12 covers and has at least 7 letters. Only the letters are compared,
    without their case, as word readers lose spaces.

    Parameters
    ----------
    lines : for each of n covers, the lines read on it.
    nameless : for each of n covers, whether its artist is unknown. Only these covers are linked;
        the others are counted to tell whether a line is rare.

    Returns int64 (p, 2): the first cover of each line with each of the others.
    """
    bearers: dict[str, list[int]] = {}
    for cover, own in enumerate(lines):
        for mark in {_letters(line) for line in own}:
            if len(mark) >= _RARE_LETTERS:
                bearers.setdefault(mark, []).append(cover)
    links = []
    for covers in bearers.values():
        if len(covers) in _RARE_COVERS:
            linked = [cover for cover in covers if nameless[cover]]
            links += [(linked[0], other) for other in linked[1:]]
    return np.array(links, np.int64).reshape(-1, 2)


def _letters(line: str) -> str:
    folded = unicodedata.normalize("NFKC", line).casefold()
    return "".join(letter for letter in folded if letter.isalpha())


def _linking_artists(artists: Sequence[Sequence[Artist]]) -> Iterator[tuple[int, Mark]]:
    """Yield each cover with each mark that identifies its artists."""
    known = [
        (cover, _fold(name), artist_id.strip())
        for cover, own in enumerate(artists)
        for name, artist_id in own
        if is_known(name, artist_id)
    ]
    without_id = {name for _, name, artist_id in known if not artist_id}
    for cover, name, artist_id in known:
        if artist_id:
            yield cover, ("id", artist_id)
        if name and name in without_id:
            yield cover, ("name", name)


def _linking_artworks(dup_groups: Sequence[Sequence[str]]) -> Iterator[tuple[int, Mark]]:
    for cover, own in enumerate(dup_groups):
        for mark in artwork_marks(own):
            yield cover, mark


def _checked_pairs(pairs: Ints, count: int) -> Ints:
    ends = np.asarray(pairs, np.int64).reshape(-1, 2)
    if len(ends) and (ends.min() < 0 or ends.max() >= count):
        raise UsageError(
            f"a pair names cover {ends.max() if ends.max() >= count else ends.min()} of {count};"
            f" count from 0 to {count - 1}"
        )
    return ends


def _by_first_appearance(labels: Ints) -> Ints:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
