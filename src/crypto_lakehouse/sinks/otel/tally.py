"""What a batch of events has settled: the attributes of its span."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    ArchivesUnchanged,
    FillFinished,
    HoleRecorded,
    ListingRetried,
    RecordingIngested,
)
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.table_events import ArchiveIngested, FileChecked, TableCommitted
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["PREFIX", "TALLIED", "Tally"]

#: The beginning of the names of attributes.
PREFIX = "crypto_lakehouse."

#: How many problems of a batch are named; all are counted.
MOST_NAMED = 10

_ARCHIVES = {verdict: f"archives.{verdict}" for verdict in Verdict}
_FILLS = {verdict: f"fills.{verdict}" for verdict in FillVerdict}

#: States of files that need no attention, and of archives for tables that need it.
_GOOD_FILES, _REFUSED = {"ok", "unproven"}, {"refused", "quarantined"}


@define
class Tally:
    """What was settled.

    Attributes:
        counts: How many of what, by the name of the attribute without its prefix.
        settled: How many archives, days and files have a verdict.
        problems: How many of all need attention.
        named: The first of them, as attributes of an event.
    """

    counts: Counter[str] = field(factory=Counter)
    settled: int = 0
    problems: int = 0
    named: list[dict[str, str]] = field(factory=list)

    def problem(self, what: str, key: str, reason: str) -> None:
        """Count something that needs attention, and name it if it is one of the first."""
        self.problems += 1
        if len(self.named) < MOST_NAMED:
            texts = {"problem": what, "key": key, "reason": reason}
            self.named.append({PREFIX + name: text for name, text in texts.items() if text})

    def add(self, other: Tally) -> None:
        """Add the numbers of another one."""
        self.counts.update(other.counts)
        self.settled += other.settled
        self.problems += other.problems

    def attributes(self) -> dict[str, int]:
        """Return all counts that are not zero, as attributes of a span."""
        return {PREFIX + name: count for name, count in self.counts.items() if count}


def _archive(tally: Tally, event: ArchiveFinished) -> None:
    tally.settled += 1
    tally.counts[_ARCHIVES[event.verdict]] += 1
    if event.requests:
        tally.counts["requests"] += event.requests
        tally.counts["received_bytes"] += event.fetched_bytes
    if event.is_problem:
        tally.problem(event.verdict, event.archive.key, event.reason)


def _unchanged(tally: Tally, event: ArchivesUnchanged) -> None:
    tally.settled += event.count
    tally.counts[_ARCHIVES[Verdict.UNCHANGED]] += event.count


def _retried(tally: Tally, _: ArchiveRetried | ListingRetried) -> None:
    tally.counts["retries"] += 1


def _filled(tally: Tally, event: FillFinished) -> None:
    tally.settled += 1
    tally.counts[_FILLS[event.verdict]] += 1
    tally.counts["requests"] += event.requests
    if event.is_problem:
        tally.problem(event.verdict, event.archive.key, event.reason)


def _ingested(tally: Tally, event: ArchiveIngested) -> None:
    tally.settled += 1
    tally.counts[f"ingested.{event.state}"] += 1
    tally.counts["rows"] += event.rows
    if event.state in _REFUSED:
        tally.problem(event.state, event.archive.key, "")


def _committed(tally: Tally, _: TableCommitted) -> None:
    tally.counts["commits"] += 1


def _checked(tally: Tally, event: FileChecked) -> None:
    tally.settled += 1
    tally.counts[f"files.{event.state}"] += 1
    if event.state not in _GOOD_FILES:
        tally.problem(event.state, "", "")


def _hole(tally: Tally, event: HoleRecorded) -> None:
    tally.counts["live.holes"] += 1
    tally.problem("hole", "", str(event))


def _recording_ingested(tally: Tally, event: RecordingIngested) -> None:
    tally.counts["live.ingestions"] += 1
    tally.counts["rows"] += event.rows
    if event.fault:
        tally.problem("ingestion", "", event.fault)


#: What counts each event; others are not counted.
TALLIED: Mapping[type, Callable[[Tally, Any], None]] = {
    ArchiveFinished: _archive,
    ArchivesUnchanged: _unchanged,
    ArchiveRetried: _retried,
    ListingRetried: _retried,
    FillFinished: _filled,
    ArchiveIngested: _ingested,
    TableCommitted: _committed,
    FileChecked: _checked,
    HoleRecorded: _hole,
    RecordingIngested: _recording_ingested,
}
