"""Another program renames, replaces, adds or reorders columns: no value is read as another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.types import DoubleType, StringType
from tests.tables.sample_data import bars, changed_text, days, ingest, put

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.column_names import check_names
from crypto_lakehouse.tables.iceberg.data_files import archives_in, rows_without
from crypto_lakehouse.tables.iceberg.live_files import live_files
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.maintenance import compact, expire
from crypto_lakehouse.tables.schema.schemas import schema_of

NAME = "spot.klines"
DAYS = days(date(2023, 7, 1), 3)
PRICES = ("open", "high", "low", "close")

#: No two columns have the same value, and no two days.
_LINE = "{time},{day}1,{day}4,{day}0.5,{day}2,7,{end},8,9,3,4,0"


def text_of_day(day: date) -> str:
    first = int((day - date(1970, 1, 1)).total_seconds()) * 1000
    return _LINE.format(time=first, day=day.day, end=first + 3_599_999) + "\n"


def values(day: date) -> tuple[float, ...]:
    return tuple(float(f"{day.day}{each}") for each in ("1", "4", "0.5", "2"))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[LakeCatalog]:
    """A lake with two days in two files."""
    with closing(LakeCatalog(tmp_path / "lake", create=True)) as catalog:
        for day in DAYS[:2]:
            add(catalog, day)
        yield catalog


def add(catalog: LakeCatalog, day: date) -> None:
    ingest(catalog, [put(catalog.place.folder.parent, bars(day), text_of_day(day))])


def rename(catalog: LakeCatalog, *pairs: tuple[str, str]) -> None:
    for old, new in pairs:
        with catalog.catalog.load_table(NAME).update_schema() as update:
            update.rename_column(old, new)


def swap(catalog: LakeCatalog) -> None:
    rename(catalog, ("open", "other"), ("close", "open"), ("other", "close"))


def swap_at_once(catalog: LakeCatalog) -> None:
    with catalog.catalog.load_table(NAME).update_schema() as update:
        update.rename_column("open", "close")
        update.rename_column("close", "open")


def replace(catalog: LakeCatalog) -> None:
    with catalog.catalog.load_table(NAME).update_schema(True) as update:
        update.delete_column("open")
    with catalog.catalog.load_table(NAME).update_schema() as update:
        update.add_column("open", DoubleType())


def replace_archive(catalog: LakeCatalog) -> None:
    with catalog.catalog.load_table(NAME).update_schema(True) as update:
        update.rename_column("archive", "source")
        update.rename_column("symbol", "archive")


CHANGES: dict[str, Callable[[LakeCatalog], None]] = {
    "rename": lambda catalog: rename(catalog, ("open", "first")),
    "swap": swap,
    "swap at once": swap_at_once,
    "replace": replace,
    "keys": replace_archive,
}


def readers(catalog: LakeCatalog) -> dict[str, Callable[[Lake], Any]]:
    known = catalog.catalog.load_table(NAME).schema().column_names
    columns = [each for each in PRICES if each in known]
    query = " ".join(("SELECT", ", ".join(columns), "FROM", NAME))

    def arrow(lake: Lake) -> list[tuple[Any, ...]]:
        rows = lake.scan(NAME, columns=columns).arrow().read_all()
        return [tuple(row.values()) for row in rows.to_pylist()]

    return {
        "polars": lambda lake: lake.scan(NAME, columns=columns).polars().collect().rows(),
        "arrow": arrow,
        "duckdb": lambda lake: lake.scan(NAME, columns=columns).duckdb().fetchall(),
        "sql": lambda lake: lake.sql(query).fetchall(),
        "as of": lambda lake: lake.sql(query, as_of="2999-01-01").fetchall(),
    }


def read_all(catalog: LakeCatalog) -> dict[str, list[tuple[float, ...]]]:
    lake = Lake(catalog)
    return {name: sorted(read(lake)) for name, read in readers(catalog).items()}


def state(catalog: LakeCatalog) -> tuple[str, int]:
    table = catalog.catalog.load_table(NAME)
    return table.metadata_location, len([*catalog.place.folder.rglob("*.parquet")])


@pytest.mark.parametrize("change", CHANGES)
def test_renamed_and_replaced_columns_are_refused(catalog: LakeCatalog, change: str) -> None:
    CHANGES[change](catalog)
    before = state(catalog)
    for read in readers(catalog).values():
        with pytest.raises(LakeError, match="renamed or replaced columns"):
            read(Lake(catalog))
    with pytest.raises(LakeError, match="renamed or replaced columns"):
        compact(catalog, NAME, tool_version="test")
    for day, text in ((DAYS[2], None), (DAYS[0], changed_text(bars(DAYS[0])))):
        with pytest.raises(LakeError, match="renamed or replaced columns"):
            ingest(catalog, [put(catalog.place.folder.parent, bars(day), text)])
    assert state(catalog) == before


def test_an_open_lake_notices_a_change(catalog: LakeCatalog) -> None:
    with Lake.open(catalog.place.folder) as lake:
        assert lake.scan(NAME).polars().collect().height == 2
        swap(catalog)
        with pytest.raises(LakeError, match="is now `close`"):
            lake.scan(NAME)


def test_a_change_that_is_taken_back_costs_nothing(catalog: LakeCatalog) -> None:
    before = read_all(catalog)
    assert all(rows == [values(day) for day in DAYS[:2]] for rows in before.values())
    swap(catalog)
    swap(catalog)
    assert read_all(catalog) == before
    add(catalog, DAYS[2])
    assert compact(catalog, NAME, tool_version="test").files_after == 1
    assert all(rows == [values(day) for day in DAYS] for rows in read_all(catalog).values())


def test_rows_that_were_written_under_other_names_are_refused(tmp_path: Path) -> None:
    """Although the columns have their first names again."""
    with closing(LakeCatalog(tmp_path / "lake", create=True)) as catalog:
        catalog.table_for(schema_of(bars(DAYS[0])), exact=False)
        swap(catalog)
        add(catalog, DAYS[0])
        assert all(rows == [values(DAYS[0])] for rows in read_all(catalog).values())
        swap(catalog)
        for read in readers(catalog).values():
            with pytest.raises(LakeError, match="renamed or replaced columns"):
                read(Lake(catalog))


def test_nothing_is_added_to_a_table_with_other_columns(tmp_path: Path) -> None:
    with closing(LakeCatalog(tmp_path / "lake", create=True)) as catalog:
        catalog.table_for(schema_of(bars(DAYS[0])), exact=False)
        rename(catalog, ("open", "first"))
        with pytest.raises(LakeError, match="lacks `open` and also has `first`: another program"):
            add(catalog, DAYS[0])


def test_a_run_that_has_begun_notices_a_change(catalog: LakeCatalog) -> None:
    """It loads the table again after the commit of another writer."""
    swap(catalog)
    table = catalog.catalog.load_table(NAME)
    file = next(live_files(table))
    with pytest.raises(LakeError, match="renamed or replaced columns"):
        list(rows_without(table, file.file_path))
    with pytest.raises(LakeError, match="renamed or replaced columns"):
        archives_in(table, file)


def test_a_file_that_cannot_be_read_is_left_to_its_reader(catalog: LakeCatalog) -> None:
    swap(catalog)
    swap(catalog)
    first, second = (catalog.place.folder / "warehouse/spot/klines").rglob("*.parquet")
    first.write_bytes(b"")
    second.unlink()
    second.mkdir()
    assert catalog.find(NAME) is not None
    with pytest.raises(LakeError):
        Lake(catalog).sql("SELECT * FROM spot.klines").fetchall()


def test_columns_are_compared_if_old_schemas_were_removed(catalog: LakeCatalog) -> None:
    swap(catalog)
    table = catalog.catalog.load_table(NAME)
    kept = [table.schema()]
    table.metadata = table.metadata.model_copy(update={"schemas": kept})
    with pytest.raises(LakeError, match="renamed or replaced columns"):
        check_names(table, live_files(table))


def test_an_added_column_is_null_in_older_files(catalog: LakeCatalog) -> None:
    with catalog.catalog.load_table(NAME).update_schema() as update:
        update.add_column("note", StringType())
    assert all(rows == [values(day) for day in DAYS[:2]] for rows in read_all(catalog).values())
    lake = Lake(catalog)
    scan = lake.scan(NAME, columns=["open", "note"])
    expected = [(values(day)[0], None) for day in DAYS[:2]]
    assert sorted(scan.polars().collect().rows()) == expected
    assert sorted(scan.duckdb().fetchall()) == expected
    assert sorted(lake.sql("SELECT open, note FROM spot.klines").fetchall()) == expected
    with pytest.raises(LakeError, match="also has `note`: another program has changed"):
        add(catalog, DAYS[2])
    assert compact(catalog, NAME, tool_version="test").rows_rewritten == 2
    scan = Lake(catalog).scan(NAME, columns=["open", "note"])
    assert sorted(scan.polars().collect().rows()) == expected


def test_reordered_columns_keep_their_values(catalog: LakeCatalog) -> None:
    with catalog.catalog.load_table(NAME).update_schema() as update:
        update.move_after("open", "close")
        update.move_first("volume")
    assert all(rows == [values(day) for day in DAYS[:2]] for rows in read_all(catalog).values())
    add(catalog, DAYS[2])
    assert compact(catalog, NAME, tool_version="test").rows_rewritten == 3
    assert expire(catalog, NAME, before=datetime.now(UTC) + timedelta(days=1)) > 0
    assert all(rows == [values(day) for day in DAYS] for rows in read_all(catalog).values())
