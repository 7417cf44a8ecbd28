"""iTunes' charts: what real feeds and hostile ones say, where artwork is, what a catalog keeps."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from dataclasses import fields, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from albo.catalog.sqlite import SqliteCatalog
from albo.errors import BadFeed, UsageError
from albo.genres import find_genre, umbrella_of
from albo.records import Album, CatalogRow, Listing
from albo.sources import SOURCE, Address, Chart, artwork_key, artwork_urls, merged, parse_chart
from albo.sources.charts import (
    BASE_URL,
    ChartEntry,
    admits_artwork,
    check_base_url,
    check_storefront,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Json = dict[str, Any]

ART = "https://is1-ssl.mzstatic.com/image/thumb/Music126/v4/5e/3f/00/front.rgb.jpg"
OTHER_ART = "https://is1-ssl.mzstatic.com/image/thumb/Music126/v4/77/aa/00/other.jpg"
LINK = "https://music.apple.com/us/album/chemistry/1680885369?uo=2"
COVER = hashlib.sha256(b"a cover").digest()
METAL = 1153
UNKNOWN = 999_999  # a genre that the tree does not have


def item(album_id: str = "1680885369", **changed: object) -> Json:
    """Make one entry as iTunes writes it; fields given as None are left out."""
    usual = {
        "im:name": {"label": "chemistry"},
        "im:image": [
            {"label": f"{ART}/{n}x{n}bb.png", "attributes": {"height": str(n)}}
            for n in (55, 60, 170)
        ],
        "id": {"label": LINK, "attributes": {"im:id": album_id}},
        "link": {"attributes": {"rel": "alternate", "type": "text/html", "href": LINK}},
        "im:artist": {
            "label": "Kelly Clarkson",
            "attributes": {"href": "https://music.apple.com/us/artist/kelly-clarkson/316265?uo=2"},
        },
        "category": {"attributes": {"im:id": "14", "term": "Pop", "label": "Pop"}},
        "im:releaseDate": {"label": "2023-06-23T00:00:00-07:00"},
    }
    return {name: said for name, said in (usual | changed).items() if said is not None}


def parsed(entry: object) -> Chart:
    return parse_chart(json.dumps({"feed": {"entry": entry}}).encode())


def only(entry: object) -> ChartEntry:
    [found] = parsed(entry).entries
    return found


def images(*urls: object) -> Json:
    return item(**{"im:image": [{"label": url, "attributes": {"height": "170"}} for url in urls]})


def reason(data: bytes) -> str:
    """The one line that says why bytes are no chart."""
    with pytest.raises(BadFeed) as caught:
        parse_chart(data)
    said = str(caught.value)
    assert said.isprintable()
    assert 0 < len(said) < 100
    return said


# --- real feeds ----------------------------------------------------------------------------------


def test_every_real_feed_is_read_whole(shared: Path) -> None:
    folder = shared / "itunes"
    described = json.loads((folder / "index.json").read_bytes())
    assert len(described) == len(list(folder.glob("topalbums__*.json")))
    for about in described:
        chart = parse_chart((folder / about["file"]).read_bytes())
        count = about["entries"]
        assert chart.without_id == 0
        assert [entry.rank for entry in chart.entries] == list(range(1, count + 1))
        assert len({entry.album_id for entry in chart.entries}) == count
        assert sorted({entry.genre_name for entry in chart.entries}) == about["genres"]
        assert sum(not entry.artist_id for entry in chart.entries) == about["no_artist_attr"]


def test_every_entry_of_real_feeds_says_all_there_is(shared: Path) -> None:
    for file in sorted((shared / "itunes").glob("topalbums__*.json")):
        listed = json.loads(file.read_bytes())["feed"]["entry"]
        for raw, entry in zip(listed, parse_chart(file.read_bytes()).entries, strict=True):
            assert entry.album_id == raw["id"]["attributes"]["im:id"]
            assert entry.name == raw["im:name"]["label"]
            assert entry.artist == raw["im:artist"]["label"]
            assert str(entry.genre_id) == raw["category"]["attributes"]["im:id"]
            assert raw["im:releaseDate"]["label"].startswith(entry.released) != ""
            assert entry.link == raw["link"]["attributes"]["href"]
            has_page = "attributes" in raw["im:artist"]
            assert entry.artist_id.isdigit() if has_page else entry.artist_id == ""
            assert "/170x170bb" in entry.art_url
            large, medium, given_url = artwork_urls(entry.art_url, 1000)
            assert large.endswith("/1000x1000bb.jpg")
            assert medium.endswith("/600x600bb.jpg")
            assert given_url == entry.art_url


def test_real_charts_make_rows_that_the_catalog_keeps(shared: Path, tmp_path: Path) -> None:
    chart = Address("us", find_genre("Pop"))
    rows: dict[str, CatalogRow] = {}
    for day, file in enumerate(sorted((shared / "itunes").glob("topalbums__*.json"))):
        for entry in parse_chart(file.read_bytes()).entries:
            rows[entry.album_id] = merged(rows.get(entry.album_id), entry, chart, f"2023-06-{day}")
    assert all(row.album.genre and row.album.name and row.album.artist for row in rows.values())
    with SqliteCatalog(tmp_path / "c.sqlite", write=True) as catalog:
        catalog.put(rows.values())
        assert {row.album.album_id: row for row in catalog.rows(SOURCE)} == rows


# --- quirks --------------------------------------------------------------------------------------


def test_a_whole_entry() -> None:
    assert parsed([item()]) == Chart(
        (
            ChartEntry(
                "1680885369",
                1,
                "chemistry",
                "Kelly Clarkson",
                "316265",
                14,
                "Pop",
                "2023-06-23",
                LINK,
                f"{ART}/170x170bb.png",
            ),
        )
    )


def test_a_chart_of_one_album_has_an_object_in_place_of_a_list() -> None:
    assert parsed(item()) == parsed([item()])


@pytest.mark.parametrize(
    "feed",
    [{}, {"entry": []}, {"entry": None}, {"title": {"label": "iTunes Store: Top Albums"}}],
)
def test_an_empty_chart(feed: Json) -> None:
    assert parse_chart(json.dumps({"feed": feed}).encode()) == Chart(())


@pytest.mark.parametrize("empty", [None, "", [], {}, {"label": None}, {"attributes": {}}, 7, True])
@pytest.mark.parametrize(
    ("name", "blank"),
    [
        ("im:name", {"name": ""}),
        ("im:image", {"art_url": ""}),
        ("link", {"link": ""}),
        ("im:artist", {"artist": "", "artist_id": ""}),
        ("category", {"genre_id": None, "genre_name": ""}),
        ("im:releaseDate", {"released": ""}),
    ],
)
def test_what_is_missing_is_blank_and_spoils_nothing_else(
    name: str, blank: Json, empty: object
) -> None:
    assert only([item(**{name: empty})]) == replace(only([item()]), **blank)


def test_an_entry_of_an_id_alone() -> None:
    assert only([{"id": {"attributes": {"im:id": "5"}}}]) == ChartEntry("5", 1)


def test_ids_may_be_numbers() -> None:
    category = {"attributes": {"im:id": 1153}}
    found = only([item(id={"attributes": {"im:id": 77}}, category=category)])
    assert (found.album_id, found.genre_id) == ("77", 1153)


def test_unknown_fields_pass() -> None:
    strange = item(**{"im:new": {"deep": [1, {"x": None}]}, "rights": {"label": "℗ 2023"}})
    data = {"feed": {"entry": [strange], "author": {}, "updated": 3}, "version": "2.0"}
    assert parse_chart(json.dumps(data).encode()) == parsed([item()])


def test_entries_without_an_id_are_counted_and_keep_their_rank() -> None:
    nameless = item(id=None, link=None)
    chart = parsed([item("1"), nameless, None, "text", 7, [], item("2")])
    assert [(entry.album_id, entry.rank) for entry in chart.entries] == [("1", 1), ("2", 7)]
    assert chart.without_id == 5


@pytest.mark.parametrize(
    ("link", "album_id"),
    [
        ("https://itunes.apple.com/us/album/look-up-child/1409149359?uo=2", "1409149359"),
        ("https://itunes.apple.com/us/album/1989/id1440935467", "1440935467"),
        ("https://music.apple.com/us/album/1989/1440935467#top", "1440935467"),
        ("https://music.apple.com/us/album/nineteen", ""),
        ("https://music.apple.com/us/album/x/123456789012345678901", ""),
        ("1440935467", ""),
        ("https://music.apple.com/" + "a" * 970 + "/1234567890", ""),  # it would be cut
    ],
)
def test_an_id_may_be_in_a_link(link: str, album_id: str) -> None:
    in_label = item(id={"label": link}, link=None)
    in_link = item(id={"attributes": {"im:id": "none"}}, link={"attributes": {"href": link}})
    for entry in (in_label, in_link):
        assert [found.album_id for found in parsed([entry]).entries] == [album_id] * bool(album_id)


def test_the_label_is_asked_before_the_link() -> None:
    entry = item(id={"label": "https://x/album/a/1"}, link={"attributes": {"href": "https://x/2"}})
    assert only([entry]).album_id == "1"


@pytest.mark.parametrize("end", ["170x170bb-85.png", "170x170bb.png", "170x170bb.jpg", "170x170bb"])
def test_the_ends_of_artwork(end: str) -> None:
    assert only([images(f"{ART}/{end}")]).art_url == f"{ART}/{end}"
    assert artwork_urls(f"{ART}/{end}", 1000)[0] == f"{ART}/1000x1000bb.jpg"


def test_the_largest_image_is_taken_in_whatever_order() -> None:
    sizes = [{"label": f"https://x/{n}", "attributes": {"height": n}} for n in (9, "170", "60")]
    for shuffled in permutations([*sizes, {"label": "https://x/?"}, {"attributes": {}}, None]):
        assert only([item(**{"im:image": shuffled})]).art_url == "https://x/170"


def test_one_image_may_stand_without_a_list() -> None:
    assert only([item(**{"im:image": {"label": "https://x/a"}})]).art_url == "https://x/a"


def test_categories_are_in_the_storefronts_language() -> None:
    metal = {"im:id": "1153", "term": "Heavy Metal", "label": "ヘビーメタル"}
    found = only([item(category={"attributes": metal})])
    assert (found.genre_id, found.genre_name) == (1153, "ヘビーメタル")
    unlabelled = only([item(category={"attributes": {"im:id": "14", "term": "Pop"}})])
    assert unlabelled.genre_name == "Pop"


def test_an_album_twice_in_one_chart_has_its_better_rank() -> None:
    chart = parsed([item("1"), item("2"), item("1", **{"im:name": {"label": "again"}}), item("3")])
    ranked = [(entry.album_id, entry.rank, entry.name) for entry in chart.entries]
    assert ranked == [("1", 1, "chemistry"), ("2", 2, "chemistry"), ("3", 4, "chemistry")]
    assert chart.without_id == 0


@pytest.mark.parametrize(
    ("text", "released"),
    [
        ("2018-09-07T00:00:00-07:00", "2018-09-07"), ("1965-01-01", "1965-01-01"), ("1965", ""),
        ("2023-02-30T00:00:00Z", ""), ("September 7, 2018", ""), ("0000-00-00", ""),
        ("-2018-09-07", ""), ("\u0662\u0660\u0661\u0668-09-07", ""),
    ],
)  # fmt: skip
def test_dates(text: str, released: str) -> None:
    assert only([item(**{"im:releaseDate": {"label": text}})]).released == released


# --- hostile feeds -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"  \n", "not JSON"),
        (b"nothing here", "not JSON"),
        (b"\x1f\x8b\x08\x00\xff", "not JSON"),
        (b"<?xml version='1.0'?><feed/>", "not JSON"),
        (b"<!DOCTYPE html><title>Sorry</title>", "the answer is a web page, not a chart"),
        (b"\xef\xbb\xbf\r\n<HTML lang='de'>\xfc", "the answer is a web page, not a chart"),
        (b'{"feed": {"entry": [', "not whole JSON"),
        (b'{"feed": {"entry": []}} and more', "not whole JSON"),
        (b'{"feed": {"entry": "\xff\xfe"}}', "not whole JSON"),
        (b"[" * 1_000_000, "JSON that is nested too deeply"),
        (b'{"feed":' * 200_000, "JSON that is nested too deeply"),
        (b"[]", "JSON, but without a feed in it"),
        (b"null", "JSON, but without a feed in it"),
        (b"NaN", "JSON, but without a feed in it"),
        (b'{"feed": null}', "JSON, but without a feed in it"),
        (b'{"feed": [{"entry": []}]}', "JSON, but without a feed in it"),
        (b'{"errors": [{"status": "404"}]}', "JSON, but without a feed in it"),
    ],
)
def test_what_is_no_chart_is_refused_with_the_reason(data: bytes, said: str) -> None:
    assert reason(data) == said


def test_every_cut_of_a_feed_is_refused() -> None:
    whole = json.dumps({"feed": {"entry": [item()]}}).encode()
    assert {reason(whole[:length]) for length in range(1, len(whole))} == {"not whole JSON"}


def test_other_encodings_of_json_are_read() -> None:
    text = json.dumps({"feed": {"entry": [item()]}}, ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32-le"):
        assert parse_chart(text.encode(encoding)) == parsed([item()])


def test_numbers_that_are_none_or_too_large_spoil_no_chart() -> None:
    data = (
        b'{"feed": {"entry": [{"id": {"label": NaN, "attributes": {"im:id": "7"}},'
        b'"im:name": {"label": -Infinity}, "im:artist": {"label": 1e999}, "category": {'
        b'"attributes": {"im:id": ' + b"9" * 4000 + b', "label": 1}}, "rights": ' + b"9" * 4000
        + b"}]}}"
    )  # fmt: skip
    assert parse_chart(data) == Chart((ChartEntry("7", 1, genre_name="1"),))


@pytest.mark.parametrize(
    "digits", ["9" * 20, "9" * 19, str(2**63), "-14", "14.0", "1e3", "\uff11\uff14"]
)
def test_a_genre_id_that_no_catalog_can_hold_is_none(digits: str, tmp_path: Path) -> None:
    category = {"attributes": {"im:id": digits, "label": "Pop"}}
    found = only([item(category=category)])
    assert (found.genre_id, found.genre_name) == (None, "Pop")
    kept = merged(None, found, Address("us", find_genre("Rock")), "2026-01-01")
    with SqliteCatalog(tmp_path / "c.sqlite", write=True) as catalog:
        catalog.put([kept])
        assert list(catalog.rows(SOURCE)) == [kept]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("two\nlines\r\n", "two lines"), ("\x00a\x1b[31mb\x7f", "a [31mb"),
        ("\x9b31mred", "31mred"), ("half \ud83d", "half ?"),
        ("whole \U0001f600", "whole \U0001f600"),
        ("a\x85b\u2028c\u2029d", "a b c d"),
        (" \t ", ""), ("x" * 5_000, "x" * 1_000), ("שלום", "שלום"), (1989, "1989"), (True, ""),
        (10**30, ""), (-(10**30), ""), (1.5, ""), (["a"], ""), ({"label": "a"}, ""),
    ],
)  # fmt: skip
def test_texts_are_one_line_of_bounded_length(written: object, read: str) -> None:
    assert only([item(**{"im:name": {"label": written}})]).name == read


def test_a_url_too_long_to_be_kept_whole_is_not_kept() -> None:
    long = f"https://is1-ssl.mzstatic.com/{'a' * 1_000}/1.jpg"
    found = only([images(f"{ART}/60x60bb.png", long)])
    assert found.art_url == f"{ART}/60x60bb.png"
    assert only([images(long)]).art_url == ""
    assert only([item(link={"attributes": {"href": long}})]).link == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["label", "attributes", "im:id", "href", "height", "term", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["id", "link", "im:name", "im:image", "im:artist", "category", "im:releaseDate", "title"]
)
TEXT_WITH_SURROGATES = st.text(
    st.characters(categories=["Cs", "Cc", "Cf", "Zl", "L", "N"]), max_size=1_200
)


def check_entry(entry: ChartEntry) -> None:
    """What a catalog, a table and a terminal rely on."""
    assert entry.album_id.isascii()
    assert entry.album_id.isdigit()
    assert entry.rank >= 1
    assert entry.genre_id is None or 0 <= entry.genre_id < 2**63
    for field in fields(entry):
        text = getattr(entry, field.name)
        if isinstance(text, str):
            assert len(text) <= 1_000
            assert not {unicodedata.category(c) for c in text} & {"Cc", "Cs", "Zl", "Zp"}
            assert len(text.splitlines()) <= 1
    assert all(url.endswith(("1000x1000bb.jpg", "600x600bb.jpg")) or url == entry.art_url
               for url in artwork_urls(entry.art_url, 1000))  # fmt: skip
    assert artwork_key(entry.art_url)


@pytest.mark.whole
@settings(max_examples=300, deadline=None)
@given(entry=JSON, changed=st.dictionaries(NAMES, JSON, max_size=4))
def test_any_json_anywhere_in_a_chart_is_borne(entry: object, changed: Json) -> None:
    chart = parsed([item("1"), entry, item("2", **changed), item("3")])
    for found in chart.entries:
        check_entry(found)
        row = merged(None, found, Address("us", find_genre("Pop")), "2026-01-01")
        assert row.album.genre
    assert len(chart.entries) + chart.without_id <= 4
    assert [found.rank for found in chart.entries] == sorted({e.rank for e in chart.entries})


@settings(max_examples=200, deadline=None)
@given(document=JSON | st.dictionaries(st.just("feed"), JSON) | st.builds(
    lambda entry: {"feed": {"entry": entry}}, JSON))  # fmt: skip
def test_any_json_is_a_chart_or_refused(document: object) -> None:
    try:
        chart = parse_chart(json.dumps(document).encode())
    except BadFeed as error:
        assert str(error) == "JSON, but without a feed in it"  # noqa: PT017
    else:
        for found in chart.entries:
            check_entry(found)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_chart_or_refused(data: bytes) -> None:
    try:
        parse_chart(data)
    except BadFeed as error:
        assert len(str(error)) < 100  # noqa: PT017


@settings(max_examples=200, deadline=None)
@given(text=TEXT_WITH_SURROGATES)
@example("\ud800" * 1_001)
@example(" " * 500 + "\x80" * 600 + "a")
def test_any_text_is_kept_as_one_clean_line(text: str) -> None:
    label = {"label": text, "attributes": {"href": text, "im:id": text, "term": text}}
    names = ("im:name", "im:artist", "im:releaseDate", "category", "link", "im:image")
    check_entry(only([item(**dict.fromkeys(names, label))]))


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0), byte=st.integers(0, 255))
def test_a_damaged_byte_is_borne(at: int, byte: int) -> None:
    data = bytearray(json.dumps({"feed": {"entry": [item("1"), item("2")]}}).encode())
    data[at % len(data)] = byte
    try:
        chart = parse_chart(bytes(data))
    except BadFeed:
        return
    for found in chart.entries:
        check_entry(found)


# --- artwork -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "size", "urls"),
    [
        (f"{ART}/170x170bb-85.png", 1000, ("1000x1000bb.jpg", "600x600bb.jpg", "170x170bb-85.png")),
        (f"{ART}/170x170bb.png", 1400, ("1400x1400bb.jpg", "600x600bb.jpg", "170x170bb.png")),
        (f"{ART}/170x170bb.png", 600, ("600x600bb.jpg", "170x170bb.png")),
        (f"{ART}/600x600bb.jpg", 600, ("600x600bb.jpg",)),
        (f"{ART}/1000x1000bb.jpg", 1000, ("1000x1000bb.jpg", "600x600bb.jpg")),
        (f"{ART}/1000x1000bb.jpg", 600, ("600x600bb.jpg", "1000x1000bb.jpg")),
        (f"{ART}/60x60bb.png", 300, ("300x300bb.jpg", "600x600bb.jpg", "60x60bb.png")),
    ],
)
def test_artwork_is_asked_for_large_then_600_then_as_given(
    url: str, size: int, urls: Sequence[str]
) -> None:
    assert artwork_urls(url, size) == tuple(f"{ART}/{end}" for end in urls)


def test_the_query_of_artwork_is_kept() -> None:
    assert artwork_urls(f"{ART}/170x170bb.png?v=2&a=b/170x170bb", 1000) == (
        f"{ART}/1000x1000bb.jpg?v=2&a=b/170x170bb",
        f"{ART}/600x600bb.jpg?v=2&a=b/170x170bb",
        f"{ART}/170x170bb.png?v=2&a=b/170x170bb",
    )


@pytest.mark.parametrize(
    "url",
    [
        ART, f"{ART}/", f"{ART}/cover.jpg", f"{ART}/170x170bb.png/", f"{ART}/x170bb.png",
        f"{ART}/cover.jpg?size=/170x170bb.png", "https://is1-ssl.mzstatic.com", "", "text",
        "http://[::1", "http://[::1/170x170bb.png", "//[/170x170bb.jpg",
        "https://a\u2100b/170x170bb.png",
    ],
)  # fmt: skip
def test_what_does_not_end_in_a_size_is_asked_for_as_it_is(url: str) -> None:
    assert artwork_urls(url, 1000) == (url,)
    assert artwork_key(url)


URLS = st.text(max_size=40) | TEXT_WITH_SURROGATES | st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "https://", "http:////", "//", "ftp:", "HTTPS://", "https://u:p@"]),
    st.text(st.sampled_from("[]:@/?#%\\x1.é\ud800\u2100 ;=&is-ssl.mzstatic.com"), max_size=30),
    st.sampled_from(["", "/170x170bb.png", "170x170bb.jpg", "/1x1?x", "/..", "/170x170bb.png#a"]),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(url=URLS, size=st.integers(1, 10_000))
@example("http://[::1", 1000)
@example("https://h/\ud800", 1000)
def test_no_url_breaks_the_artworks_address(url: str, size: int) -> None:
    urls = artwork_urls(url, size)
    assert urls[-1] == url or url in urls
    assert len(urls) == len(set(urls)) <= 3
    assert isinstance(artwork_key(url), str)


def test_artwork_is_the_same_in_all_sizes_and_from_all_of_apples_servers() -> None:
    path = ART.removeprefix("https://is1-ssl.mzstatic.com")
    hosts = [*(f"is{n}-ssl.mzstatic.com" for n in range(1, 6)), "IS1-SSL.mzstatic.com"]
    ends = ["55x55bb-85.png", "170x170bb.png", "1000x1000bb.jpg", "3000x3000bb"]
    urls = [f"{scheme}://{host}{path}/{end}" for scheme in ("http", "https") for host in hosts
            for end in ends]  # fmt: skip
    assert len({artwork_key(url) for url in urls}) == 1
    assert {artwork_key(made) for url in urls for made in artwork_urls(url, 1000)} == {
        artwork_key(urls[0])
    }


def test_other_artwork_and_other_hosts_are_kept_apart() -> None:
    urls = [
        f"{ART}/170x170bb.png",
        f"{ART}/170x170bb.png?v=2",
        f"{OTHER_ART}/170x170bb.png",
        f"{ART.replace('v4', 'V4')}/170x170bb.png",
        ART.replace("is1-ssl.mzstatic.com", "example.org") + "/170x170bb.png",
        ART.replace("is1-ssl.mzstatic.com", "example.org:8080") + "/170x170bb.png",
        ART.replace("is1-ssl.mzstatic.com", "evilmzstatic.com") + "/170x170bb.png",
        ART.replace("is1-ssl.mzstatic.com", "mzstatic.com.evil.com") + "/170x170bb.png",
        "https://example.org/a.jpg",
        "https://example.org/b.jpg",
        "http://[::1",
        "http://[::2",
    ]
    assert len({artwork_key(url) for url in urls}) == len(urls)


def test_a_letter_is_the_same_escaped_or_not() -> None:
    assert artwork_key("https://x/caf\xe9.jpg") == artwork_key("https://x/caf%C3%A9.jpg")


@pytest.mark.parametrize(
    ("host", "base_host", "is_admitted"),
    [
        ("is1-ssl.mzstatic.com", "itunes.apple.com", True),
        ("is5-ssl.mzstatic.com", "", True),
        ("a1.phobos.mzstatic.com", "", True),
        ("IS1-SSL.MzStatic.Com", "", True),
        ("mzstatic.com.evil.com", "itunes.apple.com", False),
        ("evilmzstatic.com", "itunes.apple.com", False),
        ("is1-ssl.mzstatic.com.", "", False),
        ("is1-ssl.mzstatic.com:80@evil.com", "", False),
        ("evil.com/.mzstatic.com/", "", False),
        ("", "", False),
        ("", "itunes.apple.com", False),
        ("localhost", "localhost", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("LocalHost", "localhost", True),
        ("localhost", "LOCALHOST", True),
        ("localhost", "itunes.apple.com", False),
        ("x.localhost", "localhost", False),
    ],
)
def test_hosts_of_artwork(host: str, base_host: str, is_admitted: bool) -> None:
    assert admits_artwork(host, base_host) is is_admitted


# --- what the catalog keeps ----------------------------------------------------------------------

US_POP = Address("us", find_genre("Pop"))
US_ROCK = Address("us", find_genre("Rock"))
US_METAL = Address("us", find_genre("Metal"))
GB_POP = Address("gb", find_genre("Pop"))
ENTRY = ChartEntry(
    "7", 3, "chemistry", "Kelly Clarkson", "316265", 14, "Pop", "2023-06-23", LINK,
    f"{ART}/170x170bb.png",
)  # fmt: skip
Sighting = tuple[ChartEntry, Address]


def seen(*sightings: Sighting, known: CatalogRow | None = None) -> CatalogRow:
    """See one album in several charts, a day apart."""
    for day, (entry, chart) in enumerate(sightings, start=1):
        known = merged(known, entry, chart, f"2026-01-{day:02}T00:00:00+00:00")
    assert known is not None
    return known


def listing_of(row: CatalogRow) -> Listing:
    assert row.listing is not None
    return row.listing


def with_cover(row: CatalogRow) -> CatalogRow:
    """Say that the album's artwork is in the store."""
    listing = replace(
        listing_of(row), art_kept=f"{ART}/1000x1000bb.jpg", art_width=1000, art_height=1000
    )
    return replace(row, album=replace(row.album, digest=COVER, uri="covers/a.jpg"), listing=listing)


def test_a_new_album() -> None:
    when = "2026-01-01T00:00:00+00:00"
    assert merged(None, ENTRY, US_POP, when) == CatalogRow(
        Album(
            SOURCE, "7", f"{ART}/170x170bb.png", None, "Pop", "", "chemistry", "Kelly Clarkson",
            "316265", 2023,
        ),
        Listing(
            {"us/14": 3}, 14, "Pop", "us", "2023-06-23", LINK, when, when, f"{ART}/170x170bb.png"
        ),
    )  # fmt: skip
    assert seen((ENTRY, US_POP)).awaits_cover


def test_an_album_that_says_nothing() -> None:
    row = seen((ChartEntry("7", 1), US_METAL))
    assert row.album == Album(SOURCE, "7", "", genre="Rock")
    assert not row.awaits_cover


def test_an_album_seen_again_is_updated() -> None:
    later = replace(
        ENTRY, rank=1, name="chemistry (deluxe)", artist="K. Clarkson", artist_id="1",
        released="2024-01-02", link=LINK + "&new",
    )  # fmt: skip
    row = seen((ENTRY, US_POP), (later, US_POP))
    listing = listing_of(row)
    assert (row.album.name, row.album.artist, row.album.artist_id, row.album.year) == (
        "chemistry (deluxe)", "K. Clarkson", "1", 2024,
    )  # fmt: skip
    assert (listing.released, listing.link) == ("2024-01-02", LINK + "&new")
    assert listing.charts == {"us/14": 1}
    assert (listing.first_seen[:10], listing.last_seen[:10]) == ("2026-01-01", "2026-01-02")


def test_an_album_of_several_charts_is_one_row(tmp_path: Path) -> None:
    with SqliteCatalog(tmp_path / "c.sqlite", write=True) as catalog:
        for chart in (US_POP, US_ROCK, GB_POP, US_POP):
            known = next(catalog.rows(SOURCE, ["7"]), None)
            catalog.put([merged(known, ENTRY, chart, "2026-01-01")])
        [row] = catalog.rows(SOURCE)
    assert listing_of(row).charts == {"us/14": 3, "us/21": 3, "gb/14": 3}


def test_what_was_known_is_not_changed_in_place() -> None:
    before = seen((ENTRY, US_POP))
    charts = dict(listing_of(before).charts)
    seen((ENTRY, US_ROCK), known=before)
    assert listing_of(before).charts == charts


def test_a_missing_album_seen_again_is_there() -> None:
    assert not seen((ENTRY, US_POP), known=replace(seen((ENTRY, US_POP)), missing=True)).missing


def test_an_album_known_without_charts_gets_a_listing() -> None:
    known = CatalogRow(Album(SOURCE, "7", "a.jpg", COVER, "Jazz", dup_group="d"))
    row = seen((ENTRY, US_POP), known=known)
    assert (row.album.genre, row.album.uri, row.album.digest) == ("Pop", "a.jpg", COVER)
    assert (row.album.dup_group, row.album.name) == ("d", "chemistry")
    assert listing_of(row).first_seen[:10] == "2026-01-01"


def test_a_chart_that_says_less_loses_nothing() -> None:
    whole = with_cover(seen((ENTRY, US_POP)))
    row = seen((ChartEntry("7", 9), US_POP), known=whole)
    assert row.album == whole.album
    listing = replace(listing_of(whole), charts={"us/14": 9}, last_seen=listing_of(row).last_seen)
    assert row.listing == listing


def test_another_storefront_adds_its_chart_alone() -> None:
    abroad = ChartEntry(
        "7", 1, "Chimie", "K.", "5", 21, "Rock (fr)", "2020-01-01", "https://x", OTHER_ART
    )
    home = with_cover(seen((ENTRY, US_POP)))
    row = seen((abroad, GB_POP), known=home)
    assert row.album == home.album
    assert row.listing == replace(listing_of(home), charts={"us/14": 3, "gb/14": 1})
    first_abroad = seen((abroad, GB_POP), (ENTRY, US_POP))
    assert (first_abroad.album.name, listing_of(first_abroad).storefront) == ("Chimie", "gb")


# --- labels --------------------------------------------------------------------------------------


def of_genre(genre_id: int | None, rank: int = 1) -> ChartEntry:
    return replace(ENTRY, genre_id=genre_id, genre_name=f"genre {genre_id}", rank=rank)


def labels(row: CatalogRow) -> tuple[str, str]:
    return row.album.genre, row.album.subgenre


def test_the_label_is_the_umbrella_of_the_albums_own_genre() -> None:
    assert labels(seen((of_genre(21), US_POP))) == ("Rock", "")
    assert labels(seen((of_genre(METAL), US_POP))) == ("Rock", "Metal")
    assert labels(seen((of_genre(METAL, 9), US_POP), (of_genre(None), GB_POP))) == (
        "Rock", "Metal",
    )  # fmt: skip


@pytest.mark.parametrize("own", [UNKNOWN, None, 0, 34, 10**17])
def test_without_a_known_genre_the_chart_with_the_best_rank_labels(own: int | None) -> None:
    assert labels(seen((of_genre(own, 5), US_POP))) == ("Pop", "")
    assert labels(seen((of_genre(own, 5), US_POP), (of_genre(own, 4), US_METAL))) == ("Rock", "")
    assert labels(seen((of_genre(own, 4), US_POP), (of_genre(own, 5), US_METAL))) == ("Pop", "")
    jazz_abroad = Address("gb", find_genre("Jazz"))
    assert labels(seen((of_genre(own, 4), US_POP), (of_genre(own, 2), jazz_abroad))) == ("Jazz", "")


def test_of_equal_ranks_the_charts_name_decides() -> None:
    sightings = [(of_genre(None), chart) for chart in (US_ROCK, US_POP, GB_POP, US_METAL)]
    found = {labels(seen(*shuffled)) for shuffled in permutations(sightings)}
    assert found == {("Pop", "")}  # gb/14
    assert labels(seen(*sightings[:1], *sightings[3:])) == ("Rock", "")


def test_a_rank_that_falls_gives_the_label_away() -> None:
    row = seen((of_genre(None, 1), US_POP), (of_genre(None, 2), US_ROCK))
    assert labels(row) == ("Pop", "")
    assert labels(seen((of_genre(None, 3), US_POP), known=row)) == ("Rock", "")


def test_a_genre_that_the_store_changed_changes_the_label() -> None:
    row = seen((of_genre(METAL), US_POP), (of_genre(14), US_ROCK))
    assert labels(row) == ("Pop", "")
    assert (listing_of(row).genre_id, listing_of(row).genre_name) == (14, "genre 14")


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ((21, "Rock"), (None, ""), (21, "Rock")),
        ((21, "Rock"), (21, ""), (21, "Rock")),
        ((21, "Rock"), (14, ""), (14, "")),
        ((21, "Rock"), (None, "Pop"), (21, "Rock")),
        ((None, "Rock"), (None, ""), (None, "Rock")),
        ((None, "Rock"), (None, "Pop"), (None, "Pop")),
        ((None, "Rock"), (14, "Pop"), (14, "Pop")),
        ((UNKNOWN, "Polka"), (None, "Pop"), (UNKNOWN, "Polka")),
    ],
)
def test_the_id_and_the_name_of_a_genre_stay_together(
    first: tuple[int | None, str], second: tuple[int | None, str], kept: tuple[int | None, str]
) -> None:
    one, two = (replace(ENTRY, genre_id=i, genre_name=name) for i, name in (first, second))
    listing = listing_of(seen((one, US_POP), (two, US_ROCK)))
    assert (listing.genre_id, listing.genre_name) == kept


CHARTS = [
    Address("us", find_genre(name))
    for name in ("Pop", "Rock", "Metal", "Jazz", "K-Pop", "Blues", "Christmas", "Soundtrack")
]


@st.composite
def shuffled_sightings(draw: st.DrawFn) -> tuple[list[Sighting], list[Sighting]]:
    """Draw what charts of one storefront say of an album, in two orders; some leave things out."""
    own = draw(st.sampled_from([14, 21, METAL, 51, UNKNOWN, None]))
    charts = draw(st.lists(st.sampled_from(CHARTS), min_size=1, max_size=5, unique=True))
    full = replace(ENTRY, genre_id=own, genre_name="" if own is None else f"genre {own}")
    bare = ChartEntry("7", 1)
    sightings = [
        (replace(draw(st.sampled_from([full, bare])), rank=draw(st.integers(1, 4))), chart)
        for chart in charts
    ]
    return sightings, draw(st.permutations(sightings))


@settings(max_examples=200, deadline=None)
@given(orders=shuffled_sightings())
def test_the_order_of_charts_makes_no_difference(
    orders: tuple[list[Sighting], list[Sighting]],
) -> None:
    one, two = (seen(*sightings) for sightings in orders)
    assert one == two
    listing = listing_of(one)
    assert listing.charts == {chart.key: entry.rank for entry, chart in orders[0]}
    own = listing.genre_id
    if own in {None, UNKNOWN}:
        _, key = min((entry.rank, chart.key) for entry, chart in orders[0])
        own = int(key.split("/")[1])
    umbrella = umbrella_of(own or 0)
    assert umbrella is not None
    assert one.album.genre == umbrella.name
    assert one.album.subgenre == ("Metal" if listing.genre_id == METAL else "")


# --- artwork that changes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"{ART}/170x170bb.png",
        f"{ART}/170x170bb-85.png",
        f"{ART}/600x600bb.jpg",
        f"{ART}/170x170bb.png".replace("is1", "is4"),
    ],
)
def test_the_same_artwork_is_not_asked_for_again(url: str) -> None:
    before = with_cover(seen((ENTRY, US_POP)))
    row = seen((replace(ENTRY, art_url=url), US_POP), known=before)
    assert not row.awaits_cover
    assert row.album == before.album
    assert row.listing == replace(listing_of(before), art_url=url)


def test_new_artwork_is_asked_for_while_the_old_cover_stays() -> None:
    before = with_cover(seen((ENTRY, US_POP)))
    row = seen((replace(ENTRY, art_url=OTHER_ART), US_POP), known=before)
    assert row.awaits_cover
    assert (row.album.digest, row.album.uri) == (COVER, "covers/a.jpg")
    assert (listing_of(row).art_url, listing_of(row).art_kept) == (OTHER_ART, "")
    again = seen((replace(ENTRY, art_url=OTHER_ART), US_ROCK), known=row)
    assert again.awaits_cover


def test_what_became_of_old_artwork_is_not_said_of_new() -> None:
    before = seen((ENTRY, US_POP))
    listing = replace(listing_of(before), art_error="404 Not Found", art_arriving=COVER)
    known = replace(before, listing=listing)
    same = listing_of(seen((ENTRY, US_POP), known=known))
    new = listing_of(seen((replace(ENTRY, art_url=OTHER_ART), US_POP), known=known))
    assert (same.art_error, same.art_arriving) == ("404 Not Found", COVER)
    assert (new.art_error, new.art_arriving) == ("", None)


def test_until_there_is_a_cover_the_uri_is_where_one_may_be_had() -> None:
    row = seen((replace(ENTRY, art_url=""), US_POP), (ENTRY, US_POP))
    assert row.album.uri == f"{ART}/170x170bb.png"
    assert row.awaits_cover
    assert seen((replace(ENTRY, art_url=""), US_POP), known=row).album.uri == row.album.uri


# --- addresses -----------------------------------------------------------------------------------


def test_the_address_of_a_chart() -> None:
    assert US_METAL.key == "us/1153"
    url = "https://itunes.apple.com/us/rss/topalbums/genre=1153/limit=200/json"
    assert US_METAL.url(BASE_URL, 200) == url


@pytest.mark.parametrize(
    ("text", "code"), [("us", "us"), ("GB", "gb"), (" jp\n", "jp"), ("De", "de")]
)
def test_storefronts(text: str, code: str) -> None:
    assert check_storefront(text) == code


@pytest.mark.parametrize(
    "text", ["", "u", "usa", "u1", "u s", "../", "ü", "us/gb", "us,gb", "\u0391\u0392"]
)
def test_what_is_no_storefront_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no storefront; name a country by two letters") as said:
        check_storefront(text)
    assert repr(text) in str(said.value)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://itunes.apple.com", BASE_URL),
        (" https://itunes.apple.com//\n", BASE_URL),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://mirror.example.org/itunes/", "https://mirror.example.org/itunes"),
        ("HTTPS://Mirror.Example.org", "HTTPS://Mirror.Example.org"),
    ],
)
def test_base_urls(text: str, url: str) -> None:
    assert check_base_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "itunes.apple.com", "ftp://itunes.apple.com", "file:///etc/passwd", "https://",
        "https:///us", "https://:8080", "https://host:99999", "https://host:port", "https://host:-1",
        "https://host?limit=5", "https://host?", "https://host#", "https://host/a#b",
        "https://[::1", "https://ho st", "https://host/a b", "https://ho\nst", "https://host\t/a",
        "\x00https://host", "https://host\\evil", "https://a\u2100b", "javascript://host",
        "https://user:sesame@host", "https://user@host", "https://:sesame@host", "https://@host",
        "https://user:sesame@", "https://user:sesame@host:99999", "https://user:sesame@[::1",
        "ftp://user:sesame@host", "https://user:sesame\uff20host",
    ],
)  # fmt: skip
def test_what_is_no_base_url_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(UsageError, match="the base URL has to look like https://itunes") as caught:
        check_base_url(text)
    assert "sesame" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(text=URLS)
def test_any_text_is_a_base_url_or_refused(text: str) -> None:
    try:
        url = check_base_url(text)
    except UsageError:
        return
    address = US_POP.url(url, 5)
    assert address == f"{url}/us/rss/topalbums/genre=14/limit=5/json"
    assert not set("?#@\\ \n\t") & set(address)
