"""A run's events fold into the same counts in whatever order they come."""

from __future__ import annotations

import json
import operator
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import ARCHIVE, NOON, archives

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    BodyStarted,
    Event,
    RunFinished,
    RunNoted,
    RunStarted,
    RunWarned,
)
from crypto_lakehouse.core.metrics import (
    LISTED_PROBLEMS,
    ByteMeter,
    MetricsCollector,
    WorkflowMetrics,
)
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.verdicts import UNREMARKABLE, Verdict

counts = st.integers(0, 10**12)
finished = st.builds(
    ArchiveFinished,
    archive=archives,
    verdict=st.sampled_from(Verdict),
    reason=st.text(max_size=9),
    fetched_bytes=counts,
    requests=counts,
)
retried = st.builds(
    ArchiveRetried,
    archive=archives,
    attempt=st.integers(1, 20),
    wait_s=st.floats(0, 60),
    reason=st.just("503"),
)
foreign: st.SearchStrategy[Any] = st.sampled_from(["checked", "uploaded"]) | st.builds(
    dict, event=st.sampled_from(["checked", "uploaded"])
)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def collected(events: Sequence[Any]) -> MetricsCollector:
    """A collector that has seen `events`, at a time that stands still."""
    collector = MetricsCollector(Clock())
    collector.start_workflow("archive_collection")
    for event in events:
        collector.record_event(event)
    return collector


def finish(verdict: Verdict, **fields: Any) -> ArchiveFinished:
    return ArchiveFinished(archive=ARCHIVE, verdict=verdict, **fields)


@given(st.lists(finished | retried | foreign, max_size=30), st.randoms(use_true_random=False))
def test_any_interleaving_gives_the_same_metrics(events: list[Any], random: Any) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    one, other = collected(events).get_metrics(), collected(shuffled).get_metrics()
    for metrics in (one, other):
        metrics["problems"] = Counter(metrics["problems"])
    assert one == other


@given(st.lists(finished, max_size=30))
def test_counts_are_sums_over_the_archives(events: list[ArchiveFinished]) -> None:
    collector = collected(events)
    assert collector.finished_archives == len(events)
    assert sum(collector.totals()[verdict] for verdict in Verdict) == len(events)
    assert collector.fetched_bytes == sum(event.fetched_bytes for event in events)
    assert collector.requests == sum(event.requests for event in events)
    assert len(collector.problems) == sum(event.verdict not in UNREMARKABLE for event in events)


@given(st.lists(finished | retried | foreign, max_size=30))
def test_metrics_are_plain_types(events: list[Any]) -> None:
    metrics = collected(events).get_metrics()
    assert json.loads(json.dumps(metrics)) == metrics
    assert all(type(name) is str for name in metrics["totals"])


def test_a_new_collector_has_counted_nothing() -> None:
    assert MetricsCollector().get_metrics() == {
        "workflow": "",
        "totals": {"planned": 0, **dict.fromkeys(map(str, Verdict), 0)},
        "acknowledged": 0,
        "success_rate": 100.0,
        "bytes": 0,
        "requests": 0,
        "retries": 0,
        "duration_seconds": 0.0,
        "problems": [],
        "warnings": [],
        "other_events": {},
    }


def test_the_events_of_a_run_are_all_counted() -> None:
    collector = collected(
        [
            RunStarted(run_id="r", workflow="archive_collection", planned=4, at=NOON),
            RunNoted(message="proxy: all via one"),
            RunWarned(message="one host only"),
            BodyStarted(archive=ARCHIVE, facts=ObjectFacts(size_bytes=7)),
            ArchiveRetried(archive=ARCHIVE, attempt=1, wait_s=0.5, reason="503"),
            finish(Verdict.VERIFIED, fetched_bytes=7, requests=2),
            finish(Verdict.UNCHANGED),
            finish(Verdict.NOT_PUBLISHED, reason="within its lag", requests=1),
            finish(Verdict.FAILED, reason="timed out", requests=3),
            RunFinished(run_id="r", status="partial", at=NOON),
        ]
    )
    metrics = collector.get_metrics()
    assert metrics["workflow"] == "archive_collection"
    assert metrics["totals"] == {
        "planned": 4,
        **dict.fromkeys(map(str, Verdict), 0),
        "verified": 1,
        "unchanged": 1,
        "not_published": 1,
        "failed": 1,
    }
    assert metrics["success_rate"] == pytest.approx(200 / 3)
    assert (metrics["bytes"], metrics["requests"], metrics["retries"]) == (7, 6, 1)
    assert metrics["problems"] == [f"failed {ARCHIVE.key}: timed out"]
    assert metrics["warnings"] == ["one host only"]
    assert metrics["other_events"] == {}


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_verdict_that_needs_attention_is_listed(verdict: Verdict) -> None:
    problems = collected([finish(verdict, reason="why")]).problems
    if verdict in {Verdict.VERIFIED, Verdict.UNCHANGED, Verdict.NOT_PUBLISHED}:
        assert problems == []
    else:
        assert [(item.key, item.verdict, item.reason) for item in problems] == [
            (ARCHIVE.key, verdict, "why")
        ]


def test_problems_are_listed_to_a_limit_and_counted_beyond_it() -> None:
    events = [finish(Verdict.MISSING, reason=str(number)) for number in range(250)]
    collector = collected(events)
    assert LISTED_PROBLEMS == 100
    assert [problem.reason for problem in collector.problems] == [str(n) for n in range(100)]
    assert collector.totals()[Verdict.MISSING] == 250


def test_events_of_an_application_are_counted_by_name() -> None:
    class Uploaded:
        pass

    collector = collected(
        ["checked", {"event": "checked"}, {"event": 7}, {"rows": 3}, Uploaded(), None, "checked"]
    )
    assert collector.get_metrics()["other_events"] == {
        "checked": 3,
        "7": 1,
        "event": 1,
        "Uploaded": 1,
        "NoneType": 1,
    }
    assert collector.finished_archives == 0


def test_time_runs_until_the_run_has_finished() -> None:
    clock = Clock()
    collector = MetricsCollector(clock)
    assert collector.duration_s == 0.0
    collector.start_workflow("w")
    clock.now += 2.5
    assert collector.duration_s == 2.5
    collector.record_event(RunFinished(run_id="r", status="complete", at=NOON))
    clock.now += 60
    assert collector.duration_s == 2.5
    assert collector.get_metrics()["duration_seconds"] == 2.5


def test_a_second_start_forgets_the_first_run() -> None:
    clock = Clock()
    collector = MetricsCollector(clock)
    collector.start_workflow("first")
    events: list[Event | str] = [
        RunStarted(run_id="r", workflow="first", planned=9, at=NOON),
        RunWarned(message="w"),
        ArchiveRetried(archive=ARCHIVE, attempt=1, wait_s=0.5, reason="503"),
        finish(Verdict.CORRUPT, fetched_bytes=7, requests=2, reason="no zip"),
        "checked",
        RunFinished(run_id="r", status="partial", at=NOON),
    ]
    for event in events:
        collector.record_event(event)
    clock.now += 10
    collector.start_workflow("second")
    fresh = MetricsCollector(clock)
    fresh.start_workflow("second")
    assert collector == fresh
    clock.now += 1
    assert collector.duration_s == 1


def test_collectors_share_nothing() -> None:
    one, other = collected([]), collected([])
    one.record_event(finish(Verdict.FAILED, reason="x"))
    one.record_event("checked")
    one.record_event(RunWarned(message="w"))
    assert other.get_metrics() == collected([]).get_metrics()


def test_a_subclass_keeps_what_is_its_own() -> None:
    class Counting(MetricsCollector):
        def __init__(self, label: str) -> None:
            super().__init__()
            self.label = label
            self.seen: list[object] = []

        def record_event(self, event: Any) -> None:
            self.seen.append(event)
            super().record_event(event)

    collector = Counting("mine")
    collector.start_workflow("w")
    collector.record_event(finish(Verdict.VERIFIED))
    collector.start_workflow("w")
    collector.record_event("checked")
    assert collector.label == "mine"
    assert len(collector.seen) == 2
    assert collector.finished_archives == 0
    assert collector.other_events == {"checked": 1}


def test_bytes_are_metered_beside_the_events() -> None:
    meter = ByteMeter()
    meter.received_bytes += 5
    assert meter == ByteMeter(5)


def test_workflow_metrics_hold_the_report_in_both_forms() -> None:
    names = operator.attrgetter("workflow", "results", "report")
    report: Any = object()
    assert names(WorkflowMetrics("w", {"success_rate": 100.0}, report)) == (
        "w",
        {"success_rate": 100.0},
        report,
    )
