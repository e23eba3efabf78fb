"""The page that a run serves: who may read it, and that no reader holds up the run."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.workflows.conftest import Collection
from yarl import URL

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import ArchiveFinished, Event, RunFinished, RunStarted
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks import PrometheusSink
from crypto_lakehouse.workflows.monitoring.event_streams import MOST_STREAMS
from crypto_lakehouse.workflows.monitoring.listener import MOST_CONNECTIONS, MetricsListener
from crypto_lakehouse.workflows.monitoring.live_page import LivePage
from crypto_lakehouse.workflows.monitoring.live_pages import LivePages
from crypto_lakehouse.workflows.pipelines.declared import load_pipelines
from crypto_lakehouse.workflows.pipelines.running import PipelineWorkflow

#: The steps of a pipeline that an output is called by.
NAMES = ("collect", "mirror")


@pytest.fixture
async def listener(collection: Collection) -> AsyncIterator[MetricsListener]:
    """What listens beside a collection that has run."""
    await collection.run()
    sink = PrometheusSink()
    page = LivePage(sink, WorkflowConfig(collection.config, environ={}), clock=lambda: 0.0)
    made = MetricsListener("127.0.0.1", 0, sink.text, LivePages("outputs", {"": page}))
    await made.open()
    yield made
    await made.close()


def only_page(listener: MetricsListener) -> LivePage:
    assert listener.pages is not None
    page = listener.pages.only
    assert page is not None
    return page


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


async def test_each_output_of_a_pipeline_has_a_page_of_its_own(collection: Collection) -> None:
    seen, said = dict[str, str](), list[str]()

    async def look(events: Sequence[Event]) -> None:
        if any(isinstance(each, ArchiveFinished) for each in events):
            front = said[0].split()[-1]
            async with aiohttp.ClientSession() as client:
                for path in ("", "metrics", *(f"outputs/a%2F%3C.{name}/" for name in NAMES)):
                    async with client.get(f"{front}{path}") as got:
                        assert got.status == 200
                        seen[path] = await got.text()
                async with client.get(URL(f"{front}outputs/a%2F%3C.mirror", encoded=True)) as got:
                    assert got.url.raw_path == "/outputs/a%2F%3C.mirror/"

    other = {"output_directory": f"{collection.root}-2", "symbols": ["ETHUSDT"]}
    steps = {
        "collect": {},
        "again": {"run": "collect", "needs": "collect"},
        "mirror": {"run": "collect", "needs": "again", "with": other},
    }
    values = {**collection.config, "serve": 0, "pipelines": {"a/<": {"steps": steps}}}
    file = await load_pipelines(values)
    workflow = PipelineWorkflow(
        await file.ready(file.named(None)), sinks=lambda step: [look] * (step == "mirror")
    )
    workflow.monitoring.say = said.append
    assert (await workflow.run()).report.exit_code == 0
    assert "live pages at http" in said[0]
    first, second = (seen[f"outputs/a%2F%3C.{name}/"] for name in NAMES)
    assert [page.count("<h1>a/&lt;.") for page in (first, second)] == [1, 1]
    assert ("BTCUSDT" in first, "ETHUSDT" in first) == (True, False)
    assert ("BTCUSDT" in second, "mirror" in first, "collect<" in second) == (False,) * 3
    assert '<a href="../../">All outputs</a>' in first
    rows = re.findall(r'href="outputs/a%2F%3C\.(\w+)/".*?<small>(.*?)</small>.*?"n">(\d)',
                      seen[""])  # fmt: skip
    assert rows == [("collect", "has ended", "1"), ("mirror", "is running", "1")]
    assert (
        'archives_total{data_type="klines",market="spot",verdict="verified"} 2.0'
        in (seen["metrics"])
    )


def test_a_page_goes_on_counting_if_a_daemon_takes_another_configuration(tmp_path: Path) -> None:
    def config(name: str, **keys: Any) -> WorkflowConfig:
        given = {"output_directory": str(tmp_path / name), "default_date": "2025-07-15", **keys}
        return WorkflowConfig(given, environ={}, validate=False)

    one, two = config("1"), config("2")
    before = LivePages.of_steps([("p.a", one), ("p.b", one), ("p.c", two)])
    assert [*before.by_name] == ["p.a", "p.c"]
    kept = before.of(two)
    assert kept is not None
    assert (kept.name, kept.back, before.only) == ("p.c", "All outputs", None)
    changed = config("2", freshness={"*": "1d"})
    after = LivePages.of_steps([("q", changed)], before)
    assert after.only is after.of(two) is kept
    assert (kept.name, kept.back, kept.config, after.of(one)) == ("", "", changed, None)
    same = LivePages.of_steps([("a.b", one), ("a.b", two)])
    assert [*same.by_name] == ["a.b", "a.b-2"]
    stores = [
        config("", output_directory="s3://bucket/archive", storage={"endpoint": f"https://{each}"})
        for each in ("a.example", "b.example")
    ]
    assert [*LivePages.of_steps([("p.a", stores[0]), ("p.b", stores[1])]).by_name] == ["p.a", "p.b"]


async def test_the_page_is_made_once_until_the_ledger_is_written(
    listener: MetricsListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = only_page(listener)
    first, second = await asyncio.gather(page.html(), page.html())
    assert first is second
    assert await page.html() is first
    page.forget()
    assert await page.html() is not first


async def test_what_is_settled_is_that_of_the_newest_run(listener: MetricsListener) -> None:
    page = only_page(listener)
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
    large = {"state": "x" * 1_000_000}
    listener._streams.progress_of = lambda _: lambda: large  # type: ignore[union-attr]
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
