"""All errors: each says what happened, to which key or file, and what to do.

::

    LakehouseError                        the base class of all errors of this package
    ├─ ConfigurationError   problems      before anything runs                       exit 2
    │  └─ SelectionError                  what is selected does not exist            exit 2
    ├─ MatrixError          origin, problems                                         exit 2
    ├─ ArchiveKeyError      key, reason   not a key of the archive                   exit 2
    ├─ RunningLoopError                   a synchronous call inside a running loop
    ├─ LockHeldError        path          another run owns the output directory      exit 11
    ├─ LedgerError          path, reason  exit 2 if it may not be used, 5 if it cannot be reached
    ├─ StoreError           path, reason  the store failed, as on a full disk; exit 5 if it cannot
    │  │                                  be reached
    │  └─ LostLockError                   another run has taken over; a LedgerError, too  exit 11
    ├─ SinkError            name, reason  a required sink has failed
    ├─ WorkerError          reason        worker processes end as soon as they are started
    │  ├─ ProcessEndedError              a process of the run ended without an answer
    │  └─ ClusterError                   a Dask cluster cannot work for the run; exit 5 if its
    │                                     scheduler cannot be reached
    ├─ TransferError        url, reason, transient    one archive; the run goes on
    │  ├─ ConnectionFailed · TimedOut · TruncatedBody
    │  │  └─ TlsRefused                   an invalid certificate, or TLS that is too old
    │  ├─ ServerError(status, retry_after_s)
    │  ├─ ProxyRefused(status)            the proxy refused the request
    │  ├─ RedirectRefused
    │  ├─ BodyTooLarge(most_bytes)        the body is larger than it may be
    │  ├─ ObjectChanged                   the source replaced the object between two requests
    │  ├─ ListingMalformed                an invalid page of a listing
    │  ├─ BadAnswerError                  a damaged answer of an exchange's API
    │  ├─ ExchangeRefused(status, code)   the exchange refuses a request
    │  └─ FillUnavailable                 the exchange does not have it, or not any more
    │     └─ UnknownSymbolError           the exchange does not know the symbol
    ├─ SidecarMalformed     key, reason
    ├─ ArchiveRefused       key, reason, line, column   its rows do not fit its data type
    ├─ SegmentError         key, reason   a segment cannot be read, or has a bad answer exit 4
    ├─ LakeError            lake, reason  the tables or their catalog cannot be read or written;
    │  │                                  exit 2 if their files may not be used, 5 if the server
    │  │                                  of the catalog cannot be reached
    │  ├─ NoLakeError                     a directory has no tables, or cannot have any exit 2
    │  ├─ OvertakenError                  another writer has changed a table in the meantime
    │  ├─ NotRestoredError     key          rows of a damaged file cannot be ingested again exit 4
    │  └─ QueryError                       a query that cannot be answered              exit 2
    ├─ ExtraMissing         extra, reason  a package of an extra is not installed       exit 2
    ├─ ListingError         prefix, reason  a listing that failed is never an empty one exit 5
    │  └─ NoListing                        the source answers, but has no listing
    ├─ HostRefusedError     host, status  an exchange's host banned or blocked this machine  exit 5
    │  └─ PlaceRefusedError               it does not serve this place                     exit 5
    └─ CollectionFailed     report        in `report`, beside the method that raises it
"""

from __future__ import annotations

from crypto_lakehouse.core.errors.base import (
    LakehouseError,
)
from crypto_lakehouse.core.errors.data_errors import (
    ArchiveRefused,
    LakeError,
    NoLakeError,
    NotRestoredError,
    OvertakenError,
    QueryError,
    SegmentError,
    SidecarMalformed,
)
from crypto_lakehouse.core.errors.exchange_errors import (
    BadAnswerError,
    ExchangeRefused,
    FillUnavailable,
    HostRefusedError,
    PlaceRefusedError,
    UnknownSymbolError,
)
from crypto_lakehouse.core.errors.input_errors import (
    ArchiveKeyError,
    ConfigurationError,
    ConfigurationWarning,
    ExtraMissing,
    MatrixError,
    Problem,
    RunningLoopError,
    SelectionError,
)
from crypto_lakehouse.core.errors.machine_errors import (
    ClusterError,
    LedgerError,
    LockHeldError,
    LostLockError,
    ProcessEndedError,
    SinkError,
    StoreError,
    WorkerError,
)
from crypto_lakehouse.core.errors.transfer_errors import (
    BodyTooLarge,
    ConnectionFailed,
    ListingError,
    ListingMalformed,
    NoListing,
    ObjectChanged,
    ProxyRefused,
    RedirectRefused,
    ServerError,
    TimedOut,
    TlsRefused,
    TransferError,
    TruncatedBody,
)

__all__ = [
    "ArchiveKeyError",
    "ArchiveRefused",
    "BadAnswerError",
    "BodyTooLarge",
    "ClusterError",
    "ConfigurationError",
    "ConfigurationWarning",
    "ConnectionFailed",
    "ExchangeRefused",
    "ExtraMissing",
    "FillUnavailable",
    "HostRefusedError",
    "LakeError",
    "LakehouseError",
    "LedgerError",
    "ListingError",
    "ListingMalformed",
    "LockHeldError",
    "LostLockError",
    "MatrixError",
    "NoLakeError",
    "NoListing",
    "NotRestoredError",
    "ObjectChanged",
    "OvertakenError",
    "PlaceRefusedError",
    "Problem",
    "ProcessEndedError",
    "ProxyRefused",
    "QueryError",
    "RedirectRefused",
    "RunningLoopError",
    "SegmentError",
    "SelectionError",
    "ServerError",
    "SidecarMalformed",
    "SinkError",
    "StoreError",
    "TimedOut",
    "TlsRefused",
    "TransferError",
    "TruncatedBody",
    "UnknownSymbolError",
    "WorkerError",
]
