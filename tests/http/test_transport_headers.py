"""What is read out of headers, and URLs that are made of keys: any text, one answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import cast
from urllib.parse import unquote

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from crypto_lakehouse.collection.download.fetcher import Fetcher
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import RedirectRefused
from crypto_lakehouse.core.events import BodyStarted, Event
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.concurrency_limit import FixedLimit
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.routes import Route, SessionRoute
from crypto_lakehouse.http.session_client import AiohttpClient
from crypto_lakehouse.http.transport import HttpTransport, Response, object_url, retry_after_s
from crypto_lakehouse.stores.directory import LocalStore

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@given(st.text(max_size=60))
def test_any_retry_after_is_a_wait_or_none(value: str) -> None:
    seconds = retry_after_s(value, NOW)
    assert seconds is None or seconds >= 0


@given(st.from_regex(r"Mon, [0-9]{1,2} Nov [0-9]{1,6} [0-9:]{1,9} [+-]?[0-9A-Z]{1,12}"))
def test_any_text_like_a_date_is_a_wait_or_none(value: str) -> None:
    seconds = retry_after_s(value, NOW)
    assert seconds is None or seconds >= 0


@given(st.integers(0, 10**9))
def test_seconds_are_taken_as_they_are(seconds: int) -> None:
    assert retry_after_s(str(seconds), NOW) == seconds


@given(st.integers(-(10**8), 10**8))
def test_a_date_is_the_time_until_then_and_never_negative(seconds: int) -> None:
    moment = NOW + timedelta(seconds=seconds)
    assert retry_after_s(format_datetime(moment, usegmt=True), NOW) == max(0, seconds)


@pytest.mark.parametrize(
    "value",
    [
        "Mon, 23 Nov 2026 12:00:30 +9999",
        "Mon, 23 Nov 2026 12:00:30 +99999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Sat, 01 Jan 0001 00:00:00 +2359",
        "Mon, 23 Nov 99999 12:00:30 GMT",
        "9" * 400,
        "²",
        "",
    ],
)
def test_a_retry_after_out_of_all_bounds_breaks_nothing(value: str) -> None:
    seconds = retry_after_s(value, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    "key",
    [
        "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip",
        "data/spot/daily/trades/币安人生USDT/币安人生USDT-trades-2025-07-15.zip",
        "data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2020-8.zip",
    ],
)
def test_a_key_comes_back_out_of_its_url(key: str) -> None:
    archive = Archive.parse(key)
    for wanted in (archive.key, archive.sidecar_key):
        url = object_url(URL("https://mirror.example/base"), wanted)
        assert unquote(url.raw_path) == f"/base/{wanted}"
        assert url.raw_path.isascii()


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_no_text_in_a_key_becomes_a_query_a_fragment_or_another_host(text: str) -> None:
    base = URL("https://user:secret@mirror.example:8443/base/")
    url = object_url(base, f"data/{text}.zip")
    assert url.origin() == base.origin()
    assert not url.raw_query_string
    assert not url.raw_fragment
    assert url.user is url.password is None
    assert unquote(url.raw_path) == f"/base/data/{text}.zip"


@pytest.mark.parametrize(
    ("source", "named", "target", "allowed"),
    [
        ("http://localhost:8000", [], "http://localhost:8000/x", True),
        ("http://localhost:8000", [], "http://localhost:8001/x", False),
        ("http://localhost:8000", [], "https://localhost:8000/x", False),
        ("http://localhost:8000", ["mirror.example"], "http://mirror.example/x", False),
        ("http://localhost:8000", ["127.0.0.2"], "http://127.0.0.2/x", True),
        ("http://localhost:8000", ["mirror.example"], "https://mirror.example:444/x", True),
        ("https://s.example", ["mirror.example:443"], "https://mirror.example:444/x", False),
        ("https://s.example", ["MIRROR.example"], "https://mirror.EXAMPLE/x", True),
        ("https://s.example", ["mirror.example"], "https://evil@mirror.example/x", True),
        ("https://s.example", ["mirror.example"], "https://mirror.example@evil.example/x", False),
        ("https://s.example", ["s.example"], "http://s.example/x", False),
    ],
)
def test_the_source_and_named_hosts_are_the_only_origins(
    source: str, named: list[str], target: str, allowed: bool
) -> None:
    hosts = AllowedHosts.of(source, named)
    assert (not hosts.refusal(hosts.source, URL(target))) is allowed


# Headers that are no text, or say what cannot be ----------------------------------------------

BASE = URL("https://mirror.example")
ARCHIVE = Archive.parse("data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-07-15.zip")


class Answer:
    """What aiohttp makes of a response, as far as it is read here."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.content = self

    def at_eof(self) -> bool:
        return True

    def release(self) -> None:
        return None


class Session:
    """A session whose every answer is the same."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def get(self, _url: URL, **_options: object) -> Answer:
        return self.answer


def transport_of(answer: Answer) -> HttpTransport:
    session = cast("aiohttp.ClientSession", Session(answer))
    client = AiohttpClient(SessionRoute(Route(session)), 1.0)
    return HttpTransport(client, AllowedHosts.of(str(BASE), []))


@pytest.mark.parametrize(
    ("announced", "size_bytes"),
    [
        (None, None),
        ("0", 0),
        (str(2**40), 2**40),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        ("9" * 5_000, None),
        ("-1", None),
    ],
)
async def test_a_length_that_no_disk_can_hold_is_none(
    announced: str | None, size_bytes: int | None
) -> None:
    headers = {} if announced is None else {"Content-Length": announced}
    async with transport_of(Answer(200, headers)).get(BASE, {}) as response:
        assert response.size_bytes == size_bytes


@pytest.mark.parametrize(
    "location",
    ["http://h\udcff/", "\udcff", "http://币.example/\udc80", "//[]@", "http://[::1", "//h:99999/"],
)
async def test_a_refused_redirect_can_be_written_whatever_it_says(location: str) -> None:
    """The HTTP client hands on header bytes that are not UTF-8 as lone surrogates."""
    with pytest.raises(RedirectRefused) as refused:
        async with transport_of(Answer(302, {"Location": location})).get(BASE, {}):
            pass
    str(refused.value).encode()


class Fixed:
    """A transport whose every answer is the same."""

    status = 200
    size_bytes: int | None

    def __init__(self, body: bytes, headers: Mapping[str, str], *, announces: bool) -> None:
        self.body = body
        self.headers = headers
        self.size_bytes = len(body) if announces else None

    @asynccontextmanager
    async def get(self, _url: URL, _headers: Mapping[str, str]) -> AsyncIterator[Response]:
        yield self

    async def read(self, limit: int) -> bytes:
        return self.body[:limit]

    async def chunks(self) -> AsyncGenerator[bytes]:
        yield self.body


@pytest.mark.parametrize("announces", [True, False])
@pytest.mark.parametrize(
    ("value", "kept"),
    [('"abc"', '"abc"'), ("", None), ('"\udcff"', None), ('"\u5e01"', None), ('W/"a"', 'W/"a"')],
)
async def test_validators_are_kept_where_they_are_text(
    tmp_path: Path, value: str, kept: str | None, announces: bool
) -> None:
    """They go to the ledger, to notes and event files, and back to the source."""
    emitted: list[Event] = []

    async def emit(events: list[Event] | tuple[Event, ...] | object) -> None:
        assert isinstance(events, tuple)
        emitted.extend(events)

    transport = Fixed(b"body", {"ETag": value, "Last-Modified": value}, announces=announces)
    fetcher = Fetcher(transport, BASE, LocalStore(tmp_path), RetryPolicy(), FixedLimit(1), emit)
    fetched = await fetcher.archive(fetcher.transfer(ARCHIVE))
    assert fetched is not None
    assert (fetched.etag, fetched.last_modified) == (kept, kept)
    assert len(emitted) == (not announces)
    for event in emitted:
        assert isinstance(event, BodyStarted)
        assert (event.facts.etag, event.facts.last_modified) == (kept, kept)
