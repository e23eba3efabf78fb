"""Rows of fundingRate: settlements, and the hours to the next one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from crypto_lakehouse.segments.answers import Answer, Place
from crypto_lakehouse.segments.fill_day import FillDay, Row, us_per_unit
from crypto_lakehouse.segments.page_order import Merging, in_order

__all__ = ["funding_rows"]

_HOUR_US = 3_600_000_000


def funding_rows(answers: Iterable[Answer], day: FillDay) -> list[Row]:
    """Read the settlements of a day.

    The endpoint does not say the hours to the next settlement, which the archive has. They follow
    from the next settlement; those of the last one from `fundingInfo`, if that is among the
    responses, or else from the settlement before.

    Args:
        answers: Of `fundingRate`, from whatever time on, and perhaps of `fundingInfo`.
        day: The day.

    Raises:
        SegmentError: A settlement lacks a field or has one of another type, or times are not in
            order; there is only one settlement and nothing that tells its interval.
    """
    hours_now: int | None = None
    merging = Merging(day)
    found: list[Row] = []
    places: dict[int, Place] = {}
    for answer in answers:
        if answer.endpoint == "fundingInfo":
            hours_now = _hours_now(answer, day.series.symbol, hours_now)
            continue
        answer.asked("symbol", day.series.symbol)
        rows = [(place, _settlement(place, day.series.symbol)) for place in answer.rows()]
        ordered = list(in_order(rows, day))
        places |= {row.key: place for place, row in ordered}
        found += merging.add(answer, [row for _, row in ordered])
    found += merging.rest()
    return [
        Row(row.key, row.time, b"%d,%d,%s" % (row.time, hours, row.line))
        for row, hours in _with_hours(found, places, hours_now)
        if day.has(places[row.key], row.time)
    ]


def _settlement(place: Place, symbol: str) -> Row:
    place.expect("symbol", symbol)
    time = place.number("fundingTime")
    return Row(time, time, f"{place.decimal('fundingRate')}\n".encode())


def _hours_now(answer: Answer, symbol: str, before: int | None) -> int | None:
    for place in answer.rows():
        if place.value("symbol") == symbol:
            return place.number("fundingIntervalHours")
    return before


def _with_hours(
    rows: list[Row], places: dict[int, Place], hours_now: int | None
) -> Iterable[tuple[Row, int]]:
    steps = [
        # Settlements are some milliseconds late.
        round((after.time - row.time) * us_per_unit(row.time) / _HOUR_US)
        for row, after in pairwise(rows)
    ]
    if rows:
        last = hours_now or (steps[-1] if steps else None)
        if last is None:
            places[rows[0].key].refuse(
                "the hours to the next settlement are not known: no other settlement and no "
                "`fundingInfo` of the symbol is among the responses"
            )
        steps.append(last)
    return zip(rows, steps, strict=True)
