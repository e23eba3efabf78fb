"""Archives in an object store are validated and ingested as those in a directory are."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.services.bucket import Bucket
from tests.services.fault_proxy import (
    Answer,
    Fault,
    FaultProxy,
    Forward,
    Request,
    behind_faults,
    error,
)
from tests.tables.sample_data import (
    archive_of,
    bars,
    changed_text,
    days,
    every_schema,
    month_of,
    put,
    put_zip,
    text_of,
    zipped,
)
from tests.workflows.conftest import KEY, Collection, member_of
from tests.workflows.lakes import FIRST

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import ConfigurationError, LakehouseError, StoreError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.quality.findings import ValidationReport
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig, ValidationWorkflow
from crypto_lakehouse.workflows.lake_report import IngestReport


def upload(bucket: Bucket, root: Path) -> str:
    """Put a tree into a fresh prefix; return its URL."""
    store = bucket.open()
    for path in sorted(root.rglob("*")):
        if path.is_file():
            store.client.put(path.relative_to(root).as_posix(), path.read_bytes())
    return store.url


def mixed_tree(root: Path) -> None:
    """Good, absurd, incomplete, corrupt and unproven archives, and a month with its days."""
    good, absurd, holed, broken, unproven, damaged, malformed = (
        bars(day) for day in days(FIRST, 7)
    )
    put(root, good)
    lines = text_of(absurd).splitlines(keepends=True)
    first = lines[0].split(",")
    first[2] = "0.5"
    put(root, absurd, "".join([",".join(first), *lines[1:]]))
    lines = text_of(holed).splitlines(keepends=True)
    put(root, holed, "".join([*lines[:5], *lines[6:9], *lines[11:]]))
    put(root, broken, "1,2,3\n")
    put(root, unproven)
    (root / unproven.sidecar_key).unlink()
    put(root, damaged)
    (root / damaged.key).write_bytes(b"no zip")
    put(root, malformed)
    (root / malformed.sidecar_key).write_text("not a digest")
    put_zip(root, bars(FIRST, "XRPUSDT"), b"no zip")
    eth = bars(FIRST, "ETHUSDT")
    put(root, eth)
    put(root, month_of(eth), changed_text(month_of(eth)))


def settings(bucket: Bucket, tmp_path: Path) -> dict[str, Any]:
    return {"storage": bucket.storage, "state_directory": str(tmp_path / "state")}


async def validated(output: str, **config: Any) -> ValidationReport:
    report = (await ValidationWorkflow(LakeConfig(output_directory=output, **config)).run()).report
    assert isinstance(report, ValidationReport)
    return report


async def ingested(output: str, lake: Path, **config: Any) -> IngestReport:
    chosen = LakeConfig(output_directory=output, lake=lake, **config)
    report = (await IngestWorkflow(chosen).run()).report
    assert isinstance(report, IngestReport)
    return report


def contents(folder: Path) -> dict[str, list[Any]]:
    """The rows of all tables, without what is of one run."""
    with Lake.open(folder) as lake:
        found = {name: lake.sql(f"FROM {name}").to_arrow_table() for name in lake.tables}
    return {
        name: sorted(table.drop_columns(_of_one_run(table)).to_pylist(), key=repr)
        for name, table in found.items()
    }


def _of_one_run(table: Any) -> list[str]:
    return [
        name
        for name in ("commit", "recorded_at", "table_sequence", "sequence")
        if name in table.column_names
    ]


def outcome(report: IngestReport) -> dict[str, Any]:
    plain = report.to_mapping()
    return {name: plain[name] for name in plain.keys() - {"lake", "duration_seconds"}}


@pytest.fixture(params=["ministack_bucket", "rclone_bucket"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A server that honours conditions, and one that ignores them."""
    found: Bucket = request.getfixturevalue(request.param)
    found.give_credentials(monkeypatch)
    return found


async def test_the_verdicts_are_those_of_the_same_tree_in_a_directory(
    bucket: Bucket, tmp_path: Path
) -> None:
    root = tmp_path / "tree"
    mixed_tree(root)
    for schema in every_schema():
        put(root, archive_of(schema))
    url = upload(bucket, root)
    local = await validated(str(root))
    stored = await validated(url, **settings(bucket, tmp_path))
    assert stored.as_dict() == local.as_dict()
    assert dict(local.verdicts)["unreadable"] == 5
    assert stored.archives == local.archives


async def test_the_tables_are_those_of_the_same_tree_in_a_directory(
    bucket: Bucket, tmp_path: Path
) -> None:
    root = tmp_path / "tree"
    mixed_tree(root)
    url = upload(bucket, root)
    local = await ingested(str(root), tmp_path / "local")
    stored = await ingested(url, tmp_path / "stored", **settings(bucket, tmp_path))
    assert outcome(stored) == outcome(local)
    assert contents(tmp_path / "stored") == contents(tmp_path / "local")
    again = await ingested(url, tmp_path / "stored", **settings(bucket, tmp_path))
    assert again.archives == 0


async def test_a_copy_proves_what_no_sidecar_does_once_the_ledger_is_lost(
    bucket: Bucket, tmp_path: Path, collection: Collection
) -> None:
    collection.publish(KEY, zipped(member_of(KEY), text_of(Archive.parse(KEY))))
    url, where = bucket.fresh_prefix(), settings(bucket, tmp_path)
    await collection.run(output_directory=url, **where, download_checksum=False)
    shutil.rmtree(tmp_path / "state")
    checked = await validated(url, **where)
    assert (checked.verdicts, checked.archives[0].fault) == ({"good": 1}, "")
    first = await ingested(url, tmp_path / "lake", **where)
    assert (first.archives, first.problems) == (1, ())
    for notes in (checked.notes, first.notes):
        assert any("in its place its copy" in note for note in notes)
    assert not (tmp_path / "state" / "ledger.sqlite").exists()


@pytest.fixture
def proxy(
    ministack_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FaultProxy, Bucket]]:
    ministack_bucket.give_credentials(monkeypatch)
    with behind_faults(ministack_bucket) as (faults, bucket):
        yield faults, evolve(bucket, url=ministack_bucket.fresh_prefix())


def plain_tree(root: Path, count: int = 12) -> list[Archive]:
    archives = [bars(day) for day in days(FIRST, count)]
    for archive in archives:
        put(root, archive)
    return archives


def on_gets(
    act: Callable[[Request, Answer], Answer | None], archive: Archive, number: int
) -> Fault:
    """Change the answer to one GET of a zip: the first one is for its digest."""
    seen: list[Request] = []

    def fault(request: Request, forward: Forward) -> Answer | None:
        if request.kind != "get" or not request.key.endswith(archive.key):
            return forward()
        seen.append(request)
        return act(request, forward()) if len(seen) == number else forward()

    return fault


def cut(_request: Request, answer: Answer) -> Answer:
    return evolve(answer, body=answer.body[: len(answer.body) // 2])


def busy(_request: Request, _answer: Answer) -> Answer:
    return error(503, "SlowDown")


def dropped(_request: Request, _answer: Answer) -> None:
    return None


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("act", [busy, dropped, cut])
async def test_what_passes_changes_no_verdict(
    proxy: tuple[FaultProxy, Bucket], tmp_path: Path, act: Any, number: int
) -> None:
    faults, bucket = proxy
    archives = plain_tree(tmp_path / "tree")
    url = upload(bucket, tmp_path / "tree")
    faults.fault = on_gets(act, archives[3], number)
    report = await validated(url, **settings(bucket, tmp_path))
    assert dict(report.verdicts) == {"good": 12}
    assert report.as_dict() == (await validated(str(tmp_path / "tree"))).as_dict()


def refused_from(number: int) -> Fault:
    """Refuse the credentials from the GET with this number on."""

    def fault(request: Request, forward: Forward) -> Answer | None:
        if request.kind == "get" and request.number >= number:
            return error(403, "ExpiredToken")
        return forward()

    return fault


@pytest.mark.parametrize("number", [5, 30])
async def test_credentials_that_expire_end_a_validation(
    proxy: tuple[FaultProxy, Bucket], tmp_path: Path, number: int
) -> None:
    """12 archives have 36 GETs: of zip and sidecar for the digest, and of the zip for its rows."""
    faults, bucket = proxy
    plain_tree(tmp_path / "tree")
    url = upload(bucket, tmp_path / "tree")
    faults.clear()
    faults.fault = refused_from(number)
    with pytest.raises(StoreError, match=r"ExpiredToken.*renew the credentials"):
        await validated(url, **settings(bucket, tmp_path))


@pytest.mark.parametrize("number", [5, 30])
async def test_credentials_that_expire_end_an_ingestion_and_the_next_one_completes(
    proxy: tuple[FaultProxy, Bucket], tmp_path: Path, number: int
) -> None:
    faults, bucket = proxy
    plain_tree(tmp_path / "tree")
    url = upload(bucket, tmp_path / "tree")
    faults.clear()
    faults.fault = refused_from(number)
    with pytest.raises(StoreError, match=r"ExpiredToken.*renew the credentials"):
        await ingested(url, tmp_path / "lake", **settings(bucket, tmp_path))
    faults.clear()
    report = await ingested(url, tmp_path / "lake", **settings(bucket, tmp_path))
    assert (report.exit_code, report.archives) == (0, 12)
    await ingested(str(tmp_path / "tree"), tmp_path / "local")
    assert contents(tmp_path / "lake") == contents(tmp_path / "local")


@pytest.mark.parametrize("is_large", [False, True])
async def test_a_version_that_replaces_another_while_it_is_read_waits(
    proxy: tuple[FaultProxy, Bucket], tmp_path: Path, is_large: bool
) -> None:
    faults, bucket = proxy
    archives = plain_tree(tmp_path / "tree", 3)
    if is_large:
        put_zip(tmp_path / "tree", archives[1], large_zip(archives[1]))
    url = upload(bucket, tmp_path / "tree")
    new = zipped(archives[1].member, changed_text(archives[1]))

    def replace(_request: Request, answer: Answer) -> Answer:
        bucket.open(url).client.put(archives[1].key, new)
        return answer

    # Of a large one, the digest is one GET, and the directory at its end is the next.
    faults.fault = on_gets(replace, archives[1], 3 if is_large else 1)
    config = settings(bucket, tmp_path)
    report = await validated(url, **config)
    assert (dict(report.verdicts), report.arriving) == ({"good": 2}, 1)


async def test_a_version_that_is_gone_before_it_is_read_is_held_back(
    proxy: tuple[FaultProxy, Bucket], tmp_path: Path
) -> None:
    faults, bucket = proxy
    archives = plain_tree(tmp_path / "tree", 3)
    url = upload(bucket, tmp_path / "tree")

    def remove(_request: Request, answer: Answer) -> Answer:
        bucket.open(url).client.delete(archives[1].key)
        return answer

    faults.fault = on_gets(remove, archives[1], 1)
    report = await ingested(url, tmp_path / "lake", **settings(bucket, tmp_path))
    assert (report.exit_code, report.archives) == (4, 2)
    (problem,) = report.problems
    assert (problem["key"], problem["state"]) == (archives[1].key, "held_back")
    assert problem["reason"].endswith("its zip cannot be read: there is no such object")


def large_zip(archive: Archive) -> bytes:
    """A zip of 20 MiB, whose text is not compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        text = text_of(archive)
        file.writestr(zipfile.ZipInfo(archive.member), text * ((20 << 20) // len(text)))
    return buffer.getvalue()


async def test_a_large_archive_is_read_in_ranges(bucket: Bucket, tmp_path: Path) -> None:
    (archive,) = plain_tree(tmp_path / "tree", 1)
    put_zip(tmp_path / "tree", archive, large_zip(archive))
    url = upload(bucket, tmp_path / "tree")
    stored = await validated(url, **settings(bucket, tmp_path))
    assert stored.as_dict() == (await validated(str(tmp_path / "tree"))).as_dict()


# What is not there --------------------------------------------------------------------------------


async def test_a_prefix_without_archives_is_refused(
    ministack_bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ministack_bucket.give_credentials(monkeypatch)
    for url, reason in (
        (ministack_bucket.fresh_prefix(), "has no ledger .* and no archive is below"),
        ("s3://absent/prefix", "404 NoSuchBucket .* create it"),
    ):
        with pytest.raises(LakehouseError, match=reason) as caught:
            await validated(url, **settings(ministack_bucket, tmp_path))
        assert caught.value.exit_code == 2
        with pytest.raises(LakehouseError, match=reason) as caught:
            await ingested(url, tmp_path / "lake", **settings(ministack_bucket, tmp_path))
        assert caught.value.exit_code == 2
    assert not (tmp_path / "lake").exists()


def test_tables_are_beside_the_archives() -> None:
    config = LakeConfig(output_directory="s3://bucket/prefix", environ={})
    assert str(config.lake_url) == "s3://bucket/prefix/.lakehouse/lake"
    with pytest.raises(ConfigurationError, match=r"\$\.lake: `s3://.*/lake` is not a directory"):
        _ = config.lake_folder
    with pytest.raises(ConfigurationError, match=r"\$\.output_directory: `ftp://` is not supp"):
        LakeConfig(output_directory="ftp://bucket/prefix", environ={})
