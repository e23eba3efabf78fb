"""A ledger that says other things of a good archive: `verify` names it, and a repair mends it."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from obstore.store import MemoryStore
from tests.workflows.conftest import (
    KEY,
    SIDECAR,
    Collection,
    make_zip,
    member_of,
)

from crypto_lakehouse.collection.verifier import FileState
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.ledger.history import Version
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.ledger_copy import COPY_KEY
from crypto_lakehouse.stores.objects.store import ObjectStore
from crypto_lakehouse.stores.output import output_of
from crypto_lakehouse.workflows import run_history
from crypto_lakehouse.workflows.repair import RepairReport, repair_archives
from crypto_lakehouse.workflows.stored_archives import stored_zips
from crypto_lakehouse.workflows.verification import verify_tree

LIE = "ab" * 32
NEWS = make_zip(member_of(KEY), b"other,bars\n")

LIES: dict[str, tuple[str, str]] = {
    "the digest": (f"sha256 = '{LIE}'", f"the ledger says {LIE}"),
    "the digest of the sidecar": (
        f"published_sha256 = '{LIE}'",
        f"the ledger says that it names {LIE}",
    ),
    "both digests": (f"sha256 = '{LIE}', published_sha256 = '{LIE}'", f"the ledger says {LIE}"),
    "the size": ("size_bytes = size_bytes + 1", "its size is"),
}


def alter(ledger: Path, change: str) -> None:
    """Change the rows of a ledger as no run does."""
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute(f"UPDATE archives SET {change}")  # noqa: S608 - of this test


def ledger_of(collection: Collection) -> Path:
    return collection.root / ".lakehouse" / "ledger.sqlite"


async def repair(collection: Collection, **more: Any) -> RepairReport:
    config = WorkflowConfig(collection.config, max_retries=0, environ={})
    return await repair_archives(config, [Archive.parse(KEY)], retry=collection.retry, **more)


async def versions(collection: Collection) -> list[Version]:
    return list((await run_history(collection.config, KEY)).versions)


@pytest.mark.parametrize("lie", LIES)
async def test_a_wrong_record_is_named_and_mended(collection: Collection, lie: str) -> None:
    await collection.run()
    digest = hashlib.sha256(collection.path(KEY).read_bytes()).hexdigest()
    change, said = LIES[lie]
    alter(ledger_of(collection), change)
    report = await verify_tree(collection.root)
    assert (report.exit_code, report.totals) == (4, {FileState.MISRECORDED: 1})
    assert said in report.problems[0].reason
    assert report.problems[0].sha256 == digest
    repaired = await repair(collection)
    assert (repaired.repaired, repaired.exit_code) == ((KEY,), 0)
    assert (await verify_tree(collection.root)).totals == {FileState.OK: 1}
    (version,) = await versions(collection)  # nothing was replaced
    assert (version.sha256, version.published_sha256) == (digest, digest)
    assert not (collection.root / ".lakehouse" / "replaced").exists()


async def test_a_copy_of_the_ledger_with_wrong_digests_is_mended(collection: Collection) -> None:
    client = ObjectClient(MemoryStore(), "memory://bucket")
    await collection.run(store=ObjectStore(client))
    own = ledger_of(collection)
    plain = own.with_name("altered")
    plain.write_bytes(gzip.decompress(client.read(COPY_KEY) or b""))
    alter(plain, LIES["both digests"][0])
    client.put(COPY_KEY, gzip.compress(plain.read_bytes()))
    shutil.rmtree(own.parent)
    store = ObjectStore(client)
    await collection.run(store=store)
    output = output_of(collection.config["output_directory"], store)
    assert (await verify_tree(output)).totals == {FileState.MISRECORDED: 1}
    assert (await repair(collection, store=store)).exit_code == 0
    plain.write_bytes(gzip.decompress(client.read(COPY_KEY) or b""))
    with closing(sqlite3.connect(plain)) as connection:
        found = connection.execute("SELECT sha256, published_sha256 FROM archives").fetchall()
    digest = hashlib.sha256(client.read(KEY) or b"").hexdigest()
    assert found == [(digest, digest)]


async def test_a_version_is_kept_although_its_record_is_wrong(collection: Collection) -> None:
    await collection.run()
    before = collection.path(KEY).read_bytes()
    alter(ledger_of(collection), LIES["both digests"][0])
    collection.publish(KEY, NEWS)
    await collection.run(force_redownload=True)
    (kept,) = (collection.root / ".lakehouse" / "replaced" / KEY).glob("*.zip")
    assert kept.read_bytes() == before
    assert kept.stem.endswith(hashlib.sha256(before).hexdigest())


async def test_what_was_verified_and_is_gone_is_not_kept_as_another(
    collection: Collection,
) -> None:
    await collection.run()
    alter(ledger_of(collection), LIES["both digests"][0])
    collection.path(SIDECAR).unlink()
    collection.publish(KEY, NEWS)
    await collection.run(force_redownload=True)
    assert not (collection.root / ".lakehouse" / "replaced").exists()


def of_another_moment(path: Path) -> None:
    path.touch()


def leave(_path: Path) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("change", "touch"),
    [
        (f"sha256 = '{LIE}'", of_another_moment),  # the row of the version before
        (f"published_sha256 = '{LIE}', sidecar_etag = '\"{'0' * 32}\"'", leave),
        (f"sha256 = '{LIE}', verdict = 'failed'", leave),
    ],
    ids=["another file", "another sidecar", "not verified"],
)
async def test_rows_that_a_run_may_have_written_are_no_fault(
    collection: Collection, change: str, touch: Callable[[Path], None]
) -> None:
    await collection.run()
    alter(ledger_of(collection), change)
    touch(collection.path(KEY))
    assert (await verify_tree(collection.root)).totals == {FileState.OK: 1}


async def test_a_row_that_a_run_has_mended_meanwhile_is_no_fault(collection: Collection) -> None:
    """The rows of a folder are read once; the one that is wrong is read again."""
    await collection.run(intervals=["1h"])
    alter(ledger_of(collection), LIES["the digest"][0])
    digest = hashlib.sha256(collection.path(KEY).read_bytes()).hexdigest()

    class Mending(LocalStore):
        async def sha256(self, key: str) -> str | None:
            found = await super().sha256(key)
            alter(ledger_of(collection), f"sha256 = '{digest}'")
            return found

    report = await verify_tree(collection.root, store=Mending(collection.root))
    assert report.totals == {FileState.OK: 1}


async def test_if_the_two_digests_of_a_record_differ_the_bytes_decide(
    collection: Collection,
) -> None:
    """What is ingested has the digest of its bytes."""
    await collection.run()
    alter(ledger_of(collection), LIES["the digest"][0])
    digest = hashlib.sha256(collection.path(KEY).read_bytes()).hexdigest()
    found = await to_thread.run_sync(lambda: list(stored_zips(collection.root, lambda _: True)))
    assert [(each.sha256, each.fault) for each in found] == [(digest, "")]
