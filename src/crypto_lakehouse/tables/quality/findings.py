"""The findings of checks in an archive, and the report of a validation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import asdict, frozen

from crypto_lakehouse.tables.reading.fill_requests import FillRequests

__all__ = ["ArchiveQuality", "Finding", "Policy", "Severity", "ValidationReport",
           "verdict_of"]  # fmt: skip


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """The rows contradict themselves or the archive's name; inspect them before use."""
    WARNING = "warning"
    """Something is missing or unusual, which may matter for some uses."""
    INFO = "info"
    """Known and explained: an outage of the venue, a quirk of an era."""


class Policy(StrEnum):
    """What to do about a finding."""

    REPORT = "report"
    """Report it; the rows go into the table."""
    QUARANTINE = "quarantine"
    """Report it; no row of the archive goes into the table."""
    DROP = "drop"
    """Report it and leave out the repeated rows. Only for checks of repeated rows."""


@frozen(kw_only=True)
class Finding:
    """One check's finding in one archive.

    Attributes:
        check: The check's name.
        severity: How much it matters.
        key: The archive's object key.
        rows: How many rows are affected; for a hole, how many are absent.
        sentence: What was found, in a sentence, with an example.
        policy: What was done about it.
        source: Where it was reported, for example `binance-public-data#365`; empty if unknown.
    """

    check: str
    severity: Severity
    key: str
    rows: int
    sentence: str
    policy: Policy = Policy.REPORT
    source: str = ""


@frozen(kw_only=True)
class ArchiveQuality:
    """What was read from one archive, and its findings.

    Attributes:
        rows: Rows in the file.
        first_at, last_at: Its first and last time; None if it has no rows.
        first_id, last_id: The smallest and the largest of its ids, which are consecutive from
            archive to archive; None if it has no rows or no such ids.
        first_trade_id, last_trade_id: The same of the ids of trades, in aggTrades.
        time_unit: `ms`, `us` or `text`.
        header: Whether its first line is a header.
        columns: Its columns, as published.
        proven_by: What proves the rows of a segment, as its header says; empty for archives.
        requests: Those of a fill; None of others.
        findings: The findings of the checks.
        fault: Why it cannot be read, with line and column; empty if it can.
    """

    key: str
    rows: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    first_id: int | None = None
    last_id: int | None = None
    first_trade_id: int | None = None
    last_trade_id: int | None = None
    time_unit: str = ""
    header: bool = False
    columns: tuple[str, ...] = ()
    proven_by: str = ""
    requests: FillRequests | None = None
    findings: tuple[Finding, ...] = ()
    fault: str = ""

    @property
    def verdict(self) -> str:
        """`unreadable`, `quarantined`, `error`, `warning`, or `good`.

        What is known and explained, of severity `info`, leaves an archive good.
        """
        if self.fault:
            return "unreadable"
        if any(finding.policy is Policy.QUARANTINE for finding in self.findings):
            return "quarantined"
        return verdict_of(finding.severity for finding in self.findings)


def verdict_of(severities: Iterable[str]) -> str:
    """The verdict on an archive that is read and not quarantined, by its findings' severities.

    Examples:
        >>> verdict_of(["info", "warning"]), verdict_of(["info"])
        ('warning', 'good')
    """
    found = frozenset(severities)
    return next((each for each in ("error", "warning") if each in found), "good")


@frozen(kw_only=True)
class ValidationReport:
    """The report of a validation.

    Attributes:
        archives: One entry per archive, sorted by key, and per folder that cannot be read.
        arriving: How many archives were left out, because a collection that has not ended has not
            settled them yet.
        notes: Remarks for the reader, one sentence each.
        stop_code: The exit code of a run that was stopped; else None.
    """

    archives: tuple[ArchiveQuality, ...]
    arriving: int = 0
    notes: tuple[str, ...] = ()
    stop_code: int | None = None

    @property
    def exit_code(self) -> int:
        """What to do next (ARCHITECTURE.md#exit-codes); 0 if nothing."""
        return self._code("error", "quarantined")

    @property
    def strict_exit_code(self) -> int:
        """As `exit_code`, and 3 if an archive has warnings."""
        return self._code("error", "quarantined", "warning")

    def _code(self, *bad: str) -> int:
        if self.stop_code is not None:
            return self.stop_code
        verdicts = self.verdicts
        if verdicts["unreadable"]:
            return 4
        return 3 if any(verdicts[verdict] for verdict in bad) else 0

    @property
    def findings(self) -> Iterator[Finding]:
        """All findings, archive by archive."""
        for archive in self.archives:
            yield from archive.findings

    @property
    def folders(self) -> int:
        """How many entries are of folders that cannot be read."""
        return sum(archive.key.endswith("/") for archive in self.archives)

    @property
    def verdicts(self) -> Mapping[str, int]:
        """How many archives have each verdict."""
        return Counter(archive.verdict for archive in self.archives)

    @property
    def rows(self) -> int:
        """Rows read."""
        return sum(archive.rows for archive in self.archives)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        return {
            "archives": len(self.archives) - self.folders,
            **({"folders": self.folders} if self.folders else {}),
            "arriving": self.arriving,
            "rows": self.rows,
            "verdicts": dict(sorted(self.verdicts.items())),
            "checks": _by_check(self.findings),
            "problems": [
                _plain(archive) for archive in self.archives if archive.fault or archive.findings
            ],
            **({"notes": [*self.notes]} if self.notes else {}),
        }


def _by_check(findings: Iterable[Finding]) -> dict[str, dict[str, int]]:
    keys: dict[str, set[str]] = defaultdict(set)
    rows: Counter[str] = Counter()
    for finding in findings:
        keys[finding.check].add(finding.key)
        rows[finding.check] += finding.rows
    return {check: {"archives": len(keys[check]), "rows": rows[check]} for check in sorted(keys)}


def _plain(archive: ArchiveQuality) -> dict[str, Any]:
    plain = asdict(archive, value_serializer=_serialized)
    if not archive.proven_by:  # which only segments can have
        del plain["proven_by"]
    del plain["requests"]  # of all archives they are too many
    return {"verdict": archive.verdict, **plain}


def _serialized(_owner: object, _attribute: object, value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
