"""How the server is to fail: values that are scripted with `ArchiveServer.inject`.

1. A fault of `kinds` changes an object before the response is decided (`alter`), or the response
   before it is sent (`spoil`).
2. A fault of `json_kinds` changes the JSON of an `ExchangeServer`'s response.
3. A fault of `connection_kinds` is at one message of a WebSocket connection.
4. `script` holds the faults of each key or glob; each request that matches takes the next one.

Faults compose: `a & b` does both in one response, `a * 3` is the same one three times. A request
that no script matches is answered as usual.

Examples:
    >>> from crypto_lakehouse.testing import ArchiveServer, faults
    >>> server = ArchiveServer()
    >>> server.inject("*.zip", faults.Status(503, retry_after="1") * 2, faults.Truncate(at=100))
"""

from __future__ import annotations

from crypto_lakehouse.testing.faults.connection_kinds import (
    AlterMessage,
    CloseConnection,
    ConnectionFault,
    DropConnection,
    GoSilent,
    RepeatMessage,
    ShutDown,
    SkipMessages,
    StopPings,
    SwapMessages,
    random_connection_script,
)
from crypto_lakehouse.testing.faults.json_kinds import (
    MalformedJson,
    MissingField,
    PlainNumbers,
    RepeatedId,
    TimeBack,
    random_json_faults,
)
from crypto_lakehouse.testing.faults.kinds import (
    Announce,
    Body,
    Cut,
    Drip,
    Fault,
    Flip,
    Gzip,
    HangUp,
    Headers,
    NotFound,
    OtherRange,
    Redirect,
    Replace,
    Reset,
    Stall,
    Status,
    Surplus,
    Truncate,
    Unannounced,
)

__all__ = [
    "AlterMessage",
    "Announce",
    "Body",
    "CloseConnection",
    "ConnectionFault",
    "Cut",
    "Drip",
    "DropConnection",
    "Fault",
    "Flip",
    "GoSilent",
    "Gzip",
    "HangUp",
    "Headers",
    "MalformedJson",
    "MissingField",
    "NotFound",
    "OtherRange",
    "PlainNumbers",
    "Redirect",
    "RepeatMessage",
    "RepeatedId",
    "Replace",
    "Reset",
    "ShutDown",
    "SkipMessages",
    "Stall",
    "Status",
    "StopPings",
    "Surplus",
    "SwapMessages",
    "TimeBack",
    "Truncate",
    "Unannounced",
    "random_connection_script",
    "random_json_faults",
]
