"""A sweep over `max_parallel_downloads` of a modelled source.

The model has a clock of its own, so that rates and delays are exact and no test waits.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any

import anyio
import pytest
from attrs import define, field
from yarl import URL

from crypto_lakehouse.http.transport import Response, Transport
from crypto_lakehouse.workflows.bench.bench import DEFAULT_SETTINGS, SourceUnusable, Sweep

KEYS = [f"data/spot/daily/klines/BTCUSDT/1d/BTCUSDT-1d-2025-07-{day:02}.zip" for day in range(1, 9)]


@define
class VirtualTime:
    """A clock that goes on to the next moment somebody waits for, once nobody else can move."""

    now: float = 0.0
    _waiting: list[tuple[float, int, asyncio.Future[None]]] = field(init=False, factory=list)
    _order: count[int] = field(init=False, factory=count)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.now + seconds, next(self._order), future))
        await future

    async def pass_by(self) -> None:
        while True:
            for _ in range(10):
                await asyncio.sleep(0)
            while self._waiting:
                moment, _, future = heapq.heappop(self._waiting)
                if not future.done():
                    self.now = moment
                    future.set_result(None)
                    break


@define
class Model:
    """A source that answers after `delay_s`, over a line that one body passes after the other.

    Attributes:
        line: Bytes per second of the line.
        most: From so many requests at once on each is refused.
    """

    time: VirtualTime
    delay_s: float = 0.1
    line: float = 10e6
    size: int = 100_000
    most: int = 1_000
    announces: bool = True
    pieces: int = 1
    under_way: int = 0
    free_at: float = 0.0
    opened: list[int] = field(factory=list)

    @asynccontextmanager
    async def opening(self, connections: int) -> AsyncIterator[Transport]:
        self.opened.append(connections)
        self.free_at = self.time.now
        yield self

    def get(self, url: URL, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Response]:
        return self._answer()

    @asynccontextmanager
    async def _answer(self) -> AsyncIterator[Response]:
        self.under_way += 1
        try:
            await self.time.sleep(self.delay_s)
            yield _ModelResponse(self, 503 if self.under_way >= self.most else 200)
        finally:
            self.under_way -= 1


class _ModelResponse:
    def __init__(self, model: Model, status: int) -> None:
        self.model = model
        self.status = status
        self.headers: Mapping[str, str] = {}
        self.size_bytes = model.size if model.announces else None

    async def read(self, limit: int) -> bytes:
        return b""

    async def chunks(self) -> AsyncGenerator[bytes]:
        model = self.model
        piece = model.size // model.pieces
        for _ in range(model.pieces):
            model.free_at = max(model.free_at, model.time.now) + piece / model.line
            await model.time.sleep(model.free_at - model.time.now)
            yield bytes(piece)


async def swept(model: Model, **options: Any) -> Sweep:
    """A sweep of the model, in its time; with more bytes than it needs unless told otherwise."""
    options = {"max_bytes": 10**10, **options}
    sweep = Sweep(
        keys=deque(KEYS), source_url="http://model", opening=model.opening,
        clock=model.time.clock, sleep=model.time.sleep, **options,
    )  # fmt: skip
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(model.time.pass_by)
        await sweep.run()
        tasks.cancel_scope.cancel()
    return sweep


async def test_the_setting_that_fills_the_line_is_recommended() -> None:
    model = Model(VirtualTime())
    sweep = await swept(model)
    rates = [result.bytes_per_second for result in sweep.report.results]
    settings = [result.setting for result in sweep.report.results]
    assert rates[0] == pytest.approx(100_000 / 0.11, rel=0.05)
    assert rates[1] == pytest.approx(2 * rates[0], rel=0.1)
    assert max(rates) <= 10.1e6
    assert settings == model.opened
    assert sweep.report.stopped == "plateau"
    assert settings == [1, 2, 4, 8, 16, 32, 64]
    assert sweep.report.recommendation == 16


async def test_latencies_are_those_of_the_source() -> None:
    sweep = await swept(Model(VirtualTime()), settings=(1,))
    (only,) = sweep.report.results
    assert only.to_mapping()["first_byte_ms"] == {"p50": 100, "p95": 100}
    assert only.to_mapping()["whole_ms"] == {"p50": 110, "p95": 110}
    assert sweep.report.mean_archive_bytes == 100_000
    assert sweep.report.stopped == ""


async def test_a_size_need_not_be_announced() -> None:
    sweep = await swept(Model(VirtualTime(), announces=False), settings=(1,))
    assert sweep.report.mean_archive_bytes == 100_000


async def test_archives_that_are_never_whole_count_with_what_came_of_them() -> None:
    model = Model(VirtualTime(), size=1_000_000_000, pieces=1000, announces=False)
    sweep = await swept(model, settings=(1, 2))
    assert [result.archives for result in sweep.report.results] == [0, 0]
    assert sweep.report.mean_archive_bytes is None
    assert sweep.report.recommendation == 1


async def test_a_body_that_does_not_begin_is_told() -> None:
    with pytest.raises(SourceUnusable, match="no body began in time; try --seconds"):
        await swept_alone(Model(VirtualTime(), size=1_000_000_000))


async def swept_alone(model: Model) -> Sweep:
    """As `swept`, with its errors as they are."""
    from crypto_lakehouse.core.task_groups import one_error

    with one_error():
        return await swept(model)


async def test_settings_that_were_named_are_all_measured() -> None:
    sweep = await swept(Model(VirtualTime()), settings=(32, 64, 128, 256))
    assert [result.setting for result in sweep.report.results] == [32, 64, 128, 256]
    assert sweep.report.stopped == ""


async def test_a_source_that_refuses_ends_the_sweep() -> None:
    sweep = await swept(Model(VirtualTime(), most=8))
    last = sweep.report.results[-1]
    assert last.setting == 8
    assert sweep.report.stopped == "refused"
    assert last.ended_by == "refused"
    assert last.errors["503"] >= 1
    assert sweep.report.recommendation == 4


async def test_each_setting_gets_a_part_of_the_cap() -> None:
    model = Model(VirtualTime(), line=1e9, delay_s=0.001)
    sweep = await swept(model, max_bytes=200_000_000, settings=DEFAULT_SETTINGS)
    received = [result.received_bytes for result in sweep.report.results]
    assert [result.ended_by for result in sweep.report.results] == ["bytes"] * 8
    assert received == [25_000_000] * 8
    assert all(result.is_measured for result in sweep.report.results)


async def test_what_a_setting_leaves_goes_to_the_others() -> None:
    sweep = await swept(Model(VirtualTime()), settings=(1, 128),
                        max_bytes=40_000_000)  # fmt: skip
    first, second = sweep.report.results
    assert (first.ended_by, second.ended_by) == ("time", "bytes")
    assert first.received_bytes + second.received_bytes == 40_000_000


async def test_no_setting_gets_too_little_while_there_is_enough() -> None:
    sweep = await swept(Model(VirtualTime(), line=1e9, delay_s=0.001), settings=DEFAULT_SETTINGS,
                        max_bytes=20_000_000)  # fmt: skip
    received = [result.received_bytes for result in sweep.report.results]
    assert received == [8_000_000, 8_000_000, 4_000_000]
    assert sweep.report.stopped == "byte_cap"


async def test_a_setting_with_less_than_an_archive_each_is_not_measured() -> None:
    sweep = await swept(Model(VirtualTime()), settings=(1, 8, 16),
                        max_bytes=8_500_000, seconds=1)  # fmt: skip
    assert [result.is_measured for result in sweep.report.results] == [True, True, False]
    assert sweep.report.stopped == "byte_cap"


async def test_opening_connections_is_not_measured() -> None:
    sweep = await swept(Model(VirtualTime(), delay_s=1.0), settings=(4,))
    (only,) = sweep.report.results
    assert only.seconds == pytest.approx(4)
    assert only.requests > only.archives - 4


async def test_a_slow_source_is_measured_from_the_first_request() -> None:
    sweep = await swept(Model(VirtualTime(), delay_s=3.0), settings=(4,))
    assert sweep.report.results[0].seconds == pytest.approx(5)
    assert sweep.report.results[0].archives == 4


async def test_silence_is_a_time_out() -> None:
    model = Model(VirtualTime(), delay_s=60.0)
    with pytest.raises(SourceUnusable, match="no answer within 5 s"):
        await swept_alone(model)
