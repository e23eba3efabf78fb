"""Values and protocols that the whole package uses: no socket, no disk, no screen.

- Names: `archive` (one published file and its object key), `symbols`, `verdicts`.
- What is to be done: `config`, `plan`, `listed` (what a source's listing says).
- What happens: `events` are the facts of a run, `metrics` counts them, `report` is what the caller
  gets, `errors` is the one tree of errors.
- What is passed in: `protocols` (stores, ledgers, listings) and `sink`.
- `workflow` has the stages of a workflow: setup, body, cleanup, metrics.
- `file_identity` tells versions of a file apart, `os_error_hints` gives advice for errors of the
  operating system.

Everything else imports the core; the core imports nothing else of the package. It opens no file and
reads no clock except where a workflow measures its own duration.
"""

from crypto_lakehouse.core.archive import (
    Archive,
    DataType,
    Market,
    Origin,
    Partition,
    Period,
    Series,
)
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import (
    ArchiveKeyError,
    ArchiveRefused,
    BodyTooLarge,
    ConfigurationError,
    ConfigurationWarning,
    ConnectionFailed,
    ExtraMissing,
    LakeError,
    LakehouseError,
    LedgerError,
    ListingError,
    ListingMalformed,
    LockHeldError,
    MatrixError,
    NoListing,
    ObjectChanged,
    OvertakenError,
    Problem,
    ProxyRefused,
    QueryError,
    RedirectRefused,
    RunningLoopError,
    SegmentError,
    SelectionError,
    ServerError,
    SidecarMalformed,
    SinkError,
    StoreError,
    TimedOut,
    TlsRefused,
    TransferError,
    TruncatedBody,
    WorkerError,
)
from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    ArchivesUnchanged,
    BodyStarted,
    Event,
    FolderListed,
    ListingRetried,
    RunFinished,
    RunNoted,
    RunStarted,
    RunWarned,
    to_record,
)
from crypto_lakehouse.core.kept import KeptVersion, Quarantined
from crypto_lakehouse.core.metrics import ByteMeter, MetricsCollector, WorkflowMetrics
from crypto_lakehouse.core.object_facts import FileStat, ObjectFacts
from crypto_lakehouse.core.protocols import PART_SUFFIX, FolderScan, Part, Store, Watch
from crypto_lakehouse.core.report import ArchiveProblem, CollectionFailed, CollectionReport
from crypto_lakehouse.core.sink import AnySink, PlainSink, Sink, SinkFunction
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.core.workflow import BaseWorkflow, Outcome

__all__ = [
    "PART_SUFFIX",
    "AnySink",
    "Archive",
    "ArchiveFinished",
    "ArchiveKeyError",
    "ArchiveProblem",
    "ArchiveRefused",
    "ArchiveRetried",
    "ArchivesUnchanged",
    "BaseWorkflow",
    "BodyStarted",
    "BodyTooLarge",
    "ByteMeter",
    "CollectionFailed",
    "CollectionReport",
    "ConfigurationError",
    "ConfigurationWarning",
    "ConnectionFailed",
    "DataType",
    "Event",
    "ExtraMissing",
    "FileStat",
    "FolderListed",
    "FolderScan",
    "KeptVersion",
    "LakeError",
    "LakehouseError",
    "LedgerError",
    "ListingError",
    "ListingMalformed",
    "ListingRetried",
    "LockHeldError",
    "Market",
    "MatrixError",
    "MetricsCollector",
    "NoListing",
    "ObjectChanged",
    "ObjectFacts",
    "Origin",
    "Outcome",
    "OvertakenError",
    "Part",
    "Partition",
    "Period",
    "PlainSink",
    "Problem",
    "ProxyRefused",
    "Quarantined",
    "QueryError",
    "RedirectRefused",
    "RunFinished",
    "RunNoted",
    "RunStarted",
    "RunWarned",
    "RunningLoopError",
    "SegmentError",
    "SelectionError",
    "Series",
    "ServerError",
    "SidecarMalformed",
    "Sink",
    "SinkError",
    "SinkFunction",
    "Store",
    "StoreError",
    "TimedOut",
    "TlsRefused",
    "TransferError",
    "TruncatedBody",
    "Verdict",
    "Watch",
    "WorkerError",
    "WorkflowConfig",
    "WorkflowMetrics",
    "to_record",
]
