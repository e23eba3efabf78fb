"""The recorder beside cryptofeed, on the same server: ids lost over reconnects, messages a second.

    python -m venv /tmp/cryptofeed && /tmp/cryptofeed/bin/pip install cryptofeed==2.4.1
    python -m benchmarks.beside_cryptofeed /tmp/cryptofeed/bin/python

Both follow aggTrades of the spot market over loopback, without TLS. First each of them has an
exchange server for itself, in the same minute: five symbols with ten events a second, and
connections that end as they do in production: `serverShutdown`, a close after 24 hours, an end
without a close frame, and messages that do not come. An id is lost if it is between the first and
the last one of its symbol, and did not come. Then cryptofeed gets the frames of `record_socket.py`,
as fast as it reads them, on one core. It calls a function with each trade, and stores nothing; the
recorder stores all of it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.record_socket import pin, serve, write_frames
from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.segments.live_segment import LiveMessage, read_live_from
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing import ExchangeServer, faults
from crypto_lakehouse.testing.exchange.clock import ExchangeClock
from crypto_lakehouse.testing.exchange.tape.instruments import Instrument
from crypto_lakehouse.testing.exchange.tape.tape import Tape

_SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT")

#: Trades of a symbol are that far apart, in microseconds.
_EVERY_US = 100_000

#: cryptofeed opens a connection for each 200 streams; the server of frames takes one.
_RATE_SYMBOLS = 150

_CLIENT = Path(__file__).with_name("cryptofeed_client.py")

#: How the connections end, one after the other; about fifty messages come in a second.
_ENDS = (
    [faults.ShutDown(at=600, more=100)],
    [faults.CloseConnection(at=600, code=1001)],
    [faults.DropConnection(at=600)],
    [faults.SkipMessages(at=200, count=20), faults.DropConnection(at=600)],
)

_Ids = Mapping[str, Sequence[int]]


def exchange() -> ExchangeServer:
    """A server whose clock runs as this machine's does."""
    instruments = [Instrument.of(Market.SPOT, name, agg_every_us=_EVERY_US) for name in _SYMBOLS]
    start = datetime(2026, 5, 8, 12, tzinfo=UTC)
    tape = Tape(instruments, start=datetime(2026, 5, 8, tzinfo=UTC))
    server = ExchangeServer(tape, clock=ExchangeClock(start, speed=1.0))
    for ends in _ENDS:
        server.script_connection("spot/*", *ends)
    return server


def lost(ids: _Ids) -> int:
    """How many ids between the first and the last of each symbol did not come."""
    return sum(max(each) - min(each) + 1 - len(set(each)) for each in ids.values())


def recorded_ids(folder: Path) -> tuple[_Ids, _Ids]:
    """The ids that came over streams, and those with what was fetched."""
    store = LocalStore(folder)
    came: dict[str, list[int]] = defaultdict(list)
    kept: dict[str, list[int]] = defaultdict(list)
    for key, _ in store.segments(lambda _key, _reason: None, Origin.LIVE):
        for line in read_live_from(store, key)[1]:
            if isinstance(line, LiveMessage):
                message = json.loads(line.body)
                if "a" not in message["data"]:  # the exchange says that the connection ends
                    continue
                symbol = message["stream"].partition("@")[0]
                kept[symbol].append(message["data"]["a"])
                if line.connection:
                    came[symbol].append(message["data"]["a"])
    return came, kept


def compare_reconnects(python: str, seconds: int, folder: Path) -> list[dict[str, Any]]:
    """Let both follow a server of their own in the same time."""
    with exchange() as ours, exchange() as theirs:
        environment = {
            **os.environ,
            "CRYPTO_LAKEHOUSE_FILL": json.dumps({"urls": {"spot": ours.url("spot")}}),
            "CRYPTO_LAKEHOUSE_RECORD": json.dumps({"urls": {"spot": ours.ws_url("spot")}}),
        }
        command = [
            sys.executable, "-m", "crypto_lakehouse", "record", "-o", str(folder), "--json", "-q",
            "--markets", "spot", "-s", ",".join(_SYMBOLS), "--for", f"{seconds}s",
        ]  # fmt: skip
        recorder = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        client = subprocess.Popen(
            [python, str(_CLIENT), theirs.ws_url("spot"), str(seconds), "0", *_SYMBOLS],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        report = json.loads(recorder.communicate()[0])
        found = json.loads(client.communicate()[0])
        came, kept = recorded_ids(folder)
        return [
            {
                "tool": "crypto-lakehouse",
                "connections": len(ours.connections),
                "messages": sum(map(len, came.values())),
                "lost": lost(came),
                "lost_and_not_fetched": lost(kept),
                "holes_named": report["hole_count"],
            },
            {
                "tool": "cryptofeed",
                "connections": len(theirs.connections),
                "messages": found["messages"],
                "lost": lost(found["ids"]),
            },
        ]


def cryptofeed_rate(python: str, count: int, folder: Path) -> dict[str, Any]:
    """Let cryptofeed read frames as fast as it can."""
    frames = folder / "frames"
    write_frames(frames, count, 1, _RATE_SYMBOLS)
    mine, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(frames, theirs))
    server.start()
    symbols = [f"S{of:03}USDT" for of in range(_RATE_SYMBOLS)]
    url = f"ws://127.0.0.1:{mine.recv()}"
    try:
        found = subprocess.run(
            [python, str(_CLIENT), url, "0", str(count), *symbols],
            check=True, stdout=subprocess.PIPE, preexec_fn=lambda: pin(1),
        )  # fmt: skip
    finally:
        server.kill()
        server.join()
    return {"tool": "cryptofeed", **json.loads(found.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("python", help="of an environment that has cryptofeed")
    parser.add_argument("--seconds", type=int, default=75)
    parser.add_argument("--messages", type=int, default=500_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        for row in compare_reconnects(given.python, given.seconds, Path(text) / "output"):
            print(json.dumps(row), flush=True)
        row = cryptofeed_rate(given.python, given.messages, Path(text))
        row.pop("ids")
        print(json.dumps(row))
    print(f"the recorder: python benchmarks/record_socket.py --messages {given.messages}")


if __name__ == "__main__":
    main()
