"""A matrix is refreshed from a server on loopback, and written whole or not at all."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import SleepRecorder

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, ListingError, MatrixError
from crypto_lakehouse.core.events import Event, ListingRetried
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.matrix.crawl import CrawlProgress
from crypto_lakehouse.matrix.diff import diff_matrices
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.matrix.model import Matrix, MatrixRow
from crypto_lakehouse.matrix.writer import matrix_text
from crypto_lakehouse.planning.calendar_plan import plan_collection
from crypto_lakehouse.testing import ArchiveServer, faults
from crypto_lakehouse.workflows.matrix_refresh import (
    RefreshedMatrix,
    check_destination,
    refresh_matrix,
    write_matrix,
)

TODAY = date(2026, 12, 1)
NEW_KEY = "data/spot/daily/klines/NEWUSDT/1d/NEWUSDT-1d-2026-11-30.zip"


async def refreshed(server: ArchiveServer, retry: RetryPolicy, **options: Any) -> RefreshedMatrix:
    call = {name: options.pop(name) for name in ("emit", "on_progress") if name in options}
    environ = options.pop("environ", {})
    values = {"output_directory": ".", "source_url": server.url, "discovery": "listing", **options}
    config = WorkflowConfig(environ=environ, overrides=values)
    return await refresh_matrix(config, today=TODAY, retry=retry, **call)


def spot_klines(matrix: Matrix) -> MatrixRow:
    row = matrix.row(Market.SPOT, DataType.KLINES)
    assert row is not None
    return row


async def test_a_source_without_a_listing_url_is_asked_itself(
    archive_server: ArchiveServer, retry: RetryPolicy
) -> None:
    result = await refreshed(archive_server, retry)
    assert result.base == load_matrix()
    assert result.matrix.observed == TODAY
    assert spot_klines(result.matrix).symbols[0] == "1INCHBTC"
    assert result.listed == len(archive_server.requests)
    assert archive_server.count("data/*") == 0


async def test_a_listing_url_is_asked_in_the_place_of_the_source(
    archive_server: ArchiveServer, retry: RetryPolicy
) -> None:
    with ArchiveServer(symbols=["LUNAUSDT"]) as listing:
        result = await refreshed(archive_server, retry, listing_url=listing.url)
    assert spot_klines(result.matrix).symbols == ("LUNAUSDT",)
    assert archive_server.requests == []


async def test_a_matrix_names_the_source_that_was_asked_and_no_secret(
    archive_server: ArchiveServer, retry: RetryPolicy
) -> None:
    result = await refreshed(archive_server, retry)
    assert result.matrix.source_url.rstrip("/") == archive_server.url
    assert (result.matrix.listing_url or "").rstrip("/") == archive_server.url
    address = archive_server.url.removeprefix("http://")
    secret = await refreshed(
        archive_server, retry, source_url="https://me:hunter2@mirror.example/archive",
        listing_url=f"http://me:hunter2@{address}/",
    )  # fmt: skip
    assert "hunter2" not in matrix_text(secret.matrix)
    assert secret.matrix.source_url == "https://mirror.example/archive"


async def test_a_mapping_is_a_configuration_too(
    archive_server: ArchiveServer, retry: RetryPolicy
) -> None:
    values = {"output_directory": ".", "source_url": archive_server.url, "discovery": "listing"}
    found = await refresh_matrix(values, today=TODAY, retry=retry)
    assert found.matrix.source_url.rstrip("/") == archive_server.url


async def test_a_faulty_configuration_is_refused(retry: RetryPolicy) -> None:
    faulty = WorkflowConfig({"output_directory": "."}, max_retries=21, environ={}, validate=False)
    with pytest.raises(ConfigurationError, match="max_retries"):
        await refresh_matrix(faulty, retry=retry)


async def test_a_base_that_cannot_be_read_ends_it_before_any_request(
    archive_server: ArchiveServer, retry: RetryPolicy, tmp_path: Path
) -> None:
    with pytest.raises(MatrixError, match="cannot be read"):
        await refreshed(archive_server, retry, matrix_path=tmp_path / "absent.json")
    assert archive_server.requests == []


async def test_a_folder_that_cannot_be_listed_ends_it(
    archive_server: ArchiveServer, retry: RetryPolicy, sleeps: SleepRecorder
) -> None:
    folder = "data/futures/um/monthly/klines/"
    archive_server.inject(f"list:{folder}", faults.Status(503), endless=True)
    events: list[Event] = []

    async def emit(batch: Any) -> None:
        events.extend(batch)

    with pytest.raises(ListingError) as failed:
        await refreshed(archive_server, retry, emit=emit)
    assert failed.value.prefix == folder
    assert len(sleeps.waits) == 3
    assert [event.prefix for event in events if isinstance(event, ListingRetried)] == [folder] * 3


async def test_progress_is_told(archive_server: ArchiveServer, retry: RetryPolicy) -> None:
    steps: list[CrawlProgress] = []
    result = await refreshed(archive_server, retry, on_progress=steps.append)
    assert steps[-1].listed == steps[-1].expected == result.listed


async def test_parallel_downloads_bound_the_crawl(
    archive_server: ArchiveServer, retry: RetryPolicy
) -> None:
    await refreshed(archive_server, retry, max_parallel_downloads=3)
    assert archive_server.peak_concurrency <= 3


async def test_a_new_symbol_is_the_difference_of_two_refreshes(
    archive_server: ArchiveServer, retry: RetryPolicy, tmp_path: Path
) -> None:
    first = await refreshed(archive_server, retry)
    write_matrix(first.matrix, tmp_path / "first.json")
    archive_server.publish(NEW_KEY, b"")
    second = await refreshed(archive_server, retry, matrix_path=tmp_path / "first.json")
    difference = diff_matrices(load_matrix(tmp_path / "first.json"), second.matrix)
    assert list(difference.lines()) == ["+ spot klines NEWUSDT"]
    row = spot_klines(second.matrix)
    assert row.partition_symbols == {Partition.DAILY: ("NEWUSDT",)}
    assert second.notes == ()


async def test_an_older_base_is_corrected_and_told(
    archive_server: ArchiveServer, retry: RetryPolicy
) -> None:
    older = Path(__file__).parents[1] / "data" / "matrices"
    path = min(older.rglob("*.json"))
    base = load_matrix(path)
    result = await refreshed(archive_server, retry, matrix_path=path)
    assert base.corrections
    assert result.notes[: len(base.corrections)] == base.corrections
    assert result.matrix.corrections == ()


async def test_a_refreshed_matrix_knows_what_a_pattern_means(
    archive_server: ArchiveServer, retry: RetryPolicy, tmp_path: Path
) -> None:
    path = tmp_path / "matrix.json"
    write_matrix((await refreshed(archive_server, retry)).matrix, path)
    config = WorkflowConfig(
        {
            "output_directory": "out",
            "matrix_path": str(path),
            "markets": ["spot"],
            "data_types": ["klines"],
            "intervals": ["1d"],
            "symbols": ["*USDT"],
            "default_date": "2025-07-15",
            "discovery": "calendar",
        },
        environ={},
    )
    plan = plan_collection(config, load_matrix(path), TODAY)
    planned = [each.series.symbol for each in plan.each_series()]
    assert planned == ["BTCUSDT", "ETHUSDT", "币安人生USDT"]


def test_a_matrix_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "matrix.json"
    write_matrix(load_matrix(), path)
    assert path.read_text(encoding="utf-8") == matrix_text(load_matrix())
    assert [file.name for file in tmp_path.iterdir()] == ["matrix.json"]


def test_an_existing_file_is_overwritten_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "matrix.json"
    path.write_text("mine")
    with pytest.raises(ConfigurationError, match=r"exists already.*--force"):
        write_matrix(load_matrix(), path)
    assert path.read_text() == "mine"
    write_matrix(load_matrix(), path, overwrite=True)
    assert load_matrix(path).rows == load_matrix().rows


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is a directory"),
        ("absent/matrix.json", "its directory does not exist"),
        ("x" * 300, "cannot be written: File name too long"),
        ("file/matrix.json", "its directory does not exist|Not a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    for overwrite in (False, True):
        with pytest.raises(ConfigurationError, match=reason):
            check_destination(tmp_path / name, overwrite=overwrite)
        with pytest.raises(ConfigurationError, match=reason):
            write_matrix(load_matrix(), tmp_path / name, overwrite=overwrite)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="names are shorter there")
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    write_matrix(load_matrix(), tmp_path / ("x" * 255))
    with pytest.raises(ConfigurationError, match="cannot be written: File name too long"):
        write_matrix(load_matrix(), tmp_path / ("x" * 256))
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]
