"""Listing a source: keys per second of CPU time, for the parser alone and for the whole client.

    python benchmarks/listing.py                      # 200 prefixes of 5,000 keys
    python benchmarks/listing.py --prefixes 2000      # memory must not grow with them

A server in a process of its own, whose time does not count, sends pages that it made beforehand:
daily archives and their sidecars, written as S3 writes them. They are listed as a run lists them;
then the same pages are fed to the parser without a network. Peak memory is read after a tenth of
the prefixes and at the end: a client that kept what it has listed would show it there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import date, timedelta

import anyio
from aiohttp import web
from attrs import define, field
from yarl import URL

from crypto_lakehouse.core.events import Event
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.client import engine_client
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.s3_listing import Lister
from crypto_lakehouse.http.s3_listing_xml import PageParser
from crypto_lakehouse.http.transport import HttpTransport

FIRST_DAY = date(2000, 1, 1)
PAGE_KEYS = 1000

#: The symbol that pages are made for; a request's own takes its place.
SYMBOL = "S00000USDT"

#: What the parser is fed at once: about what a socket gives.
PIECE_BYTES = 1 << 16


def folder_of(symbol: str) -> str:
    return f"data/spot/daily/klines/{symbol}/1m/"


def make_keys(count: int) -> list[str]:
    """A folder's keys in order: a sidecar behind each archive."""
    days = (FIRST_DAY + timedelta(days=number) for number in range(-(-count // 2)))
    zips = (f"{folder_of(SYMBOL)}{SYMBOL}-1m-{day}.zip" for day in days)
    return [key for name in zips for key in (name, f"{name}.CHECKSUM")][:count]


def make_pages(count: int) -> dict[str, bytes]:
    """A folder's pages by the marker that asks for each."""
    keys = make_keys(count)
    pages: dict[str, bytes] = {}
    for start in range(0, count, PAGE_KEYS):
        marker = keys[start - 1] if start else ""
        stop = start + PAGE_KEYS
        pages[marker] = page_xml(marker, keys[start:stop], more=stop < count)
    return pages


def page_xml(marker: str, keys: Sequence[str], *, more: bool) -> bytes:
    """One page as S3 writes it where no delimiter is sent."""
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-04-01T08:06:34.000Z</LastModified>"
        f"<ETag>&quot;{number:032x}&quot;</ETag><Size>{50_000 + number}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for number, key in enumerate(keys)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>data.binance.vision</Name><Prefix>{folder_of(SYMBOL)}</Prefix>"
        f"<Marker>{marker}</Marker><MaxKeys>{PAGE_KEYS}</MaxKeys>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{contents}</ListBucketResult>"
    ).encode()


async def serve(count: int) -> None:
    """Answer listings until standard input ends."""
    pages = make_pages(count)

    async def respond(request: web.Request) -> web.Response:
        symbol = request.query["prefix"].split("/")[-3]
        marker = request.query.get("marker", "").replace(symbol, SYMBOL)
        body = pages[marker].replace(SYMBOL.encode(), symbol.encode())
        return web.Response(body=body, content_type="application/xml")

    app = web.Application()
    app.router.add_get("/", respond)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    # The end of the process that started this one closes it, however it comes about.
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@contextmanager
def serving(count: int) -> Iterator[str]:
    """Serve from a process of its own; yield the URL."""
    command = [sys.executable, __file__, "--serve", "--keys", str(count)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdout is None:
            raise RuntimeError(process)
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


def peak_mb() -> float:
    """Peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def nobody(_events: Sequence[Event]) -> None:
    return None


@define
class Progress:
    """What was listed so far, of how many prefixes."""

    prefixes: int
    done: int = field(init=False, default=0)
    keys: int = field(init=False, default=0)
    peak_at_tenth_mb: float = field(init=False, default=0.0)

    def end_prefix(self, keys: int) -> None:
        """Count a prefix, and look at the memory after the first tenth of them."""
        self.done += 1
        self.keys += keys
        if self.done == max(1, self.prefixes // 10):
            self.peak_at_tenth_mb = peak_mb()


async def list_all(url: str, prefixes: int, parallel: int) -> Progress:
    """List every prefix to its end, so many at a time."""
    progress = Progress(prefixes)
    waiting = iter([folder_of(f"S{number:05}USDT") for number in range(prefixes)])

    async def work(lister: Lister) -> None:
        for prefix in waiting:
            keys = 0
            async with aclosing(lister.pages(prefix)) as pages:
                async for page in pages:
                    keys += len(page.objects)
            progress.end_prefix(keys)

    async with engine_client(parallel, 60) as client, anyio.create_task_group() as tasks:
        lister = Lister(
            transport=HttpTransport(client, AllowedHosts.of(url, ())),
            base=URL(url),
            retry=RetryPolicy(max_retries=0),
            limiter=anyio.Semaphore(parallel),
            emit=nobody,
        )
        for _ in range(parallel):
            tasks.start_soon(work, lister)
    return progress


def parse_all(pages: Sequence[bytes], times: int) -> float:
    """Feed the pages to the parser; return keys per second of CPU time."""
    keys = 0
    started = time.process_time()
    for _ in range(times):
        for body in pages:
            parser = PageParser("http://127.0.0.1/")
            for start in range(0, len(body), PIECE_BYTES):
                parser.feed(body[start : start + PIECE_BYTES])
            keys += len(parser.close().objects)
    return keys / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prefixes", type=int, default=200)
    parser.add_argument("--keys", type=int, default=5000, help="of each prefix")
    parser.add_argument("--parallel", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5, help="of the parser alone")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.keys))
    else:
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """List, then parse, and print what came of it."""
    with serving(options.keys) as url:
        started, cpu = time.perf_counter(), time.process_time()
        progress = asyncio.run(list_all(url, options.prefixes, options.parallel))
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    peak_at_end = peak_mb()
    if progress.keys != options.prefixes * options.keys:
        raise RuntimeError(progress)
    pages = list(make_pages(options.keys).values())
    times = max(1, 100_000 // options.keys)
    rates = [parse_all(pages, times) for _ in range(options.rounds)]
    print(
        json.dumps(
            {
                "prefixes": options.prefixes,
                "keys": progress.keys,
                "seconds": round(seconds, 2),
                "parser_keys_per_cpu_s": round(statistics.median(rates)),
                "parser_slowest_round": round(min(rates)),
                "client_keys_per_cpu_s": round(progress.keys / cpu_s),
                "client_keys_per_s": round(progress.keys / seconds),
                "peak_mb_at_a_tenth": round(progress.peak_at_tenth_mb, 1),
                "peak_mb_at_the_end": round(peak_at_end, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
