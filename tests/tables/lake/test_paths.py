"""A lake reads its own files alone, whatever its path is called and wherever it was made."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.tables.sample_data import bars, changed_text, put

from crypto_lakehouse.core.errors import ConfigurationError, LakeError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.local_io import path_in_lake
from crypto_lakehouse.tables.lake.maintenance import compact, expire, sweep
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig

FIRST = date(2023, 7, 30)
SECOND = date(2023, 7, 31)


def ingested(root: Path, **config: Any) -> int:
    """Ingest a tree; how many rows came into the tables."""
    values = {"output_directory": str(root), "workers": 1, **config}
    report = IngestWorkflow(LakeConfig(values, environ={})).execute().report
    assert report.problem_count == 0
    return int(report.rows)


QUERIES = (
    "SELECT symbol, open_time, volume FROM spot.klines",
    "SELECT symbol, open_time, volume FROM spot.klines JOIN lakehouse.archives USING (archive) "
    "WHERE symbol IN ('BTCUSDT', 'ETHUSDT')",
)


def rows_of(root: Path) -> list[tuple[Any, ...]]:
    """The rows of a tree's bars, which every way of reading them gives."""
    with Lake.open(root) as lake:
        scan = lake.scan("spot.klines", columns=["symbol", "open_time", "volume"])
        frames = [
            scan.polars().collect(),
            pl.DataFrame(scan.arrow().read_all()),
            pl.DataFrame(scan.duckdb().to_arrow_table()),
            *(pl.DataFrame(lake.sql(query).to_arrow_table()) for query in QUERIES),
        ]
    utc = pl.col("open_time").dt.convert_time_zone("UTC")
    first, *others = [sorted(frame.with_columns(utc).rows()) for frame in frames]
    assert all(other == first for other in others)
    return first


def maintained(root: Path) -> None:
    """Run all of a lake's maintenance."""
    with Lake.open(root) as lake:
        for name in lake.tables:
            compact(lake.catalog, name, tool_version="1")
            expire(lake.catalog, name, before=datetime.now(UTC))
            sweep(lake.catalog, name, before=None)


def contents(root: Path) -> dict[str, bytes]:
    """Every file of a tree, byte for byte; no locks and no folders for temporary files."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of two days of bars, without tables."""
    root = tmp_path_factory.mktemp("archives")
    for day in (FIRST, SECOND):
        put(root, bars(day))
    return root


@pytest.fixture(scope="module")
def plain(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tree under a plain name, with its tables."""
    root = tmp_path_factory.mktemp("plain") / "out"
    shutil.copytree(archives, root)
    assert ingested(root) == 48
    return root


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another tree with tables, of another symbol."""
    root = tmp_path_factory.mktemp("other") / "out"
    put(root, bars(FIRST, "ETHUSDT"))
    assert ingested(root) == 24
    return root


NAMES = st.text("ab%20?#*[]{}!' \"\\;:&=+~$é币", min_size=1, max_size=12)


def similar(name: str) -> set[str]:
    """Names that a URL, a pattern or a shell could make of a name."""
    made = {unquote(name), *re.split(r"[?#]", name), re.sub(r"[?*]", "x", name)}
    made |= {re.sub(r"\[(.)[^]]*\]", r"\1", name), name.replace("+", " "), name.strip()}
    return {each for each in made if each not in {"", name, ".", ".."} and "/" not in each}


@settings(max_examples=examples(20), deadline=None)
@given(name=NAMES)
@example(name="a?mode=memory")
@example(name="a#b")
@example(name="a%20b")
@example(name="a[1]*")
@example(name="[\\")
@example(name="?\\")
def test_a_path_is_not_taken_for_a_url_or_a_pattern(
    name: str, archives: Path, plain: Path, other: Path
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        for each in similar(name):
            shutil.copytree(other, home / each)
        before = contents(home)
        shutil.copytree(archives, home / name)
        assert ingested(home / name) == 48
        assert ingested(home / name) == 0
        assert rows_of(home / name) == rows_of(plain)
        maintained(home / name)
        assert rows_of(home / name) == rows_of(plain)
        shutil.rmtree(home / name)
        assert contents(home) == before


@pytest.mark.parametrize("name", ["a:b", "file:x", "s3:x", "a?b#c", "%41"])
def test_a_relative_path_is_a_path_too(
    name: str, archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(archives, name)
    assert ingested(Path(name)) == 48
    assert len(rows_of(Path(name))) == 48
    assert ingested(Path(name), format="parquet", lake=f"{name}/files") == 48
    found = sorted(tmp_path.joinpath(name, "files").rglob("*.parquet"))
    assert [pl.read_parquet(path, glob=False).height for path in found] == [24, 24]
    assert ingested(Path(name), format="parquet", lake=f"{name}/files") == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_control_character_is_refused_at_once_and_read(
    archives: Path, plain: Path, tmp_path: Path
) -> None:
    shutil.copytree(archives, tmp_path / "a\nb")
    with pytest.raises(ConfigurationError, match="must not contain control characters"):
        ingested(tmp_path / "a\nb")
    assert [path.name for path in (tmp_path / "a\nb").iterdir()] == ["data"]
    shutil.copytree(plain, tmp_path / "c\nd")
    assert rows_of(tmp_path / "c\nd") == rows_of(plain)


BYTES = os.fsdecode(b"not-\xff-text")


@pytest.mark.parametrize("form", ["iceberg", "parquet"])
def test_tables_are_not_made_where_their_metadata_cannot_name_them(
    form: str, archives: Path, tmp_path: Path
) -> None:
    root = tmp_path / BYTES
    shutil.copytree(archives, root)
    before = contents(tmp_path)
    with pytest.raises(LakeError, match=r"not-\\xff-text.*is not valid UTF-8.*--lake"):
        ingested(root, format=form)
    assert contents(tmp_path) == before
    assert [path.name for path in root.iterdir()] == ["data"]
    assert ingested(root, format=form, lake=str(tmp_path / "lake")) == 48
    shutil.copytree(tmp_path / "lake", root / "lake")
    with pytest.raises(LakeError, match="is not valid UTF-8"):
        Lake.open(root / "lake")


def test_a_copy_reads_and_writes_its_own_files(plain: Path, tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    shutil.copytree(plain, original)
    shutil.copytree(original, copy)
    put(original, bars(FIRST), changed_text(bars(FIRST)))
    assert ingested(original) == 24
    before = contents(original)
    assert rows_of(copy) == rows_of(plain) != rows_of(original)
    put(copy, bars(SECOND), changed_text(bars(SECOND)))
    put(copy, bars(FIRST, "ETHUSDT"))
    assert ingested(copy) == 48
    maintained(copy)
    volumes = {(row[0], row[1].date()): row[2] for row in rows_of(copy)}
    assert volumes[("BTCUSDT", SECOND)] == 7.0 != volumes[("BTCUSDT", FIRST)]
    assert len(rows_of(copy)) == 72
    assert contents(original) == before
    shutil.rmtree(original)
    assert len(rows_of(copy)) == 72


def test_a_lake_may_be_renamed_and_mounted_elsewhere(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "first")
    (tmp_path / "first").rename(tmp_path / "second")
    assert rows_of(tmp_path / "second") == rows_of(plain)
    (tmp_path / "mounted").symlink_to(tmp_path / "second")
    assert rows_of(tmp_path / "mounted") == rows_of(plain)
    # A folder of the old name, with a lake of its own, has nothing to do with it.
    put(tmp_path / "first", bars(FIRST, "ETHUSDT"))
    assert ingested(tmp_path / "first") == 24
    assert rows_of(tmp_path / "second") == rows_of(plain)
    # Inside the place where it was made, and the other way round.
    (tmp_path / "second").rename(tmp_path / "first" / "warehouse")
    assert rows_of(tmp_path / "first" / "warehouse") == rows_of(plain)
    maintained(tmp_path / "first" / "warehouse")
    assert rows_of(tmp_path / "first" / "warehouse") == rows_of(plain)
    assert {row[0] for row in rows_of(tmp_path / "first")} == {"ETHUSDT"}


def test_a_run_that_was_killed_is_recovered_elsewhere(plain: Path, tmp_path: Path) -> None:
    from crypto_lakehouse.tables.ingest.journal import Journal

    root = tmp_path / "copy"
    shutil.copytree(plain, root)
    lake = root / ".lakehouse" / "lake"
    with Lake.open(root) as opened:
        location = f"{opened.table('spot.klines').location()}/data/left.parquet"
    assert location.startswith(f"file://{plain}/")
    theirs = plain / ".lakehouse" / "lake" / "warehouse" / "spot" / "klines" / "data"
    for folder in (theirs, lake / "warehouse" / "spot" / "klines" / "data"):
        (folder / "left.parquet").write_bytes(b"left")
    journal = Journal(lake / "journal", "killed", "spot.klines")
    journal.announce(location)
    journal.close()
    assert ingested(root) == 0
    assert [*lake.rglob("left.parquet")] == []
    assert (theirs / "left.parquet").read_bytes() == b"left"
    (theirs / "left.parquet").unlink()


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "s3://bucket/spot/klines/data/0.parquet",
        "file:///lake/warehouse/../../etc/passwd",
    ],
)
def test_what_is_not_in_a_lake_is_not_read(location: str) -> None:
    with pytest.raises(LakeError, match="is not in the lake and is not read"):
        path_in_lake(location, "/lake")


ABOVE = [
    "symbol=ETHUSDT/interval=4h/open_time_year=1999",
    "SYMBOL=ETHUSDT",
    "x\\symbol=ETHUSDT",
    "symbol=ETHUSDT?x",
    "symbol=ETH%55SDT",
    "=",
    "archive=x",
]


@pytest.mark.parametrize("above", ABOVE)
def test_folders_above_the_lake_are_not_taken_for_columns(
    above: str, plain: Path, tmp_path: Path
) -> None:
    shutil.copytree(plain, tmp_path / above)
    assert rows_of(tmp_path / above) == rows_of(plain)
    with Lake.open(tmp_path / above) as lake:
        query = "SELECT DISTINCT symbol, interval, year(open_time) FROM spot.klines"
        assert lake.sql(query).fetchall() == [("BTCUSDT", "1h", 2023)]
        for wrong in ("symbol = 'ETHUSDT'", "interval = '4h'", "archive = 'x'"):
            assert lake.sql(f"FROM spot.klines WHERE {wrong}").to_arrow_table().num_rows == 0
        assert lake.sql("FROM spot.klines WHERE symbol = 'BTCUSDT'").to_arrow_table().num_rows == 48


@pytest.fixture
def misplaced(plain: Path, tmp_path: Path) -> Iterator[Lake]:
    """A lake whose folders name other partitions than its metadata."""
    root = tmp_path / "copy"
    shutil.copytree(plain, root)
    with Lake.open(root) as lake:
        lake.catalog.catalog.load_table("spot.klines").transaction().set_properties(
            {"write.data.path": f"{lake.table('spot.klines').location()}/data/symbol=ETHUSDT"}
        ).commit_transaction()
        compact(lake.catalog, "spot.klines", tool_version="1")
    put(root, bars(SECOND), changed_text(bars(SECOND)))
    assert ingested(root) == 24
    with Lake.open(root) as lake:
        yield lake


def test_folders_are_not_believed_when_the_metadata_says_otherwise(misplaced: Lake) -> None:
    _, files = misplaced.data_files("spot.klines")
    assert any("/symbol=ETHUSDT/" in file.file_path for file in files)
    query = "SELECT symbol, count(*) FROM spot.klines GROUP BY 1"
    assert misplaced.sql(query).fetchall() == [("BTCUSDT", 48)]
    assert misplaced.sql(f"{query} HAVING symbol = 'ETHUSDT'").fetchall() == []
