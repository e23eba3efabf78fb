"""A local stand-in for data.binance.vision, for the tests of this project and of applications.

`ArchiveServer` responds over HTTP like the real archive; `faults` makes it fail in defined ways.
Modules are imported on first use, because every pytest run loads the pytest plugin of this package
as soon as the package is installed.

- `made_up` generates archives from their keys; `objects` stores them and the objects put there.
- `server` answers requests and listings, and records them.
- `store_suite` and `sink_suite` are tests for an application's own store or sink.
- `faults` contains the faults; `fault_mix` draws from them with a seed.

The same key gives the same bytes in every process. The speed, TLS and caches of the real archive
are not simulated.

Example:
    >>> from crypto_lakehouse.testing import ArchiveServer
    >>> key = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2026-05-08.zip"
    >>> with ArchiveServer() as server:
    ...     server.read(key + ".CHECKSUM")[64:]
    b'  BTCUSDT-1h-2026-05-08.zip'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto_lakehouse.testing import faults
    from crypto_lakehouse.testing.fault_mix import FaultMix, Mishap
    from crypto_lakehouse.testing.latch import Latch
    from crypto_lakehouse.testing.server.archive_server import ArchiveServer
    from crypto_lakehouse.testing.server.request_log import RequestRecord
    from crypto_lakehouse.testing.sink_suite import SinkSuite
    from crypto_lakehouse.testing.store_suite import StoreSuite

__all__ = [
    "ArchiveServer",
    "FaultMix",
    "Latch",
    "Mishap",
    "RequestRecord",
    "SinkSuite",
    "StoreSuite",
    "faults",
]

_HOMES = {
    "ArchiveServer": "crypto_lakehouse.testing.server.archive_server",
    "FaultMix": "crypto_lakehouse.testing.fault_mix",
    "Latch": "crypto_lakehouse.testing.latch",
    "Mishap": "crypto_lakehouse.testing.fault_mix",
    "SinkSuite": "crypto_lakehouse.testing.sink_suite",
    "StoreSuite": "crypto_lakehouse.testing.store_suite",
    "RequestRecord": "crypto_lakehouse.testing.server.request_log",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name == "faults":
        return import_module("crypto_lakehouse.testing.faults")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
