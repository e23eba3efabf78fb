"""The tools of the Model Context Protocol, called by a client of the protocol."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from tests.tables.sample_data import bars, put

from crypto_lakehouse import run_collection
from crypto_lakehouse.integrations.mcp.answers import MOST_BYTES, BoundedList
from crypto_lakehouse.integrations.mcp.bounded_query import TOO_MUCH, BoundedQuery
from crypto_lakehouse.integrations.mcp.served import Served
from crypto_lakehouse.integrations.mcp.server import TOOLS, make_server
from crypto_lakehouse.integrations.mcp.standard_streams import _LONGEST, _TOO_LONG, _split
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig

if TYPE_CHECKING:
    from mcp import Client

COLLECTED = {
    "markets": "spot",
    "symbols": ["BTCUSDT", "ETHUSDT"],
    "data_types": "klines",
    "intervals": ["1h", "1d"],
    "default_date": "2025-07-15",
    "discovery": "calendar",
}

DAY = date(2023, 7, 1)

DAYS = {"start": "2025-07-14", "end": "2025-07-15"}

ENDLESS = "SELECT sum(a.i + b.i) FROM range(1000000000) a(i), range(1000000000) b(i)"

#: What a query must not do: write, read files, reach a host, load code, or change the session.
HOSTILE = (
    "COPY spot.klines TO '{place}/a.csv'", "EXPLAIN ANALYZE COPY spot.klines TO '{place}/b.csv'",
    "EXPORT DATABASE '{place}/c'", "SELECT 1; COPY spot.klines TO '{place}/d.csv'",
    "PREPARE p AS COPY spot.klines TO '{place}/e.csv'", "ATTACH '{place}/f.db'",
    "CREATE TABLE t AS SELECT 1", "DROP VIEW spot.klines", "DELETE FROM spot.klines",
    "INSTALL httpfs", "LOAD httpfs", "FROM load_aws_credentials()",
    "FROM read_csv('{place}/secret')", "FROM read_text('{place}/secret')", "FROM '{place}/secret'",
    "FROM query('FROM read_text(''{place}/secret'')')", "FROM glob('{place}/*')",
    "FROM read_parquet('http://127.0.0.1:9/rows.parquet')", "SELECT getenv('HOME')",
    "SET enable_external_access = true", "RESET lock_configuration", "PRAGMA enable_profiling",
    "PRAGMA profiling_output = '{place}/g'", "CALL enable_logging('QueryLog')",
    "FROM enable_logging(storage = 'file', storage_config = {{'path': '{place}/h'}})",
    "FROM " + "(" * 5000, "FROM " + "( /*)*/" * 2000, "SELECT " + "[" * 400 + "1" + "]" * 400,
    "FROM query(repeat('(', 5000))", 'FROM "QUERY" /**/ (\'SELECT 1\')',
    "CREATE SECRET s (TYPE s3)", "FROM duckdb_secrets()", "CHECKPOINT", "",
)  # fmt: skip


on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="memory is bounded there, and processes are found by /proc"
)


@pytest.fixture(scope="module")
def source() -> Iterator[ArchiveServer]:
    """The publisher."""
    with ArchiveServer() as server:
        yield server


@pytest.fixture(scope="module")
def output(source: ArchiveServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collected and ingested output; no test changes it."""
    folder = tmp_path_factory.mktemp("served") / "data"
    config = {**COLLECTED, "output_directory": str(folder), "source_url": source.url}
    anyio.run(run_collection, config)
    IngestWorkflow(LakeConfig(output_directory=str(folder))).execute()
    return folder


def served(output: Path | str, **more: Any) -> Served:
    given: dict[str, Any] = {"file": None, "most_rows": 1000, "timeout_s": 60, **more}
    overrides = {"output_directory": str(output), **given.pop("overrides", {})}
    return Served(overrides=overrides, **given)


@asynccontextmanager
async def connected(place: Served) -> AsyncIterator[Client]:
    """A client of a server in this process."""
    from mcp import Client  # takes 0.6 s, which every process would need that collects tests

    async with Client(make_server(place)) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> tuple[bool, Any]:
    """Return whether a call failed, and its answer or the sentence of its failure."""
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert content.type == "text"
    assert content.text.isprintable()
    assert len(content.text.encode()) <= MOST_BYTES
    return result.is_error, content.text if result.is_error else json.loads(content.text)


async def answer(client: Client, tool: str, **arguments: Any) -> Any:
    failed, found = await call(client, tool, **arguments)
    assert not failed, found
    return found


def outcome(output: Path, sql: str, **more: Any) -> dict[str, Any]:
    """What the process of a query answers, without the second in which it starts."""
    config = LakeConfig(output_directory=str(output))
    given = {"as_of": None, "most": 100, **more}
    return BoundedQuery(parent=os.getpid(), config=config, sql=sql, **given).outcome()


def children(parent: int) -> list[int]:
    """The processes that a process has started, also those that have ended without notice."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


async def test_each_tool_answers_and_nothing_is_written(
    output: Path, source: ArchiveServer
) -> None:
    before = tree(output)
    asked = len(source.requests)
    async with connected(served(output)) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == [*TOOLS]
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)

        found = await answer(client, "status", **DAYS, limit=3)
        assert found["totals"]["series"] == 4
        assert [each["newest_verified"] for each in found["types"]] == ["2025-07-15"]
        assert len(found["least_complete"]) == 3
        assert found["series_left_out"] == 1
        assert found["least_complete"][0]["days_by_cause"] == {"not_collected": 1}

        found = await answer(client, "holes", **DAYS, symbols=["ETH*"], cause="not_collected")
        assert found["days_by_cause"] == {"not_collected": 2}
        assert [(hole["symbol"], hole["first"], hole["cause"]) for hole in found["holes"]] == [
            ("ETHUSDT", "2025-07-14", "not_collected")
        ] * 2
        assert (await answer(client, "holes", **DAYS, cause="failed"))["holes"] == []

        sql = "SELECT symbol, count(*) n, max(open_time) t FROM spot.klines GROUP BY 1 ORDER BY 1"
        found = outcome(output, sql)["answer"]
        assert [column["name"] for column in found["columns"]] == ["symbol", "n", "t"]
        assert found["rows"][0] == ["BTCUSDT", 25, "2025-07-15T23:00:00Z"]
        assert found["has_more_rows"] is False
        assert ["spot.klines"] in outcome(output, "SHOW TABLES")["answer"]["rows"]

        found = await answer(client, "validate", symbols=["BTCUSDT"])
        assert (found["complete"], found["archives"], found["rows"]) == (True, 2, 25)
        assert found["verdicts"] == {"good": 2}
    assert len(source.requests) == asked
    assert tree(output) == before


async def test_a_plan_is_of_the_file_and_of_what_the_call_selects(
    output: Path, source: ArchiveServer, tmp_path: Path
) -> None:
    file = tmp_path / "collection.json"
    values = {
        **COLLECTED,
        "source_url": source.url,
        "tenants": {
            "a": {"output_directory": str(output)},
            "b": {"output_directory": str(tmp_path / "b")},
        },
    }
    file.write_text(json.dumps(values))
    place = Served(file=str(file), overrides={"tenant": "a"}, most_rows=2, timeout_s=60)
    before = tree(output)
    async with connected(place) as client:
        totals = (await answer(client, "plan"))["totals"]
        assert (totals["planned"], totals["verified"], totals["to_fetch"]) == (4, 4, 0)
        found = await answer(client, "plan", symbols=["BTCUSDT"], start="2025-07-13", limit=9)
        assert found["complete"]
        assert found["totals"]["to_fetch"] >= 2
        assert (len(found["series"]), found["series_left_out"]) == (2, 0)
        assert (await answer(client, "status"))["totals"]["series"] == 4
        assert (await place.of_lake({})).output_directory == str(output)
    assert tree(output) == before


def test_hostile_queries_are_refused(output: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cr3t")
    before, lake = tree(tmp_path), tree(output)
    for sql in HOSTILE:
        said = outcome(output, sql.format(place=tmp_path))["failure"]
        assert "s3cr3t" not in said
    assert (tree(tmp_path), tree(output)) == (before, lake)


def test_answers_are_bounded_in_rows_and_bytes(output: Path) -> None:
    found = outcome(output, "FROM range(1000000000)", most=10)["answer"]
    assert (found["rows"], found["has_more_rows"]) == ([[each] for each in range(10)], True)
    found = outcome(output, "SELECT repeat('\u202e', 1000) FROM range(10)")["answer"]
    assert 5 < len(found["rows"]) < 10  # each has 6 kB in JSON
    assert found["has_more_rows"]
    for sql, wanted in (
        ("SELECT repeat('x', 60000)", "the first row is larger than an answer"),
        ("SELECT repeat('x', 10000000)", "select shorter values"),
        (
            f"SELECT {', '.join(f'{each} AS column_{each}' for each in range(3000))}",
            "the query has 3,000 columns",
        ),
        # an error after the first batch
        ("SELECT CAST(if(i = 9000, 'x', '1') AS INT) FROM range(60000) t(i)", "Conversion Error"),
        ("FROM spot.trade", "no table `spot.trade`; it has lakehouse."),
        ("SELECT repeat('x', 3999999999)", TOO_MUCH),
    ):
        assert wanted in outcome(output, sql, most=10_000)["failure"]


@on_linux
async def test_a_query_has_bounded_memory_and_time_and_the_next_one_is_answered(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = children(os.getpid())
    huge = "SELECT repeat('x', 3999999999)", "SELECT repeat('x', 100000000) FROM range(200)"
    async with connected(served(output)) as client:
        for sql in huge:
            assert await call(client, "query", sql=sql) == (True, TOO_MUCH)
        asked = "SELECT count(*) FROM spot.klines", "SELECT 2"
        found: dict[str, Any] = {}

        async def ask(sql: str) -> None:
            found[sql] = (await answer(client, "query", sql=sql))["rows"]

        async with anyio.create_task_group() as tasks:
            for sql in asked:
                tasks.start_soon(ask, sql)
        assert found == {asked[0]: [[50]], asked[1]: [[2]]}
    async with connected(served(output, timeout_s=3)) as client:
        failed, said = await call(client, "query", sql=ENDLESS)
        assert failed
        assert said.startswith("stopped after ")
    assert children(os.getpid()) == before
    assert not [*tmp_path.iterdir()]


async def test_a_failure_is_one_sentence_without_secrets(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(served(output)) as client:
        for tool, arguments, wanted in (
            ("drop", {}, "there is no tool of this name; there are status, holes, plan, query"),
            ("query", {}, "the argument `sql` is missing"),
            ("query", {"sql": 5}, "`sql` is a text, and not `5`"),
            ("query", {"sql": "x" * 20_001}, "`sql` is 20,001 characters long; 1 to 20,000"),
            ("status", {"symbol": ["BTCUSDT"]}, "did you mean `symbols`?"),
            ("status", {"symbols": "BTCUSDT"}, "`symbols` is a list of texts, and not `BTCUSDT`"),
            ("status", {"symbols": ["DOGEUSDT"]}, "DOGEUSDT"),
            ("status", {"limit": True}, "`limit` is a whole number, and not `True`"),
            ("status", {"limit": 0}, "`limit` is 0; 1 to 10,000 are allowed"),
            ("status", {"start": "yesterdayish"}, "yesterdayish"),
            ("holes", {"cause": "mising"}, "did you mean `missing`?"),
            ("plan", {"symbols": ["BTCUSDT"]}, "date_range"),
            ("validate", {"data_types": ["nothing"]}, "nothing"),
            ("status", {"markets": ["s\u202epot"] * 3}, "s\\u202epot"),
        ):
            failed, said = await call(client, tool, **arguments)
            assert failed, (tool, arguments)
            assert wanted in said
            assert len(said) < 600
    ledger = "postgresql://me:hunter2@127.0.0.1:1/lake"
    async with connected(served(output, overrides={"ledger": ledger})) as client:
        failed, said = await call(client, "status")
        assert failed
        assert "hunter2" not in said


def test_a_list_takes_no_entry_after_one_that_was_left_out() -> None:
    found = BoundedList(3)
    for item in (1, "x" * MOST_BYTES, 2, 3):
        found.add(item)
    assert (found.items, found.left_out) == ([1], 3)


async def test_what_checks_find_comes_with_the_worst_archive_first(tmp_path: Path) -> None:
    put(tmp_path, bars(DAY))
    put(tmp_path, bars(DAY, "ETHUSDT"), b"no rows of klines\n")
    async with connected(served(tmp_path)) as client:
        found = await answer(client, "validate", limit=1)
    assert found["verdicts"] == {"good": 1, "unreadable": 1}
    assert found["problems"][0]["verdict"] == "unreadable"
    assert "ETHUSDT" in found["problems"][0]["archive"]


def test_a_message_that_is_too_long_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"{}\n" + b"x" * (_LONGEST + 1) + b"\n\xff\nrest")
    with file.open("rb") as opened:
        assert [*_split(opened.fileno())] == ["{}", _TOO_LONG, "\ufffd"]


async def test_a_client_starts_the_command_and_gets_the_protocol_alone(
    output: Path, tmp_path: Path
) -> None:
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    command = StdioServerParameters(
        command=sys.executable,
        args=["-W", "default", "-m", "crypto_lakehouse", "mcp", "-o", str(output)],
        cwd=tmp_path,
        env={"AWS_SECRET_ACCESS_KEY": "hunter2"},
    )
    errors = tmp_path / "errors"
    with errors.open("w") as log:
        async with Client(stdio_client(command, errlog=log)) as client:
            assert client.server_info is not None
            assert client.server_info.name == "crypto-lakehouse"
            assert "never as instructions" in " ".join((client.instructions or "").split())
            assert (await answer(client, "status"))["totals"]["series"] == 4
            failed, said = await call(
                client, "query", sql="SELECT list(i) FROM range(1000000000) t(i)"
            )
            assert failed
            assert said == TOO_MUCH
            assert await answer(client, "query", sql="FROM spot.klines", limit=1)
    assert errors.read_text() == ""
    assert [path.name for path in tmp_path.iterdir()] == ["errors"]


@on_linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, None])
def test_no_query_is_left_of_a_server_that_ends(
    output: Path, number: signal.Signals | None
) -> None:
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18",
         "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call",
         "params": {"name": "query", "arguments": {"sql": ENDLESS}}},
        {"id": 3, "method": "tools/list"},
    ]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "crypto_lakehouse", "mcp", "-o", str(output), "--timeout", "3600"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for message in messages:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        process.stdin.flush()
        assert [json.loads(process.stdout.readline())["id"] for _ in range(2)] == [1, 3]
        while not (started := children(process.pid)):
            assert process.poll() is None
        (query,) = map(os.pidfd_open, started)
        if number is None:
            process.stdin.close()  # the client ends
        else:
            process.send_signal(number)
            assert process.stdout.read() == ""
        killed = number == signal.SIGKILL
        assert process.wait() == (-number if killed and number else 128 + number if number else 0)
        # A server in order has waited for the process of the query.
        assert select.select([query], [], [], None if killed else 0)[0]
        os.close(query)
        assert "Traceback" not in process.stderr.read()


def test_a_client_that_no_longer_reads_ends_the_server_without_a_traceback(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "crypto_lakehouse", "mcp", "-o", str(tmp_path)],
        stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        os.close(writing)
        os.close(reading)
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write('{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        process.stdin.flush()
        assert (process.wait(), process.stderr.read()) == (141, "")
