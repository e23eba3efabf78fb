"""What Prometheus reads of a run: names, labels and numbers of what its events say."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.services.prometheus import system_program
from tests.sinks.conftest import (
    ARCHIVE,
    FINISHED,
    FOREIGN,
    NOON,
    RETRIED,
    STARTED,
    WARNED,
    finished,
)

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import (
    ArchivesUnchanged,
    Event,
    FillFinished,
    ListingRetried,
    RecordingIngested,
    RecordingSeen,
    RunFinished,
    to_record,
)
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.table_events import (
    ArchiveIngested,
    FileChecked,
    TableCommitted,
    TableEvent,
)
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks import PrometheusSink
from crypto_lakehouse.sinks.prometheus_metrics import METRICS, MetricSpec, meter_values
from crypto_lakehouse.sinks.run_figures import GroupCoverage

SEGMENT = Archive.parse("rest/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.jsonl.zst")
PREFIX = "crypto_lakehouse_"


def values_of(sink: PrometheusSink) -> dict[str, float]:
    """Every sample, as in the text, without the prefix of all names."""
    found = {}
    for family in text_string_to_metric_families(sink.text().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={sample.labels[name]}" for name in sorted(sample.labels))
            name = sample.name.removeprefix(PREFIX)
            found[f"{name}{{{labels}}}" if labels else name] = sample.value
    return found


def counted(*events: Event | TableEvent, by_symbol: bool = False) -> PrometheusSink:
    sink = PrometheusSink(by_symbol=by_symbol)
    sink.figures.count(events)
    return sink


async def test_a_run_is_counted_by_labels_that_are_bounded() -> None:
    sink = PrometheusSink(ByteMeter(received_bytes=70, parallel=16))
    answers = ((200, 0.02), (503, 0.3), (700, 40.0))
    fetched = finished(fetched_bytes=50, requests=4, elapsed_s=0.7, answers=answers)
    await sink.handle([STARTED, WARNED, RETRIED, fetched])
    unchanged = ArchivesUnchanged(ARCHIVE.folder, 3, lambda: iter(()))
    foreign = ArchivesUnchanged("elsewhere/", 3, lambda: iter(()))
    await sink.handle([unchanged, foreign, finished(Verdict.CORRUPT, FOREIGN), FINISHED])
    await sink.handle([RunFinished(run_id="never begun", status="failed", at=NOON)])
    found = values_of(sink)
    noon = NOON.timestamp()
    group = "data_type=trades,market=spot"
    assert {
        "runs_total{status=partial,workflow=test}": 1,
        "run_start_timestamp_seconds{workflow=test}": noon,
        "run_end_timestamp_seconds{workflow=test}": noon,
        "planned_archives{workflow=test}": 3,
        "warnings_total": 1,
        "retries_total{kind=archive}": 1,
        f"archives_total{{{group},verdict=verified}}": 1,
        f"archives_total{{{group},verdict=unchanged}}": 3,
        f"archives_total{{{group},verdict=corrupt}}": 1,
        f"archive_bytes_total{{{group}}}": 50,
        "archive_seconds_bucket{le=0.5,market=spot}": 0,
        "archive_seconds_bucket{le=1.0,market=spot}": 1,
        "archive_seconds_sum{market=spot}": 0.7,
        "requests_total{code=200}": 1,
        "requests_total{code=503}": 1,
        "requests_total{code=other}": 1,
        "requests_total{code=none}": 1,
        "request_seconds_bucket{le=0.025}": 1,
        "request_seconds_bucket{le=30.0}": 2,
        "request_seconds_count": 3,
        f"newest_verified_timestamp_seconds{{{group}}}": (noon // 86_400 + 1) * 86_400,
        "received_bytes_total": 70,
        "parallel_requests": 16,
    }.items() <= found.items()
    assert not [name for name in found if "BTCUSDT" in name or "last_success" in name]
    assert len([name for name in found if name.startswith("runs_total")]) == 1


def of_other_operations() -> PrometheusSink:
    """Fed by a fill, an ingestion, a verification and a recording."""
    fill = FillFinished(
        archive=SEGMENT, verdict=FillVerdict.FILLED, rows=24, at=NOON, requests=2, weight=4
    )
    seen = RecordingSeen(
        streams=2, messages=9, size_bytes=90, duplicates=1, unreadable=0, filled=3, holes=0,
        connections=1, reconnects=0, segments=1, lag_us=2_000, at=NOON,
    )  # fmt: skip
    complete = RunFinished(run_id="one", status="complete", at=NOON + timedelta(hours=1))
    return counted(
        STARTED,
        fill,
        ArchiveIngested(archive=ARCHIVE, table="spot.trades", state="ingested", rows=7),
        TableCommitted(table="spot.trades", scored_rows=10, recorded_rows=9),
        TableCommitted(table="spot.klines"),
        FileChecked(state="damaged"),
        ListingRetried(prefix="data/", attempt=1, wait_s=1, reason="503"),
        seen,
        RecordingIngested(rows=5, at=NOON),
        RecordingIngested(fault="the disk is full", at=NOON),
        complete,
    )


def test_other_operations_have_metrics_of_their_own() -> None:
    found = values_of(of_other_operations())
    assert {
        "fills_total{data_type=klines,market=spot,verdict=filled}": 1,
        "fill_rows_total{data_type=klines,market=spot}": 24,
        "fill_requests_total": 2,
        "fill_weight_total": 4,
        "ingested_archives_total{state=ingested,table=spot.trades}": 1,
        "lake_rows_total{table=spot.trades}": 7,
        "lake_commits_total{table=spot.trades}": 1,
        "scored_rows_total{table=spot.trades}": 10,
        "recorded_rows_total{table=spot.trades}": 9,
        "checked_files_total{state=damaged}": 1,
        "retries_total{kind=listing}": 1,
        "live_messages_total": 9,
        "live_gaps_total": 0,
        "live_ingestions_total{status=complete}": 1,
        "live_ingestions_total{status=partial}": 1,
        "live_ingested_rows_total": 5,
        "live_lag_seconds": 0.002,
        "run_last_success_timestamp_seconds{workflow=test}": NOON.timestamp() + 3600,
    }.items() <= found.items()
    assert "live_clock_skew_seconds" not in found
    assert "scored_rows_total{table=spot.klines}" not in found


def test_two_sinks_in_a_process_do_not_meet() -> None:
    one, other = counted(finished()), counted()
    assert "archives_total{data_type=trades,market=spot,verdict=verified}" in values_of(one)
    assert not [name for name in values_of(other) if name.startswith("archives_total")]


def test_coverage_is_that_of_the_ledger_and_of_what_was_verified_since() -> None:
    sink = counted(finished())
    ledger = GroupCoverage(hole_days={"missing": 3}, newest=date(2025, 7, 20), lag_days=2)
    older = GroupCoverage(hole_days={}, newest=None, lag_days=0)
    sink.figures.cover({("spot", "trades"): ledger, ("spot", "klines"): older})
    found = values_of(sink)
    group = "data_type=trades,market=spot"
    newest = datetime(2025, 7, 21, tzinfo=UTC).timestamp()
    assert found[f"newest_verified_timestamp_seconds{{{group}}}"] == newest
    assert found[f"source_lag_seconds{{{group}}}"] == 2 * 86_400
    assert found["source_lag_seconds{data_type=klines,market=spot}"] == 0
    assert found["holes{cause=missing,data_type=trades,market=spot}"] == 3


def test_a_group_of_several_outputs_is_as_new_as_in_all_of_them() -> None:
    sink, group = counted(finished()), "data_type=trades,market=spot"
    newest = f"newest_verified_timestamp_seconds{{{group}}}"
    new = GroupCoverage(hole_days={"failed": 1}, newest=date(2025, 7, 20), lag_days=0)
    old = GroupCoverage(hole_days={"failed": 2}, newest=date(2025, 7, 2), lag_days=9)
    sink.figures.cover({("spot", "trades"): new}, "one")
    sink.figures.cover({("spot", "trades"): old, ("spot", "klines"): new}, "two")
    found = values_of(sink)
    assert found[newest] == datetime(2025, 7, 3, tzinfo=UTC).timestamp()
    assert found[f"source_lag_seconds{{{group}}}"] == 9 * 86_400
    assert found[f"holes{{cause=failed,{group}}}"] == 3
    none = GroupCoverage(hole_days={}, newest=None, lag_days=0)
    sink.figures.cover({("spot", "trades"): none}, "two")
    assert newest not in values_of(sink)
    sink.figures.only_of({"one"})
    assert values_of(sink)[newest] == datetime(2025, 7, 21, tzinfo=UTC).timestamp()


def test_symbols_are_labels_if_that_is_asked_for() -> None:
    sink = counted(finished(), finished(archive=FOREIGN), by_symbol=True)
    labels = ("spot", "trades", "BTCUSDT", "")
    sink.figures.cover({labels: GroupCoverage(hole_days={"failed": 1}, newest=None, lag_days=1)})
    found = values_of(sink)
    series = "data_type=trades,interval=,market=spot,symbol={}"
    assert f"newest_verified_timestamp_seconds{{{series.format('币安人生USDT')}}}" in found
    assert f"source_lag_seconds{{{series.format('BTCUSDT')}}}" in found
    assert f"holes{{cause=failed,{series.format('BTCUSDT')}}}" in found


def test_the_tool_of_prometheus_finds_no_fault() -> None:
    sink = of_other_operations()
    sink.figures.count([finished(requests=1, elapsed_s=1.0, answers=((200, 0.5),)), FINISHED])
    group = GroupCoverage(hole_days={"missing": 1}, newest=None, lag_days=1)
    sink.figures.cover({("spot", "trades"): group})
    check = [system_program("promtool"), "check", "metrics"]
    done = subprocess.run(check, input=sink.text(), check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_page_describes_every_metric() -> None:
    page = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [_row(spec) for spec in (*METRICS, *(spec for spec, _ in _meter()))]


def _meter() -> list[tuple[MetricSpec, object]]:
    return [*meter_values(ByteMeter())]


def _row(spec: MetricSpec) -> tuple[str, str, str, str]:
    labels = ", ".join(f"`{label}`" for label in spec.labels) + (" (+)" if spec.by_series else "")
    return spec.name, spec.kind, labels, spec.help


def test_answers_are_no_part_of_a_record() -> None:
    """They are for metrics; each line of an events file would be longer."""
    assert "answers" not in to_record(finished(answers=((200, 0.1),)))
