"""`run_recording`: record the exchange's streams by a configuration in any form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.metrics import MetricsCollector
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.core.task_groups import in_own_task
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.live.line import LiveTimes
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.record_report import RecordReport
from crypto_lakehouse.workflows.record_selection import fills_tables
from crypto_lakehouse.workflows.recording import RecordingWorkflow
from crypto_lakehouse.workflows.wiring.load_config import (
    AnyConfig,
    load_config,
    load_lake_of,
    read_config,
)

__all__ = ["run_recording"]


async def run_recording(
    config: AnyConfig,
    *,
    for_s: float | None = None,
    sinks: Iterable[AnySink] = (),
    metrics_collector: MetricsCollector | None = None,
    on_held: OnHeld = do_not_wait,
    times: LiveTimes | None = None,
    lake: LakeConfig | None = None,
) -> RecordReport:
    """Record the exchange's streams, until the task is cancelled or the time is over.

    Args:
        config: A configuration, a mapping of its keys, or the path of a JSON, TOML or YAML file.
        for_s: How long it records, in seconds; None for ever.
        sinks: Further sinks, or functions that take a list of events.
        metrics_collector: Counts the events.
        on_held: Called if another recording holds the lock; returns whether to try again.
        times: Where the time comes from; a parameter for tests.
        lake: Where the tables are, with `ingest` in the settings of `record`; by default as the
            mapping or the file says, which may have the keys of `ingest`.

    Returns:
        What came, and what is missing.

    Raises:
        ConfigurationError: The configuration cannot be run.
        SelectionError: The exchange does not list a symbol.
        LockHeldError: Another recording has the output.
        StoreError: Segments cannot be written.
    """
    ready, of_file = await in_own_task(lambda: _ready(config))
    workflow = RecordingWorkflow(
        ready,
        for_s=for_s,
        sinks=sinks,
        metrics_collector=metrics_collector,
        on_held=on_held,
        times=times,
        lake=lake or of_file,
    )
    return await workflow.run()


async def _ready(config: AnyConfig) -> tuple[WorkflowConfig, LakeConfig | None]:
    """Read a configuration whose days are not named, as a recording has none; and its tables."""
    if isinstance(config, WorkflowConfig):
        return config, None
    values = config if isinstance(config, Mapping) else await read_config(config)
    ready = await load_config(values, {"only": "failed"})
    return ready, await load_lake_of(values, ready) if fills_tables(ready) else None
