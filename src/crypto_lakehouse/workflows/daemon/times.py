"""When a pipeline is due."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec
from zoneinfo import ZoneInfo

from crypto_lakehouse.core.config.pipelines import Schedule
from crypto_lakehouse.core.errors import ExtraMissing

__all__ = ["due_after", "missed_times", "need_schedules", "schedule_fault"]

#: More times that were missed are not counted.
_MOST_MISSED = 1000


def need_schedules() -> None:
    """Fail at once if what reads cron expressions is not installed.

    Raises:
        ExtraMissing: The extra `daemon` is missing.
    """
    if find_spec("cronsim") is None:
        raise ExtraMissing("daemon", "schedules need cronsim")


def schedule_fault(schedule: Schedule) -> str:
    """Return why a schedule cannot be used; empty if it can."""
    from cronsim import CronSimError

    try:
        due_after(schedule, datetime.now(UTC))
    except CronSimError as error:
        return f"`{schedule.cron}` is no cron expression, or names a day that never comes: {error}"
    except StopIteration:
        return f"`{schedule.cron}` never comes"
    return ""


def due_after(schedule: Schedule, moment: datetime) -> datetime:
    """Return the first time of a schedule after a moment; both are in UTC.

    In the hour that a zone skips, jobs of that hour are due when it ends; those of the hour that
    comes twice are due once.
    """
    if schedule.every_s:
        number = int(moment.timestamp() // schedule.every_s) + 1
        return datetime.fromtimestamp(number * schedule.every_s, UTC)
    from cronsim import CronSim

    found: datetime = next(CronSim(schedule.cron, moment.astimezone(ZoneInfo(schedule.zone))))
    return found.astimezone(UTC)


def missed_times(schedule: Schedule, due: datetime, now: datetime) -> tuple[int, datetime]:
    """Return how many times of a schedule came after one that is due, and the last of all."""
    last, count = due, 0
    while count < _MOST_MISSED and (following := due_after(schedule, last)) <= now:
        last, count = following, count + 1
    return count, last
