"""An archive is replaced after its digest was found, and before its rows are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from anyio import create_memory_object_stream, to_thread
from tests.tables.sample_data import bars, changed_text, month_of, put, text_of
from tests.workflows.conftest import KEY, Collection, make_zip, member_of
from tests.workflows.lakes import FIRST, ingested, tree

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.file_identity import identity_of
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.progress import StepProgress
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.stores.identified_digest import hash_identified
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.quality.findings import ValidationReport
from crypto_lakehouse.tables.reading.batch import Batch, Source
from crypto_lakehouse.tables.reading.reader import Refused, read_batches
from crypto_lakehouse.tables.schema.schemas import schema_of
from crypto_lakehouse.workflows import (
    IngestWorkflow,
    LakeConfig,
    history,
    stored_archives,
    validation,
)
from crypto_lakehouse.workflows.collect_and_ingest import _Gathered
from crypto_lakehouse.workflows.history import restore
from crypto_lakehouse.workflows.lake_report import IngestReport
from crypto_lakehouse.workflows.stored_archives import StoredZip, stored_zips
from crypto_lakehouse.workflows.validation import ValidationWorkflow


def replace(root: Path, archive: Archive, text: str | None = None) -> str:
    """Publish another version as a collection does, by renaming; its digest."""
    source = put(root / "new", archive, changed_text(archive) if text is None else text)
    for key in (archive.sidecar_key, archive.key):
        (root / "new" / key).replace(root / key)
    return source.sha256


async def ingested_while(root: Path, act: Callable[[], object], **config: Any) -> IngestReport:
    """Ingest a tree; `act` is called when all digests are known, and no row is read yet."""

    def watch(progress: StepProgress) -> None:
        if progress.step.startswith("reading") and not acted:
            acted.append(act())

    acted: list[object] = []
    chosen = LakeConfig(output_directory=str(root), **config)
    report = (await IngestWorkflow(chosen, on_progress=watch).run()).report
    assert len(acted) == 1
    assert isinstance(report, IngestReport)
    return report


def recorded(root: Path) -> dict[str, tuple[str, str]]:
    """State and digest of each archive of the lake."""
    with Lake.open(root) as lake:
        rows = lake.sql("SELECT archive, state, sha256 FROM lakehouse.archives").fetchall()
    return {key: (state, digest) for key, state, digest in rows}


def volumes(root: Path) -> list[float]:
    with Lake.open(root) as lake:
        rows = lake.sql("SELECT volume FROM spot.klines ORDER BY open_time").fetchall()
    return [volume for (volume,) in rows]


async def test_a_replaced_archive_is_left_out_and_ingested_by_the_next_run(tmp_path: Path) -> None:
    first, second = tree(tmp_path, 2)
    report = await ingested_while(tmp_path, lambda: replace(tmp_path, second))
    assert (report.exit_code, report.archives, report.arriving) == (0, 1, 1)
    assert recorded(tmp_path).keys() == {first.key}
    report = await ingested(tmp_path)
    assert (report.exit_code, report.archives, report.arriving) == (0, 1, 0)
    digest = replace(tmp_path, second)
    assert recorded(tmp_path)[second.key] == ("ingested", digest)
    assert volumes(tmp_path)[24:] == [7.0] * 24


async def test_the_version_before_stays_with_its_digest(tmp_path: Path) -> None:
    """A new version that is replaced by a newer one takes no row and no digest with it."""
    (archive,) = tree(tmp_path, 1)
    await ingested(tmp_path)
    before = recorded(tmp_path), volumes(tmp_path)
    replace(tmp_path, archive)
    lines = text_of(archive).splitlines(keepends=True)
    report = await ingested_while(tmp_path, lambda: replace(tmp_path, archive, "".join(lines[:9])))
    assert (report.exit_code, report.arriving) == (0, 1)
    assert (recorded(tmp_path), volumes(tmp_path)) == before
    await ingested(tmp_path)
    assert len(volumes(tmp_path)) == 9


async def test_a_month_waits_for_a_day_that_is_replaced(tmp_path: Path) -> None:
    (day,) = tree(tmp_path, 1)
    month = month_of(day)
    put(tmp_path, month)
    await ingested(tmp_path)
    before = recorded(tmp_path), volumes(tmp_path)
    replace(tmp_path, month)
    report = await ingested_while(tmp_path, lambda: replace(tmp_path, day))
    assert (report.exit_code, report.arriving, report.problem_count) == (0, 1, 0)
    assert (recorded(tmp_path), volumes(tmp_path)) == before
    report = await ingested(tmp_path)
    assert (report.exit_code, report.arriving) == (0, 0)
    assert set(volumes(tmp_path)) == {7.0}


async def test_a_month_that_is_replaced_is_left_out_of_a_merge(tmp_path: Path) -> None:
    (day,) = tree(tmp_path, 1)
    month = month_of(day)
    put(tmp_path, month)
    report = await ingested_while(tmp_path, lambda: replace(tmp_path, month))
    assert (report.exit_code, report.arriving, report.archives) == (0, 1, 1)
    assert recorded(tmp_path).keys() == {day.key}
    report = await ingested(tmp_path)
    assert (report.arriving, len(volumes(tmp_path))) == (0, 31 * 24)


async def test_plain_files_have_no_rows_of_another_version(tmp_path: Path) -> None:
    root, lake = tmp_path / "tree", tmp_path / "files"
    first, second = tree(root, 2)
    options = {"format": "parquet", "lake": str(lake)}
    report = await ingested_while(root, lambda: replace(root, second), **options)
    assert (report.exit_code, report.archives, report.arriving) == (0, 1, 1)
    names = [path.stem for path in lake.rglob("*.parquet")]
    assert names == [first.name.removesuffix(".zip")]
    report = await ingested(root, **options)
    assert (report.archives, report.arriving) == (1, 0)


async def test_validation_leaves_a_replaced_archive_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tree(tmp_path, 2)

    def then_replaced(root: Path, *arguments: Any) -> Iterator[StoredZip]:
        yield from [*stored_zips(root, *arguments)]
        replace(tmp_path, second, "not,bars\n")

    monkeypatch.setattr(validation, "stored_zips", then_replaced)
    report = (await ValidationWorkflow(LakeConfig(output_directory=str(tmp_path))).run()).report
    assert isinstance(report, ValidationReport)
    assert [each.key for each in report.archives] == [first.key]
    assert report.arriving == 1


# Files that are changed in place ------------------------------------------------------------------


class Touched:
    """Acts once, while a file is being hashed."""

    def __init__(self, act: Callable[[], object], times: int = 1) -> None:
        self.act, self.left = act, times

    def check_cancelled(self) -> None:
        if self.left:
            self.left -= 1
            self.act()


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def test_a_file_that_changes_while_it_is_hashed_has_no_identity(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"bytes")
    hashed = hash_identified(str(path), Touched(lambda: grow(path)).check_cancelled)
    assert hashed is not None
    assert hashed[1] is None
    hashed = hash_identified(str(path), lambda: None)
    assert hashed is not None
    assert hashed[1] is not None
    assert hashed[1].stat == (9, path.stat().st_mtime_ns)
    assert hash_identified(str(tmp_path / "none"), lambda: None) is None


def touch(path: Path) -> None:
    later = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(later, later))


@pytest.mark.parametrize(("times", "fault"), [(1, ""), (2, "it changed while it was read")])
async def test_a_file_that_changes_is_judged_once_more(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, times: int, fault: str
) -> None:
    await collection.run()
    path = collection.path(KEY)
    touch(path)
    monkeypatch.setattr(stored_archives, "from_thread", Touched(lambda: touch(path), times))
    zips = await to_thread.run_sync(lambda: [*stored_zips(collection.root, lambda _: True)])
    assert [(stored.fault, stored.is_arriving) for stored in zips] == [(fault, False)]


@pytest.mark.parametrize(
    "act", [grow, lambda path: os.truncate(path, 100)], ids=["grown", "truncated"]
)
def test_a_file_that_changes_while_it_is_read_is_not_ingested(
    tmp_path: Path, act: Callable[[Path], None]
) -> None:
    """Rows that were read before are of no version: the archive is not refused, but left out."""
    archive = bars(FIRST)
    lines = text_of(archive).splitlines()
    path = Path(put(tmp_path, archive, "\n".join(lines[:1] * 50_000)).place)
    source = Source(archive, LocalFiles(tmp_path), "a" * 64, identity_of(str(path)))
    batches = read_batches([source], schema_of(archive), batch_bytes=1 << 20)
    assert isinstance(next(batches), Batch)
    act(path)
    refused = [each for each in batches if isinstance(each, Refused)]
    assert [each.state for each in refused] == ["arriving"]


# The history -------------------------------------------------------------------------------------


async def test_a_version_that_is_replaced_while_it_is_restored_is_found(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes have moved to the replaced ones, of which the ledger knows nothing yet."""
    collection.config["listing_url"] = collection.server.url
    await collection.run()
    wanted = collection.path(KEY).read_bytes()
    found = history.version_at(collection.root, KEY, datetime(2999, 1, 1, tzinfo=UTC))
    collection.publish(KEY, make_zip(member_of(KEY), b"1,2,3\n"))
    assert (await collection.run()).totals["verified"] == 1
    assert collection.path(KEY).read_bytes() != wanted
    with monkeypatch.context() as patch:
        patch.setattr(history, "history_of", lambda *_: [found])
        patch.setattr(history, "version_at", lambda *_: found)
        restore(collection.root, KEY, datetime.now(UTC), tmp_path / "old.zip")
        assert (tmp_path / "old.zip").read_bytes() == wanted
        for kept in (collection.root / ".lakehouse" / "replaced").rglob("*Z-*.zip"):
            kept.unlink()
        with pytest.raises(StoreError, match="the ledger says"):
            restore(collection.root, KEY, datetime.now(UTC), tmp_path / "older.zip")


# collect --ingest ---------------------------------------------------------------------------------


@pytest.mark.parametrize("is_same", [True, False])
async def test_a_collected_archive_that_is_another_now_is_left_to_the_last_ingestion(
    tmp_path: Path, is_same: bool
) -> None:
    source = put(tmp_path, bars(FIRST))
    identity = identity_of(source.place)
    assert identity is not None
    facts = ObjectFacts(sha256=source.sha256).of_file(identity.stat)
    if not is_same:
        grow(Path(source.place))
    send, receive = create_memory_object_stream[list[StoredZip]](1)
    gathered = _Gathered(output_of(tmp_path), 1, lambda _: True, batches=send)
    await gathered.handle(
        [ArchiveFinished(archive=source.archive, verdict=Verdict.VERIFIED, facts=facts)]
    )
    await gathered.close()
    found = [stored async for batch in receive for stored in batch]
    assert [stored.identity for stored in found] == ([identity] if is_same else [])
    assert gathered.seen == {source.archive.key}
    receive.close()
