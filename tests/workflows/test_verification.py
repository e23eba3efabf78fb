"""Verifying a tree changes nothing and finds everything."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from datetime import date
from pathlib import Path

import anyio
import pytest
from tests.workflows.conftest import KEY, SIDECAR, Collection

from crypto_lakehouse.collection.sampling import Sample
from crypto_lakehouse.collection.verifier import FileState, StoredArchive
from crypto_lakehouse.core.errors import ConfigurationError, LedgerError
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.workflows.verification import verify_tree


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a directory but SQLite's own scratch files."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path): path.read_bytes() for path in files if "sqlite-" not in path.name}


async def states(root: Path) -> dict[str, FileState]:
    found: dict[str, FileState] = {}

    async def tell(archive: StoredArchive) -> None:
        found[archive.key] = archive.state

    await verify_tree(root, tell)
    return found


async def test_a_collected_tree_is_good_and_is_not_changed(collection: Collection) -> None:
    await collection.run(intervals=["1h", "4h", "1d"])
    before = contents(collection.root)
    report = await verify_tree(collection.root)
    assert report.totals == {FileState.OK: 3}
    assert report.exit_code == 0
    assert contents(collection.root) == before


async def test_damage_is_found_by_the_sidecar(collection: Collection) -> None:
    await collection.run()
    collection.path(KEY).write_bytes(b"damaged")
    report = await verify_tree(collection.root)
    assert report.exit_code == 4
    assert report.problems[0].key == KEY
    assert "the sidecar says" in report.problems[0].reason
    mapping = report.to_mapping()
    assert mapping["status"] == "partial"
    assert mapping["totals"] == {
        "checked": 1,
        "ok": 0,
        "damaged": 1,
        "missing": 0,
        "unproven": 0,
        "unreadable": 0,
        "misrecorded": 0,
    }
    assert json.dumps(mapping)


async def test_segments_are_verified_by_their_sidecars(collection: Collection) -> None:
    await collection.run()
    keys = [
        "rest/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-01.jsonl.zst",
        "live/spot/aggTrade/spot-aggTrade-2025-07-01T00.jsonl.zst",
    ]
    for key in keys:
        path = collection.path(key)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"kept")
        sidecar = f"{hashlib.sha256(b'kept').hexdigest()}  {path.name}\n"
        path.with_name(f"{path.name}.CHECKSUM").write_text(sidecar)
    assert await states(collection.root) == dict.fromkeys([KEY, *keys], FileState.OK)
    sample = await verify_tree(collection.root, sample=Sample.parse("2", "seed"))
    assert sample.totals == {FileState.OK: 2}
    os.utime(collection.path(keys[0]), ns=(0, 0))
    recent = await verify_tree(collection.root, since=date(2026, 1, 1))
    assert recent.totals == {FileState.OK: 2}
    for key in keys:
        collection.path(key).write_bytes(b"bent")
    report = await verify_tree(collection.root)
    assert [problem.key for problem in report.problems] == keys
    assert report.exit_code == 4


async def test_damage_is_found_by_the_ledger_where_there_is_no_sidecar(
    collection: Collection,
) -> None:
    await collection.run(download_checksum=False)
    assert await states(collection.root) == {KEY: FileState.OK}
    collection.path(KEY).write_bytes(b"damaged")
    report = await verify_tree(collection.root)
    assert "the ledger says" in report.problems[0].reason


async def test_a_damaged_sidecar_is_damage(collection: Collection) -> None:
    await collection.run()
    collection.path(SIDECAR).write_bytes(b"garbage")
    assert await states(collection.root) == {KEY: FileState.DAMAGED}


async def test_what_is_gone_is_missing_even_with_its_folder(collection: Collection) -> None:
    await collection.run()
    shutil.rmtree(collection.root / "data")
    report = await verify_tree(collection.root)
    assert report.totals == {FileState.MISSING: 1}
    assert report.exit_code == 3


async def test_what_was_never_verified_is_not_missing(collection: Collection) -> None:
    collection.server.remove(KEY)
    await collection.run()
    assert await states(collection.root) == {}


async def test_without_sidecar_and_ledger_nothing_is_proven(collection: Collection) -> None:
    collection.server.remove(SIDECAR)
    await collection.run()
    assert await states(collection.root) == {KEY: FileState.UNPROVEN}
    assert (await verify_tree(collection.root)).exit_code == 0


async def test_a_file_that_cannot_be_read_is_damage(collection: Collection) -> None:
    await collection.run()
    collection.path(KEY).unlink()
    collection.path(KEY).symlink_to(collection.path(KEY))
    assert (await states(collection.root))[KEY] is FileState.UNREADABLE


async def test_only_a_hundred_problems_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "data/spot/daily/trades/BTCUSDT"
    folder.mkdir(parents=True)
    for number in range(101):
        (folder / f"{number}.zip").write_bytes(b"x")
        (folder / f"{number}.zip.CHECKSUM").write_bytes(b"0" * 64)
    report = await verify_tree(tmp_path)
    assert report.totals == {FileState.DAMAGED: 101}
    assert len(report.problems) == 100


async def test_no_directory_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a directory"):
        await verify_tree(tmp_path / "absent")


async def test_a_ledger_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    own = tmp_path / ".lakehouse"
    own.mkdir()
    (own / "ledger.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(LedgerError, match="cannot be read"):
        await verify_tree(tmp_path)
    with pytest.raises(LedgerError, match="cannot be read"):
        SqliteLedger.open_read_only(tmp_path / "absent.sqlite")


async def test_sha256sum_agrees_with_the_sidecars(collection: Collection) -> None:
    """The tree needs no tool of ours: `sha256sum -c` in a folder works."""
    await collection.run()
    folder = collection.path(KEY).parent
    command = ["sha256sum", "-c", collection.path(SIDECAR).name]
    done = await anyio.run_process(command, cwd=folder)
    assert done.stdout.endswith(b": OK\n")
