"""Objects over HTTP: bodies, headers, absences, preconditions, ranges."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

import pytest
from attrs import frozen

from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.testing import ArchiveServer

KEY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2026-05-08.zip"
FUTURES_KEY = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2026-04.zip"
CHINESE_KEY = "data/spot/daily/klines/币安人生USDT/1d/币安人生USDT-1d-2026-05-08.zip"
TODAY = date(2026, 9, 2)


@frozen
class Answer:
    """A response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def error(self) -> dict[str, str]:
        """The fields of S3's error document."""
        return {field.tag: field.text or "" for field in ET.fromstring(self.body)}


def fetch(
    server: ArchiveServer, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> Answer:
    """Send one request on a connection of its own; `path` is a key, a query string, or both."""
    key, mark, query = path.partition("?")
    target = quote(key) + mark + query
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=200)
    try:
        connection.request(method, f"/{target}", headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server() -> Iterator[ArchiveServer]:
    """A server on which nothing is changed."""
    with ArchiveServer(today=TODAY) as running:
        yield running


def test_an_archive_has_the_headers_of_the_real_one(server: ArchiveServer) -> None:
    answer = fetch(server, KEY)
    assert answer.status == 200
    assert answer.body == server.read(KEY)
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Server"] == "AmazonS3"
    assert answer.headers["ETag"] == f'"{hashlib.md5(answer.body).hexdigest()}"'  # noqa: S324
    assert answer.headers["Last-Modified"] == "Sat, 09 May 2026 08:06:34 GMT"


def test_a_month_is_dated_on_the_first_of_the_next(server: ArchiveServer) -> None:
    assert fetch(server, FUTURES_KEY).headers["Last-Modified"] == "Fri, 01 May 2026 08:06:34 GMT"


@pytest.mark.parametrize(("key", "end"), [(KEY, b""), (FUTURES_KEY, b"\n"), (CHINESE_KEY, b"")])
def test_a_sidecar_names_its_archive(server: ArchiveServer, key: str, end: bytes) -> None:
    """Futures end the line, spot does not (docs/archive.md#sidecars)."""
    digest = hashlib.sha256(fetch(server, key).body).hexdigest()
    sidecar = fetch(server, key + ".CHECKSUM")
    assert sidecar.body == f"{digest}  {key.rpartition('/')[2]}".encode() + end
    assert sidecar.headers["Content-Type"] == "binary/octet-stream"


def test_the_bucket_may_stand_before_the_key(server: ArchiveServer) -> None:
    assert fetch(server, f"data.binance.vision/{KEY}").body == server.read(KEY)
    assert server.requests[-1].path == KEY


def test_head_has_the_headers_and_no_body(server: ArchiveServer) -> None:
    head, get = fetch(server, KEY, method="HEAD"), fetch(server, KEY)
    assert head.status == 200
    assert head.body == b""
    for name in ("Content-Length", "ETag", "Last-Modified", "Content-Type"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize(
    "key",
    [
        "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2026-09-02.zip",  # the day has not ended
        "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2026-09.zip",  # nor has the month
        "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2017-08-16.zip",  # before the beginning
        "data/futures/um/daily/bookTicker/BTCUSDT/BTCUSDT-bookTicker-2024-03-31.zip",  # retired
        "data/futures/um/daily/liquidationSnapshot/BTCUSDT/BTCUSDT-liquidationSnapshot-2023-07-01.zip",
        "data/futures/um/daily/klines/BTCUSDT/1s/BTCUSDT-1s-2026-05-08.zip",  # spot only
        "data/spot/daily/klines/BTCUSDT/1w/BTCUSDT-1w-2026-05-04.zip",  # months only
        "data/spot/monthly/klines/ADABKRW/1d/ADABKRW-1d-2020-8.zip",  # a stray key
        "data/futures/um/daily/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2026-05-08.zip",
        "data/spot/daily/bookDepth/BTCUSDT/BTCUSDT-bookDepth-2026-05-08.zip",
        "data/futures/cm/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2026-05-08.zip",
        "data/futures/cm/daily/indexPriceKlines/BTCUSD_PERP/1h/BTCUSD_PERP-1h-2026-05-08.zip",
        "data/futures/um/daily/klines/BTCUSDT_240628/1h/BTCUSDT_240628-1h-2024-06-29.zip",
        "data/option/daily/BVOLIndex/XRPBVOLUSDT/XRPBVOLUSDT-BVOLIndex-2026-05-08.zip",
        KEY + ".CHECKSUM.CHECKSUM",
        "robots.txt",
        "data//x.zip",
    ],
)
def test_what_is_not_published_is_no_such_key(server: ArchiveServer, key: str) -> None:
    for name in (key, key + ".CHECKSUM"):
        answer = fetch(server, name)
        assert answer.status == 404
        assert answer.headers["Content-Type"] == "application/xml"
        assert answer.error()["Code"] == "NoSuchKey"
        assert answer.error()["Key"] == name
        assert fetch(server, name, method="HEAD").body == b""


def test_the_last_day_that_ended_is_published(server: ArchiveServer) -> None:
    assert server.read("data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2026-09-01.zip")
    assert server.read("data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2026-08.zip")
    assert server.read("data/futures/um/monthly/bookTicker/BTCUSDT/BTCUSDT-bookTicker-2024-04.zip")


def test_a_window_of_days_bounds_what_exists() -> None:
    server = ArchiveServer(start=date(2026, 5, 8), end=date(2026, 5, 9))
    assert server.read(KEY)
    assert server.read(FUTURES_KEY.replace("-04.", "-05."))
    for key in (KEY.replace("05-08", "05-07"), KEY.replace("05-08", "05-10"), FUTURES_KEY):
        with pytest.raises(KeyError):
            server.read(key)


def test_other_methods_are_refused(server: ArchiveServer) -> None:
    answer = fetch(server, KEY, method="DELETE")
    assert answer.status == 405
    assert answer.error()["Code"] == "MethodNotAllowed"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, None),
        ("bytes=-7", -7, None),
        ("bytes=5-999999999", 5, None),
        ("bytes=-999999999", 0, None),
    ],
)
def test_a_range_is_part_of_the_object(
    server: ArchiveServer, asked: str, first: int, last: int | None
) -> None:
    whole = server.read(KEY)
    answer = fetch(server, KEY, {"Range": asked})
    assert answer.status == 206
    assert answer.body == whole[first:last]
    start = whole.index(answer.body)
    stop = start + len(answer.body) - 1
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop}/{len(whole)}"
    assert server.requests[-1].range == asked


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=-", "bytes=9-3", "lines=1-2", "x"])
def test_what_is_no_single_range_gets_the_whole(server: ArchiveServer, asked: str) -> None:
    answer = fetch(server, KEY, {"Range": asked})
    assert (answer.status, answer.body) == (200, server.read(KEY))


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_not_satisfiable(server: ArchiveServer, asked: str) -> None:
    answer = fetch(server, KEY, {"Range": asked})
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(server.read(KEY))}"
    assert answer.error()["Code"] == "InvalidRange"


def test_if_range_guards_a_range(server: ArchiveServer) -> None:
    headers = fetch(server, KEY).headers
    for same in (headers["ETag"], headers["Last-Modified"]):
        assert fetch(server, KEY, {"Range": "bytes=0-9", "If-Range": same}).status == 206
    for other in ('"another"', f"W/{headers['ETag']}", "Fri, 01 May 2026 08:06:34 GMT"):
        assert fetch(server, KEY, {"Range": "bytes=0-9", "If-Range": other}).status == 200


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("If-None-Match", "{etag}", 304),
        ("If-None-Match", 'W/{etag}, "another"', 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", '"another"', 200),
        ("If-Match", '"another", {etag}', 200),
        ("If-Match", "*", 200),
        ("If-Match", '"another"', 412),
        ("If-Match", "W/{etag}", 412),
        ("If-Modified-Since", "Sat, 09 May 2026 08:06:34 GMT", 304),
        ("If-Modified-Since", "Sat, 09 May 2026 08:06:33 GMT", 200),
        ("If-Modified-Since", "yesterday", 200),
        ("If-Unmodified-Since", "Sat, 09 May 2026 08:06:34 GMT", 200),
        ("If-Unmodified-Since", "Sat, 09 May 2026 08:06:33 -0000", 412),
    ],
)
def test_preconditions(server: ArchiveServer, name: str, value: str, status: int) -> None:
    etag = fetch(server, KEY).headers["ETag"]
    answer = fetch(server, KEY, {name: value.format(etag=etag)})
    assert answer.status == status
    if status == 304:
        assert answer.body == b""
        assert answer.headers["ETag"] == etag
    if status == 412:
        assert answer.error()["Code"] == "PreconditionFailed"


def test_what_is_put_comes_before_what_is_made_up() -> None:
    with ArchiveServer() as server:
        made = server.read(KEY)
        server.put(KEY, b"mine", etag="abc-2", last_modified=datetime(2026, 7, 1, 12, tzinfo=UTC))
        answer = fetch(server, KEY)
        assert answer.body == b"mine"
        assert answer.headers["ETag"] == '"abc-2"'
        assert answer.headers["Last-Modified"] == "Wed, 01 Jul 2026 12:00:00 GMT"
        server.remove(KEY)
        assert fetch(server, KEY).status == 404
        server.put(KEY, made, etag='"quoted"')
        assert fetch(server, KEY).headers["ETag"] == '"quoted"'
        server.put("notes.txt", b"any key")
        assert fetch(server, "notes.txt").headers["Last-Modified"].endswith("08:06:34 GMT")


@pytest.mark.parametrize(("key", "end"), [(KEY, b""), (FUTURES_KEY, b"\n")])
def test_publishing_an_archive_publishes_its_sidecar(key: str, end: bytes) -> None:
    server = ArchiveServer()
    server.publish(key, b"a new version")
    digest = hashlib.sha256(b"a new version").hexdigest()
    name = key.rpartition("/")[2]
    assert server.read(key) == b"a new version"
    assert server.read(key + ".CHECKSUM") == f"{digest}  {name}".encode() + end
    with pytest.raises(ArchiveKeyError):
        server.publish("notes.txt", b"")


def test_the_log_says_what_was_asked() -> None:
    with ArchiveServer() as server:
        fetch(server, CHINESE_KEY, {"X-Test": "yes"}, method="HEAD")
        fetch(server, "?prefix=data/spot/&delimiter=/")
        first, second = server.requests
        assert (first.method, first.path, first.status) == ("HEAD", CHINESE_KEY, 200)
        assert (first.headers["x-test"], first.range, first.query) == ("yes", None, {})
        assert (second.path, second.status) == ("list:data/spot/", 200)
        assert second.query == {"prefix": "data/spot/", "delimiter": "/"}
        assert server.count() == 2
        assert server.count(CHINESE_KEY) == server.count("*USDT*", method="HEAD") == 1
        assert server.count("*USDT*", method="GET") == 0
        assert server.count("list:*") == 1
        assert server.peak_concurrency == 1
        server.clear()
        assert (server.requests, server.peak_concurrency) == ([], 0)


def test_two_servers_hold_the_same() -> None:
    one, other = ArchiveServer(today=TODAY), ArchiveServer(today=date(2026, 10, 1))
    for key in (KEY, FUTURES_KEY, CHINESE_KEY):
        assert one.read(key) == other.read(key)
        assert one.read(key + ".CHECKSUM") == other.read(key + ".CHECKSUM")
    assert one.read(KEY) != one.read(KEY.replace("05-08", "05-09"))
