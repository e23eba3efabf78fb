"""Values and protocols that the whole package uses: no socket, no disk, no screen.

- Names: `archive` (one published file and its object key), `symbols`, `verdicts`.
- What is to be done: `config`, `plan`, `listed` (what a source's listing says).
- What happens: `events` are the facts of a run, `metrics` counts them, `report` is what the caller
  gets, `errors` is the one tree of errors.
- What is passed in: `protocols` (stores, listings), `ledger_protocols` and `sink`.
- `workflow` has the stages of a workflow: setup, body, cleanup, metrics.
- `file_identity` tells versions of a file apart, `os_error_hints` gives advice for errors of the
  operating system.

Everything else imports the core; the core imports nothing else of the package. It opens no file and
reads no clock except where a workflow measures its own duration.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        BadAnswerError,
        BodyTooLarge,
        ConfigurationError,
        ConfigurationWarning,
        ConnectionFailed,
        ExchangeRefused,
        ExtraMissing,
        FillUnavailable,
        HostRefusedError,
        LakeError,
        LakehouseError,
        LedgerError,
        ListingError,
        ListingMalformed,
        LockHeldError,
        LostLockError,
        MatrixError,
        NoListing,
        ObjectChanged,
        OvertakenError,
        PlaceRefusedError,
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
        UnknownSymbolError,
        WorkerError,
    )
    from crypto_lakehouse.core.events import (
        ArchiveFinished,
        ArchiveRetried,
        ArchivesUnchanged,
        BodyStarted,
        Event,
        FillFinished,
        FolderListed,
        HoleRecorded,
        ListingRetried,
        RecordingIngested,
        RecordingSeen,
        RunFinished,
        RunNoted,
        RunStarted,
        RunWarned,
        UnrecordedVersion,
        to_record,
    )
    from crypto_lakehouse.core.fills import FillVerdict
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
    "BadAnswerError",
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
    "ExchangeRefused",
    "ExtraMissing",
    "FileStat",
    "FillFinished",
    "FillUnavailable",
    "FillVerdict",
    "FolderListed",
    "FolderScan",
    "HoleRecorded",
    "HostRefusedError",
    "KeptVersion",
    "LakeError",
    "LakehouseError",
    "LedgerError",
    "ListingError",
    "ListingMalformed",
    "ListingRetried",
    "LockHeldError",
    "LostLockError",
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
    "PlaceRefusedError",
    "PlainSink",
    "Problem",
    "ProxyRefused",
    "Quarantined",
    "QueryError",
    "RecordingIngested",
    "RecordingSeen",
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
    "UnknownSymbolError",
    "UnrecordedVersion",
    "Verdict",
    "Watch",
    "WorkerError",
    "WorkflowConfig",
    "WorkflowMetrics",
    "to_record",
]

_NAMES = {
    "archive": (
        "Archive",
        "DataType",
        "Market",
        "Origin",
        "Partition",
        "Period",
        "Series",
    ),
    "config.workflow_config": ("WorkflowConfig",),
    "events": (
        "ArchiveFinished",
        "ArchiveRetried",
        "ArchivesUnchanged",
        "BodyStarted",
        "Event",
        "FillFinished",
        "FolderListed",
        "HoleRecorded",
        "ListingRetried",
        "RecordingIngested",
        "RecordingSeen",
        "RunFinished",
        "RunNoted",
        "RunStarted",
        "RunWarned",
        "UnrecordedVersion",
        "to_record",
    ),
    "fills": ("FillVerdict",),
    "kept": (
        "KeptVersion",
        "Quarantined",
    ),
    "metrics": (
        "ByteMeter",
        "MetricsCollector",
        "WorkflowMetrics",
    ),
    "object_facts": (
        "FileStat",
        "ObjectFacts",
    ),
    "protocols": (
        "FolderScan",
        "PART_SUFFIX",
        "Part",
        "Store",
        "Watch",
    ),
    "report": (
        "ArchiveProblem",
        "CollectionFailed",
        "CollectionReport",
    ),
    "sink": (
        "AnySink",
        "PlainSink",
        "Sink",
        "SinkFunction",
    ),
    "verdicts": ("Verdict",),
    "workflow": (
        "BaseWorkflow",
        "Outcome",
    ),
}

_HOMES = {name: home for home, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name on first use: a command that prints its help needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"crypto_lakehouse.core.{_HOMES.get(name, 'errors')}"), name)
