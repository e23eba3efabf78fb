"""SQL that tries to read what no table holds, or that is no text at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.sample_data import bars, ingest, put

from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.lake.sql import QuerySession

#: What each row of the temporary files holds. No statement below spells it.
SECRET = b"QzQzQzQz"
ROWS = "SELECT i, repeat('Qz', 40) || md5(i::VARCHAR) s FROM range(300000) t(i)"
#: More than a block of DuckDB's holds, which gets a file of its own.
LONG = "SELECT repeat('Qz', 400000) || i s FROM range(24) t(i)"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    here = tmp_path_factory.mktemp("sql")
    catalog = LakeCatalog(here / "lake", create=True)
    ingest(catalog, [put(here / "out", bars(date(2023, 7, 1)))], IngestSettings())
    catalog.close()
    with Lake.open(here / "lake") as lake:
        yield lake


@pytest.fixture(scope="module")
def session(lake: Lake) -> Iterator[QuerySession]:
    """A session whose temporary files hold rows."""
    session = QuerySession(lake, tables=lake.tables)
    spill(session.connection)
    yield session
    session.close()


def spill(connection: duckdb.DuckDBPyConnection) -> list[Path]:
    connection.execute("SET threads = 1; SET memory_limit = '48MB'")
    connection.execute(f"CREATE TABLE held AS {ROWS}")
    connection.execute(f"CREATE TABLE held_long AS {LONG}")
    connection.execute("SET memory_limit = '1GB'")
    return spilled(connection)


def spilled(connection: duckdb.DuckDBPyConnection) -> list[Path]:
    found = connection.execute("SELECT path FROM duckdb_temporary_files()").fetchall()
    return [Path(path) for (path,) in found]


def test_temporary_files_of_a_session_hold_no_row_that_can_be_read(session: QuerySession) -> None:
    files = spilled(session.connection)
    assert sum(path.stat().st_size for path in files) > 1_000_000
    assert not any(SECRET in path.read_bytes() for path in files)
    assert session.sql("SELECT count(*), count(DISTINCT s) FROM held").fetchall() == [
        (300000, 300000)
    ]
    assert session.sql("SELECT count(DISTINCT s) FROM held_long").fetchall() == [(24,)]


def test_those_of_a_plain_connection_hold_rows(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET temp_directory = ?", [str(tmp_path / "plain")])
        assert any(SECRET in path.read_bytes() for path in spill(connection))


FUNCTIONS = [
    "read_blob", "read_text", "read_csv", "read_csv_auto", "sniff_csv", "read_json_objects",
    "read_ndjson", "read_parquet", "parquet_scan", "parquet_metadata", "glob", "read_duckdb",
]  # fmt: skip
#: How a name and its arguments can be parted.
PARTED = ["", " ", "\t", "\xa0", "\u3000", "--x\r", "--x\n", "/* /* ( */ */", "\n/**/ "]
ARGUMENTS = [
    "'{file}'",
    "['{file}']",
    "getvariable('p')",
    "current_setting('temp_directory') || '/*'",
    "'{folder}/x.csv?/../{name}'",
    "'{folder}/../{inner}/{name}'",
]
OPTIONS = {"read_csv": ", sep = '|', all_varchar = true, ignore_errors = true, strict_mode = false"}
QUERIES = [
    "SELECT * FROM {call}",
    "FROM {call}",
    "WITH a AS MATERIALIZED (FROM {call}) SELECT * FROM a",
    "SELECT (SELECT list(x) FROM {call} x)",
    "SELECT * FROM range(1), LATERAL (FROM {call})",
    "DESCRIBE FROM {call}",
    "SUMMARIZE FROM {call}",
    "EXPLAIN ANALYZE FROM {call}",
    "CALL {call}",
    "CREATE OR REPLACE TEMP TABLE copied AS FROM {call}; FROM copied",
    "CREATE OR REPLACE TEMP MACRO f() AS TABLE FROM {call}; FROM f()",
    "CREATE OR REPLACE TEMP VIEW v AS FROM {call}; FROM v",
    "SET VARIABLE x = (SELECT list(x) FROM {call} x); SELECT getvariable('x')",
    "PREPARE p AS FROM {call}; EXECUTE p",
    "FROM query($$FROM {call}$$)",
    "FROM json_execute_serialized_sql(json_serialize_sql($$FROM {call}$$))",
    "FROM '{folder}/x.csv?/../{name}'",
    "FROM query_table('{folder}/x.json?/../{name}')",
    "IMPORT DATABASE '{folder}'",
    "PRAGMA import_database('{folder}')",
    "ATTACH '{file}' AS other",
    "COPY held FROM '{file}'",
]


def texts(value: object) -> Iterator[bytes]:
    """All texts and bytes in the rows of an answer."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from texts(each)
    elif isinstance(value, dict):
        yield from texts(list(value.items()))
    else:
        yield value if isinstance(value, bytes) else str(value).encode()


@given(data=st.data())
def test_no_statement_reads_a_row_of_temporary_files(
    session: QuerySession, data: st.DataObject
) -> None:
    small = [path for path in spilled(session.connection) if path.stat().st_size < 1_000_000]
    file = data.draw(st.sampled_from(small))
    places = {
        "file": str(file).replace("'", "''"),
        "folder": str(file.parent).replace("'", "''"),
        "name": file.name,
        "inner": file.parent.name,
    }
    function = data.draw(st.sampled_from(FUNCTIONS))
    spelled = data.draw(
        st.sampled_from([function, function.upper(), f'"{function}"', f"system.main.{function}"])
    )
    argument = data.draw(st.sampled_from(ARGUMENTS)) + OPTIONS.get(function, "")
    call = f"{spelled}{data.draw(st.sampled_from(PARTED))}({argument})"
    query = data.draw(st.sampled_from(QUERIES)).replace("{call}", call).format(**places)
    session.sql(f"SET VARIABLE p = '{places['file']}'")
    with suppress(QueryError, duckdb.Error):
        relation = session.sql(query)
        if relation is not None:
            assert SECRET not in b"".join(texts(relation.fetchall()))


HARMLESS = [
    "SELECT symbol FROM spot.klines WHERE symbol = 'query (x)'",
    "SELECT 'read_text('",
    "WITH query(x) AS (SELECT 1) SELECT * FROM query",
    "SELECT 1 AS read_blob, 2 AS \"query\" -- read_text('x')",
    "SELECT $$ read_csv('x') $$",
    "CREATE OR REPLACE TEMP TABLE sniff_csv(query INTEGER)",
    "INSERT INTO sniff_csv(query) VALUES (1)",
    "CREATE OR REPLACE TEMP MACRO read_less(x) AS x + 1",
    "SELECT count(*) FROM query('SELECT symbol FROM spot.klines')",
    "SELECT count(*) FROM query_table('spot.klines')",
    "SELECT symbol FROM spot.klines WHERE symbol GLOB ('BTC*') LIMIT 1",
    "SELECT * FROM generate_series(1, 3), range(2), unnest([1, 2])",
    "SHOW ALL TABLES",
    "DESCRIBE spot.klines",
    "SUMMARIZE spot.klines",
    "PRAGMA version",
    "PRAGMA table_info('spot.klines')",
    "PIVOT (SELECT interval, quote_volume FROM spot.klines) ON interval USING sum(quote_volume)",
    "EXPLAIN ANALYZE SELECT 1",
]


@pytest.mark.parametrize("query", HARMLESS, ids=range(len(HARMLESS)))
def test_harmless_statements_run(session: QuerySession, query: str) -> None:
    relation = session.sql(query)
    assert relation is None or relation.fetchall() is not None


def test_a_variable_of_python_is_no_table(session: QuerySession) -> None:
    folded = pa.table({"word": ["of Python"]})
    with pytest.raises(QueryError, match="no table `folded`"):
        session.sql("SELECT * FROM folded")
    assert folded.num_rows == 1


NO_STATEMENT = [
    ("update extensions", "a statement of this type is refused"),
    ("SELECT 1; UPDATE EXTENSIONS", "a statement of this type is refused"),
    ("SELECT '\udcff'", "not valid UTF-8: character 9 is wrong"),
    ("SELECT '\ud83d'", "not valid UTF-8: character 9 is wrong"),
    (f"SELECT {'(' * 20000}1{')' * 20000}", "depth limit"),
    ("\0", "syntax error"),
]


@pytest.mark.parametrize(("query", "reason"), NO_STATEMENT, ids=range(len(NO_STATEMENT)))
def test_what_is_no_query_is_refused(lake: Lake, query: str, reason: str) -> None:
    with pytest.raises(QueryError, match=reason):
        lake.sql(query)


def test_a_command_whose_sql_is_not_utf_8_ends_with_2(lake: Lake) -> None:
    command = [sys.executable, "-m", "crypto_lakehouse", "query"]
    folder = lake.catalog.place.folder
    place = ["-o", str(folder.parent), "--lake", str(folder)]
    done = subprocess.run([*command, *place, b"select '\xff'"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr
    assert b"the SQL is not valid UTF-8: character 9 is wrong" in done.stderr
