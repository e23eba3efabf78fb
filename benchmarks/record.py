"""Writing recorded messages to segments, and rows of them: messages a second on one core.

    python benchmarks/record.py                        # 1,000,000 messages of 300 symbols
    python benchmarks/record.py --messages 200000 --folder /var/tmp

One process writes aggTrades, of combined streams, to the segment of a market and syncs it after so
many messages as 50,000 a second would be; then the segment is read, and split into the sorted rows
of each symbol, as an ingestion does (`split`). The processor time is that of all threads; with
`POLARS_MAX_THREADS=1` Polars has one. `sync_ms` is the longest sync: at that time an event loop
goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path
from random import Random

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments.live_segment import read_live_from
from crypto_lakehouse.segments.live_writer import LiveWriter
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.tables.live.excerpts import split_segment

_NOON_US = 1_778_241_600_000_000

_PER_SECOND = 50_000


def made_up(count: int) -> list[bytes]:
    """Messages as a combined stream sends them."""
    random = Random(1)
    prices = [random.randint(10_000, 9_000_000) for _ in range(300)]
    messages = []
    for at in range(count):
        of = random.randrange(300)
        prices[of] += random.randint(-3, 3)
        trade = {
            "e": "aggTrade",
            "E": 1_778_241_600_000 + at // 50,
            "a": 1_000_000_000 + at,
            "s": f"S{of:03}USDT",
            "p": f"{prices[of] / 100:.2f}",
            "q": f"{random.randint(1, 10**6) / 1000:.3f}",
            "f": 2_000_000_000 + at * 2,
            "l": 2_000_000_001 + at * 2,
            "T": 1_778_241_600_000 + at // 50 - random.randrange(40),
            "m": random.random() < 0.5,
        }
        value = {"stream": f"s{of:03}usdt@aggTrade", "data": trade}
        messages.append(json.dumps(value, separators=(",", ":")).encode())
    return messages


async def record(folder: str, messages: list[bytes]) -> dict[str, float]:
    store = LocalStore(Path(folder))
    writer = LiveWriter(
        store=store,
        market=Market.FUTURES_UM,
        kind=StreamKind.AGG_TRADE,
        recording="0" * 8,
        tool_version="benchmark",
    )
    began, processor, longest = time.perf_counter(), time.process_time(), 0.0
    for first in range(0, len(messages), _PER_SECOND):
        for at, message in enumerate(messages[first : first + _PER_SECOND], first):
            writer.write(_NOON_US + at * 20, 1, message)
        sync_began = time.perf_counter()
        await writer.sync(_NOON_US)
        longest = max(longest, time.perf_counter() - sync_began)
    [key] = await writer.close(_NOON_US)
    wall, used = time.perf_counter() - began, time.process_time() - processor
    size = Path(store.path(key)).stat().st_size
    began = time.perf_counter()
    read = sum(1 for _ in read_live_from(store, key)[1]) - 1
    if read != len(messages):
        raise RuntimeError(f"{read} of {len(messages)} messages were read")
    reading = time.perf_counter() - began
    began, processor = time.perf_counter(), time.process_time()
    rows = split(store, key, Path(folder))
    if rows != len(messages):
        raise RuntimeError(f"{rows} rows of {len(messages)} messages")
    splitting, splitting_used = time.perf_counter() - began, time.process_time() - processor
    return {
        "messages": read,
        "messages_per_s": round(read / wall),
        "messages_per_core_s": round(read / used),
        "read_per_s": round(read / reading),
        "split_per_s": round(rows / splitting),
        "split_per_core_s": round(rows / splitting_used),
        "sync_ms": round(longest * 1000),
        "ratio": round(sum(map(len, messages)) / size, 1),
        "peak_mb_above_the_messages": 0,
    }


def split(store: LocalStore, key: str, folder: Path) -> int:
    """Split a segment; the number of rows."""
    place = folder / "excerpts"
    place.mkdir()
    sidecar = Path(store.path(key + ".CHECKSUM")).read_bytes()
    with store.reader(key) as file:
        return sum(each.rows for each in split_segment(file, key, sidecar, place).excerpts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--folder", help="where segment and rows are written; removed at the end")
    arguments = parser.parse_args()
    messages = made_up(arguments.messages)
    before = _peak_mb()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        found = asyncio.run(record(folder, messages))
    print(json.dumps(found | {"peak_mb_above_the_messages": _peak_mb() - before}))


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
