"""The metrics for Prometheus: the name, the type, the labels and the source of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta

from attrs import field, frozen

from crypto_lakehouse.core.config.freshness_settings import named_groups, objective_of
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.sinks.run_figures import Histogram, Labels, RunFigures
from crypto_lakehouse.version import __version__

__all__ = ["LAST_SUCCESS", "METER_METRICS", "METRICS", "MetricSpec", "Values", "meter_values"]

Values = Mapping[Labels, float | Histogram]

#: When a run of a workflow was complete for the last time; a file keeps it from run to run.
LAST_SUCCESS = "crypto_lakehouse_run_last_success_timestamp_seconds"

_DAY_S = 86_400
_GROUP = ("market", "data_type")


@frozen
class MetricSpec:
    """One metric.

    Attributes:
        name: Its name; that of a counter ends with `_total`.
        kind: `counter`, `gauge` or `histogram`.
        help: What it counts, in a sentence.
        labels: The names of its labels.
        read: Its values, by the values of its labels.
        by_series: Whether symbol and interval are labels, too, if that is asked for.
    """

    name: str
    kind: str
    help: str
    labels: Labels
    read: Callable[[RunFigures], Values]
    by_series: bool = field(default=False, kw_only=True)

    def labels_of(self, figures: RunFigures) -> Labels:
        """The names of its labels for these figures."""
        if self.by_series and figures.by_symbol:
            return (*_GROUP, "symbol", "interval", *self.labels[len(_GROUP) :])
        return self.labels


def _plain(value: float) -> Values:
    return {(): value}


def _unless_zero(value: float) -> Values:
    return {(): value} if value else {}


def _end_of(day: date) -> float:
    """The end of a UTC day, in seconds since 1970."""
    return datetime.combine(day + timedelta(days=1), time(), UTC).timestamp()


def _newest(figures: RunFigures) -> Values:
    """The newest of what the ledger has and of what was verified since.

    Of several outputs it is not known which one a day was verified for: the ledgers alone count.
    """
    several = len(figures.coverages) > 1
    days = {} if several else dict(figures.newest)
    for labels, group in figures.coverage.items():
        if group.newest is not None:
            days[labels] = max(group.newest, days.get(labels, group.newest))
    return {labels: _end_of(day) for labels, day in days.items()}


def _alive(figures: RunFigures) -> Values:
    return {} if figures.daemon_time is None else {(): figures.daemon_time()}


def _objectives(figures: RunFigures) -> Values:
    """The objective of each group that is named, or that has series.

    A run that has none and reads no ledger does not say that there is none any more.
    """
    if not (figures.objectives or figures.coverages):
        return figures.earlier_objectives
    known = {labels[: len(_GROUP)] for labels in (*figures.coverage, *figures.newest)}
    groups = sorted(known.union(named_groups(figures.objectives)))
    found = {group: objective_of(figures.objectives, *group) for group in groups}
    return {group: seconds for group, seconds in found.items() if seconds is not None}


def _hole_days(figures: RunFigures) -> Values:
    return {
        (*labels, cause): days
        for labels, group in figures.coverage.items()
        for cause, days in group.hole_days.items()
    }


def _lag(figures: RunFigures) -> Values:
    return {labels: group.lag_days * _DAY_S for labels, group in figures.coverage.items()}


def _live(name: str, scale: float = 1) -> Callable[[RunFigures], Values]:
    """Read a count of what a recording has seen; there is none without a recording."""

    def read(figures: RunFigures) -> Values:
        value = None if figures.recorded is None else getattr(figures.recorded, name)
        return {} if value is None else {(): value * scale}

    return read


def _metric(
    kind: str, name: str, text: str, labels: Labels, read: Callable[[RunFigures], Values]
) -> MetricSpec:
    return MetricSpec(f"crypto_lakehouse_{name}", kind, text, labels, read)


METRICS: tuple[MetricSpec, ...] = (
    _metric("gauge", "build_info", "The version of crypto-lakehouse; the value is 1.",
            ("version",), lambda _: {(__version__,): 1}),
    _metric("gauge", "daemon_alive_timestamp_seconds", "When a daemon has made these metrics.",
            (), _alive),
    _metric("counter", "runs_total", "Runs that have ended, by status.",
            ("workflow", "status"), lambda figures: figures.runs),
    _metric("gauge", "run_start_timestamp_seconds", "When the newest run has begun.",
            ("workflow",), lambda figures: figures.started),
    _metric("gauge", "run_end_timestamp_seconds", "When the newest run has ended.",
            ("workflow",), lambda figures: figures.finished),
    MetricSpec(LAST_SUCCESS, "gauge", "When a run was complete for the last time.",
               ("workflow",), lambda figures: figures.succeeded),
    _metric("counter", "warnings_total", "Warnings about runs as a whole.",
            (), lambda figures: _plain(figures.warnings)),
    _metric("gauge", "planned_archives", "Archives, or days to fill, in the newest plan.",
            ("workflow",), lambda figures: figures.planned),
    _metric("gauge", "planned_bytes", "The size of the newest plan's zips, if it was listed.",
            ("workflow",), lambda figures: figures.planned_bytes),
    _metric("counter", "archives_total", "Archives that have a verdict.",
            (*_GROUP, "verdict"), lambda figures: figures.archives),
    _metric("counter", "archive_bytes_total", "Body bytes received for archives with a verdict.",
            _GROUP, lambda figures: figures.archive_bytes),
    _metric("histogram", "archive_seconds", "Time from the decision to fetch to the verdict.",
            ("market",), lambda figures: figures.archive_seconds),
    _metric("counter", "requests_total",
            "Requests for archives, sidecars and listings, by HTTP status.", ("code",),
            lambda figures: figures.requests),
    _metric("histogram", "request_seconds", "Time until the head of the response came.",
            (), lambda figures: figures.request_seconds),
    _metric("counter", "retries_total", "Requests that failed and were made again.",
            ("kind",), lambda figures: figures.retries),
    MetricSpec("crypto_lakehouse_newest_verified_timestamp_seconds", "gauge",
               "The end of the newest verified day.", _GROUP, _newest, by_series=True),
    MetricSpec("crypto_lakehouse_source_lag_seconds", "gauge",
               "How far the series that is furthest behind is behind what the source should have.",
               _GROUP, _lag, by_series=True),
    _metric("gauge", "freshness_objective_seconds",
            "How long ago the newest verified day may have ended.", _GROUP, _objectives),
    _metric("counter", "fills_total", "Days of series that have a verdict of a fill.",
            (*_GROUP, "verdict"), lambda figures: figures.fills),
    _metric("counter", "fill_rows_total", "Rows that were fetched from the exchange.",
            _GROUP, lambda figures: figures.fill_rows),
    _metric("counter", "fill_requests_total", "Requests to the exchange.",
            (), lambda figures: _unless_zero(figures.fill_requests)),
    _metric("counter", "fill_weight_total", "What they used of the exchange's budget.",
            (), lambda figures: _unless_zero(figures.fill_weight)),
    _metric("counter", "ingested_archives_total", "Archives that were ingested, or were not.",
            ("table", "state"), lambda figures: figures.ingested),
    _metric("counter", "lake_rows_total", "Rows of ingested archives.",
            ("table",), lambda figures: figures.lake_rows),
    _metric("counter", "lake_commits_total", "Commits to tables.",
            ("table",), lambda figures: figures.lake_commits),
    _metric("counter", "scored_rows_total",
            "Rows of archives on days that were recorded, too, as they were compared.",
            ("table",), lambda figures: figures.scored_rows),
    _metric("counter", "recorded_rows_total", "Those of these rows that were recorded as they are.",
            ("table",), lambda figures: figures.recorded_rows),
    _metric("counter", "checked_files_total", "Stored files that `verify` has checked.",
            ("state",), lambda figures: figures.checked),
    _metric("gauge", "live_streams", "Streams that are recorded.", (), _live("streams")),
    _metric("counter", "live_messages_total", "Messages that came.", (), _live("messages")),
    _metric("counter", "live_bytes_total", "The size of these messages.", (), _live("size_bytes")),
    _metric("counter", "live_duplicates_total", "Messages that came again.",
            (), _live("duplicates")),
    _metric("counter", "live_unreadable_total", "Messages that cannot be read.",
            (), _live("unreadable")),
    _metric("counter", "live_filled_total", "Messages that were fetched afterwards.",
            (), _live("filled")),
    _metric("counter", "live_gaps_total", "Holes in recorded streams.", (), _live("holes")),
    _metric("counter", "live_connections_total", "Connections that were opened.",
            (), _live("connections")),
    _metric("counter", "live_reconnects_total", "Connections that replaced one that had ended.",
            (), _live("reconnects")),
    _metric("counter", "live_segments_total", "Segments that were finished.",
            (), _live("segments")),
    _metric("counter", "live_ingestions_total",
            "Ingestions beside a recording, by status: complete, or partial if something failed.",
            ("status",), lambda figures: figures.live_ingestions),
    _metric("counter", "live_ingested_rows_total", "Rows that they have brought into tables.",
            (), lambda figures: _unless_zero(figures.live_ingested_rows)),
    _metric("gauge", "live_lag_seconds", "How late the newest message came, by its own time.",
            (), _live("lag_us", 1e-6)),
    _metric("gauge", "live_clock_skew_seconds", "How far the clock is ahead of the exchange's.",
            (), _live("skew_us", 1e-6)),
    MetricSpec("crypto_lakehouse_holes", "gauge", "Days that are not verified, by cause.",
               (*_GROUP, "cause"), _hole_days, by_series=True),
)  # fmt: skip


def meter_values(meter: ByteMeter) -> Iterator[tuple[MetricSpec, Values]]:
    """Yield what the meter of a collection shows while it goes on."""
    yield _RECEIVED, _plain(meter.received_bytes)
    yield _PARALLEL, _plain(meter.parallel)


_RECEIVED = _metric(
    "counter", "received_bytes_total", "Body bytes received so far.", (), lambda _: {}
)
_PARALLEL = _metric(
    "gauge", "parallel_requests", "How many requests may run at the same time.", (), lambda _: {}
)

#: What a meter shows.
METER_METRICS: tuple[MetricSpec, ...] = (_RECEIVED, _PARALLEL)
