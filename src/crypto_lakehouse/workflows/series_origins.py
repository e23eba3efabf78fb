"""Where archive, fill and live begin and end for each series, and what recordings there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from attrs import asdict, define, field, fields_dict, frozen

from crypto_lakehouse.core.archive import Market, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.data_types import DataType, data_type_of
from crypto_lakehouse.core.errors import ExtraMissing
from crypto_lakehouse.core.live_keys import live_begin, live_stream_of
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.coverage.coverage import SeriesCoverage
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows.segments_alone import recorded_files
from crypto_lakehouse.workflows.wiring.needed_packages import need_tables

if TYPE_CHECKING:
    from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog

__all__ = [
    "RecordedDays",
    "Recording",
    "ScoredDay",
    "SeriesOrigins",
    "Span",
    "Window",
    "catalog_of",
    "origins_by_series",
    "recorded_days",
    "recordings_of",
]


@frozen
class Span:
    """Days of one origin.

    Attributes:
        first, last: The first and the last UTC day.
        days: How many days there are from the first to the last; None if that is not known.
    """

    first: date
    last: date
    days: int | None = None

    def to_mapping(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {"first": str(self.first), "last": str(self.last), "days": self.days}


@frozen(kw_only=True)
class ScoredDay:
    """How much of an archive's day was recorded.

    Attributes:
        score: The share of the archive's rows that were recorded as they are; None if it has none.
        archive_rows: The archive's rows.
        missing: Those that were not recorded.
        differing: Those that were recorded with other values.
        not_in_archive: Recorded rows that the archive lacks.
    """

    day: date
    score: float | None
    archive_rows: int
    missing: int
    differing: int
    not_in_archive: int

    def to_mapping(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self) | {"day": str(self.day)}


@frozen
class RecordedDays:
    """What a lake has of the recordings of a series.

    Attributes:
        days: The days of which recordings are ingested, in order.
        scores: Those that an archive has, too.
    """

    days: list[date] = field(factory=list)
    scores: list[ScoredDay] = field(factory=list)


@frozen(kw_only=True)
class SeriesOrigins:
    """Where the rows of a series come from; None where there are none of an origin.

    Attributes:
        archive: The days that are verified.
        fill: The days that are filled from the exchange.
        live: The days of which recordings are ingested.
        scores: Those that an archive has, too.
    """

    series: Series
    archive: Span | None
    fill: Span | None
    live: Span | None
    scores: tuple[ScoredDay, ...] = ()

    def to_mapping(self) -> dict[str, Any]:
        """Return it as JSON types."""
        spans = {"archive": self.archive, "fill": self.fill, "live": self.live}
        return {
            "market": self.series.market,
            "data_type": self.series.data_type,
            "symbol": self.series.symbol,
            "interval": self.series.interval,
            **{name: span and span.to_mapping() for name, span in spans.items()},
            "scores": [each.to_mapping() for each in self.scores],
        }


@define(kw_only=True)
class Recording:
    """The segments of a market and a kind of stream, which have all symbols together.

    Attributes:
        data_type: What their rows are.
        segments: How many there are, with the one that is being written.
        first, last: When the first and the last of them begin, UTC.
    """

    market: Market
    data_type: DataType
    segments: int = 0
    first: datetime
    last: datetime

    def to_mapping(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "market": self.market,
            "data_type": self.data_type,
            "segments": self.segments,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
        }


def recordings_of(
    config: WorkflowConfig, wanted: Callable[[Market, DataType], bool]
) -> tuple[Recording, ...]:
    """List the segments of an output; blocking. One in an object store is listed by requests.

    Args:
        config: Names the output.
        wanted: Selects markets and data types.

    Raises:
        StoreError: A store failed.
    """
    found: dict[tuple[Market, StreamKind], Recording] = {}
    for key in recorded_files(output_of(config)).keys():  # noqa: SIM118 - it is no mapping
        stream, begun = live_stream_of(key), live_begin(key)
        if stream is None:
            continue
        market, data_type = stream[0], data_type_of(stream[1])
        if not wanted(market, data_type):
            continue
        new = Recording(market=market, data_type=data_type, first=begun, last=begun)
        one = found.setdefault(stream, new)
        one.segments += 1
        one.first, one.last = min(one.first, begun), max(one.last, begun)
    return tuple(found[stream] for stream in sorted(found))


def recorded_days(
    config: WorkflowConfig, wanted: Callable[[Series], bool]
) -> dict[Series, RecordedDays]:
    """Return the days of which recordings are ingested, by series, with their scores; blocking.

    Those are in the lake of the output. Without one, or without the extra `tables`, there are none.

    Args:
        config: Names the output.
        wanted: Selects series.

    Raises:
        LakeError: The lake cannot be read.
        StoreError: The object store fails.
    """
    with catalog_of(config) as catalog:
        if catalog is None:
            return {}
        from crypto_lakehouse.tables.ingest.recorded_series import recorded_series, scored_days

        found = {series: RecordedDays(days) for series, days in recorded_series(catalog, wanted)}
        for series, row in scored_days(catalog, wanted):
            values = {name: row[name] for name in fields_dict(ScoredDay)}
            found.setdefault(series, RecordedDays()).scores.append(ScoredDay(**values))
        return found


@contextmanager
def catalog_of(config: WorkflowConfig) -> Iterator[LakeCatalog | None]:
    """Open the lake of an output; None without one, or without the extra `tables`; blocking.

    Raises:
        LakeError: The lake cannot be opened.
        StoreError: The object store fails.
    """
    try:
        need_tables()
    except ExtraMissing:
        yield None
        return
    from crypto_lakehouse.stores.objects.opening import Connection
    from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
    from crypto_lakehouse.tables.lake.places import lake_place

    output = output_of(config)
    place = lake_place(
        output.place,
        storage=config.storage,
        state_directory=config.state_directory,
        connection=Connection.of(config) if output.is_url else None,
    )
    if not place.is_used():
        yield None
        return
    catalog = LakeCatalog(place)
    try:
        yield catalog
    finally:
        catalog.close()


@frozen(kw_only=True)
class Window:
    """The days that are selected, both inclusive; None is unbounded."""

    start: date | None
    end: date | None

    def holds(self, day: date) -> bool:
        """Whether a day is selected."""
        return (self.start is None or day >= self.start) and (self.end is None or day <= self.end)

    def span(self, days: Sequence[date]) -> Span | None:
        """The span of sorted days, as far as they are selected."""
        inside = [day for day in days if self.holds(day)]
        return Span(inside[0], inside[-1], len(inside)) if inside else None


def origins_by_series(
    coverages: Iterable[SeriesCoverage],
    live: Mapping[Series, RecordedDays],
    window: Window,
    filled: Mapping[Series, Sequence[date]],
) -> Iterator[SeriesOrigins]:
    """Yield where the rows of each series come from, sorted; also of those only recorded.

    Args:
        coverages: The series of the ledger.
        live: What recordings are ingested.
        window: The selected days.
        filled: Days that are filled, of series that are not in the ledger.
    """
    known = {coverage.series: coverage for coverage in coverages}
    for series in sorted({*known, *live, *filled}):
        own = live.get(series, RecordedDays())
        recorded = window.span(own.days)
        coverage = known.get(series)
        fill = _fill_span(coverage) if coverage else window.span(filled.get(series, ()))
        if coverage is not None or recorded is not None or fill is not None:
            yield SeriesOrigins(
                series=series,
                archive=_archive_span(coverage) if coverage else None,
                fill=fill,
                live=recorded,
                scores=tuple(each for each in own.scores if window.holds(each.day)),
            )


def _archive_span(coverage: SeriesCoverage) -> Span | None:
    if coverage.first_day is None or coverage.last_day is None:
        return None
    return Span(coverage.first_day, coverage.last_day, coverage.verified_days)


def _fill_span(coverage: SeriesCoverage) -> Span | None:
    if coverage.first_filled is None or coverage.last_filled is None:
        return None
    return Span(coverage.first_filled, coverage.last_filled)
