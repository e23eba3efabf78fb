"""When pipelines are due: zones, hours that are skipped or come twice, times that never come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

from crypto_lakehouse.core.config.pipelines import Schedule
from crypto_lakehouse.core.errors import ExtraMissing
from crypto_lakehouse.workflows.daemon import times
from crypto_lakehouse.workflows.daemon.times import (
    due_after,
    missed_times,
    need_schedules,
    schedule_fault,
)

pytest.importorskip("cronsim", reason="the extra `daemon` is not installed")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "moment", "due"),
    [
        (Schedule("15 3 * * *"), "2026-11-28T03:14:59", "2026-11-28T03:15:00"),
        (Schedule("15 3 * * *"), "2026-11-28T03:15:00", "2026-11-29T03:15:00"),
        (Schedule("0 3 * * *", zone="Europe/Berlin"), "2026-11-28T12:00", "2026-11-29T02:00:00"),
        # the hour that is skipped in spring, and the one that comes twice in autumn
        (Schedule("30 2 * * *", zone="Europe/Berlin"), "2026-03-28T12:00", "2026-03-29T01:00:00"),
        (Schedule("30 2 * * *", zone="Europe/Berlin"), "2026-10-25T00:30", "2026-10-26T01:30:00"),
        (Schedule(every_s=300), "2026-11-28T12:00:00", "2026-11-28T12:05:00"),
        (Schedule(every_s=300), "2026-11-28T12:04:59.999999", "2026-11-28T12:05:00"),
        (Schedule("0 0 29 2 *"), "2026-11-28T12:00", "2028-02-29T00:00:00"),
    ],
)
def test_the_next_time(schedule: Schedule, moment: str, due: str) -> None:
    assert due_after(schedule, at(moment)) == at(due)


@pytest.mark.parametrize("cron", ["0 0 31 2 *", "60 * * * *", "5-1 * * * *", "a b c d e"])
def test_a_schedule_that_never_comes_is_refused(cron: str) -> None:
    assert schedule_fault(Schedule(cron)).startswith(f"`{cron}` is no cron expression, or names")
    assert schedule_fault(Schedule("0 0 29 2 *")) == ""


def test_the_times_that_passed_are_counted_up_to_a_bound() -> None:
    schedule, due = Schedule(every_s=60), at("2026-11-28T12:00:00")
    assert missed_times(schedule, due, due) == (0, due)
    later = due + timedelta(minutes=7, seconds=30)
    assert missed_times(schedule, due, later) == (7, due + timedelta(minutes=7))
    count, last = missed_times(schedule, due, due + timedelta(days=3650))
    assert (count, last) == (1000, due + timedelta(minutes=1000))


def test_the_extra_is_missed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    need_schedules()
    monkeypatch.setattr(times, "find_spec", lambda _name: None)
    with pytest.raises(ExtraMissing, match=r"crypto-lakehouse\[daemon\]"):
        need_schedules()


@given(
    st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15 1,2,3 * * 7"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - of UTC, below
)
@settings(max_examples=examples(60))
def test_times_only_grow(cron: str, zone: str, moment: datetime) -> None:
    schedule, found = Schedule(cron, zone=zone), [moment.replace(tzinfo=UTC)]
    for _ in range(20):
        found.append(due_after(schedule, found[-1]))
    assert all(before < after for before, after in pairwise(found))
