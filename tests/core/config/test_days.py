"""Days, months, years and words as people write them."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.config.days import parse_days, parse_edge

TODAY = date(2025, 7, 15)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024-02-29", "2024-02-29", "2024-02-29"),
        ("2023-02", "2023-02-01", "2023-02-28"),
        ("2024-12", "2024-12-01", "2024-12-31"),
        ("2024", "2024-01-01", "2024-12-31"),
        ("9999", "9999-01-01", "9999-12-31"),
        ("today", "2025-07-15", "2025-07-15"),
        ("yesterday", "2025-07-14", "2025-07-14"),
        ("1d", "2025-07-14", "2025-07-14"),
        ("7d", "2025-07-08", "2025-07-14"),
        ("2w", "2025-07-01", "2025-07-14"),
    ],
)
def test_a_text_is_its_first_and_last_day(text: str, first: str, last: str) -> None:
    assert tuple(map(str, parse_days(text, TODAY))) == (first, last)


@pytest.mark.parametrize(
    "text",
    ["", "7", "0d", "-1d", "7D", "100000d", "2024-1", "2024-13", "2024-00", "0000", "2023-02-29",
     "20240131", "2024-W05", "Today", "tomorrow", "1m", "2024-01-01T00:00", "２０２４"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|must be|out of range"):
        parse_days(text, TODAY)


def test_days_ago_are_the_same_day_at_both_edges() -> None:
    for is_end in (False, True):
        assert parse_edge("7d", TODAY, is_end=is_end) == date(2025, 7, 8)
    assert parse_edge("2024-01", TODAY, is_end=True) == date(2024, 1, 31)


@given(st.dates(date(1000, 1, 1), date(9999, 11, 30)))
def test_a_month_ends_the_day_before_the_next(day: date) -> None:
    first, last = parse_days(f"{day:%Y-%m}".rjust(7, "0"), TODAY)
    assert first == day.replace(day=1)
    assert (last + timedelta(days=1)).day == 1
    assert day <= last < first + timedelta(days=31)
