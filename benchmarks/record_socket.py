"""Recording over a socket: messages a second on one core, and memory while it goes on.

    python benchmarks/record_socket.py                                 # 1,000,000 messages
    python benchmarks/record_socket.py --messages 9000000 --folder /var/tmp

A server process sends frames of aggTrades of 300 symbols that a file has already, as fast as they
are read, over loopback; the recorder of `record` parses each message, follows its id, writes it to
segments and syncs them once a second. Server and recorder have a core each, if there are two. Each
message comes `--copies` times, as over two connections that overlap, so that the rest are
duplicates. `mb` is the memory of the recorder after each eighth of the messages.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import multiprocessing
import os
import re
import socket
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import anyio

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.http.routes import EngineRoutes
from crypto_lakehouse.http.tls import tls_context
from crypto_lakehouse.live.recorder import Recorder
from crypto_lakehouse.live.sockets import AiohttpSockets
from crypto_lakehouse.live.streams import LiveStream
from crypto_lakehouse.segments.live_writer import LiveWriter
from crypto_lakehouse.stores.directory import LocalStore

_SYMBOLS = 300

#: What a server adds to the key of a handshake (RFC 6455).
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def write_frames(path: Path, count: int, copies: int, symbols: int = _SYMBOLS) -> None:
    """Write frames of messages; the ids of each symbol follow each other."""
    random = Random(1)
    ids = [1_000_000_000] * symbols
    with path.open("wb") as file:
        for at in range(count // copies):
            of = random.randrange(symbols)
            ids[of] += 1
            text = (
                b'{"stream":"s%03dusdt@aggTrade","data":{"e":"aggTrade","E":%d,"s":"S%03dUSDT",'
                b'"a":%d,"p":"52657.16","q":"1.425","f":%d,"l":%d,"T":%d,"m":false}}'
            ) % (
                of, 1_778_241_600_000 + at // 50, of, ids[of], 2 * ids[of], 2 * ids[of] + 1,
                1_778_241_600_000 + at // 50,
            )  # fmt: skip
            file.write((b"\x81\x7e" + len(text).to_bytes(2, "big") + text) * copies)


def serve(path: Path, ports: Connection) -> None:
    """Send the frames to the first client, as fast as it reads them."""
    pin(0)
    with socket.create_server(("127.0.0.1", 0)) as server, path.open("rb") as file:
        ports.send(server.getsockname()[1])
        client, _ = server.accept()
        with client:
            found = re.search(rb"Sec-WebSocket-Key: (\S+)", client.recv(65536), re.IGNORECASE)
            if found is None:
                raise RuntimeError("the client has sent no handshake")
            digest = hashlib.sha1(found[1] + _GUID).digest()  # noqa: S324 - the protocol says so
            client.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(digest)
            )
            client.sendfile(file)
            client.recv(1)  # until the client closes


async def record(port: int, count: int, folder: Path) -> dict[str, object]:
    """Record all messages; the rate is from the first to the last one."""
    store = LocalStore(folder)
    store.prepare()
    routes = EngineRoutes(0, 20, lambda _url: None, lambda: tls_context(None, {}))
    streams = [
        LiveStream(Market.FUTURES_CM, StreamKind.AGG_TRADE, f"S{of:03}USDT")
        for of in range(_SYMBOLS)
    ]
    recorder = Recorder(
        streams=streams,
        sockets=AiohttpSockets(routes, 20),
        make_writer=lambda market, kind: LiveWriter(
            store=store, market=market, kind=kind, recording="0" * 8, tool_version="benchmark"
        ),
        on_stored=lambda _keys: None,
        urls={Market.FUTURES_CM: f"ws://127.0.0.1:{port}"},
    )
    memory: list[int] = []
    wall = processor = 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        while not (seen := _messages(recorder)):  # noqa: ASYNC110 - it has no event
            await anyio.sleep(0.01)
        first, began, used = seen, time.perf_counter(), time.process_time()
        while seen < count:
            await anyio.sleep(0.02)
            seen = _messages(recorder)
            if seen * 8 >= (len(memory) + 1) * count:
                memory.append(_memory_mb())
        wall, processor = time.perf_counter() - began, time.process_time() - used
        tasks.cancel_scope.cancel()
    await routes.aclose()
    counts = recorder.counts
    duplicates = counts.duplicates_of(recorder.series.values())
    return {
        "messages": seen,
        "duplicates": duplicates,
        "holes": counts.hole_count,
        "unreadable": counts.unreadable,
        "messages_per_s": round((seen - first) / wall),
        "messages_per_core_s": round((seen - first) / processor),
        "mb": memory,
    }


def _messages(recorder: Recorder) -> int:
    return sum(each.messages for each in recorder.series.values())


def _memory_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def pin(place: int) -> None:
    """Run on one core; the same one for all if there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[place % len(cores)]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--copies", type=int, default=1, help="how often each message comes")
    parser.add_argument("--folder", help="where frames and segments are; removed at the end")
    given = parser.parse_args()
    count = given.messages // given.copies * given.copies
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        frames = Path(folder) / "frames"
        write_frames(frames, count, given.copies)
        ours, theirs = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(frames, theirs))
        server.start()
        pin(1)
        try:
            found = asyncio.run(record(ours.recv(), count, Path(folder) / "segments"))
        finally:
            server.kill()
            server.join()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
