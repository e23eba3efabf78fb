"""Ingesting a tree: what is proven, once, in order, with one report."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve
from tests.tables.sample_data import bars, put, put_zip
from tests.workflows.conftest import KEY, Collection
from tests.workflows.lakes import FIRST, ROWS, ingested, row_count, tree

from crypto_lakehouse.core.errors import (
    ConfigurationError,
    ExtraMissing,
    LakeError,
    LedgerError,
    LockHeldError,
    SelectionError,
)
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig, ValidationWorkflow
from crypto_lakehouse.workflows.stored_archives import stored_zips
from crypto_lakehouse.workflows.wiring import needed_packages as module


async def test_a_tree_becomes_a_table_once(tmp_path: Path) -> None:
    tree(tmp_path)
    report = await ingested(tmp_path)
    assert (report.status, report.exit_code) == ("complete", 0)
    assert (report.archives, report.rows) == (3, 72)
    assert row_count(tmp_path) == 72
    again = await ingested(tmp_path)
    assert (again.status, again.archives, again.rows) == ("complete", 0, 0)
    assert again.to_mapping()["totals"]["unchanged"] == 3
    tree(tmp_path, 5)
    more = await ingested(tmp_path)
    assert more.to_mapping()["totals"] == {
        "archives": 2, "rows": 48, "replaced": 0, "unchanged": 3, "covered": 0, "refused": 0,
        **ROWS,
    }  # fmt: skip
    with Lake.open(tmp_path) as lake:
        assert [each.rows for each in lake.snapshots("spot.klines")] == [72, 120]


async def test_the_report_is_plain(tmp_path: Path) -> None:
    tree(tmp_path)
    put(tmp_path, bars(FIRST, "BADUSDT"), "no,numbers\n")
    report = await ingested(tmp_path)
    plain = json.loads(json.dumps(report.to_mapping()))
    assert plain["status"] == "partial"
    assert plain["verdicts"] == {"good": 3}
    assert plain["tables"][0]["table"] == "spot.klines"
    [problem] = plain["problems"]
    assert problem["key"].endswith("BADUSDT-1h-2023-07-01.zip")
    assert problem["state"] == "refused"
    assert "line 1" in problem["reason"]
    assert report.exit_code == 4


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        ({"symbols": ("ETH*",)}, 1),
        ({"symbols": ("BTCUSDT", "ETH*")}, 4),
        ({"symbols": ()}, 0),
        ({"symbols": ("NONE",), "markets": ()}, 0),
        ({"data_types": ("klines", "trades")}, 4),
        ({"data_types": ("klines",), "markets": ("spot",)}, 4),
        ({"intervals": ("1h",)}, 4),
        ({"intervals": ("1m", "1h")}, 4),
    ],
)
async def test_only_what_is_wanted_is_ingested(
    tmp_path: Path, chosen: dict[str, Any], count: int
) -> None:
    tree(tmp_path)
    tree(tmp_path, 1, "ETHUSDT")
    assert (await ingested(tmp_path, **chosen)).archives == count


@pytest.mark.parametrize("workflow", [IngestWorkflow, ValidationWorkflow])
@pytest.mark.parametrize(
    ("chosen", "faults"),
    [
        ({"symbols": ("BTCUSTD",)}, ["symbols: `{}` has no series of `BTCUSTD`; it has BTCUSDT, "]),
        ({"symbols": ("BTC*", "X*", "Y")}, ["symbols: `{}` has no series of `X*`", "symbols: `{}"]),
        (
            {"markets": ("futures_um",)},
            ["markets: `{}` has no series of `futures_um`; it has spot"],
        ),
        (
            {"data_types": ("trades",), "markets": ("options", "spot")},
            ["data_types: `{}` has no series of `trades`; it has klines"],
        ),
        ({"intervals": ("1m",)}, ["intervals: `{}` has no series of `1m`; it has 1h"]),
    ],
)
async def test_what_the_tree_does_not_have_is_refused_before_anything_is_written(
    tmp_path: Path, workflow: Any, chosen: dict[str, Any], faults: list[str]
) -> None:
    tree(tmp_path)
    tree(tmp_path, 1, "ETHUSDT")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SelectionError) as refused:
        await workflow(LakeConfig(output_directory=str(tmp_path), environ={}, **chosen)).run()
    found = [str(problem).removeprefix("$.") for problem in refused.value.problems]
    assert len(found) == len(faults)
    for text, words in zip(found, faults, strict=True):
        assert text.startswith(words.format(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


async def test_an_empty_tree_fits_every_selection(tmp_path: Path) -> None:
    (tmp_path / "data" / "spot").mkdir(parents=True)
    assert (await ingested(tmp_path, symbols=("BTCUSDT",))).archives == 0


async def test_what_nothing_proves_stays_out(tmp_path: Path) -> None:
    good, bare, changed = tree(tmp_path)
    (tmp_path / bare.sidecar_key).unlink()
    put_zip(tmp_path, good, b"")
    path = tmp_path / changed.key
    path.write_bytes(path.read_bytes() + b"!")
    report = await ingested(tmp_path, symbols=("BTCUSDT",))
    reasons = {each["key"]: each["reason"] for each in report.problems}
    assert reasons == {
        bare.key: "nothing proves it: no sidecar, and no ledger",
        changed.key: "its bytes are not those that were published",
        good.key: reasons[good.key],
    }
    assert report.exit_code == 4
    assert {each["state"] for each in report.problems} == {"unproven", "refused"}


async def test_sidecars_that_are_none_prove_nothing(tmp_path: Path) -> None:
    for number, archive in enumerate(tree(tmp_path)):
        text = [b"", b"x" * 5000, b"\xff\xfe"][number]
        (tmp_path / archive.sidecar_key).write_bytes(text)
    report = await ingested(tmp_path)
    assert [each["state"] for each in report.problems] == ["unproven"] * 3
    assert row_or_none(tmp_path) is None


def row_or_none(root: Path) -> int | None:
    with Lake.open(root) as lake:
        return None if "spot.klines" not in lake.tables else row_count(root)


async def test_the_ledger_proves_what_was_collected(collection: Collection) -> None:
    await collection.run()
    collection.path(KEY + ".CHECKSUM").unlink()
    report = await ingested(collection.root)
    assert (report.archives, report.problem_count) == (1, 0)
    path = collection.path(KEY)
    path.write_bytes(path.read_bytes() + b"!")
    report = await ingested(collection.root)
    assert [each["reason"] for each in report.problems] == [
        "its bytes are not those that were published"
    ]
    assert row_count(collection.root) == 24, "what was ingested stays"


async def test_a_file_that_was_touched_is_hashed_and_found_good(collection: Collection) -> None:
    await collection.run()
    path = collection.path(KEY)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert (await ingested(collection.root)).archives == 1


async def test_a_cut_ledger_is_told(collection: Collection) -> None:
    await collection.run()
    ledger = collection.root / ".lakehouse" / "ledger.sqlite"
    ledger.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    with pytest.raises(LedgerError):
        await ingested(collection.root)


async def test_there_must_be_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a directory"):
        await ingested(tmp_path / "none", lake=str(tmp_path / "lake"))


async def test_one_run_at_a_time(tmp_path: Path) -> None:
    tree(tmp_path)
    lake = tmp_path / ".lakehouse" / "lake"
    lake.mkdir(parents=True)
    with output_lock(lake / "lock"), pytest.raises(LockHeldError) as held:
        await ingested(tmp_path)
    assert held.value.exit_code == 11
    assert (await ingested(tmp_path)).archives == 3


async def test_a_lake_whose_lock_cannot_be_taken_is_told(tmp_path: Path) -> None:
    tree(tmp_path)
    lake = tmp_path / ".lakehouse" / "lake"
    (lake / "lock").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="a folder is in its place; move the folder away"):
        await ingested(tmp_path)


async def test_a_lake_whose_directory_cannot_be_made_is_told(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / ".lakehouse").mkdir(exist_ok=True)
    (tmp_path / ".lakehouse" / "lake").write_text("")
    with pytest.raises(ConfigurationError, match="something else is in its place; move that away"):
        await ingested(tmp_path)


async def test_a_lake_has_floats_or_decimals(tmp_path: Path) -> None:
    tree(tmp_path)
    await ingested(tmp_path)
    with pytest.raises(LakeError, match="use another lake"):
        await ingested(tmp_path, exact=True, again=True)
    other = await ingested(tmp_path, exact=True, lake=str(tmp_path / "exact"))
    assert other.rows == 72


async def test_policies_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    tree(tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        await ingested(tmp_path, policies={"ordre": "report", "order": "burn", "hour": "drop"})
    for words in ("ordre", "did you mean `order`", "burn", "hour"):
        assert words in str(refused.value)


async def test_without_the_extra_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "polars" else name)
    with pytest.raises(ExtraMissing) as missing:
        await ingested(tmp_path)
    assert "polars" in str(missing.value)
    assert "crypto-lakehouse[tables]" in str(missing.value)
    assert missing.value.exit_code == 2
    assert not (tmp_path / ".lakehouse").exists()


def stopping(root: Path, calls: int) -> tuple[IngestWorkflow, list[str]]:
    """A workflow that is stopped once so many archives are told of."""
    told: list[str] = []

    def tell(one: Any) -> None:
        told.append(one.archive.key)
        if len(told) == calls:
            anyio.from_thread.run_sync(workflow.stop)

    workflow = IngestWorkflow(LakeConfig(output_directory=str(root), workers=1), tell=tell)
    return workflow, told


async def test_a_run_that_is_stopped_can_be_gone_on_with(tmp_path: Path) -> None:
    tree(tmp_path, 2)
    put(tmp_path, evolve(bars(FIRST), series=evolve(bars(FIRST).series, interval="4h")))
    put(tmp_path, bars(FIRST, "ETHUSDT"))
    workflow, told = stopping(tmp_path, 1)
    report = (await workflow.run()).report
    assert (report.status, report.exit_code) == ("interrupted", 130)
    assert told
    rest = await ingested(tmp_path)
    assert rest.status == "complete"
    assert row_count(tmp_path) == 24 * 3 + 6


async def test_a_run_stopped_before_it_began_does_nothing(tmp_path: Path) -> None:
    tree(tmp_path)
    workflow = IngestWorkflow(LakeConfig(output_directory=str(tmp_path)))
    workflow.stop(143)
    report = (await workflow.run()).report
    assert (report.status, report.exit_code, report.archives) == ("interrupted", 143, 0)


async def test_a_cancelled_run_gives_the_lock_back(tmp_path: Path) -> None:
    tree(tmp_path, 5)
    began = asyncio.Event()
    loop = asyncio.get_running_loop()
    config = LakeConfig(output_directory=str(tmp_path))

    def zips() -> Any:
        loop.call_soon_threadsafe(began.set)
        yield from stored_zips(tmp_path, config.selects)

    task = asyncio.create_task(IngestWorkflow(config, zips=zips).run())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await ingested(tmp_path)).status == "complete"
    assert row_count(tmp_path) == 120


def test_without_a_loop_it_is_executed(tmp_path: Path) -> None:
    tree(tmp_path)
    metrics = IngestWorkflow(LakeConfig(output_directory=str(tmp_path))).execute()
    assert metrics.results["totals"]["rows"] == 72


def test_all_faults_of_a_configuration_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        LakeConfig(
            output_directory="out",
            format="parquet",
            catalog="mine",
            compression="rar",
            markets=("spit",),
            data_types=("kline",),
            workers=0,
        )
    text = str(refused.value)
    for words in ("$.catalog", "`rar`", "`spot`", "`klines`", "must be at least 1, not 0"):
        assert words in text
    assert LakeConfig(output_directory="out").worker_count >= 1
    assert LakeConfig(output_directory="out").lake_folder == Path("out/.lakehouse/lake").absolute()
