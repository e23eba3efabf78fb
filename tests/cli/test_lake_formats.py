"""A lake's directory has tables, or plain Parquet files, and never both."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Shell, collect
from tests.tables.sample_data import bars, put
from tests.workflows.lakes import FIRST, ingested

from crypto_lakehouse.core.errors import ConfigurationError, NoLakeError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.lake_formats import format_fault, missing_lake, mixture_note
from crypto_lakehouse.testing import ArchiveServer

FORMATS = ["iceberg", "parquet"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    put(tmp_path / "tree", bars(FIRST))
    return tmp_path / "tree"


@pytest.fixture
async def mixed(tree: Path) -> Path:
    """A directory with both, as earlier versions made it."""
    lake = tree.parent / "lake"
    await ingested(tree, lake=str(lake))
    await ingested(tree, lake=str(tree.parent / "files"), format="parquet")
    for path in (tree.parent / "files").iterdir():
        if path.name != "lock":
            path.rename(lake / path.name)
    return lake


@pytest.mark.parametrize("first", FORMATS)
async def test_the_other_format_is_refused_and_nothing_is_written(tree: Path, first: str) -> None:
    (other,) = {*FORMATS} - {first}
    lake = tree.parent / "lake"
    await ingested(tree, lake=str(lake), format=first)
    before = files(lake)
    with pytest.raises(ConfigurationError) as refused:
        await ingested(tree, lake=str(lake), format=other)
    assert f"use `--format {first}`, or another directory" in str(refused.value)
    assert str(lake) in str(refused.value)
    after = files(lake)
    assert {**before, str(lake / "lock"): b""} == {**after, str(lake / "lock"): b""}
    again = await ingested(tree, lake=str(lake), format=first)
    assert (again.exit_code, again.tables[0].unchanged) == (0, 1)


@pytest.mark.parametrize("kept", FORMATS)
async def test_a_directory_with_both_names_what_to_move(mixed: Path, tree: Path, kept: str) -> None:
    for wanted in FORMATS:
        with pytest.raises(ConfigurationError) as refused:
            await ingested(tree, lake=str(mixed), format=wanted)
        said = str(refused.value)
        assert "to go on with the tables, move `spot` elsewhere" in said
        assert "go on with the files, move `catalog.db`, `warehouse`, `journal` elsewhere" in said
    away = tree.parent / "away"
    away.mkdir()
    for name in ["spot"] if kept == "iceberg" else ["catalog.db", "warehouse", "journal"]:
        (mixed / name).rename(away / name)
    again = await ingested(tree, lake=str(mixed), format=kept)
    assert (again.exit_code, again.tables[0].unchanged) == (0, 1)


async def test_the_tables_of_a_directory_with_both_are_read_and_the_files_are_told(
    mixed: Path,
) -> None:
    with Lake.open(mixed) as lake:
        (note,) = lake.notes
        assert lake.scan("spot.klines").polars().collect().height == 24
    assert "plain Parquet files (in `spot/klines`)" in note
    assert "only the tables are read" in note


def test_of_plain_files_a_lake_is_not_opened(tmp_path: Path) -> None:
    place = tmp_path / "futures_um/metrics/symbol=BTCUSDT"
    place.mkdir(parents=True)
    assert missing_lake(tmp_path) == "has no lake; `crypto-lakehouse ingest` creates one"
    assert format_fault(tmp_path, "iceberg") == mixture_note(tmp_path) == ""
    (place / "x.parquet").touch()
    with pytest.raises(NoLakeError, match="has plain Parquet files"):
        Lake.open(tmp_path)
    assert format_fault(tmp_path, "parquet") == ""
    assert "futures_um/metrics" in format_fault(tmp_path, "iceberg")


def test_the_commands_say_it(shell: Shell, mixed: Path) -> None:
    for command in (["query", "SELECT count(*) AS n FROM spot.klines"], ["lake", "tables"]):
        code, out, err = shell(*command, "-o", "tree", "--lake", "lake")
        assert (code, "24" in out) == (0, True)
        assert err.startswith(f"note: `{mixed}` has both tables (`catalog.db`) and plain Parquet")


def test_collect_refuses_it_before_it_collects(
    shell: Shell, tmp_path: Path, tree: Path, archive_server: ArchiveServer
) -> None:
    lake = tmp_path / "out/.lakehouse/lake"
    code, _, _ = shell("ingest", "-o", str(tree), "--lake", str(lake), "--format", "parquet")
    assert code == 0
    code, out, err = shell(*collect(archive_server), "--ingest")
    assert (code, out) == (2, "")
    assert f"`{lake}` has plain Parquet files (in `spot/klines`)" in err
    assert not (tmp_path / "out/data").exists()
    assert archive_server.requests == []
