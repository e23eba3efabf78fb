"""The report of an ingestion."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from attrs import asdict, evolve, field, frozen

__all__ = ["RECORDED", "IngestReport", "TableTotals", "joined"]

_FIRST = 100

#: The states of problems that are recorded in the lake. They stand whatever a later run comes to:
#: it tells the first two again, without reading the archives, and `unrecorded` only once.
RECORDED = frozenset({"refused", "quarantined", "unrecorded"})

_SUMMED = (
    "replaced", "unchanged", "covered", "refused",
    "rows_added", "rows_changed", "rows_removed", "rows_differing",
)  # fmt: skip

#: What several runs add up to; the last run tells the rest.
_ADDED = (
    "archives", "rows", "replaced",
    "rows_added", "rows_changed", "rows_removed", "rows_differing",
)  # fmt: skip


@frozen(kw_only=True)
class TableTotals:
    """What a run did to one table.

    Attributes:
        archives: Archives whose rows were ingested.
        rows: Their rows in the table.
        replaced: Archives whose older rows they replaced.
        unchanged: Archives that were there already, in this version.
        covered: Archives none of whose rows is in the table under its own name, because others
            have them: the month of a day, or the archive of a fill or a recording.
        refused: Archives that were refused or quarantined, by this run or in this version by an
            earlier one, or are not proven.
        rows_added, rows_changed, rows_removed: What new versions changed in the table: rows whose
            key is new, has other values, or is gone.
        rows_differing: Rows that differ between the archives of one month; the values are in
            `lakehouse.differences`, or of plain Parquet in files below `lakehouse/differences`.
    """

    table: str
    archives: int = 0
    rows: int = 0
    replaced: int = 0
    unchanged: int = 0
    covered: int = 0
    refused: int = 0
    rows_added: int = 0
    rows_changed: int = 0
    rows_removed: int = 0
    rows_differing: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@frozen(kw_only=True)
class IngestReport:
    """How an ingestion ended.

    Attributes:
        status: `complete`, `partial` if some archives were refused, or `interrupted`.
        tables: What was done to each table, by name.
        verdicts: How many archives the checks call good, and so on: those that were ingested, and
            those in `reviewed`.
        problems: The first hundred archives that are not in their tables, each with a reason.
        refusals: The keys of the problems that are recorded in the lake, by table: archives that
            are refused or quarantined; in `lakehouse.archives` those whose record is lost, and in
            `lakehouse.differences` those that cannot be compared again.
        reviewed: The first hundred archives of earlier runs whose verdict or findings have changed,
            because this run brought the archive before one: each with its verdict and the reason.
        reviewed_count: How many there are.
        arriving: How many archives were left out, because a collection that has not ended has not
            settled them yet; a later ingestion takes them.
        format: `iceberg` or `parquet`.
        notes: Remarks for the reader, one sentence each.
        mended_files: How many data files were gone or damaged, and were replaced by others with the
            same rows.
        duration_seconds: Of the run.
        lake: Where the tables are.
        error: Why the run ended early; empty if it did not.
    """

    workflow: str
    status: str
    lake: str
    tables: tuple[TableTotals, ...] = ()
    verdicts: Mapping[str, int] = field(factory=Counter)
    problems: tuple[Mapping[str, str], ...] = ()
    problem_count: int = 0
    refusals: Mapping[str, AbstractSet[str]] = field(factory=dict)
    reviewed: tuple[Mapping[str, str], ...] = ()
    reviewed_count: int = 0
    arriving: int = 0
    mended_files: int = 0
    format: str = "iceberg"
    notes: tuple[str, ...] = ()
    duration_seconds: float = 0.0
    stop_code: int | None = None
    error: str = ""

    @property
    def archives(self) -> int:
        """Archives brought into their tables."""
        return sum(each.archives for each in self.tables)

    @property
    def rows(self) -> int:
        """Rows that are new in the tables, or that replaced others."""
        return sum(each.rows for each in self.tables)

    @property
    def exit_code(self) -> int:
        """The exit code of the command (ARCHITECTURE.md#exit-codes)."""
        if self.stop_code is not None:
            return self.stop_code
        return 4 if self.problem_count else 0

    def to_mapping(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "workflow": self.workflow,
            "status": self.status,
            "lake": self.lake,
            "totals": {
                "archives": self.archives,
                "rows": self.rows,
                **{name: sum(getattr(each, name) for each in self.tables) for name in _SUMMED},
            },
            "tables": [each.as_dict() for each in self.tables],
            "verdicts": dict(sorted(self.verdicts.items())),
            "arriving": self.arriving,
            "duration_seconds": round(self.duration_seconds, 3),
            "problems": [dict(each) for each in self.problems[:_FIRST]],
            **({"reviewed": [dict(each) for each in self.reviewed]} if self.reviewed else {}),
            **({"notes": [*self.notes]} if self.notes else {}),
            **({"mended_files": self.mended_files} if self.mended_files else {}),
            **({"error": self.error} if self.error else {}),
        }


def joined(reports: Sequence[IngestReport]) -> IngestReport:
    """Merge the reports of several runs, the last of which covered everything.

    An archive that an earlier run refused is a problem even if the last one ended before it came to
    it. The other problems of earlier runs count only if the last one has them, too.
    """
    last = reports[-1]
    tables: dict[str, TableTotals] = {}
    verdicts: Counter[str] = Counter()
    refusals: defaultdict[str, set[str]] = defaultdict(set)
    problems: dict[str, Mapping[str, str]] = {}
    for report in reports:
        verdicts.update(report.verdicts)
        stays = (each for each in report.problems if report is last or each["state"] in RECORDED)
        problems.update({each["key"]: each for each in stays})
        for totals in report.tables:
            before = tables.get(totals.table, TableTotals(table=totals.table))
            refused = refusals[totals.table] - report.refusals.get(totals.table, frozenset())
            tables[totals.table] = evolve(
                totals,
                unchanged=max(totals.unchanged - before.archives, 0),
                refused=totals.refused + len(refused),
                **{name: getattr(before, name) + getattr(totals, name) for name in _ADDED},
            )
        for table, keys in report.refusals.items():
            refusals[table] |= keys
    count = last.problem_count + _count(refusals) - _count(last.refusals)
    return evolve(
        last,
        status="partial" if count and last.status == "complete" else last.status,
        tables=tuple(tables[name] for name in sorted(tables)),
        verdicts=verdicts,
        problems=tuple(problems.values()),
        problem_count=count,
        refusals=refusals,
        reviewed=tuple(each for report in reports for each in report.reviewed)[:_FIRST],
        reviewed_count=sum(report.reviewed_count for report in reports),
        mended_files=sum(report.mended_files for report in reports),
        duration_seconds=sum(report.duration_seconds for report in reports),
    )


def _count(refusals: Mapping[str, AbstractSet[str]]) -> int:
    return sum(map(len, refusals.values()))
