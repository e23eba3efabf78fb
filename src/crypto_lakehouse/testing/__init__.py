"""Local stand-ins for the archive and the exchange, for the tests of this project and applications.

`ArchiveServer` responds over HTTP like data.binance.vision, `ExchangeServer` like the public API of
the exchange; `faults` makes both fail in defined ways.
Modules are imported on first use, because every pytest run loads the pytest plugin of this package
as soon as the package is installed.

- `made_up` generates archives from their keys; `objects` stores them and the objects put there.
- `server` answers requests and listings, and records them.
- `exchange` is the exchange: its clock, its rules, what happened on it, and its endpoints.
- `store_suite` and `sink_suite` are tests for an application's own store or sink; `part_suite` has
  those of large bodies.
- `faults` contains the faults; `fault_mix` draws from them with a seed.

The same key gives the same bytes in every process. The speed, TLS and caches of the real archive
are not simulated.

Examples:
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
    from crypto_lakehouse.testing.exchange.clock import ExchangeClock
    from crypto_lakehouse.testing.exchange.exchange_server import ExchangeServer
    from crypto_lakehouse.testing.exchange.rules import MarketRules, exchange_rules
    from crypto_lakehouse.testing.exchange.tape.instruments import Instrument
    from crypto_lakehouse.testing.exchange.tape.tape import Tape
    from crypto_lakehouse.testing.exchange.tape.trades import GivenTrades
    from crypto_lakehouse.testing.fault_mix import FaultMix, Mishap
    from crypto_lakehouse.testing.latch import Latch
    from crypto_lakehouse.testing.server.archive_server import ArchiveServer
    from crypto_lakehouse.testing.server.request_log import RequestRecord
    from crypto_lakehouse.testing.sink_suite import SinkSuite
    from crypto_lakehouse.testing.store_suite import StoreSuite

__all__ = [
    "ArchiveServer",
    "ExchangeClock",
    "ExchangeServer",
    "FaultMix",
    "GivenTrades",
    "Instrument",
    "Latch",
    "MarketRules",
    "Mishap",
    "RequestRecord",
    "SinkSuite",
    "StoreSuite",
    "Tape",
    "exchange_rules",
    "faults",
]

_HOMES = {
    "ExchangeClock": "crypto_lakehouse.testing.exchange.clock",
    "ExchangeServer": "crypto_lakehouse.testing.exchange.exchange_server",
    "GivenTrades": "crypto_lakehouse.testing.exchange.tape.trades",
    "Instrument": "crypto_lakehouse.testing.exchange.tape.instruments",
    "MarketRules": "crypto_lakehouse.testing.exchange.rules",
    "Tape": "crypto_lakehouse.testing.exchange.tape.tape",
    "ArchiveServer": "crypto_lakehouse.testing.server.archive_server",
    "exchange_rules": "crypto_lakehouse.testing.exchange.rules",
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
