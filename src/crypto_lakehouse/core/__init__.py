"""Values and seams that the whole package speaks in: no socket, no disk, no screen."""

from crypto_lakehouse.core.archive import Archive, DataType, Market, Partition, Period, Series
from crypto_lakehouse.core.config import WorkflowConfig
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
