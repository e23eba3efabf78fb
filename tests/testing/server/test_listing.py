"""The S3 listing, version 1 (docs/archive.md#listing)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import unquote, urlencode
from xml.etree import ElementTree as ET

import pytest
from attrs import frozen
from tests.testing.server.test_objects import Answer, fetch

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.server.listing import ListingQuery, list_page

NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"
SERIES = "data/spot/daily/klines/BTCUSDT/"


@frozen
class Listing:
    """One page, parsed."""

    fields: dict[str, str]
    contents: list[dict[str, str]]
    prefixes: list[str]

    @property
    def keys(self) -> list[str]:
        """The keys alone."""
        return [item["Key"] for item in self.contents]

    @property
    def is_truncated(self) -> bool:
        """Whether there is another page."""
        return self.fields["IsTruncated"] == "true"


def ask(server: ArchiveServer, **query: object) -> Answer:
    """Ask for a page; `max_keys` stands for `max-keys`."""
    fields = {name.replace("_", "-"): value for name, value in query.items()}
    return fetch(server, f"?{urlencode(fields)}")


def listing(server: ArchiveServer, **query: object) -> Listing:
    """Ask for a page and read it."""
    answer = ask(server, **query)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/xml"
    assert answer.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n')
    root = ET.fromstring(answer.body)
    assert root.tag == f"{NS}ListBucketResult"
    fields = {item.tag.removeprefix(NS): item.text or "" for item in root if not len(item)}
    contents = [
        {field.tag.removeprefix(NS): field.text or "" for field in item}
        for item in root.iter(f"{NS}Contents")
    ]
    prefixes = [item.findtext(f"{NS}Prefix") or "" for item in root.iter(f"{NS}CommonPrefixes")]
    return Listing(fields, contents, prefixes)


@pytest.fixture(scope="module")
def server() -> Iterator[ArchiveServer]:
    """A server on which nothing is changed."""
    with ArchiveServer(today=date(2026, 9, 2)) as running:
        yield running


def folders(server: ArchiveServer, prefix: str) -> list[str]:
    """The names of the folders right below a prefix."""
    page = listing(server, prefix=prefix, delimiter="/")
    assert not page.keys
    return [name.removeprefix(prefix).rstrip("/") for name in page.prefixes]


def test_the_tree_is_that_of_the_matrix(server: ArchiveServer) -> None:
    assert folders(server, "") == ["data"]
    assert folders(server, "data/") == ["futures", "option", "spot"]
    assert folders(server, "data/futures/") == ["cm", "um"]
    assert folders(server, "data/option/") == ["daily"]
    assert folders(server, "data/spot/daily/") == ["aggTrades", "klines", "trades"]
    um_types = folders(server, "data/futures/um/daily/")
    assert "metrics" in um_types
    assert "fundingRate" not in um_types, "months only"
    assert "liquidationSnapshot" not in um_types, "removed by the publisher"
    assert folders(server, SERIES) == [
        "12h", "15m", "1d", "1h", "1m", "1s", "2h", "30m", "3m", "4h", "5m", "6h", "8h",
    ]  # fmt: skip
    assert "1mo" in folders(server, SERIES.replace("daily", "monthly"))


def test_symbols_are_listed_where_the_matrix_accepts_them(server: ArchiveServer) -> None:
    spot = folders(server, "data/spot/daily/klines/")
    assert spot == ["1INCHBTC", "BTCUSDT", "ETHUSDT", "币安人生USDT"]
    assert "BTCUSDT_240628" in folders(server, "data/futures/um/daily/trades/")
    assert folders(server, "data/futures/cm/daily/indexPriceKlines/") == ["BTCUSD", "ETHUSD"]
    assert folders(server, "data/futures/cm/daily/premiumIndexKlines/") == [
        "BTCUSD_PERP",
        "ETHUSD_PERP",
    ]
    assert folders(server, "data/option/daily/BVOLIndex/") == ["BTCBVOLUSDT", "ETHBVOLUSDT"]
    assert folders(server, "data/option/daily/EOHSummary/") == ["BTCUSDT", "ETHUSDT"]


def test_one_list_of_symbols_serves_all_markets() -> None:
    with ArchiveServer(symbols=("SOLUSDT", "SOLUSD_PERP", "币安人生USDT")) as server:
        assert folders(server, "data/spot/daily/klines/") == ["SOLUSDT", "币安人生USDT"]
        assert folders(server, "data/futures/cm/daily/klines/") == ["SOLUSD_PERP"]
    with ArchiveServer(symbols="SOLUSDT") as server:
        assert folders(server, "data/spot/daily/klines/") == ["SOLUSDT"]
    with ArchiveServer(symbols={Market.SPOT: ["SOLUSDT"]}) as server:
        assert folders(server, "data/spot/daily/klines/") == ["SOLUSDT"]
        assert folders(server, "data/futures/um/daily/klines/") == []


def test_a_page_says_what_was_asked(server: ArchiveServer) -> None:
    prefix = f"{SERIES}1h/BTCUSDT-1h-2026-05"
    page = listing(server, prefix=prefix, marker=f"{prefix}-08.zip", max_keys=2)
    assert page.fields == {
        "Name": "data.binance.vision",
        "Prefix": prefix,
        "Marker": f"{prefix}-08.zip",
        "MaxKeys": "2",
        "IsTruncated": "true",
    }
    assert page.keys == [f"{prefix}-08.zip.CHECKSUM", f"{prefix}-09.zip"]


def test_an_entry_tells_the_truth_about_its_object(server: ArchiveServer) -> None:
    page = listing(server, prefix=f"{SERIES}1h/BTCUSDT-1h-2026-05-08")
    assert [key.rpartition(".")[2] for key in page.keys] == ["zip", "CHECKSUM"]
    for entry in page.contents:
        answer = fetch(server, entry["Key"])
        assert entry == {
            "Key": entry["Key"],
            "LastModified": "2026-05-09T08:06:34.000Z",
            "ETag": answer.headers["ETag"],
            "Size": str(len(answer.body)),
            "StorageClass": "STANDARD",
        }


def test_a_prefix_is_a_plain_string(server: ArchiveServer) -> None:
    """`1m` is a prefix of `1mo/`, too (docs/archive.md#prefix-trap)."""
    monthly = SERIES.replace("daily", "monthly")
    page = listing(server, prefix=f"{monthly}1m", delimiter="/")
    assert page.prefixes == [f"{monthly}1m/", f"{monthly}1mo/"]
    futures = listing(server, prefix="data/futures/um/daily/klines/BTCUSDT", delimiter="/")
    assert [name.split("/")[-2] for name in futures.prefixes] == ["BTCUSDT", "BTCUSDT_240628"]


def test_an_absent_prefix_is_an_empty_page(server: ArchiveServer) -> None:
    for prefix in ("data/spot/daily/klines/NOSUCH/", "zzz", "data/spot/daily/klines/BTCUSDT/7h/"):
        page = listing(server, prefix=prefix)
        assert (page.keys, page.prefixes, page.is_truncated) == ([], [], False)


def all_pages(server: ArchiveServer, **query: object) -> Iterator[Listing]:
    """Page as a client must."""
    marker = ""
    while True:
        page = listing(server, **query, **({"marker": marker} if marker else {}))
        yield page
        if not page.is_truncated:
            return
        marker = page.fields.get("NextMarker") or page.keys[-1]


def test_pages_have_a_thousand_keys_and_join_without_gap(server: ArchiveServer) -> None:
    """The whole life of a series: 500 archives to a page."""
    prefix = f"{SERIES}1d/"
    pages = list(all_pages(server, prefix=prefix))
    days = (date(2026, 9, 2) - date(2017, 8, 17)).days
    assert [len(page.keys) for page in pages] == [1000] * (days * 2 // 1000) + [days * 2 % 1000]
    assert all("NextMarker" not in page.fields for page in pages), "no delimiter, no marker"
    keys = [key for page in pages for key in page.keys]
    assert keys == sorted(set(keys))
    assert keys[0] == f"{prefix}BTCUSDT-1d-2017-08-17.zip"
    assert keys[-1] == f"{prefix}BTCUSDT-1d-2026-09-01.zip.CHECKSUM"


def test_more_than_a_thousand_are_never_given(server: ArchiveServer) -> None:
    page = listing(server, prefix=f"{SERIES}1d/", max_keys=5000)
    assert (len(page.keys), page.fields["MaxKeys"]) == (1000, "1000")


def test_folders_are_paged_with_next_marker(server: ArchiveServer) -> None:
    monthly = SERIES.replace("daily", "monthly")
    pages = list(all_pages(server, prefix=monthly, delimiter="/", max_keys=5))
    assert [len(page.prefixes) for page in pages] == [5, 5, 5, 1]
    names = [name for page in pages for name in page.prefixes]
    assert names == sorted(set(names))
    for page in pages[:-1]:
        assert page.fields["NextMarker"] == page.prefixes[-1]
    assert "NextMarker" not in pages[-1].fields


def test_a_listing_without_delimiter_crosses_folders(server: ArchiveServer) -> None:
    """One listing of a symbol returns all of its intervals.

    Source: docs/archive.md#all-intervals-at-once.
    """
    marker = f"{SERIES}12h/BTCUSDT-12h-2026-09-01.zip"
    page = listing(server, prefix=SERIES, marker=marker, max_keys=3)
    assert page.keys == [
        f"{marker}.CHECKSUM",
        f"{SERIES}15m/BTCUSDT-15m-2017-08-17.zip",
        f"{SERIES}15m/BTCUSDT-15m-2017-08-17.zip.CHECKSUM",
    ]


def test_no_keys_asked_for_is_no_keys_and_no_next_page(server: ArchiveServer) -> None:
    page = listing(server, prefix=SERIES, max_keys=0)
    assert (page.keys, page.prefixes, page.is_truncated) == ([], [], False)


@pytest.mark.parametrize("query", [{"max_keys": "many"}, {"max_keys": -1}, {"encoding_type": "x"}])
def test_what_makes_no_sense_is_an_invalid_argument(
    server: ArchiveServer, query: dict[str, object]
) -> None:
    answer = ask(server, **query)
    assert answer.status == 400
    assert answer.error()["Code"] == "InvalidArgument"


def test_version_2_is_refused_rather_than_answered_wrongly(server: ArchiveServer) -> None:
    answer = ask(server, list_type=2)
    assert (answer.status, answer.error()["Code"]) == (501, "NotImplemented")


def test_keys_are_raw_unless_encoding_is_asked_for(server: ArchiveServer) -> None:
    prefix = "data/spot/daily/klines/币安人生USDT/1d/币安人生USDT-1d-2026-05-08.zip"
    raw = listing(server, prefix=prefix)
    assert raw.keys == [prefix, f"{prefix}.CHECKSUM"]
    encoded = listing(server, prefix=prefix, encoding_type="url")
    assert encoded.fields["EncodingType"] == "url"
    assert all(key.isascii() for key in encoded.keys)
    assert [unquote(key) for key in encoded.keys] == raw.keys


def test_the_bucket_may_stand_in_the_path(server: ArchiveServer) -> None:
    for path in ("data.binance.vision", "data.binance.vision/"):
        answer = fetch(server, f"{path}?prefix=data/&delimiter=/")
        assert b"<Prefix>data/spot/</Prefix>" in answer.body
        assert server.requests[-1].path == "list:data/"


def test_what_was_put_and_removed_shows(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"file")
    with ArchiveServer(tmp_path) as server:
        server.put("a&<b>.txt", b"12345", etag="e")
        server.put("c/d.txt", b"x")
        page = listing(server, delimiter="/")
        assert (page.keys, page.prefixes) == (["a&<b>.txt", "b.txt"], ["c/"])
        assert (page.contents[0]["Size"], page.contents[0]["ETag"]) == ("5", '"e"')
        server.put("b.txt", b"over it")
        assert [item["Size"] for item in listing(server).contents] == ["5", "7", "1"]
        server.remove("b.txt")
        server.remove("c/d.txt")
        assert listing(server).keys == ["a&<b>.txt"]


def test_made_up_archives_and_put_ones_are_listed_together() -> None:
    prefix = "data/spot/monthly/klines/ETHUSDT/1mo/ETHUSDT-1mo-2020-"
    with ArchiveServer(end=date(2020, 12, 31)) as server:
        stray = prefix + "8.zip"  # binance-public-data#469
        server.put(stray, b"")
        server.put(prefix + "11.zip", b"again")
        server.remove(prefix + "12.zip.CHECKSUM")
        keys = listing(server, prefix=prefix + "1").keys + listing(server, prefix=stray).keys
        assert keys == [
            prefix + "10.zip",
            prefix + "10.zip.CHECKSUM",
            prefix + "11.zip",
            prefix + "11.zip.CHECKSUM",
            prefix + "12.zip",
            stray,
        ]


def pages_of(keys: list[str], **query: str) -> tuple[list[str], list[str]]:
    """The first page over a fixed list of keys."""

    def keys_after(prefix: str, marker: str) -> Iterator[str]:
        return (key for key in sorted(keys) if key.startswith(prefix) and key > marker)

    page = list_page(ListingQuery.parse(query), keys_after)
    return list(page.keys), list(page.prefixes)


def test_delimiters_and_markers_as_s3_has_them() -> None:
    keys = ["a", "b/", "b/1", "b/2/x", "c::d", "e/f", "e0"]
    assert pages_of(keys, delimiter="/") == (["a", "c::d", "e0"], ["b/", "e/"])
    assert pages_of(keys, delimiter="/", prefix="b/") == (["b/", "b/1"], ["b/2/"])
    assert pages_of(keys, delimiter="/", marker="b/") == (["c::d", "e0"], ["e/"])
    assert pages_of(keys, delimiter="/", marker="b/1") == (["c::d", "e0"], ["b/", "e/"])
    assert pages_of(keys, delimiter="::") == (["a", "b/", "b/1", "b/2/x", "e/f", "e0"], ["c::"])
    assert pages_of(keys, marker="d") == (["e/f", "e0"], [])
    assert pages_of([], delimiter="/") == ([], [])
