"""Report for every collected series what is there, what is missing, and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime
from math import floor
from typing import Any

from attrs import define, evolve, field, frozen

from crypto_lakehouse.core.acknowledged import (
    ACKNOWLEDGEABLE,
    NOTHING_ACKNOWLEDGED,
    Acknowledged,
)
from crypto_lakehouse.core.archive import Archive, DataType, Market, Series
from crypto_lakehouse.core.errors import ConfigurationError, Problem, SelectionError
from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.coverage import HoleCause, SeriesCoverage, cover_series
from crypto_lakehouse.ledger.coverage_view import known_series, recorded_series
from crypto_lakehouse.ledger.place import LedgerPlace
from crypto_lakehouse.ledger.runs import RecordedRun, recorded_runs
from crypto_lakehouse.matrix.known_holes import KnownHoles, load_holes
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix, MatrixRow
from crypto_lakehouse.stores.output import Output, Place, output_of
from crypto_lakehouse.workflows.asked import Asked
from crypto_lakehouse.workflows.segments_alone import has_segments
from crypto_lakehouse.workflows.selected_series import absent_from, asked_symbols, is_selective
from crypto_lakehouse.workflows.status_selection import StatusSelection, read_selection
from crypto_lakehouse.workflows.wiring.ledgers import ledger_at
from crypto_lakehouse.workflows.wiring.lost_ledger import read_copy_if_lost

__all__ = ["BASES", "CoverageStatus", "StatusTotals", "coverage_mapping", "status_of"]

ASKED, PUBLISHED = "asked", "published"

#: What may count as complete.
BASES = (ASKED, PUBLISHED)

#: The causes of holes that can be acknowledged.
_OF_THE_SOURCE = (HoleCause.MISSING, HoleCause.QUARANTINED)


@define
class StatusTotals:
    """The sum over series.

    Attributes:
        filled_days: Days in holes that are filled from the exchange.
        holes: Days by cause.
        verdicts: Archives by verdict.
        open_holes: Those of them that are not filled.
        newest: The newest verified day of each market and data type; None if none is verified.
        refused_newer: Verified archives with a newer version that could not take their place.
    """

    series: int = 0
    verified_days: int = 0
    filled_days: int = 0
    expected_days: int = 0
    size_bytes: int = 0
    refused_newer: int = 0
    holes: Counter[HoleCause] = field(factory=Counter)
    open_holes: Counter[HoleCause] = field(factory=Counter)
    verdicts: Counter[Verdict] = field(factory=Counter)
    newest: dict[tuple[Market, DataType], date | None] = field(factory=dict)

    def add(self, coverage: SeriesCoverage) -> None:
        """Add one series."""
        self.series += 1
        self.verified_days += coverage.verified_days
        self.filled_days += coverage.filled_days
        self.expected_days += coverage.expected_days
        self.size_bytes += coverage.size_bytes
        self.refused_newer += coverage.refused_newer
        self.holes += coverage.days_by_cause()
        self.verdicts.update(coverage.verdicts)
        for hole in coverage.holes:
            self.open_holes[hole.cause] += hole.days - hole.filled
        group = (coverage.series.market, coverage.series.data_type)
        days = [day for day in (self.newest.get(group), coverage.last_day) if day is not None]
        self.newest[group] = max(days, default=None)

    @property
    def ratio(self) -> float:
        """The verified part of the expected days, 0 to 1; 1 if none is expected."""
        return self.verified_days / self.expected_days if self.expected_days else 1.0

    def to_mapping(self) -> dict[str, Any]:
        """Return the totals as JSON types, with every cause."""
        return {
            "series": self.series,
            **_counts(self),
            "holes": {str(cause): self.holes[cause] for cause in HoleCause},
        }


@frozen(kw_only=True)
class CoverageStatus:
    """The coverage of every selected series; each iteration reads the ledger again.

    Attributes:
        today: The UTC day from which late archives are distinguished from missing ones.
        of: What counts as complete: `asked` or `published`.
        notes: Remarks for the reader, one sentence each.
        has_ledger: Whether there is a ledger; without one no series is covered.
    """

    today: date
    of: str
    notes: tuple[str, ...]
    has_ledger: bool
    _ledger: LedgerPlace
    _matrix: Matrix
    _holes: KnownHoles
    _selection: StatusSelection
    _asked: Asked
    _acknowledged: Acknowledged

    def __iter__(self) -> Iterator[SeriesCoverage]:
        """Compute the coverage series by series; blocking, with one series in memory at a time.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        if not self.has_ledger:
            return
        rows = {(row.market, row.data_type): row for row in self._matrix.rows}

        def row_of(series: Series) -> MatrixRow | None:
            return rows.get((series.market, series.data_type))

        wanted = self._selection
        counts_asked = self.of == ASKED
        records = recorded_series(
            self._ledger,
            lambda series: wanted.holds(series, row_of(series)),
            start=wanted.start,
            end=wanted.end,
            more=self._asked.series(self.today) if counts_asked else (),
            with_filled=True,
            acknowledged=self._acknowledged,
        )
        for record in records:
            asked = self._asked.days(record.series) if counts_asked else None
            coverage = cover_series(
                evolve(record, asked=asked),
                row_of(record.series),
                self._holes,
                self.today,
                start=wanted.start,
                end=wanted.end,
            )
            if coverage is not None:
                yield coverage

    def selects(self, series: Series) -> bool:
        """Whether a series is selected, also one that the ledger does not know."""
        row = self._matrix.row(series.market, series.data_type)
        return self._selection.holds(series, row)

    def selects_type(self, market: Market, data_type: DataType) -> bool:
        """Whether a data type of a market is selected, of whatever symbols."""
        wanted = self._selection
        return (wanted.markets is None or market in wanted.markets) and (
            wanted.data_types is None or data_type in wanted.data_types
        )

    @property
    def window(self) -> tuple[date | None, date | None]:
        """The first and the last of the selected days, both inclusive; None is unbounded."""
        return self._selection.start, self._selection.end

    def hole_archives(self, coverages: Iterable[SeriesCoverage]) -> Iterator[Archive]:
        """Yield the archives that the source lacks or serves damaged, in the order of keys.

        These are the ones that can be acknowledged, and are not; blocking.

        Args:
            coverages: Those that the iteration has yielded.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        if not self.has_ledger:
            return
        holes = {
            coverage.series: [hole for hole in coverage.holes if hole.cause in _OF_THE_SOURCE]
            for coverage in coverages
        }
        with closing(self._ledger.open_read_only()) as ledger:
            found = ledger.archives_of_now(ACKNOWLEDGEABLE)
        for archive in found:
            period = archive.period
            is_hole = any(
                hole.first_day <= period.last_day and period.first_day <= hole.last_day
                for hole in holes.get(archive.series, ())
            )
            if is_hole and not self._acknowledged.holds(archive.key):
                yield archive


def status_of(
    place: Place,
    selection: Mapping[str, object] | None = None,
    *,
    matrix_path: str | os.PathLike[str] | None = None,
    today: date | None = None,
    of: str | None = None,
    acknowledged: Acknowledged = NOTHING_ACKNOWLEDGED,
    may_be_unknown: bool = False,
) -> CoverageStatus:
    """Report from its ledger how complete a collected directory is.

    The files are not read (`verify_tree` reads them), nothing is changed, and a collection may run
    at the same time. If the state folder of an object store has no ledger, its copy in the store is
    requested, and a listing if there is none; nothing else is. `cover_series` says what the window
    means, and which days count without one.

    Args:
        place: The output that a collection wrote to.
        selection: `markets`, `data_types`, `symbols` and `intervals` as in the configuration, and
            `start` and `end`, UTC days, both inclusive; None, or no value, selects everything.
        matrix_path: The matrix; the shipped one by default.
        today: The UTC day; the current one by default.
        of: What counts as complete: `asked`, all days that runs were asked for, or `published`, all
            days from the first settled one on that the publisher should have. By default `asked`,
            but `published` if the selection has a day, or a run did not record what it was asked
            for.
        acknowledged: The archives that the user knows to be missing or damaged.
        may_be_unknown: Whether series may be selected that the ledger does not know.

    Raises:
        ConfigurationError: There is neither a ledger nor a segment, or the selection or `of` cannot
            be read; every fault at once.
        LedgerError: The ledger cannot be read.
        StoreError: The object store fails to give the copy of a ledger that is lost.
        MatrixError: The matrix cannot be used.
        SelectionError: The ledger has no series of a symbol that no run was asked for, or none that
            is selected.
    """
    output, wanted = _checked(place, selection or {}, of)
    matrix = load_matrix(matrix_path)
    has_ledger = ledger_at(output).exists()
    runs = recorded_runs(ledger_at(output)) if has_ledger else []
    asked = Asked.of(runs, matrix)
    day = today or datetime.now(UTC).date()
    absent: tuple[str, ...] = ()
    if not has_ledger:
        absent = (f"{output.needs_ledger()}; what is recorded and filled is shown alone",)
    elif not may_be_unknown:
        absent = _check_selection(wanted, output, asked, matrix, day, runs)
    has_window = wanted.start is not None or wanted.end is not None
    basis = of or (PUBLISHED if has_window or not asked.is_recorded else ASKED)
    note = "" if of == PUBLISHED or has_window else _unrecorded(asked, basis)
    return CoverageStatus(
        today=day,
        of=basis,
        notes=(*output.ledger_remarks, *matrix.corrections, *absent, *filter(None, [note])),
        has_ledger=has_ledger,
        ledger=ledger_at(output),
        matrix=matrix,
        holes=load_holes(),
        selection=wanted,
        asked=asked,
        acknowledged=acknowledged,
    )


def _checked(
    place: Place, selection: Mapping[str, object], of: str | None
) -> tuple[Output, StatusSelection]:
    """Check what `status_of` is given, except whether the ledger has what is selected."""
    wanted, problems = read_selection(selection)
    if of not in (None, *BASES):
        problems.append(Problem("of", f"unknown value `{shown(of)}`; {allowed_values(of, BASES)}"))
    output = output_of(place)
    fault = output.problem()
    try:
        if fault is None:
            read_copy_if_lost(output)
        if fault is None and not _has_ledger_or_segments(output):
            fault = Problem("$.output_directory", output.needs_ledger())
    except ConfigurationError as error:
        problems += error.problems
    if fault is not None:
        problems.insert(0, fault)
    if problems:
        raise ConfigurationError(problems)
    return output, wanted


def _has_ledger_or_segments(output: Output) -> bool:
    if ledger_at(output).exists():
        return True
    is_named = output.config is not None and output.config.ledger is not None
    return not is_named and not output.ledger_remarks and has_segments(output)


def _check_selection(
    wanted: StatusSelection,
    output: Output,
    asked: Asked,
    matrix: Matrix,
    today: date,
    runs: list[RecordedRun],
) -> tuple[str, ...]:
    """Check that the ledger knows the symbols, and some series that is selected.

    Returns:
        A note if it has no series yet of symbols that runs were asked for.

    Raises:
        SelectionError: It knows others; an empty ledger fits every selection.
    """
    if not is_selective(wanted):
        return ()
    rows = {(row.market, row.data_type): row for row in matrix.rows}

    def row_of(series: Series) -> MatrixRow | None:
        return rows.get((series.market, series.data_type))

    place = f"the ledger of `{output.place}`"
    absent = absent_from(
        wanted,
        known_series(ledger_at(output)).union(asked.series(today)),
        place,
        lambda series: wanted.holds(series, row_of(series)),
        lambda: asked_symbols(runs),
        matrix.files_under_pair,
    )
    if absent.problems:
        raise SelectionError(absent.problems)
    return absent.notes(place)


def _unrecorded(asked: Asked, basis: str) -> str:
    """Say that the ledger does not know all that was asked for; empty if it does."""
    if asked.is_recorded:
        return ""
    if asked.runs == asked.unrecorded:
        known = "the ledger does not record what was asked for"
    else:
        known = (
            f"of {asked.unrecorded} of {asked.runs} runs it is not recorded what they were asked "
            "for: an earlier version ran them, or the ledger was damaged"
        )
    if basis == PUBLISHED:
        return f"{known}; so complete is what the publisher has (`--of published`)"
    return f"{known}; of those, only the settled days count"


def coverage_mapping(coverage: SeriesCoverage) -> dict[str, Any]:
    """Return a series' coverage as JSON types, as `status --json` prints it."""
    series = coverage.series
    return {
        "market": series.market,
        "data_type": series.data_type,
        "symbol": series.symbol,
        "interval": series.interval,
        "start": _text(coverage.start),
        "end": _text(coverage.end),
        "first": _text(coverage.first_day),
        "last": _text(coverage.last_day),
        "first_filled": _text(coverage.first_filled),
        "last_filled": _text(coverage.last_filled),
        **_counts(coverage),
        "holes": [
            {
                "first": str(hole.first_day),
                "last": str(hole.last_day),
                "days": hole.days,
                "cause": hole.cause,
                "filled": hole.filled,
                "reason": hole.reason,
            }
            for hole in coverage.holes
        ],
    }


def _counts(counted: SeriesCoverage | StatusTotals) -> dict[str, Any]:
    return {
        "verified_days": counted.verified_days,
        "filled_days": counted.filled_days,
        "expected_days": counted.expected_days,
        # Rounded down, so that 100 means complete.
        "coverage": floor(10_000 * counted.ratio) / 100,
        "bytes": counted.size_bytes,
        "refused_newer": counted.refused_newer,
    }


def _text(day: date | None) -> str | None:
    return str(day) if day else None
