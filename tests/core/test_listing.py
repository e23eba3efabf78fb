"""ETags and dates as headers and listings write them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.listing import md5_of_etag, moment_of, same_etag, same_moment

MD5 = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("etag", "md5"),
    [
        (f'"{MD5}"', MD5),
        (MD5.upper(), MD5),
        (f'W/"{MD5}"', None),
        (f'"{MD5}-3"', None),
        ('"67-abc"', None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_strong_single_part_etag_is_a_digest(etag: str | None, md5: str | None) -> None:
    assert md5_of_etag(etag) == md5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (f'"{MD5}"', MD5, True),
        (f'W/"{MD5}"', f'"{MD5.upper()}"', True),
        (f'"{MD5}"', f'"{MD5}-2"', False),
        (None, f'"{MD5}"', False),
        (None, None, False),
    ],
)
def test_marks_on_an_etag_do_not_count(one: str | None, other: str | None, *, same: bool) -> None:
    assert same_etag(one, other) is same_etag(other, one) is same


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_headers_and_listings_mean_the_same_second(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC, microsecond=0)
    header = format_datetime(moment, usegmt=True)
    listed = f"{moment:%Y-%m-%dT%H:%M:%S}.000Z".rjust(24, "0")
    assert moment_of(header) == moment_of(listed) == moment
    assert same_moment(header, listed)


@pytest.mark.parametrize("text", [None, "", "yesterday", "2025-07-15T00:00:00", "1 Foo 2025"])
def test_what_is_no_moment_is_none(text: str | None) -> None:
    assert moment_of(text) is None


def test_an_unknown_date_differs_from_none() -> None:
    assert same_moment(None, "Tue, 15 Jul 2025 03:00:00 GMT")
    assert same_moment("x", "x")
    assert not same_moment("2025-07-15T03:00:00Z", "2025-07-15T03:00:01Z")
