"""An absence is normal until the publication lag has passed."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import ARCHIVE, archives, days

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.plan import PlannedArchive


@given(archives, st.integers(0, 60), days)
def test_an_archive_may_be_late_up_to_the_last_day_of_its_lag(
    archive: Archive, lag_days: int, today: date
) -> None:
    planned = PlannedArchive(archive, lag_days=lag_days)
    assert planned.may_be_late(today) == ((today - archive.period.last_day).days <= lag_days)


@pytest.mark.parametrize(("days_after", "late"), [(-1, True), (0, True), (3, True), (4, False)])
def test_the_lag_counts_from_the_last_day_of_the_period(days_after: int, late: bool) -> None:
    month = Archive.parse("data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-02.zip")
    for archive in (ARCHIVE, month):
        today = archive.period.last_day + timedelta(days=days_after)
        assert PlannedArchive(archive, lag_days=3).may_be_late(today) is late


def test_an_archive_is_published_and_prompt_unless_said_otherwise() -> None:
    planned = PlannedArchive(ARCHIVE)
    assert (planned.not_published, planned.lag_days) == ("", 0)
    assert not planned.may_be_late(ARCHIVE.period.last_day + timedelta(days=1))
