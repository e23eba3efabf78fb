"""The whole surface as an application uses it; mypy and pyright check its types, nothing runs it.

`assert_type` fails where a name became looser, as a lazy import that a type checker cannot see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, assert_type

import aiohttp
from tests.stores.memory import MemoryStore

from crypto_lakehouse import (
    Archive,
    ArchiveCollectionWorkflow,
    CollectionReport,
    LakehouseError,
    MetricsCollector,
    RetryPolicy,
    Sink,
    Store,
    Verdict,
    WorkflowConfig,
    run_collection,
)
from crypto_lakehouse.charts import MatplotlibMissing, Picture, candles, coverage
from crypto_lakehouse.core import (
    AnySink,
    ArchiveFinished,
    ArchiveProblem,
    BaseWorkflow,
    CollectionFailed,
    ConfigurationError,
    Event,
    KeptVersion,
    LockHeldError,
    Outcome,
    Problem,
    Quarantined,
)
from crypto_lakehouse.integrations import stopping_in_order
from crypto_lakehouse.sinks import JsonLinesSink, LogSink
from crypto_lakehouse.stores import LocalStore, StateFolder
from crypto_lakehouse.tables import (
    ExportedFile,
    ExportReport,
    ExportSelection,
    Lake,
    bars_of,
    export_lake,
    load_schemas,
)
from crypto_lakehouse.testing import ArchiveServer, SinkSuite, StoreSuite, faults
from crypto_lakehouse.workflows import (
    BenchReport,
    CollectAndIngest,
    CompositeWorkflow,
    HistoryReport,
    IngestWorkflow,
    LakeConfig,
    OnHeld,
    PageReport,
    PlanReport,
    PruneResult,
    RefreshedMatrix,
    RepairReport,
    StatusReport,
    Step,
    ValidationWorkflow,
    VerificationReport,
    refresh_matrix,
    run_bench,
    run_history,
    run_page_report,
    run_plan,
    run_prune,
    run_repair,
    run_status,
    run_verification,
)

CONFIG: Mapping[str, Any] = {"output_directory": "data", "symbols": ["BTCUSDT"]}


class MySink:
    """A sink with all that is needed, and no more."""

    name = "mine"
    required = False

    async def handle(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, ArchiveFinished):
                assert_type(event.verdict, Verdict)
                assert_type(event.archive, Archive)

    async def flush(self) -> None:
        pass

    async def close(self) -> None:
        pass


def take(events: Sequence[Event]) -> None:
    """A function as a sink."""


async def take_later(events: Sequence[Event]) -> None:
    """An async function as a sink."""


async def refuse(error: LockHeldError) -> bool:
    return not error.holder


give_up: OnHeld = refuse


async def collect(session: aiohttp.ClientSession) -> None:
    store: Store = MemoryStore()
    whole: Sink = LogSink("run")
    wholes: list[Sink] = [whole, JsonLinesSink(Path("events.jsonl"))]
    sinks: list[AnySink] = [*wholes, MySink(), take, take_later]
    report = await run_collection(
        CONFIG,
        sinks=sinks,
        session=session,
        store=store,
        retry=RetryPolicy(max_retries=3),
        metrics_collector=MetricsCollector(),
        archives=[Archive.parse("data/spot/daily/trades/A/A-trades-2025-07-15.zip")],
    )
    assert_type(report, CollectionReport)
    assert_type(report.results, Mapping[str, Any])
    assert_type(report.problems, tuple[ArchiveProblem, ...])
    assert_type(report.totals[Verdict.VERIFIED], int)
    assert_type(await run_collection("collection.toml"), CollectionReport)
    assert_type(await stopping_in_order(run_collection("collection.toml")), CollectionReport)
    assert_type(await run_collection(Path("collection.toml"), sinks=[print]), CollectionReport)
    try:
        report.raise_for_failures()
    except CollectionFailed as failed:
        assert_type(failed.report, CollectionReport)
    except ConfigurationError as error:
        assert_type(error.problems, tuple[Problem, ...])
    except LakehouseError as other:
        assert_type(other.exit_code, int)


async def any_workflow(workflow: BaseWorkflow[Outcome]) -> None:
    assert_type(await workflow.run(), Outcome)


async def workflows(config: WorkflowConfig) -> None:
    workflow = ArchiveCollectionWorkflow(config, sinks=[MySink()])
    assert_type(await workflow.run(), CollectionReport)
    assert_type(workflow.execute(), CollectionReport)
    await any_workflow(workflow)
    lake = LakeConfig(output_directory="data")
    steps = {"collect": Step(workflow), "ingest": Step(IngestWorkflow(lake), after=["collect"])}
    composed = await CompositeWorkflow(config, steps).run()
    assert_type(composed.results, Mapping[str, Any])
    both: list[BaseWorkflow[Outcome]] = [ValidationWorkflow(lake), CollectAndIngest(config, lake)]
    assert_type(both[0].execute().workflow, str)


async def questions() -> None:
    assert_type(await run_plan(CONFIG), PlanReport)
    assert_type(await run_verification(CONFIG, sample="5%"), VerificationReport)
    assert_type(await run_status(CONFIG), StatusReport)
    assert_type(await run_page_report(CONFIG, Path("page.html"), of="published"), PageReport)
    assert_type(await run_history(CONFIG, since=date(2026, 9, 1)), HistoryReport)
    store: Store = MemoryStore()
    archives: list[Archive] = []
    assert_type(await run_plan(CONFIG, on_archive=archives.append), PlanReport)
    assert_type(await run_verification(CONFIG, store=store), VerificationReport)
    assert_type(await run_status(CONFIG, start="2026-09-01"), StatusReport)
    assert_type(await run_prune(CONFIG, 365, store=store, on_held=give_up), PruneResult)
    assert_type(await run_repair(CONFIG, sinks=[take], store=store), RepairReport)
    assert_type(await refresh_matrix(WorkflowConfig(CONFIG)), RefreshedMatrix)
    assert_type(await run_bench(CONFIG, settings=[1, 2]), BenchReport)


def stored() -> None:
    store: Store = LocalStore("data")
    assert_type(list(store.quarantined()), list[Quarantined])
    assert_type(list(store.kept_versions()), list[KeptVersion])
    assert_type(StateFolder("data").ledger, Path)


def tables() -> None:
    with Lake.open("data") as lake:
        lake.scan("spot.klines", symbols="BTCUSDT", interval="1m", start="2024-01-01")
        written: list[ExportedFile] = []
        selection = ExportSelection(markets=["spot"], symbols=["BTC*"], start="2024-01-01")
        report = export_lake(lake, "csv", "to", selection, written.append)
        assert_type(report, ExportReport)
        assert_type(report.written, tuple[str, ...])
    assert callable(bars_of)
    assert callable(load_schemas)


def charts() -> None:
    try:
        assert_type(candles("data", "BTCUSDT", "1h", start="2024-01-01"), Picture)
        assert_type(coverage("data").save("coverage.svg"), list[Path])
    except MatplotlibMissing as missing:
        assert_type(missing.exit_code, int)


class TestMyStore(StoreSuite):
    def make_store(self) -> Store:
        return MemoryStore()


class TestMySink(SinkSuite):
    def make_sink(self) -> AnySink:
        return MySink()


def served() -> None:
    with ArchiveServer() as server:
        server.inject("*.zip", faults.Status(503))
        assert_type(server.url, str)
