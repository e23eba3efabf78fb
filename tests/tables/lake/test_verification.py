"""`lake verify`: a data file that is not as it was written is named."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from tests.tables.sample_data import bars, changed_text, days, month_of, put
from tests.workflows.lakes import ingested

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg import file_check, local_io
from crypto_lakehouse.tables.iceberg.file_check import FileCheck, check_file
from crypto_lakehouse.tables.iceberg.filters import equals
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.ingest.differences import DIFFERENCES
from crypto_lakehouse.tables.ingest.journal import Journal
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
from crypto_lakehouse.tables.lake import verification as module
from crypto_lakehouse.tables.lake.maintenance import compact, expire
from crypto_lakehouse.tables.lake.verification import VerifiedTable, verify_tables

NAME = "spot.klines"
FIRST = date(2023, 7, 1)
#: Flips in one file, each in a file of its own.
FLIPS = 60

QUERY = (
    "SELECT * FROM spot.klines WHERE symbol = 'BTCUSDT' AND open_time >= '2023-07-02 00:00:00+00' "
    "AND open_time < '2023-07-03 00:00:00+00' AND close > 0 ORDER BY open_time"
)


@pytest.fixture
async def tree(tmp_path: Path) -> Path:
    """Three days of hourly bars of two symbols: a file for each symbol."""
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for day in days(FIRST, 3):
            put(tmp_path / "tree", bars(day, symbol))
    await ingested(tmp_path / "tree")
    return tmp_path / "tree"


@pytest.fixture
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may be replaced by one of another size."""
    monkeypatch.setattr(file_check, "size_fault", lambda *_: "")


def verified(tree: Path, name: str = NAME, *, with_older: bool = False) -> VerifiedTable:
    with Lake.open(tree) as lake:
        (found,) = verify_tables(lake.catalog, [name], with_older=with_older)
    return found


def data_file(tree: Path, symbol: str = "BTCUSDT") -> Path:
    folder = tree / ".lakehouse/lake/warehouse/spot/klines/data"
    (path,) = folder.glob(f"**/symbol={symbol}/**/*.parquet")
    return path


def answer(tree: Path) -> list[tuple[object, ...]] | None:
    """Rows of one day, chosen by their times; None if the query ends with an error."""
    with Lake.open(tree) as lake, suppress(LakeError):
        return lake.sql(QUERY).fetchall()
    return None


def test_a_whole_lake_is_whole(tree: Path) -> None:
    with Lake.open(tree) as lake:
        found = [*verify_tables(lake.catalog, lake.tables, with_older=True)]
    assert [each.table for each in found] == ["lakehouse.archives", NAME]
    assert all(each.is_whole and each.is_compared for each in found)
    assert (found[1].files, found[1].rows) == (2, 144)
    assert [each.without_checksums for each in found] == [0, 0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "it is gone"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), " bytes instead of "),
        (lambda path: path.write_bytes(b""), "it has 0 bytes instead of "),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), "it cannot be read: "),
    ],
)
def test_a_file_that_is_gone_cut_or_empty_is_named(
    tree: Path, change: Callable[[Path], object], reason: str
) -> None:
    path = data_file(tree)
    change(path)
    found = verified(tree)
    (damaged,) = found.damaged
    assert damaged.path == str(path)
    assert reason in damaged.reason
    assert damaged.is_current
    assert {(each.key, each.rows, each.recorded) for each in found.archives} == {
        (bars(day).key, 0, 24) for day in days(FIRST, 3)
    }


def flips(data: bytes, count: int) -> Iterator[tuple[int, bytes]]:
    chosen = random.Random(7)  # the same places in every run
    for place in (chosen.randrange(len(data)) for _ in range(count)):
        flipped = data[place] ^ (1 << chosen.randrange(8))
        yield place, data[:place] + bytes([flipped]) + data[place + 1 :]


def test_a_flipped_bit_is_named_or_changes_no_answer(tree: Path) -> None:
    """Bits that no reader uses, such as those of the writer's name, may flip unnoticed."""
    path = data_file(tree)
    whole, right = path.read_bytes(), answer(tree)
    assert right is not None
    named = 0
    with Lake.open(tree) as lake:
        table = lake.table(NAME)
        (file,) = live_files(table, equals("symbol", "BTCUSDT"))
        for place, data in flips(whole, FLIPS):
            path.write_bytes(data)
            if check_file(table, file).fault:
                named += 1
            else:
                assert answer(tree) in (right, None), place
    assert named > FLIPS // 4


@pytest.mark.parametrize("name", [ARCHIVES, DIFFERENCES])
def test_a_flipped_bit_of_a_record_is_named_or_changes_no_row(tree: Path, name: str) -> None:
    put(tree, month_of(bars(FIRST)), "".join(map(changed_text, map(bars, days(FIRST, 31)))))
    asyncio.run(ingested(tree))
    with Lake.open(tree) as lake:
        table = lake.table(name)
        for file in live_files(table):
            path = Path(file.file_path.removeprefix("file://"))
            whole, rows = path.read_bytes(), pq.read_table(path)
            assert check_file(table, file).has_checksums
            named = 0
            for _, data in flips(whole, FLIPS):
                path.write_bytes(data)
                if check_file(table, file).fault:
                    named += 1
                else:
                    assert pq.read_table(path).equals(rows)
            assert named > FLIPS // 4
            path.write_bytes(whole)


def test_damage_of_older_snapshots_alone_is_found_with_all(tree: Path) -> None:
    for day in days(date(2023, 7, 4), 2):
        put(tree, bars(day))
        asyncio.run(ingested(tree))
    with Lake.open(tree) as lake:
        catalog = lake.catalog
        old = next(iter(live_files(catalog.catalog.load_table(NAME), equals("symbol", "BTCUSDT"))))
        compact(catalog, NAME, tool_version="test")
    Path(old.file_path.removeprefix("file://")).unlink()
    assert verified(tree).is_whole
    found = verified(tree, with_older=True)
    assert [(each.reason, each.is_current) for each in found.damaged] == [("it is gone", False)]
    assert found.archives == ()


def test_files_without_checksums_are_counted(tree: Path, any_size: None) -> None:
    """As earlier versions wrote them."""
    path = data_file(tree)
    for dictionary in (True, False):
        rows = pq.read_table(path)
        pq.write_table(rows, path, use_dictionary=dictionary, store_schema=False)
        found = verified(tree)
        assert (found.damaged, found.without_checksums) == ((), 1)


def test_what_no_reader_decodes_is_named_without_checksums(tree: Path, any_size: None) -> None:
    """Values that repeat are not decoded one by one, and yet each of them must be there."""
    path = data_file(tree)
    pq.write_table(pq.read_table(path), path, compression="none", store_schema=False)
    whole = path.read_bytes()
    chunk = pq.read_metadata(path).row_group(0).column(pq.read_schema(path).names.index("archive"))
    first = chunk.dictionary_page_offset
    assert first is not None
    unreadable = 0
    with Lake.open(tree) as lake:
        table = lake.table(NAME)
        (file,) = live_files(table, equals("symbol", "BTCUSDT"))
        assert not check_file(table, file).fault
        for place in range(first, first + chunk.total_compressed_size, 2):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :])
            try:
                pq.read_table(path, columns=["archive"])["archive"].to_pylist()
            except (OSError, ValueError, pa.ArrowException):
                unreadable += 1
                assert check_file(table, file).fault, place
    assert unreadable > 10


def test_columns_and_rows_must_be_those_of_the_table(tree: Path, any_size: None) -> None:
    path = data_file(tree)
    rows = pq.read_table(path)
    named = rows.schema.names
    for data, reason in (
        (rows.slice(1), "it has 71 rows instead of 72"),
        (rows.rename_columns(["Open_time", *named[1:]]), "`Open_time` is not one of the table"),
    ):
        pq.write_table(data, path, write_page_checksum=True, store_schema=False)
        (damaged,) = verified(tree).damaged
        assert reason in damaged.reason


def test_a_run_that_was_killed_is_not_taken_for_damage(tree: Path) -> None:
    journal = Journal(tree / ".lakehouse/lake/journal", "0" * 32, NAME)
    journal.announce("file:///nothing")
    journal.close()
    found = verified(tree)
    assert (found.is_whole, found.is_compared) == (True, False)


def test_files_that_a_run_removes_meanwhile_are_not_damaged(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tree, bars(date(2023, 7, 4)))
    asyncio.run(ingested(tree))
    real = file_check.check_file

    def beside(table: Table, file: DataFile) -> FileCheck:
        monkeypatch.setattr(module, "check_file", real)
        with Lake.open(tree) as lake:
            compact(lake.catalog, NAME, tool_version="test")
            expire(lake.catalog, NAME, before=datetime.now(UTC))
        return real(table, file)

    monkeypatch.setattr(module, "check_file", beside)
    found = verified(tree)
    assert (found.is_whole, found.files) == (True, 2)


def test_a_file_that_may_not_be_read_is_no_damage(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: str) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(local_io, "regular_size", refuse)
    with pytest.raises(LakeError, match="Permission denied"):
        verified(tree)
