"""ETags and moments that no honest source writes, and what follows from the honest ones."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crypto_lakehouse.core.listed import md5_of_etag, moment_of, same_etag, same_moment

MOMENT = datetime(2025, 7, 15, 3, tzinfo=UTC)
LISTED = "2025-07-15T03:00:00.000Z"
HEADER = "Tue, 15 Jul 2025 03:00:00 GMT"

bodies = st.binary(max_size=50)
marks = st.sampled_from(["{}", '"{}"', 'W/"{}"', "W/{}"])


@given(bodies, marks)
def test_a_single_part_etag_is_the_md5_of_the_body(body: bytes, mark: str) -> None:
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    found = md5_of_etag(mark.format(md5))
    assert found == (None if mark.startswith("W/") else md5)
    assert md5_of_etag(mark.format(f"{md5}-12")) is None


@pytest.mark.parametrize(
    "etag", ["0" * 31, "0" * 33, "g" * 32, "٠" * 32, " " + "0" * 32, f'"{"0" * 32}\n"', "0" * 64]
)
def test_what_only_resembles_an_md5_is_none(etag: str) -> None:
    assert md5_of_etag(etag) is None


@given(bodies, bodies, marks, marks)
def test_etags_are_the_same_where_the_bodies_are(
    one: bytes, other: bytes, mark: str, other_mark: str
) -> None:
    first, second = (hashlib.md5(body, usedforsecurity=False).hexdigest() for body in (one, other))
    assert same_etag(mark.format(first), other_mark.format(second)) is (one == other)


@given(st.none() | st.text(max_size=40))
@example("Tue, 15 Jul 2025 03:00:00 +9999")
@example("Tue, 15 Jul 99999999999 03:00:00 GMT")
@example("9999-12-31T23:59:59-23:59")
@example("2025-07-15T03:00:00+24:00")
@example("\0")
def test_no_text_is_too_strange_for_a_moment(text: str | None) -> None:
    moment = moment_of(text)
    assert moment is None or moment.tzinfo is not None
    assert same_moment(text, text)


@given(st.none() | st.text(max_size=40), st.none() | st.text(max_size=40))
def test_moments_are_compared_the_same_both_ways(one: str | None, other: str | None) -> None:
    assert same_moment(one, other) is same_moment(other, one)


@given(st.integers(-23, 23), st.integers(0, 999_999))
def test_a_moment_is_a_whole_second_wherever_it_is_told(hours: int, microseconds: int) -> None:
    there = MOMENT.replace(microsecond=microseconds).astimezone(timezone(timedelta(hours=hours)))
    assert moment_of(there.isoformat()) == MOMENT
    assert moment_of(format_datetime(there)) == MOMENT
    assert same_moment(there.isoformat(), HEADER)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (HEADER, LISTED, True),
        (HEADER, "2025-07-15T03:00:00.999Z", True),
        (HEADER, "2025-07-15T03:00:01Z", False),
        (HEADER, "2025-07-15T03:00:00", False),
        (HEADER, None, True),
        (None, None, True),
        (HEADER, "yesterday", False),
    ],
)
def test_one_second_is_one_moment(one: str | None, other: str | None, *, same: bool) -> None:
    assert same_moment(one, other) is same
