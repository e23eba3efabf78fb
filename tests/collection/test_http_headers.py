"""What is read out of headers, and URLs that are made of keys: any text, one answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from crypto_lakehouse.collection.http import Origins, object_url, retry_after_s
from crypto_lakehouse.core.archive import Archive

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


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30))
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
        ("http://localhost:8000", ["mirror.example"], "http://mirror.example/x", True),
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
    assert Origins.of(source, named).allow(URL(target)) is allowed
