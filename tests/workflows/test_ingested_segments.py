"""Days that came over REST are in the tables as those of archives are, until archives come."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from attrs import evolve
from tests.segments.responses import DAY, ask, day_responses, segment, series
from tests.tables.sample_data import put
from tests.workflows.lakes import ingested

from crypto_lakehouse.core.archive import Archive, DataType, Market, Origin, Period, Series
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.segments.fill_segment import FillResponse
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.schema.schemas import table_name
from crypto_lakehouse.testing import ArchiveServer, ExchangeServer

SPOT, UM, CM, _ = Market
KLINES = series(SPOT, DataType.KLINES, "BTCUSDT", "1m")
AGGS = series(UM, DataType.AGG_TRADES, "BTCUSDT")
FUNDING = series(UM, DataType.FUNDING_RATE, "BTCUSDT")
METRICS = series(UM, DataType.METRICS, "BTCUSDT")
SERIES = [
    KLINES, AGGS, FUNDING, METRICS,
    series(UM, DataType.MARK_PRICE_KLINES, "BTCUSDT", "1h"),
    series(CM, DataType.METRICS, "BTCUSD_PERP"),
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[ExchangeServer]:
    with ExchangeServer() as running:
        yield running


def fill(
    root: Path, of: Series, responses: list[FillResponse], day: Any = DAY, **header: Any
) -> Archive:
    """Put a segment in its place."""
    archive = Archive(of, Period.day(day), Origin.FILL)
    content = segment(of, responses, day, **header)
    store(root, archive, content)
    return archive


def store(root: Path, archive: Archive, content: bytes) -> None:
    path = root / archive.key
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()
    (root / archive.sidecar_key).write_text(f"{digest}  {archive.name}\n")
    path.write_bytes(content)


def publish(root: Path, server: ExchangeServer, of: Series) -> Archive:
    """Put the archive of the day in its place; that of the month, where there are no days."""
    monthly = of.data_type is DataType.FUNDING_RATE
    archive = Archive(of, Period.month(DAY) if monthly else Period.day(DAY))
    archives = ArchiveServer(generate=False)
    server.publish(archives, archive.key)
    store(root, archive, archives.read(archive.key))
    return archive


def table_of(of: Series) -> str:
    return f"{of.market}.{table_name(of.data_type)}"


def rows(root: Path, of: Series) -> list[dict[str, Any]]:
    """The rows of the day, without their origin."""
    with Lake.open(root) as lake:
        frame = lake.scan(table_of(of)).polars().collect()
        time = lake.scan(table_of(of)).time_column
    begin = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    # The last row of metrics has the next day's label.
    frame = frame.filter(pl.col(time).is_between(begin, begin + timedelta(days=1)))
    if of.data_type is not DataType.METRICS:
        frame = frame.filter(pl.col(time) < begin + timedelta(days=1))
    return frame.select(each for each in frame.columns if each != "origin").to_dicts()


async def test_the_requests_of_a_fill_are_beside_its_rows(
    tmp_path: Path, server: ExchangeServer
) -> None:
    publish(tmp_path, server, KLINES)
    asked = {of: day_responses(server, of) for of in (KLINES, AGGS)}
    for of, responses in asked.items():
        fill(tmp_path, of, responses)
    assert (await ingested(tmp_path)).exit_code == 0
    query = "SELECT archive, request_count, requests FROM lakehouse.archives"
    with Lake.open(tmp_path) as lake:
        found = {key: rest for key, *rest in lake.sql(query).fetchall()}
    assert found.pop(Archive(KLINES, Period.day(DAY)).key) == [None, None]
    assert len(found) == 2
    for of, responses in asked.items():
        count, text = found[Archive(of, Period.day(DAY), Origin.FILL).key]
        assert count == len(responses)
        assert json.loads(text) == [
            {
                "url": each.url, "params": each.params, "at": each.received_at.isoformat(),
                "sha256": hashlib.sha256(each.body.encode()).hexdigest(),
            }
            for each in responses[:10]
        ]  # fmt: skip
    assert found[Archive(AGGS, Period.day(DAY), Origin.FILL).key][0] > 10


def standings(root: Path) -> dict[str, tuple[str, int]]:
    with Lake.open(root) as lake:
        query = "SELECT archive, state, rows FROM lakehouse.archives"
        return {key: (state, count) for key, state, count in lake.sql(query).fetchall()}


def provenance(root: Path) -> dict[str, tuple[Any, ...]]:
    """What `lakehouse.archives` says of segments."""
    with Lake.open(root) as lake:
        query = "SELECT archive, origin, proven_by, not_in_archive FROM lakehouse.archives"
        return {key: tuple(values) for key, *values in lake.sql(query).fetchall()}


def differences(root: Path) -> list[tuple[str, ...]]:
    with Lake.open(root) as lake:
        query = 'SELECT archive, other_archive, "column" FROM lakehouse.differences'
        return lake.sql(query).fetchall()


@pytest.mark.parametrize("of", SERIES, ids=str)
async def test_a_filled_day_gives_way_to_its_archive(
    tmp_path: Path, server: ExchangeServer, of: Series
) -> None:
    filled, published = tmp_path / "filled", tmp_path / "published"
    segment = fill(filled, of, day_responses(server, of))
    report = await ingested(filled)
    assert (report.exit_code, report.archives) == (0, 1)
    before = rows(filled, of)
    assert standings(filled) == {segment.key: ("ingested", report.rows)}
    archive = publish(published, server, of)
    assert (await ingested(published)).exit_code == 0
    wanted = rows(published, of)
    if of.data_type is DataType.METRICS:
        # The endpoints give ratios with four places, and the archive with eight.
        times = [row["create_time"] for row in wanted]
        assert [row["create_time"] for row in before] == times
    else:
        assert before == wanted
    publish(filled, server, of)
    report = await ingested(filled)
    assert report.exit_code == 0
    assert rows(filled, of) == wanted
    has = standings(filled)
    assert has[segment.key] == ("superseded", 0)
    assert has[archive.key] == standings(published)[archive.key]
    found = differences(filled)
    if of.data_type is DataType.METRICS:
        assert found
        assert {each[:2] for each in found} == {(archive.key, segment.key)}
        assert all("ratio" in column for _, _, column in found)
    else:
        assert found == []
    assert (await ingested(filled)).archives == 0


async def test_a_month_covers_the_bars_of_several_days(
    tmp_path: Path, server: ExchangeServer
) -> None:
    of, opens = series(UM, DataType.KLINES, "BTCUSDT", "3d"), DAY - timedelta(days=3)
    segment = fill(tmp_path, of, day_responses(server, of, opens), opens)
    assert (await ingested(tmp_path)).verdicts == {"good": 1}
    month = Archive(of, Period.month(DAY))
    archives = ArchiveServer(generate=False)
    server.publish(archives, month.key)
    store(tmp_path, month, archives.read(month.key))
    assert (await ingested(tmp_path)).exit_code == 0
    assert standings(tmp_path)[segment.key] == ("superseded", 0)
    assert differences(tmp_path) == []


async def test_rows_that_the_archive_lacks_stay(tmp_path: Path, server: ExchangeServer) -> None:
    first, second = day_responses(server, KLINES)
    segment = fill(tmp_path, KLINES, [second], proven_by="ids")
    assert (await ingested(tmp_path)).exit_code == 0
    assert provenance(tmp_path) == {segment.key: ("fill", "ids", False)}
    archive = Archive(KLINES, Period.day(DAY))
    publish(tmp_path, server, KLINES)
    whole = rows_of_zip(tmp_path, archive)
    put_rows(tmp_path, archive, whole[:1000])
    assert (await ingested(tmp_path)).exit_code == 0
    wanted = {archive.key: ("archive", None, None), segment.key: ("fill", "ids", True)}
    assert provenance(tmp_path) == wanted
    fill(tmp_path, KLINES, [first, second])
    assert (await ingested(tmp_path)).exit_code == 0
    assert provenance(tmp_path) == wanted | {segment.key: ("fill", "", True)}
    assert standings(tmp_path) == {
        archive.key: ("ingested", 1000), segment.key: ("ingested", 440),
    }  # fmt: skip
    # A later fill replaces the earlier one, and an archive that has all rows replaces it.
    fill(tmp_path, KLINES, [first], complete=False)
    await ingested(tmp_path)
    assert standings(tmp_path)[segment.key] == ("superseded", 0)
    assert provenance(tmp_path)[segment.key] == ("fill", "", False)
    fill(tmp_path, KLINES, [first, second])
    put_rows(tmp_path, archive, whole)
    await ingested(tmp_path)
    assert standings(tmp_path) == {
        archive.key: ("ingested", 1440), segment.key: ("superseded", 0),
    }  # fmt: skip


def rows_of_zip(root: Path, archive: Archive) -> list[str]:
    with zipfile.ZipFile(root / archive.key) as packed:
        return packed.read(archive.member).decode().splitlines(keepends=True)


def put_rows(root: Path, archive: Archive, lines: list[str]) -> None:
    put(root, archive, "".join(lines))


async def test_a_day_on_which_nothing_happened_has_no_rows(
    tmp_path: Path, server: ExchangeServer
) -> None:
    span = {"startTime": 1778112000000, "endTime": 1778112000000}
    nothing = ask(server, UM, "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=1, **span)
    assert nothing.body == "[]"
    none = [fill(tmp_path, FUNDING, [nothing]), fill(tmp_path, AGGS, [])]
    report = await ingested(tmp_path)
    assert (report.exit_code, report.rows) == (0, 0)
    assert standings(tmp_path) == {each.key: ("ingested", 0) for each in none}
    assert (await ingested(tmp_path)).archives == 0


async def test_a_segment_that_is_damaged_is_named_and_the_rest_goes_on(
    tmp_path: Path, server: ExchangeServer
) -> None:
    responses = day_responses(server, KLINES)
    good = fill(tmp_path, KLINES, responses)
    days = [DAY - timedelta(days=number) for number in (1, 2, 3)]
    flipped, unproven, numbers = (
        fill(tmp_path, KLINES, day_responses(server, KLINES, day), day) for day in days
    )
    path = tmp_path / flipped.key
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (tmp_path / unproven.sidecar_key).unlink()
    plain = evolve(responses[0], body=responses[0].body.replace('"', ""), sha256="")
    content = segment(KLINES, [FillResponse(**_fields(plain))], days[2])
    store(tmp_path, numbers, content)
    report = await ingested(tmp_path)
    assert report.exit_code == 4
    problems = {each["key"]: (each["state"], each["reason"]) for each in report.problems}
    assert problems.keys() == {flipped.key, unproven.key, numbers.key}
    assert problems[flipped.key] == ("unproven", "its bytes are not those that its sidecar names")
    assert problems[unproven.key][0] == "unproven"
    state, reason = problems[numbers.key]
    assert state == "refused"
    assert "response 1 (`klines`): row 1: `open` is the number" in reason
    assert standings(tmp_path)[good.key] == ("ingested", 1440)


def _fields(response: FillResponse) -> dict[str, Any]:
    names = ("url", "params", "received_at", "server_time", "status", "body")
    return {name: getattr(response, name) for name in names}


async def test_each_row_names_its_origin(tmp_path: Path, server: ExchangeServer) -> None:
    fill(tmp_path, KLINES, [day_responses(server, KLINES)[1]])
    archive = publish(tmp_path, server, KLINES)
    put_rows(tmp_path, archive, rows_of_zip(tmp_path, archive)[:1000])
    await ingested(tmp_path)
    with Lake.open(tmp_path) as lake:
        scan = lake.scan("spot.klines")
        assert scan.columns[-1] == "origin"
        counts = {"archive": 1000, "fill": 440}
        frame = scan.polars().collect()
        assert dict(frame["origin"].value_counts().iter_rows()) == counts
        assert scan.arrow().read_all().equals(frame.to_arrow().cast(scan.arrow().schema))
        query = "SELECT origin, count(*) FROM spot.klines GROUP BY origin"
        assert dict(lake.sql(query).fetchall()) == counts
        for origins, count in [("archive", 1000), (["fill"], 440), (["live"], 0), ([], 0),
                               (["fill", "archive"], 1440)]:  # fmt: skip
            some = lake.scan("spot.klines", columns=["open_time"], origins=origins)
            assert some.polars().collect().height == count
            assert some.arrow().read_all().num_rows == count
            assert len(some.duckdb().fetchall()) == count
        only = lake.scan("spot.klines", columns=["origin"], origins=["fill"])
        assert only.polars().collect()["origin"].to_list() == ["fill"] * 440
        assert only.duckdb().fetchall() == [("fill",)] * 440
        with pytest.raises(QueryError, match=r"no origin 'fil'.*did you mean `fill`"):
            lake.scan("spot.klines", origins=["fil"])


async def test_no_key_is_read_where_all_rows_are_of_archives(
    tmp_path: Path, server: ExchangeServer
) -> None:
    publish(tmp_path, server, KLINES)
    await ingested(tmp_path)
    with Lake.open(tmp_path) as lake:
        scan = lake.scan("spot.klines", columns=["open_time", "origin"])
        frame = scan.polars()
        assert frame.collect()["origin"].unique().to_list() == ["archive"]
        assert "archive" not in frame.explain().partition("PROJECT")[2].partition("/")[0]
        assert lake.scan("spot.klines", origins=["fill"]).files == ()
        assert scan.arrow().read_all()["origin"].unique().to_pylist() == ["archive"]


async def test_plain_parquet_has_the_same_rows(tmp_path: Path, server: ExchangeServer) -> None:
    fill(tmp_path, KLINES, day_responses(server, KLINES))
    other = Archive(KLINES, Period.day(DAY - timedelta(days=1)), Origin.FILL)
    fill(tmp_path, KLINES, day_responses(server, KLINES, other.period.first_day),
         other.period.first_day)  # fmt: skip
    lake = tmp_path / "files"
    await ingested(tmp_path, format="parquet", lake=str(lake))
    archive = publish(tmp_path, server, KLINES)
    report = await ingested(tmp_path, format="parquet", lake=str(lake))
    assert (report.exit_code, report.archives) == (0, 1)
    counts = pl.read_parquet(lake / "spot/**/*.parquet", hive_partitioning=False)["archive"]
    assert dict(counts.value_counts().iter_rows()) == {archive.key: 1440, other.key: 1440}
    assert (await ingested(tmp_path, format="parquet", lake=str(lake))).archives == 0
