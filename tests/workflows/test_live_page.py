"""The page that a run serves: who may read it, and that no reader holds up the run."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from tests.workflows.conftest import Collection

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import ArchiveFinished, RunFinished, RunStarted
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks import PrometheusSink
from crypto_lakehouse.workflows.monitoring.event_streams import MOST_STREAMS
from crypto_lakehouse.workflows.monitoring.listener import MOST_CONNECTIONS, MetricsListener
from crypto_lakehouse.workflows.monitoring.live_page import LivePage


@pytest.fixture
async def listener(collection: Collection) -> AsyncIterator[MetricsListener]:
    """What listens beside a collection that has run."""
    await collection.run()
    sink = PrometheusSink()
    page = LivePage(sink, WorkflowConfig(collection.config, environ={}), clock=lambda: 0.0)
    made = MetricsListener("127.0.0.1", 0, sink.text, page)
    await made.open()
    yield made
    await made.close()


async def test_the_page_is_read_and_shows_no_path(
    listener: MetricsListener, collection: Collection
) -> None:
    async with aiohttp.ClientSession() as client:
        async with client.get(listener.page_url) as answer:
            text = await answer.text()
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            policy = answer.headers["Content-Security-Policy"]
            assert policy.endswith("frame-ancestors 'none'")
            assert "default-src 'none'" in policy
        assert "100.00 %" in text
        assert str(collection.root) not in text
        assert collection.server.url not in text
        for method, status in (("HEAD", 200), ("POST", 405), ("DELETE", 405)):
            for path in ("", "events"):
                async with client.request(method, f"{listener.page_url}{path}") as answer:
                    assert (answer.status, await answer.text()) in {
                        (200, ""),
                        (405, "405: Method Not Allowed"),
                    }
                    assert answer.status == status


async def test_a_site_whose_name_means_this_machine_reads_nothing(
    listener: MetricsListener,
) -> None:
    async with aiohttp.ClientSession() as client:
        for host, status in (
            ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("localhost:1", 200),
            ("[::1]", 200), ("[", 403), ("127.0.0.1", 200),
        ):  # fmt: skip
            for path in ("", "events"):
                url = f"{listener.page_url}{path}"
                async with client.head(url, headers={"Host": host}) as answer:
                    assert answer.status == status, host
        async with client.get(listener.url, headers={"Host": "prometheus.example"}) as answer:
            assert answer.status == 200


async def test_the_page_is_made_once_until_the_ledger_is_written(
    listener: MetricsListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = listener.page
    assert page is not None
    first, second = await asyncio.gather(page.html(), page.html())
    assert first is second
    assert await page.html() is first
    page.forget()
    assert await page.html() is not first


async def test_what_is_settled_is_that_of_the_newest_run(listener: MetricsListener) -> None:
    page = listener.page
    assert page is not None
    figures = page.sink.figures
    series = Series(Market.SPOT, DataType.TRADES, "BTCUSDT")
    failed = ArchiveFinished(
        archive=Archive(series, Period.parse("2025-07-15")), verdict=Verdict.FAILED
    )
    for number, archives in (("1", 3), ("2", 1)):
        at = datetime(2026, 11, int(number), tzinfo=UTC)
        figures.count([RunStarted(run_id=number, workflow="a_b", planned=3, at=at)])
        figures.count([failed] * archives)
        said = page.progress()
        assert (said["workflow"], said["state"], said["done"]) == ("a b", "is running", archives)
        end = RunFinished(run_id=number, status="partial", at=at + timedelta(seconds=8))
        figures.count([end])
        said = page.progress()
        assert (said["state"], said["seconds"], said["runs"]) == ("has ended", 8.0, int(number))
        assert said["rate"] == archives / 8
    assert said["problems"] == 4


async def test_a_stream_tells_what_is_done_and_ends_with_the_run(
    listener: MetricsListener,
) -> None:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{listener.page_url}events") as answer,
    ):
        assert answer.headers["Content-Type"] == "text/event-stream"
        event: Any = await answer.content.readuntil(b"\n\n")
        kind, data, *_ = event.decode().split("\n")
        assert kind == "event: progress"
        said = json.loads(data.removeprefix("data: "))
        assert (said["state"], said["done"], said["runs"]) == ("begins", 0, 0)
        await listener.close()
        assert (await answer.content.read()).endswith(b"event: end\ndata: \n\n")


async def test_streams_are_bounded_and_a_reader_that_takes_nothing_ends_with_the_run(
    listener: MetricsListener,
) -> None:
    assert listener.page is not None
    listener._streams.progress = lambda: {"state": "x" * 1_000_000}  # type: ignore[union-attr]
    listener._streams.every_s = 0  # type: ignore[union-attr]
    asked = b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    readers = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(MOST_STREAMS)]
    try:
        for reader in readers:
            reader.sendall(asked)
            await asyncio.to_thread(reader.recv, 1)  # it is answered, and read no more
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{listener.page_url}events") as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
            async with client.get(listener.url) as answer:
                assert answer.status == 200
            readers.pop().close()  # a reader that leaves makes room
            while True:
                async with client.head(f"{listener.page_url}events") as answer:
                    if answer.status == 200:
                        break
        await listener.close()
    finally:
        for reader in readers:
            reader.close()


async def test_connections_are_bounded_and_the_newest_is_answered(
    listener: MetricsListener, caplog: pytest.LogCaptureFixture
) -> None:
    """Each takes an open file, of which a run has a limited number."""
    idle = [
        await asyncio.open_connection("127.0.0.1", listener.port)
        for _ in range(2 * MOST_CONNECTIONS)
    ]
    async with aiohttp.ClientSession() as client, client.get(listener.url) as answer:
        assert answer.status == 200
    for reader, _ in idle[:MOST_CONNECTIONS]:
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    wrong = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 10_000 + b"\r\n\r\n"
    reader, writer = idle[-1]
    writer.write(wrong)
    assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
    for _, writer in idle:
        writer.close()
    assert not caplog.records  # a request that is wrong is no fault of the run
