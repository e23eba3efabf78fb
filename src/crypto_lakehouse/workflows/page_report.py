"""Write the page of an output into a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from anyio import to_thread
from attrs import define, evolve, field, frozen

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.input_files import read_in_thread
from crypto_lakehouse.coverage.coverage import SeriesCoverage
from crypto_lakehouse.pages.figures import FindingFigures, PageFigures
from crypto_lakehouse.pages.page import page
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.stores.user_path import absolute_path
from crypto_lakehouse.stores.whole_file import part_file, replaces_file, whole_file
from crypto_lakehouse.workflows.page_figures import CoverageFold, origin_figures, page_figures
from crypto_lakehouse.workflows.questions import asked_status, origins_of
from crypto_lakehouse.workflows.series_origins import catalog_of, recordings_of
from crypto_lakehouse.workflows.status import CoverageStatus, StatusTotals
from crypto_lakehouse.workflows.wiring.load_config import AnyConfig, load_config

__all__ = ["PageReport", "run_page_report"]


@frozen(kw_only=True)
class PageReport:
    """A page that was written.

    Attributes:
        path: The file.
        size_bytes: Its size.
        totals: The sum over series, which `status` has, too.
        left_out: How many series have no strip of their own on it.
        notes: Remarks for the reader, one sentence each.
    """

    path: Path
    size_bytes: int
    totals: StatusTotals
    left_out: int
    notes: tuple[str, ...] = ()


async def run_page_report(
    config: AnyConfig,
    html: str | os.PathLike[str],
    *,
    start: date | str | None = None,
    end: date | str | None = None,
    of: str | None = None,
    now: datetime | None = None,
) -> PageReport:
    """Write the state of an output into one HTML file that loads nothing and has no script.

    It has a calendar of coverage, holes by cause, verdicts, freshness, the last runs, origins, and
    what the checks have found in the tables of the output, if there are any. The file gets its name
    once it is complete. Segments are listed, and the lake is read; both are requests if they are in
    an object store.

    Args:
        config: Names the output directory, and selects series and days.
        html: The file; its directory must exist.
        start: The first UTC day; as of `run_status`.
        end: The last one, inclusive.
        of: What counts as complete: `asked` or `published`.
        now: The time, aware; a parameter for tests.

    Raises:
        ConfigurationError: The file cannot be written; or as of `run_status`.
        LakehouseError: As of `run_status` with `origins`.
    """
    path = absolute_path(os.fspath(html))
    problems = await to_thread.run_sync(_problems, path)
    ready = await load_config(config, {"only": "quarantined"}, validate=False)
    ask = partial(asked_status, ready, start, end, of, may_be_unknown=True)
    try:
        status = await read_in_thread(ask)
    except ConfigurationError as error:
        raise type(error)([*problems, *error.problems]) from None
    if problems:
        raise ConfigurationError(problems)

    def write() -> PageReport:
        fold = _Fold()
        figures = _figures(ready, status, fold, now or datetime.now(UTC))
        data = page(figures)
        _write(path, data)
        return PageReport(
            path=path,
            size_bytes=len(data),
            totals=fold.totals,
            left_out=sum(group.left_out[0] for group in figures.groups),
            notes=status.notes,
        )

    return await to_thread.run_sync(write)


@define
class _Fold(CoverageFold):
    """Holds the series, too, as their origins are asked for."""

    covered: list[SeriesCoverage] = field(factory=list)

    def add(self, coverage: SeriesCoverage) -> None:
        super().add(coverage)
        self.covered.append(coverage)


def _figures(
    config: WorkflowConfig, status: CoverageStatus, fold: _Fold, now: datetime
) -> PageFigures:
    output = output_of(config)
    figures = page_figures(
        status, output, fold, now, place=output.place, objectives=config.freshness
    )
    origins = origins_of(config, status, fold.covered)
    return evolve(
        figures,
        origins=origin_figures(origins, recordings_of(config, status.selects_type)),
        findings=_findings(config),
        notes=status.notes,
    )


def _findings(config: WorkflowConfig) -> Sequence[FindingFigures] | None:
    """What checks have found; None without a lake."""
    with catalog_of(config) as catalog:
        if catalog is None:
            return None
        from crypto_lakehouse.tables.ingest.recorded_findings import recorded_findings

        return [
            FindingFigures(
                table=each.table,
                check=each.check,
                severity=each.severity,
                archives=each.archives,
                rows=each.rows,
            )
            for each in recorded_findings(catalog)
        ]


def _problems(path: Path) -> list[Problem]:
    """Find out before the work begins whether the file can be written; an earlier one stays."""
    try:
        if path.is_dir():
            return [_unwritable(path, "it is a directory")]
        if replaces_file(path) or not path.exists():  # not a device, a pipe or an open file
            with part_file(Path(os.path.realpath(path))):
                pass
    except (OSError, ValueError) as error:
        return [_unwritable(path, getattr(error, "strerror", None) or str(error))]
    return []


def _write(path: Path, data: bytes) -> None:
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise ConfigurationError([_unwritable(path, error.strerror or str(error))]) from error


def _unwritable(path: Path, reason: str) -> Problem:
    return Problem(str(path), f"cannot be written: {reason}; name another file")
