"""Commands that read a tree while a collection writes to it: nothing is called damaged."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from attrs import define
from tests.workflows.conftest import KEY, Collection, make_zip, member_of, sidecar_of

from crypto_lakehouse.charts.validation_html import headline
from crypto_lakehouse.collection.verifier import FileState, StoredArchive
from crypto_lakehouse.ledger.runs import recorded_runs
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.testing import ArchiveServer, faults
from crypto_lakehouse.workflows import run_status
from crypto_lakehouse.workflows.arriving import ARRIVING
from crypto_lakehouse.workflows.ingestion import IngestWorkflow
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.lake_report import IngestReport
from crypto_lakehouse.workflows.stored_archives import StoredZip, stored_zips
from crypto_lakehouse.workflows.validation import ValidationWorkflow
from crypto_lakehouse.workflows.verification import verify_tree

#: A process that collects until the source stalls; then the test looks at what it has stored.
COLLECT = "from crypto_lakehouse.cli.main import main; main()"

#: The request at which the source stalls, and what has arrived before it.
LAST = KEY.replace("07-15", "07-17")
ARRIVED = [KEY, KEY.replace("07-15", "07-16")]


@define
class Running:
    """A collection in another process, which waits for the source.

    Attributes:
        root: Its output directory.
    """

    root: Path
    process: subprocess.Popen[bytes]
    stall: faults.Stall

    def end(self) -> int:
        """Let it go on, and wait for its end."""
        self.stall.release.open()
        return self.process.wait(60)


def begin(server: ArchiveServer, root: Path, *options: str) -> Running:
    """Begin a collection of three days; return once the first two are stored."""
    stall = faults.Stall(at=0)
    server.inject(LAST, stall)
    arguments = [
        "collect", "-o", str(root), "--source-url", server.url, "--discovery", "calendar",
        "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h", "--start", "2025-07-15",
        "--end", "2025-07-17", "-j", "4", "--quiet", *options,
    ]  # fmt: skip
    environment = {name: text for name, text in os.environ.items() if "CRYPTO" not in name}
    process = subprocess.Popen(
        [sys.executable, "-c", COLLECT, *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    assert stall.reached.wait(60)
    while not all((root / key).exists() for key in ARRIVED) or not has_begun(root):
        assert process.poll() is None
    return Running(root, process, stall)


def has_begun(root: Path) -> bool:
    """Whether the ledger says that the run goes on."""
    runs = recorded_runs(root / ".lakehouse" / "ledger.sqlite")
    return bool(runs) and runs[-1].status is None


@pytest.fixture
def running(archive_server: ArchiveServer, tmp_path: Path) -> Iterator[Running]:
    """A collection that has stored two archives without sidecars; their rows may not be written."""
    found = begin(archive_server, tmp_path / "out", "--no-download-checksum")
    try:
        yield found
    finally:
        found.stall.release.open()
        found.process.kill()
        found.process.wait(60)


async def found_in(root: Path) -> dict[str, StoredZip]:
    each = await to_thread.run_sync(lambda: [*stored_zips(root, lambda _: True)])
    return {stored.archive.key: stored for stored in each}


async def validate(root: Path) -> Any:
    return (await ValidationWorkflow(lake(root)).run()).report


async def ingest(root: Path) -> IngestReport:
    report: IngestReport = (await IngestWorkflow(lake(root)).run()).report
    return report


def lake(root: Path) -> LakeConfig:
    return LakeConfig({"output_directory": str(root)}, environ={})


async def test_nothing_is_called_damaged_beside_a_running_collection(running: Running) -> None:
    report = await validate(running.root)
    assert report.verdicts.get("unreadable", 0) == 0
    assert len(report.archives) + report.arriving == 2
    verified = await verify_tree(running.root)
    assert verified.exit_code == 0
    assert (await run_status({"output_directory": str(running.root)})).totals.expected_days == 3
    ingested = await ingest(running.root)
    assert (ingested.exit_code, ingested.archives + ingested.arriving) == (0, 2)
    assert ingested.to_mapping()["arriving"] == ingested.arriving
    assert report.as_dict()["arriving"] == report.arriving
    assert await to_thread.run_sync(running.end) == 0
    report = await validate(running.root)
    assert (len(report.archives), report.arriving, set(report.verdicts)) == (3, 0, {"good"})
    ingested = await ingest(running.root)
    assert (ingested.exit_code, ingested.arriving) == (0, 0)
    assert (await verify_tree(running.root)).totals == {FileState.OK: 3}
    assert (await run_status({"output_directory": str(running.root)})).totals.ratio == 1.0


# The same moments, one by one --------------------------------------------------------------------


def change(root: Path, *statements: str) -> None:
    """Write to the ledger as a collection has, or has not yet."""
    with closing(sqlite3.connect(root / ".lakehouse" / "ledger.sqlite")) as ledger, ledger:
        for statement in statements:
            ledger.execute(statement)


#: The latest run goes on; then it has ended.
GOES_ON = """
UPDATE runs SET finished_at = NULL, status = NULL WHERE rowid = (SELECT max(rowid) FROM runs)
"""
ENDED = "UPDATE runs SET finished_at = '2025-07-16T00:00:00+00:00', status = 'complete'"

#: The row is that of the version before, as the new one is not written yet.
OLD_ROW = """
UPDATE archives SET (sha256, published_sha256, size_bytes, etag, mtime_ns) =
    (SELECT sha256, published_sha256, size_bytes, etag, 1 FROM versions)
"""


async def states(root: Path) -> list[tuple[str, bool, str]]:
    """Whether each archive is good or arrives, for validate and for verify."""
    checked: list[FileState] = []

    async def take(stored: StoredArchive) -> None:
        checked.append(stored.state)

    await verify_tree(root, take)
    found = await found_in(root)
    return [
        (stored.fault, stored.is_arriving, str(state))
        for stored, state in zip(found.values(), checked, strict=True)
    ]


async def test_a_file_that_is_not_settled_yet_is_left_out(collection: Collection) -> None:
    await collection.run(download_checksum=False)
    assert await states(collection.root) == [("", False, "ok")]
    change(collection.root, "DELETE FROM archives", GOES_ON)
    assert await states(collection.root) == [(ARRIVING, True, "unproven")]
    report = await validate(collection.root)
    assert (report.archives, report.arriving) == ((), 1)
    assert "1 archive that a collection has not settled yet" in headline(report)
    assert (await ingest(collection.root)).arriving == 1
    change(collection.root, ENDED)
    ((fault, is_arriving, state),) = await states(collection.root)
    assert (is_arriving, state) == (False, "unproven")
    assert "nothing proves it" in fault


@pytest.fixture
async def replaced(collection: Collection) -> Collection:
    """A tree of which the publisher replaced the archive; the ledger has the version before."""
    collection.config["listing_url"] = collection.server.url
    await collection.run()
    collection.publish(KEY, make_zip(member_of(KEY), b"1,2,3\n"))
    report = await collection.run()
    assert report.totals["verified"] == 1
    change(collection.root, OLD_ROW, GOES_ON)
    return collection


async def test_a_version_whose_sidecar_is_there_is_good(replaced: Collection) -> None:
    assert await states(replaced.root) == [("", False, "ok")]


@pytest.mark.parametrize("sidecar", ["old", "none"])
async def test_a_version_whose_proof_is_not_there_yet_is_not_damaged(
    replaced: Collection, sidecar: str
) -> None:
    """A zip gets its name before its sidecar does, and before its row is written."""
    path = replaced.path(f"{KEY}.CHECKSUM")
    if sidecar == "old":
        (kept,) = (replaced.root / ".lakehouse" / "replaced" / KEY).glob("*.zip")
        path.write_bytes(sidecar_of(kept.read_bytes(), path.name.removesuffix(".CHECKSUM")))
    else:
        path.unlink()
    assert await states(replaced.root) == [(ARRIVING, True, "unproven")]
    change(replaced.root, ENDED)
    ((fault, is_arriving, state),) = await states(replaced.root)
    assert (fault != "", is_arriving, state) == (True, False, "damaged")


async def test_a_damaged_file_is_damaged_beside_a_collection_too(collection: Collection) -> None:
    await collection.run()
    change(collection.root, GOES_ON)
    collection.path(KEY).write_bytes(b"damaged")
    ((fault, is_arriving, state),) = await states(collection.root)
    assert (fault, is_arriving, state) == (
        "its bytes are not those that were published", False, "damaged"
    )  # fmt: skip


async def test_a_row_that_is_written_meanwhile_is_read(collection: Collection) -> None:
    """The rows of a folder are read once, and the run may settle its archives after that."""
    days = {"default_date": None, "date_range": {"start": "2025-07-15", "end": "2025-07-16"}}
    await collection.run(download_checksum=False, partitions=["daily"], **days)
    change(collection.root, "CREATE TABLE kept AS SELECT * FROM archives", "DELETE FROM archives")
    change(collection.root, "INSERT INTO archives SELECT * FROM kept WHERE name LIKE '%15.zip'")

    def look() -> list[str]:
        zips = stored_zips(collection.root, lambda _: True)
        first = next(zips)
        change(collection.root, "INSERT OR IGNORE INTO archives SELECT * FROM kept")
        return [first.fault, *(stored.fault for stored in zips)]

    assert await to_thread.run_sync(look) == ["", ""]


async def test_a_file_that_is_gone_meanwhile_is_said_to_be(collection: Collection) -> None:
    days = {"default_date": None, "date_range": {"start": "2025-07-15", "end": "2025-07-16"}}
    await collection.run(partitions=["daily"], **days)

    def look() -> list[str]:
        zips = stored_zips(collection.root, lambda _: True)
        next(zips)
        change(collection.root, "UPDATE archives SET mtime_ns = 1")
        collection.path(ARRIVED[1]).unlink()
        return [stored.fault for stored in zips]

    change(collection.root, "UPDATE archives SET mtime_ns = 1")
    assert await to_thread.run_sync(look) == ["it is gone"]


async def test_a_ledger_without_runs_has_no_open_one(tmp_path: Path) -> None:
    ledger, _ = SqliteLedger.open(tmp_path / "ledger.sqlite")
    with closing(ledger):
        assert not ledger.has_open_run()
        assert ledger.row_now("data/", "a.zip") is None
