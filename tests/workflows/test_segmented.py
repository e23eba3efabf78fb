"""A very large archive over several connections, against a real server on loopback.

Time is made of bytes: the clock moves on as chunks arrive, so that each connection brings the
same, however many there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager

import pytest
from attrs import define, field
from tests.workflows.conftest import BIG_KEY, Collection, big_zip
from yarl import URL

from crypto_lakehouse.collection.download.parallel_ranges import ParallelRanges
from crypto_lakehouse.collection.download.range_scaling import RangeRules
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.transport import HttpTransport, Response
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.wiring import collector_stack, transport_stack

MIB = 1 << 20
PIECE = 256 * 1024
SIZE = 12 * MIB

RULES = RangeRules(
    least_bytes=8 * MIB, least_rest_bytes=4 * MIB, least_rest_s=1.0, range_bytes=PIECE,
    settle_s=0.0, watch_s=1.0, trial_s=0.25,
)  # fmt: skip


@define
class Clock:
    """Seconds, as chunks arrive: a mebibyte a second over each open connection.

    A chunk that the server has sent is handed on once it is the next by this clock, and nobody
    waits for the server who might come before it.
    """

    now: float = 0.0
    open: int = 0
    peak: int = 0
    shares: bool = False
    """Whether all connections together bring no more than one."""
    alarm: tuple[float, Callable[[], None]] | None = None
    """What is to be done once, and when."""
    asking: int = 0
    _due: list[float] = field(factory=list)
    _line_free_at: float = 0.0

    def __call__(self) -> float:
        return self.now

    async def pass_until(self, size: int, since: float) -> float:
        """Let the clock move on until a chunk is there; return that moment."""
        due = since + size / MIB
        if self.shares:
            due = self._line_free_at = max(since, self._line_free_at) + size / MIB
        self._due.append(due)
        try:
            quiet = 0
            while quiet < 10:  # turns of the loop, in which others may come to ask
                await asyncio.sleep(0)
                quiet = quiet + 1 if not self.asking and due == min(self._due) else 0
        finally:
            self._due.remove(due)
        self.now = max(self.now, due)
        alarm = self.alarm
        if alarm is not None and self.now >= alarm[0]:
            self.alarm = None
            alarm[1]()
        return self.now

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Somebody waits for the server."""
        self.asking += 1
        try:
            yield
        finally:
            self.asking -= 1


@define
class Clocked:
    """A transport whose bodies move a clock on."""

    transport: HttpTransport
    clock: Clock

    @property
    def hosts(self) -> AllowedHosts:
        return self.transport.hosts

    @asynccontextmanager
    async def get(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[Response]:
        exchange = self.transport.get(url, headers)
        with self.clock.asked():
            response = await exchange.__aenter__()
        self.clock.open += 1
        self.clock.peak = max(self.clock.peak, self.clock.open)
        try:
            yield _Clocked(response, self.clock)
        finally:
            self.clock.open -= 1
            await exchange.__aexit__(None, None, None)


@define
class _Clocked:
    response: Response
    clock: Clock
    status: int = field(init=False)
    headers: Mapping[str, str] = field(init=False)
    size_bytes: int | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.status, self.headers = self.response.status, self.response.headers
        self.size_bytes = self.response.size_bytes

    async def read(self, limit: int) -> bytes:
        return await self.response.read(limit)

    async def chunks(self) -> AsyncGenerator[bytes | bytearray]:
        moment = self.clock.now
        async with aclosing(self.response.chunks()) as chunks:
            while True:
                with self.clock.asked():
                    chunk = await anext(chunks, b"")
                if not chunk:
                    return
                moment = await self.clock.pass_until(len(chunk), moment)
                yield chunk


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, collection: Collection) -> Iterator[Clock]:
    """Small thresholds, and a source that caps each connection."""
    clock = Clock()
    monkeypatch.setattr(collector_stack, "ParallelRanges", lambda: ParallelRanges(RULES, clock))
    monkeypatch.setattr(
        collector_stack,
        "make_transport",
        lambda *args: Clocked(transport_stack.make_transport(*args), clock),
    )
    monkeypatch.setattr(transport_stack, "CHUNK_BYTES", PIECE // 4)
    collection.config |= {"data_types": ["trades"], "intervals": None}
    yield clock
    assert clock.open == 0


@pytest.fixture
def data(collection: Collection) -> bytes:
    """The archive, published."""
    data = big_zip(SIZE)
    collection.publish(BIG_KEY, data)
    return data


def ranges(collection: Collection) -> list[str]:
    """The requests for a piece, in order."""
    asked = [item for item in collection.server.requests if "If-Match" in item.headers]
    assert all(item.path == BIG_KEY and item.range for item in asked)
    return [str(item.range) for item in asked]


def check(collection: Collection, data: bytes) -> None:
    assert collection.path(BIG_KEY).read_bytes() == data
    assert collection.stray_files() == []


async def test_a_capped_archive_comes_in_pieces(
    collection: Collection, clock: Clock, data: bytes
) -> None:
    report = await collection.run()
    assert report.totals["verified"] == 1
    check(collection, data)
    assert len(ranges(collection)) == len(set(ranges(collection))) > 10
    assert clock.peak > 2
    assert clock.now < 8, "over one connection it is 12 s"
    assert report.bytes < 1.2 * SIZE


async def test_requests_and_bytes_of_pieces_are_counted(
    collection: Collection, clock: Clock, data: bytes
) -> None:
    from crypto_lakehouse.core.metrics import MetricsCollector

    metrics = MetricsCollector()
    await collection.run(metrics_collector=metrics)
    assert metrics.requests == len(collection.server.requests)
    assert metrics.fetched_bytes >= len(data)


async def test_a_full_line_is_left_alone(collection: Collection, clock: Clock, data: bytes) -> None:
    clock.shares = True
    report = await collection.run()
    assert report.totals["verified"] == 1
    check(collection, data)
    assert len(ranges(collection)) <= 3


async def test_it_can_be_switched_off(collection: Collection, clock: Clock, data: bytes) -> None:
    report = await collection.run(segmented_downloads="off")
    assert report.totals["verified"] == 1
    assert ranges(collection) == []
    assert clock.peak == 1


@pytest.mark.parametrize("headers", [{"Accept-Ranges": None}, {"ETag": 'W/"abc"'}, {"ETag": None}])
async def test_what_the_source_lacks_switches_it_off(
    collection: Collection, clock: Clock, data: bytes, headers: dict[str, str | None]
) -> None:
    collection.server.inject(BIG_KEY, faults.Headers(headers))
    report = await collection.run()
    assert report.totals["verified"] == 1
    assert ranges(collection) == []


async def test_one_place_is_not_shared(collection: Collection, clock: Clock, data: bytes) -> None:
    report = await collection.run(max_parallel_downloads=1)
    assert report.totals["verified"] == 1
    assert ranges(collection) == []


async def test_an_object_that_changes_in_the_middle_is_fetched_anew(
    collection: Collection, clock: Clock, data: bytes
) -> None:
    new = big_zip(SIZE + MIB)
    collection.server.inject(BIG_KEY, *([faults.Fault()] * 6), faults.Replace(new))
    await collection.run()
    assert 412 in {item.status for item in collection.server.requests}
    quarantined = collection.quarantined(BIG_KEY)
    assert quarantined.read_bytes() == new, "the sidecar is still the old one's"


async def test_a_source_that_ignores_ranges_is_asked_once(
    collection: Collection, clock: Clock, data: bytes
) -> None:
    whole = faults.Body(data, {"Accept-Ranges": "bytes"})
    collection.server.inject(BIG_KEY, faults.Fault(), whole)
    report = await collection.run()
    assert report.totals["verified"] == 1
    check(collection, data)
    assert len(ranges(collection)) == 1


async def test_faults_of_pieces_are_borne(
    collection: Collection, clock: Clock, data: bytes
) -> None:
    collection.server.inject(
        BIG_KEY, faults.Fault() * 4, faults.Truncate(at=1000), faults.Fault() * 3,
        faults.Status(503), faults.Fault() * 2, faults.Status(500),
    )  # fmt: skip
    report = await collection.run()
    assert report.totals["verified"] == 1
    check(collection, data)
    assert collection.sleeps.waits


async def test_the_next_run_fetches_only_the_rest(
    collection: Collection, clock: Clock, data: bytes
) -> None:
    collection.server.inject(BIG_KEY, faults.Fault() * 20, faults.Status(500) * 99)
    report = await collection.run(retry=RetryPolicy(max_retries=0))
    assert report.totals["failed"] == 1
    held = collection.path(BIG_KEY + ".part").stat().st_size
    assert data.startswith(collection.path(BIG_KEY + ".part").read_bytes())
    assert held > 2 * MIB
    collection.server.heal()
    collection.server.clear()
    report = await collection.run()
    assert report.totals["verified"] == 1
    check(collection, data)
    assert f"bytes={held}-" in {item.range for item in collection.server.requests}
    assert report.bytes < SIZE - held + 2 * MIB


@pytest.mark.parametrize("moment", [0.5, 1.5, 2.2, 2.6, 3.2])
async def test_a_run_that_is_stopped_is_gone_on_with(
    collection: Collection, clock: Clock, data: bytes, moment: float
) -> None:
    config = WorkflowConfig(collection.config, environ={})
    workflow = ArchiveCollectionWorkflow(config, retry=collection.retry)
    clock.alarm = (moment, workflow.stop)
    report = (await workflow.run()).report
    assert report.status == "interrupted"
    assert clock.open == 0
    held = collection.path(BIG_KEY + ".part").read_bytes()
    assert data.startswith(held)
    collection.server.clear()
    report = await collection.run()
    assert report.totals["verified"] == 1
    check(collection, data)
    first = collection.server.requests[0]
    assert first.range == (f"bytes={len(held)}-" if held else None)
    assert report.bytes < SIZE - len(held) + 2 * MIB


async def test_a_capped_run_stays_within_its_cap(
    collection: Collection, clock: Clock, data: bytes
) -> None:
    """Pieces go through the same transport; that it pays is said by the clock, not by the cap."""
    report = await collection.run(max_bytes_per_second=1_000_000_000)
    assert report.totals["verified"] == 1
    check(collection, data)
    assert ranges(collection)
