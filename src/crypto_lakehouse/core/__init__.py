"""Values and protocols that the whole package uses: no socket, no disk, no screen.

- Names: `archive` (one published file and its object key), `symbols`, `verdicts`.
- What is to be done: `config`, `plan`, `listed` (what a source's listing says).
- What happens: `events` are the facts of a run, `metrics` counts them, `report` is what the caller
  gets, `errors` is the one tree of errors.
- What is passed in: `protocols` (stores, ledgers, sinks, listings) and `workflow`, the life of a
  workflow: setup, body, cleanup, metrics.

Everything else imports the core; the core imports nothing of the package. It opens no file and
reads no clock except where a workflow measures its own duration.
"""

from crypto_lakehouse.core.archive import Archive, DataType, Market, Partition, Period, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.metrics import MetricsCollector, WorkflowMetrics
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.core.workflow import BaseWorkflow

__all__ = [
    "Archive",
    "BaseWorkflow",
    "CollectionReport",
    "DataType",
    "LakehouseError",
    "Market",
    "MetricsCollector",
    "Partition",
    "Period",
    "Series",
    "Verdict",
    "WorkflowConfig",
    "WorkflowMetrics",
]
