"""Follow aggTrades of the spot market with cryptofeed; `beside_cryptofeed.py` starts it.

It runs in an environment of its own, and imports nothing of this project. Its arguments are the
address of the streams, how many seconds it follows them or, if it is not 0, how many messages, and
the symbols. At the end it prints a line of JSON: the ids of each symbol, or the rate.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from typing import Any

from cryptofeed import FeedHandler
from cryptofeed.connection import WebsocketEndpoint
from cryptofeed.defines import TRADES
from cryptofeed.exchanges import Binance
from cryptofeed.symbols import Symbols

_MOST_IDS = 1_000_000


class PlainBinance(Binance):  # type: ignore[misc]
    """Without TLS, as the server on loopback; the library takes addresses of `wss` alone."""

    def connect(self) -> list[Any]:
        """Return the connections, with the addresses of the server."""
        found: list[Any] = super().connect()
        for connection, *_ in found:
            connection.address = connection.address.replace("wss://", "ws://", 1)
        return found


def main() -> None:
    url, seconds, count, *symbols = sys.argv[1:]
    PlainBinance.websocket_endpoints = [WebsocketEndpoint(url.replace("ws://", "wss://", 1))]
    Symbols.set(Binance.id, {f"{name[:-4]}-{name[-4:]}": name for name in symbols}, {})
    ids: dict[str, list[int]] = defaultdict(list)
    wanted = int(count)
    times: list[tuple[float, float]] = []
    seen = 0

    async def take(trade: Any, _received_at: float) -> None:
        nonlocal seen
        seen += 1
        if seen <= _MOST_IDS:
            ids[trade.symbol.replace("-", "")].append(int(trade.id))
        if seen in (1, wanted):
            times.append((time.perf_counter(), time.process_time()))
        if seen == wanted:
            asyncio.get_running_loop().stop()

    handler = FeedHandler({"log": {"disabled": True}})
    names = [f"{name[:-4]}-{name[-4:]}" for name in symbols]
    handler.add_feed(PlainBinance(symbols=names, channels=[TRADES], callbacks={TRADES: take}))
    handler.run(start_loop=False, install_signal_handlers=False)
    loop = asyncio.get_event_loop()
    if not wanted:
        loop.call_later(float(seconds), loop.stop)
    loop.run_forever()
    rates: dict[str, int] = {}
    if len(times) == 2:
        (wall, processor), (wall_end, processor_end) = times
        rates = {
            "messages_per_s": round((wanted - 1) / (wall_end - wall)),
            "messages_per_core_s": round((wanted - 1) / (processor_end - processor)),
        }
    print(json.dumps({"messages": seen, **rates, "ids": {} if wanted else ids}), flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
