"""Metrics of runs, as they are served while a run goes on, and as they are in a file afterwards."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.workflows.conftest import Collection
from tests.workflows.lakes import ingested, tree

from crypto_lakehouse.cli.collect import run_to_end
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import (
    ConfigurationError,
    ListingError,
    LockHeldError,
    StoreError,
)
from crypto_lakehouse.core.events import ArchiveFinished, Event, RunStarted
from crypto_lakehouse.sinks import PrometheusSink
from crypto_lakehouse.testing import faults
from crypto_lakehouse.workflows import (
    ArchiveCollectionWorkflow,
    CollectAndIngest,
    LakeConfig,
    Monitoring,
    run_verification,
)
from crypto_lakehouse.workflows.monitoring.textfile import MetricsTextfile

GROUP = 'data_type="klines",market="spot"'
SUCCESS = "run_last_success_timestamp_seconds"
END, COLLECTION = "run_end_timestamp_seconds", 'workflow="archive_collection"'


def value_of(text: str, name: str) -> float | None:
    """The value of a sample, by its name without the prefix, and its labels."""
    found = re.search(rf"^crypto_lakehouse_{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return None if found is None else float(found[1])


async def test_a_file_has_the_metrics_of_a_run_and_the_last_success_of_those_before(
    collection: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "lake.prom"
    collection.config |= {"metrics_textfile": str(path), "max_retries": 0}
    await collection.run()
    text = path.read_text()
    assert value_of(text, f'archives_total{{{GROUP},verdict="verified"}}') == 1
    assert value_of(text, 'requests_total{code="200"}') == 2
    assert value_of(text, f"source_lag_seconds{{{GROUP}}}") == 0
    success = value_of(text, f'{SUCCESS}{{workflow="archive_collection"}}')
    assert success is not None
    collection.server.inject("*2025-07-17*", faults.Status(404), endless=True)
    days = {"start": "2025-07-15", "end": "2025-07-17"}
    await collection.run(default_date=None, date_range=days)
    text = path.read_text()
    assert value_of(text, 'runs_total{status="partial",workflow="archive_collection"}') == 1
    assert value_of(text, f'archives_total{{{GROUP},verdict="unchanged"}}') == 1
    assert value_of(text, 'requests_total{code="404"}') == 1
    assert value_of(text, f'holes{{cause="missing",{GROUP}}}') == 1
    assert value_of(text, f"source_lag_seconds{{{GROUP}}}") == 86_400
    assert value_of(text, f'{SUCCESS}{{workflow="archive_collection"}}') == success
    assert "BTCUSDT" not in text
    assert [each.name for each in tmp_path.glob("*.p*")] == ["lake.prom"]


@pytest.mark.parametrize("by_symbol", [False, True])
async def test_a_verification_leaves_in_the_file_what_a_collection_has_found(
    collection: Collection, tmp_path: Path, by_symbol: bool
) -> None:
    path = tmp_path / "lake.prom"
    collection.server.inject("*2025-07-17*", faults.Status(404), endless=True)
    days = {"default_date": None, "date_range": {"start": "2025-07-15", "end": "2025-07-17"}}
    shown = {"freshness": {"spot/*": "36h"}, "metrics_by_symbol": by_symbol}
    await collection.run(**days, **shown, metrics_textfile=str(path), max_retries=0)
    text = path.read_text()
    labels = 'data_type="klines",interval="1h",market="spot",symbol="BTCUSDT"'
    of = {False: GROUP, True: labels}
    names = (
        "newest_verified_timestamp_seconds{%s}",
        "source_lag_seconds{%s}",
        'holes{cause="missing",%s}',
    )
    before = {each % GROUP: value_of(text, each % of[by_symbol]) for each in names}
    for same in (f"freshness_objective_seconds{{{GROUP}}}", f"{END}{{{COLLECTION}}}"):
        before[same] = value_of(text, same)
    assert None not in before.values()
    values = {"output_directory": str(collection.root), "metrics_textfile": str(path)}
    for _ in range(2):
        await run_verification(values)
        text = path.read_text()
        assert {name: value_of(text, name) for name in before} == before


async def test_metrics_are_served_while_a_run_goes_on_and_show_no_secret(
    collection: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    seen: dict[str, Any] = {}

    async def scrape(events: Sequence[Event]) -> None:
        if not any(isinstance(event, ArchiveFinished) for event in events):
            return
        assert workflow.monitoring.listener is not None
        url = workflow.monitoring.listener.url
        async with aiohttp.ClientSession() as client:
            for method, path in (
                ("GET", "/metrics"), ("HEAD", "/metrics"), ("POST", "/metrics"),
                ("GET", "/healthz"), ("GET", "/other"),
            ):  # fmt: skip
                address = url.replace("/metrics", path)
                async with client.request(method, address) as answer:
                    seen[f"{method} {path}"] = answer.status, await answer.text(), answer.headers
        seen["url"] = url
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2][:-8]))
        writer.write(b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n")
        seen["too long"] = await reader.read()
        writer.close()

    source = collection.server.url.replace("://", "://user:pa55word@")
    values = {**collection.config, "serve": 0, "metrics_by_symbol": True, "source_url": source}
    workflow = ArchiveCollectionWorkflow(WorkflowConfig(values, environ={}), sinks=[scrape])
    said: list[str] = []
    workflow.monitoring.say = said.append
    report = await workflow.run()
    assert report.exit_code == 0
    page = seen["url"].removesuffix("metrics")
    assert said == [f"metrics are at {seen['url']}, and a live page at {page}"]
    assert seen["url"].startswith("http://127.0.0.1:")
    status, text, headers = seen["GET /metrics"]
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert headers["Server"] == "crypto-lakehouse"
    assert value_of(text, f'archives_total{{{GROUP},verdict="verified"}}') == 1
    assert value_of(text, "parallel_requests") == 16
    assert 'symbol="BTCUSDT"' in text
    assert "pa55word" not in str(seen)
    assert seen["HEAD /metrics"][:2] == (200, "")
    assert seen["POST /metrics"][0] == 405
    assert seen["GET /healthz"][:2] == (200, "ok\n")
    assert seen["GET /other"][0] == 404
    assert b"400 Bad Request" in seen["too long"]
    assert "aiohttp.server" not in {record.name for record in caplog.records}
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(seen["url"])


async def test_a_port_in_use_and_a_file_that_cannot_be_written_are_both_said_before_anything(
    collection: Collection, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        values = {"serve": port, "metrics_textfile": str(tmp_path / "none" / "lake.prom")}
        with pytest.raises(ConfigurationError) as raised:
            await collection.run(**values)
        where, whence = raised.value.problems
        assert (where.path, whence.path) == ("$.metrics_textfile", "$.serve")
        assert "cannot be written" in str(where)
        assert f"port {port} of `127.0.0.1` cannot be listened on" in str(whence)
        assert raised.value.exit_code == 2
        (tmp_path / "folder.prom").mkdir()
        with pytest.raises(ConfigurationError, match="it is a directory"):
            await collection.run(metrics_textfile=str(tmp_path / "folder.prom"))
    assert collection.requested() == []
    assert not collection.root.exists()


async def test_a_file_that_cannot_be_written_later_ends_no_run_and_is_said(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "collector"
    folder.mkdir()

    def remove(events: Sequence[Event]) -> None:
        if any(isinstance(event, RunStarted) for event in events):
            shutil.rmtree(folder)

    path = str(folder / "lake.prom")
    report = await collection.run(metrics_textfile=path, sinks=[remove])
    assert report.exit_code == 0
    assert report.warnings[-1:] == report.late_warnings
    folder.mkdir()
    workflow = ArchiveCollectionWorkflow(
        WorkflowConfig(collection.config, metrics_textfile=path, environ={}), sinks=[remove]
    )
    assert await run_to_end(workflow, as_json=True) == 0
    said = "warning: the metrics of this run are not in their file: "
    assert capsys.readouterr().err.startswith(said)


async def test_it_is_written_every_fifteen_seconds_and_takes_over_no_nonsense(
    tmp_path: Path,
) -> None:
    path, now = tmp_path / "lake.prom", [100.0]
    name = f"crypto_lakehouse_{SUCCESS}"
    lines = [f'{name}{{workflow="ingest"}} 1.5e+09', f'{name}{{workflow="a"}} 1e999']
    lines += [f'{name}{{workflow="b"}} 1.1.1', f'{name}{{workflow="x y"}} 1']
    newest = "crypto_lakehouse_newest_verified_timestamp_seconds"
    lines += [f"{newest}{{{GROUP}}} 1e+11", f'{newest}{{market="spot"}} 1e+09']
    lines += [f'{newest}{{{GROUP},tenant="a"}} 1e+09', f"{newest}{{{GROUP}}} NaN", "\udcff"]
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
    sink = MetricsTextfile(path, PrometheusSink(), clock=lambda: now[0])
    sink.check()
    await sink.handle([])
    assert path.read_bytes().endswith(b"\xff")
    now[0] += 15
    await sink.flush()
    await sink.close()
    text = path.read_text()
    assert value_of(text, f'{SUCCESS}{{workflow="ingest"}}') == 1.5e9
    assert text.count(SUCCESS) == 3  # with its help and its type
    assert newest not in text
    shutil.rmtree(tmp_path)
    now[0] += 15
    with pytest.raises(StoreError):
        await sink.flush()


async def test_a_run_whose_source_cannot_be_listed_has_failed(
    collection: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "lake.prom"
    url = collection.server.url
    collection.config |= {"metrics_textfile": str(path), "listing_url": url, "max_retries": 0}
    await collection.run()
    text = path.read_text()
    listed, fetched = len(collection.requested()) - 2, 2
    assert listed > 0
    assert value_of(text, 'requests_total{code="200"}') == listed + fetched
    success = value_of(text, f'{SUCCESS}{{workflow="archive_collection"}}')
    collection.server.inject("*", faults.Status(503), endless=True)
    collection.server.clear()
    with pytest.raises(ListingError):
        await collection.run(discovery="listing")
    text = path.read_text()
    assert value_of(text, 'runs_total{status="failed",workflow="archive_collection"}') == 1
    assert value_of(text, f'{SUCCESS}{{workflow="archive_collection"}}') == success
    assert value_of(text, 'requests_total{code="503"}') == len(collection.requested()) > 0
    assert value_of(text, f"source_lag_seconds{{{GROUP}}}") == 0


async def test_two_runs_in_one_process_have_metrics_of_their_own(
    collection: Collection, tmp_path: Path
) -> None:
    def run(name: str, days: str) -> Any:
        place = {"output_directory": str(tmp_path / name), "default_date": None}
        file = str(tmp_path / f"{name}.prom")
        dates = {"start": "2025-07-15", "end": days}
        return collection.run(**place, metrics_textfile=file, date_range=dates, serve=0)

    await asyncio.gather(run("one", "2025-07-15"), run("two", "2025-07-17"))
    sample = f'archives_total{{{GROUP},verdict="verified"}}'
    files = [tmp_path / "one.prom", tmp_path / "two.prom"]
    assert [value_of(file.read_text(), sample) for file in files] == [1, 3]


async def test_a_run_that_another_one_keeps_from_beginning_leaves_its_file_alone(
    collection: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "lake.prom"
    refused: list[LockHeldError] = []

    async def run_again(events: Sequence[Event]) -> None:
        if any(isinstance(event, RunStarted) for event in events):
            with pytest.raises(LockHeldError) as raised:
                await collection.run(metrics_textfile=str(path))
            refused.append(raised.value)
            assert not path.exists()

    await collection.run(metrics_textfile=str(path), sinks=[run_again])
    assert refused
    assert path.exists()


async def test_a_collection_that_ingests_has_one_file_for_both(
    collection: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "lake.prom"
    config = WorkflowConfig({**collection.config, "metrics_textfile": str(path)}, environ={})
    lake = LakeConfig(output_directory=str(collection.root), environ={})
    workflow = CollectAndIngest(config, lake)
    await workflow.run()
    text = path.read_text()
    assert value_of(text, f'archives_total{{{GROUP},verdict="verified"}}') == 1
    assert value_of(text, 'lake_rows_total{table="spot.klines"}') == 24
    assert value_of(text, 'lake_commits_total{table="spot.klines"}') == 1
    for name in ("archive_collection", "ingest"):
        assert value_of(text, f'{SUCCESS}{{workflow="{name}"}}') is not None


async def test_an_ingestion_and_a_verification_have_theirs(tmp_path: Path) -> None:
    root, path = tmp_path / "data", tmp_path / "lake.prom"
    archives = tree(root)
    await ingested(root, metrics_textfile=str(path), serve="127.0.0.1:0")
    text = path.read_text()
    states = 'ingested_archives_total{state="ingested",table="spot.klines"}'
    assert value_of(text, states) == 3
    (root / archives[0].key).write_bytes(b"damaged")
    said: list[str] = []
    values = {"output_directory": str(root), "metrics_textfile": str(path), "serve": "[::1]:0"}
    config = WorkflowConfig(values, only="failed", environ={})
    watched = Monitoring.of(config)
    watched.say = said.append
    report = await run_verification(config, monitoring=watched)
    text = path.read_text()
    assert report.exit_code == 4
    assert said[0].startswith("metrics are at http://[::1]:")
    assert value_of(text, 'checked_files_total{state="damaged"}') == 1
    assert value_of(text, 'checked_files_total{state="ok"}') == 2
    assert value_of(text, f'{SUCCESS}{{workflow="ingest"}}') is not None
    assert value_of(text, f'{SUCCESS}{{workflow="verification"}}') is None
    values["output_directory"] = str(tmp_path / "none")
    with pytest.raises(ConfigurationError):
        await run_verification(values)
    failed = 'runs_total{status="failed",workflow="verification"}'
    assert value_of(path.read_text(), failed) == 1
