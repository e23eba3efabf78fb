"""Files of a lake and its ledger that are damaged: a command answers right, or says what is wrong.

Each file gets flipped bits at places of every class, is cut, emptied and removed. No answer is
another than that of the whole lake, no command ends in a traceback, and the archives on disk decide
in the end: what the messages advise builds the same tables again.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.attack.conftest import DAYS, KEYS, Ended, run, three_days
from tests.attack.raw_source import RawSource, kline_zip

LAKE = ".lakehouse/lake"
QUERY = (
    "SELECT count(*) AS n, sum(close) AS close, sum(volume) AS volume, min(open_time)::VARCHAR "
    "AS first, max(open_time)::VARCHAR AS last, sum(count) AS trades FROM spot.klines"
)
RIGHT = {
    "n": 72, "close": 8064.0, "volume": 180.0, "first": "2025-07-10 00:00:00+00",
    "last": "2025-07-12 23:00:00+00", "trades": 504,
}  # fmt: skip

#: Flips in a file, besides those at its beginning and end.
FLIPS = 12

#: By the kind of a file: a pattern of its path.
FILES = {
    "catalog": "catalog.db",
    "metadata": "warehouse/spot/klines/metadata/00001-*.json",
    "metadata of archives": "warehouse/lakehouse/archives/metadata/00001-*.json",
    "manifest list": "warehouse/spot/klines/metadata/snap-*.avro",
    "manifest": "warehouse/spot/klines/metadata/*-m0.avro",
    "manifest of archives": "warehouse/lakehouse/archives/metadata/*-m0.avro",
    "archives": "warehouse/lakehouse/archives/data/**/*.parquet",
}

#: Commands that work on a lake whatever it holds.
COMMANDS = (
    "ingest -o out", "lake compact -o out", "lake expire -o out --older-than 0",
    "lake sweep -o out", "status -o out", "validate -o out", "verify -o out",
)  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RawSource]]:
    place = tmp_path_factory.mktemp("lake")
    with contextlib.chdir(place), three_days() as source:
        assert run(*collect(source), "--ingest").code == 0
        (place / "out").rename(place / "template")
        yield place, source


@pytest.fixture
def place(template: tuple[Path, RawSource], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(template[0])
    return template[0]


def collect(source: RawSource) -> list[str]:
    return (
        "collect -o out --markets spot -s BTCUSDT -t klines -i 1h --discovery calendar -q "
        f"--start {DAYS[0]} --end {DAYS[-1]} --source-url {source.url} --max-retries 0"
    ).split()


def restore(place: Path) -> Path:
    shutil.rmtree(place / "out", ignore_errors=True)
    shutil.copytree(place / "template", place / "out")
    return place / "out"


def damaged(data: bytes) -> Iterator[bytes | None]:
    """The bytes of a file after each kind of damage; None if it is gone."""
    chosen = random.Random(len(data))  # the same places in every run
    places = [0, 3, 17, len(data) - 1, *(chosen.randrange(len(data)) for _ in range(FLIPS))]
    for place in places:
        flipped = data[place] ^ (1 << chosen.randrange(8))
        yield data[:place] + bytes([flipped]) + data[place + 1 :]
    yield data[: len(data) // 2]
    yield data[:-1]
    yield bytes(len(data))
    yield b""
    yield None


def put(path: Path, data: bytes | None) -> None:
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


def answer() -> dict[str, object] | str:
    """What the query answers, or the error that it ends with."""
    ended = run("query", "-o", "out", "--format", "json", QUERY)
    if ended.code == 0:
        found: dict[str, object] = json.loads(ended.out)
        return found
    return error_of(ended)


def error_of(ended: Ended) -> str:
    assert "error: " in ended.err, ended
    assert "LINE 1" not in ended.err
    return ended.err


@pytest.mark.parametrize("kind", FILES)
def test_a_query_answers_right_or_says_what_is_wrong(place: Path, kind: str) -> None:
    (path,) = (place / "template" / LAKE).glob(FILES[kind])
    wrong: list[str] = []
    for data in damaged(path.read_bytes()):
        root = restore(place)
        put(root / path.relative_to(place / "template"), data)
        found = answer()
        if isinstance(found, str):
            wrong.append(found)
        else:
            assert found == RIGHT
    if kind in {"catalog", "metadata", "manifest list", "manifest"}:
        assert wrong


@pytest.mark.parametrize("kind", FILES)
def test_every_command_ends_with_a_result_or_an_error(place: Path, kind: str) -> None:
    (path,) = (place / "template" / LAKE).glob(FILES[kind])
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], bytes(len(whole)), b"", None):
        for text in COMMANDS:
            root = restore(place)
            put(root / path.relative_to(place / "template"), data)
            ended = run(*text.split())
            if ended.code not in {0, 3, 4}:
                error_of(ended)
            zips = [root / key for key in KEYS]
            assert [path.read_bytes() for path in zips] == [kline_zip(key) for key in KEYS]


@pytest.mark.parametrize("kind", FILES)
def test_what_the_message_advises_builds_the_same_tables(
    place: Path, template: tuple[Path, RawSource], kind: str
) -> None:
    (path,) = (place / "template" / LAKE).glob(FILES[kind])
    root = restore(place)
    put(root / path.relative_to(place / "template"), path.read_bytes()[:100])
    ended = run("ingest", "-o", "out")
    if ended.code:
        assert "move the lake away, and run `crypto-lakehouse ingest`" in ended.err
        (root / LAKE).rename(root / LAKE.replace("/lake", "/damaged"))
        assert run("ingest", "-o", "out").code == 0
    elif isinstance(answer(), str):
        (root / LAKE).rename(root / LAKE.replace("/lake", "/damaged"))
        assert run(*collect(template[1]), "--ingest").code == 0
    assert answer() == RIGHT


def test_a_data_file_that_cannot_be_read_is_named(place: Path) -> None:
    pattern = "warehouse/spot/klines/data/**/*.parquet"
    (path,) = (place / "template" / LAKE).glob(pattern)
    whole = path.read_bytes()
    for data in (whole[:-1], whole[:500], b"PAR1" + bytes(len(whole) - 4), b"", None):
        root = restore(place)
        put(root / path.relative_to(place / "template"), data)
        found = answer()
        assert isinstance(found, str)
        assert path.name in found
        assert "move the lake away" in found


def test_flipped_bits_in_values_are_named(place: Path) -> None:
    pattern = "warehouse/spot/klines/data/**/*.parquet"
    (path,) = (place / "template" / LAKE).glob(pattern)
    whole = path.read_bytes()
    group = pq.read_metadata(path).row_group(0)
    root = restore(place)
    for number in range(group.num_columns):
        column = group.column(number)
        start = column.dictionary_page_offset or column.data_page_offset
        last = start + column.total_compressed_size - 1  # the last byte of the last page's values
        flipped = bytes([whole[last] ^ 1])
        put(root / path.relative_to(place / "template"), whole[:last] + flipped + whole[last + 1 :])
        ended = run("lake", "verify", "-o", "out", "-t", "spot.klines")
        assert (ended.code, path.name in ended.out) == (4, True), column.path_in_schema
        assert all(key in ended.out for key in KEYS)


def test_metadata_that_forgets_its_snapshots_makes_no_table_empty(place: Path) -> None:
    """Every field is optional: with another letter in its name the table would have no rows."""
    (path,) = (place / "template" / LAKE).glob(FILES["metadata"])
    text = path.read_text()
    for name in ("current-snapshot-id", "snapshots", "snapshot-log", "refs", "main"):
        assert f'"{name}"' in text
        root = restore(place)
        put(
            root / path.relative_to(place / "template"),
            text.replace(f'"{name}"', f'"{name[:-1]}~"').encode(),
        )
        found = answer()
        assert found == RIGHT or "current snapshot" in str(found)


def test_a_ledger_that_lacks_tables_or_columns_is_mended_by_the_next_collection(
    place: Path, template: tuple[Path, RawSource]
) -> None:
    ledger = place / "template/.lakehouse/ledger.sqlite"
    with closing(sqlite3.connect(ledger)) as connection:
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        changes = [f"DROP TABLE {table}" for table in tables]
        for table in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            changes += [f"ALTER TABLE {table} RENAME COLUMN {name} TO evil" for name in columns]
    assert len(changes) > 40
    for change in changes[::3]:
        root = restore(place)
        with closing(sqlite3.connect(root / ".lakehouse/ledger.sqlite")) as connection, connection:
            connection.execute(change)
        for text in (
            "status -o out",
            "history -o out --since 2020-01-01",
            "verify -o out",
            "ingest -o out",
        ):
            ended = run(*text.split())
            assert ended.code in {0, 3, 4} or error_of(ended), change
        before = len(template[1].requests)
        assert run(*collect(template[1])).code == 0, change
        assert len(template[1].requests) == before, "the files prove themselves"
        assert run("status", "-o", "out").code == 0


def test_a_catalog_with_a_view_or_a_trigger_is_refused(place: Path) -> None:
    names = {
        "iceberg_tables": (
            "ALTER TABLE iceberg_tables RENAME TO hidden",
            "CREATE VIEW iceberg_tables AS WITH RECURSIVE r (x) AS "
            "(SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT hidden.* FROM hidden, r",
        ),
        "evil": ("CREATE TRIGGER evil BEFORE UPDATE ON iceberg_tables "
                 "BEGIN SELECT raise(ABORT, 'no'); END",),
    }  # fmt: skip
    for name, statements in names.items():
        root = restore(place)
        with closing(sqlite3.connect(root / LAKE / "catalog.db")) as connection, connection:
            for statement in statements:
                connection.execute(statement)
        for text in ("ingest -o out", "lake verify -o out", "lake compact -o out"):
            said = error_of(run(*text.split()))
            assert f"`{name}`, which no ingestion makes" in said, text
            assert "move the lake away" in said
        assert "which no ingestion makes" in str(answer())
